"""Decoding and encoding of images, videos and RGB-D frames."""
