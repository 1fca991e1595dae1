"""Batches for training, and cached features."""
