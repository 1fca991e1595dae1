"""Encoders of sequences of frame vectors, and their heads."""
