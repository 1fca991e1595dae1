"""Pretrained weights: reading files of other libraries, restricted to numbers."""
