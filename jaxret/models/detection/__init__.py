"""Faster R-CNN."""
