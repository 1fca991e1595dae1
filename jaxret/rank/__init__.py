"""Exact nearest-neighbour ranking on CPU: vectors, binary codes and sequences. No JAX is imported."""

from jaxret.rank.search_result import ParResult, SearchResult, merge_results
from jaxret.rank.simd import available_simd_levels, simd_level
from jaxret.rank.threads import available_threads

__all__ = [
    "ParResult",
    "SearchResult",
    "available_simd_levels",
    "available_threads",
    "merge_results",
    "simd_level",
]
