"""Backbones: images, or chunks of video, to vectors."""
