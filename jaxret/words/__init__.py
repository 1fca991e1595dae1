"""Bags of visual words for instance retrieval: codebooks, histograms, windows, verification. No JAX is imported."""

from jaxret.words.codebook import Codebook

__all__ = ["Codebook"]
