"""System 5: a photograph finds the moment in a film."""
