"""Exact nearest-neighbour ranking on CPU: vectors, binary codes and sequences. No JAX is imported."""

from jaxret.rank.hamming import hamming_topk, hamming_within, pack_bits, unpack_bits
from jaxret.rank.hamming_index import HammingIndex, IndexedRadiusResult, IndexedResult
from jaxret.rank.search_result import ParResult, RadiusResult, SearchResult, merge_results
from jaxret.rank.simd import available_simd_levels, simd_level
from jaxret.rank.threads import available_threads
from jaxret.rank.topk import cosine_topk, euclidean_topk, par

__all__ = [
    "HammingIndex",
    "IndexedRadiusResult",
    "IndexedResult",
    "ParResult",
    "RadiusResult",
    "SearchResult",
    "available_simd_levels",
    "available_threads",
    "cosine_topk",
    "euclidean_topk",
    "hamming_topk",
    "hamming_within",
    "merge_results",
    "pack_bits",
    "par",
    "simd_level",
    "unpack_bits",
]
