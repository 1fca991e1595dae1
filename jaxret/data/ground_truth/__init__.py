"""Annotations and queries of published benchmarks, and of one's own."""
