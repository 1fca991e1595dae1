"""Descriptors of whole feature maps and of their parts: pooling, R-MAC, visual words."""
