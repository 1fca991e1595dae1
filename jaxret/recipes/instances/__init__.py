"""System 4: the object that a user marks, found in images and videos."""
