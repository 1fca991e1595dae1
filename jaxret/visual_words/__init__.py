"""Bags of visual words for instance retrieval: codebooks, histograms, windows, verification. No JAX is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jaxret.lazy import lazy_names

if TYPE_CHECKING:
    from jaxret.visual_words.codebook import Codebook
    from jaxret.visual_words.geometric_verification import (
        TransformModel,
        Verification,
        same_word_pairs,
        verify_geometry,
    )
    from jaxret.visual_words.inverted_file import InvertedFile
    from jaxret.visual_words.placed_words import PlacedWords, words_at_points, words_of_map
    from jaxret.visual_words.query_expansion import expand_query
    from jaxret.visual_words.spatial_weights import box_surroundings, centre_prior
    from jaxret.visual_words.window_reranking import (
        LocalisedResult,
        WindowMatch,
        WindowSettings,
        best_window,
        rerank_windows,
    )
    from jaxret.visual_words.windows import sliding_windows, window_boxes, window_lengths
    from jaxret.visual_words.word_bags import WordBags, bags_of_words, inverse_document_frequency, join_bags, query_bag

__all__ = [
    "Codebook",
    "InvertedFile",
    "LocalisedResult",
    "PlacedWords",
    "TransformModel",
    "Verification",
    "WindowMatch",
    "WindowSettings",
    "WordBags",
    "bags_of_words",
    "best_window",
    "box_surroundings",
    "centre_prior",
    "expand_query",
    "inverse_document_frequency",
    "join_bags",
    "query_bag",
    "rerank_windows",
    "same_word_pairs",
    "sliding_windows",
    "verify_geometry",
    "window_boxes",
    "window_lengths",
    "words_at_points",
    "words_of_map",
]

_NAMES = {
    "jaxret.visual_words.codebook": ("Codebook",),
    "jaxret.visual_words.geometric_verification": (
        "TransformModel",
        "Verification",
        "same_word_pairs",
        "verify_geometry",
    ),
    "jaxret.visual_words.inverted_file": ("InvertedFile",),
    "jaxret.visual_words.placed_words": ("PlacedWords", "words_at_points", "words_of_map"),
    "jaxret.visual_words.query_expansion": ("expand_query",),
    "jaxret.visual_words.spatial_weights": ("box_surroundings", "centre_prior"),
    "jaxret.visual_words.window_reranking": (
        "LocalisedResult",
        "WindowMatch",
        "WindowSettings",
        "best_window",
        "rerank_windows",
    ),
    "jaxret.visual_words.windows": ("sliding_windows", "window_boxes", "window_lengths"),
    "jaxret.visual_words.word_bags": (
        "WordBags",
        "bags_of_words",
        "inverse_document_frequency",
        "join_bags",
        "query_bag",
    ),
}
__getattr__, __dir__ = lazy_names(__name__, _NAMES)
