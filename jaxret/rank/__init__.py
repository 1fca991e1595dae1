"""Nearest vectors, codes and sequences, exact save for `CentroidIndex`.

No JAX is imported but by the galleries on accelerators, when they are first used.
"""

from typing import TYPE_CHECKING

from jaxret.lazy import lazy_names
from jaxret.rank.centroid_index import CentroidIndex
from jaxret.rank.dtw import bidtw, dtw, dtw_path
from jaxret.rank.dtw_search import DtwPruning, DtwResult, dtw_cdist, dtw_topk
from jaxret.rank.dtw_subsequence import SubsequenceMatch, SubsequenceResult, dtw_subsequence, dtw_subsequence_topk
from jaxret.rank.first_of_each import first_of_each
from jaxret.rank.hamming import hamming_topk, hamming_within, pack_bits, unpack_bits
from jaxret.rank.hamming_index import HammingIndex, IndexedRadiusResult
from jaxret.rank.lsh import RandomHyperplanes
from jaxret.rank.metrics import METRICS, RankingMetric, metrics_of
from jaxret.rank.rocchio import rocchio
from jaxret.rank.search_result import IndexedResult, ParResult, RadiusResult, SearchResult, merge_results
from jaxret.rank.sequence_alignment import SequenceAlignment, align_sequences
from jaxret.rank.sequence_ranking import SequenceMatch, SequenceRanking, rank_sequences, sequence_distances
from jaxret.rank.sequence_table import SequenceTable
from jaxret.rank.simd import available_simd_levels, simd_level
from jaxret.rank.threads import available_threads
from jaxret.rank.topk import cosine_topk, euclidean_topk, par

if TYPE_CHECKING:
    from jaxret.rank.device import DeviceGallery, DeviceSequences

__all__ = [
    "METRICS",
    "CentroidIndex",
    "DeviceGallery",
    "DeviceSequences",
    "DtwPruning",
    "DtwResult",
    "HammingIndex",
    "IndexedRadiusResult",
    "IndexedResult",
    "ParResult",
    "RadiusResult",
    "RandomHyperplanes",
    "RankingMetric",
    "SearchResult",
    "SequenceAlignment",
    "SequenceMatch",
    "SequenceRanking",
    "SequenceTable",
    "SubsequenceMatch",
    "SubsequenceResult",
    "align_sequences",
    "available_simd_levels",
    "available_threads",
    "bidtw",
    "cosine_topk",
    "dtw",
    "dtw_cdist",
    "dtw_path",
    "dtw_subsequence",
    "dtw_subsequence_topk",
    "dtw_topk",
    "euclidean_topk",
    "first_of_each",
    "hamming_topk",
    "hamming_within",
    "merge_results",
    "metrics_of",
    "pack_bits",
    "par",
    "rank_sequences",
    "rocchio",
    "sequence_distances",
    "simd_level",
    "unpack_bits",
]

__getattr__, __dir__ = lazy_names(__name__, {"jaxret.rank.device": ("DeviceGallery", "DeviceSequences")})
