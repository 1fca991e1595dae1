"""Evaluation of an index."""
