"""What a random ranking finds of classes trained on and of others, against many of them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from studies.unseen_classes.videos import Videos, random_scores, reranked_scores, scores


def refused() -> NDArray[np.float32]:
    """Vectors that nothing may ask for."""
    raise AssertionError("chance needs no vectors")


def test_chance_is_the_mean_of_random_rankings() -> None:
    labels = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2, 0, 0, 1, 2, 2])
    sources = np.array([0, 1, 2, 3, 4, 5, 5, 6, 7, 0, 8, 9, 5, 9])  # of some queries' own source there are others
    videos = Videos("some", 2, labels, sources, np.arange(9), np.arange(9, 14), refused)
    seen = np.array([0, 1])
    found = random_scores(videos, seen)
    assert found["relevant items, seen"] == pytest.approx((2 + 3 + 2) / 3)
    assert found["relevant items, unseen"] == pytest.approx((2 + 4) / 2)
    rng = np.random.default_rng(0)
    drawn = [scores(videos, rng.normal(size=(14, 6)).astype(np.float32), seen, "euclidean") for _ in range(4000)]
    for name in ("mAP, seen", "mAP, unseen"):
        assert found[name] == pytest.approx(np.mean([one[name] for one in drawn]), abs=0.015)


def test_queries_of_one_kind_have_no_figure_of_the_other() -> None:
    labels, every = np.array([0, 0, 1, 1, 1, 0]), np.arange(6)
    videos = Videos("some", 1, labels, every, every, every[labels == 1], refused)
    rows = np.eye(2, dtype=np.float32)[labels]
    # Training videos query: none finds itself, and all of its class comes first.
    assert scores(videos, rows, np.array([0]), "euclidean") == {"mAP, unseen": 1.0}


def test_the_nearest_codes_are_put_in_order_again() -> None:
    rng = np.random.default_rng(0)
    labels, sources = rng.integers(0, 4, 60), rng.integers(0, 12, 60)
    videos = Videos("some", 2, labels, sources, np.arange(48), np.arange(48, 60), refused)
    vectors, codes = rng.normal(size=(60, 5)).astype(np.float32), rng.integers(0, 256, (60, 2), np.uint8)
    seen = np.array([0, 1])
    # Of all videos the vectors decide, of one nothing changes.
    assert reranked_scores(videos, codes, vectors, seen, 48) == scores(videos, vectors, seen, "euclidean")
    assert reranked_scores(videos, codes, vectors, seen, 1) == scores(videos, codes, seen, "hamming")
    between = reranked_scores(videos, codes, vectors, seen, 10)
    assert between not in (scores(videos, vectors, seen, "euclidean"), scores(videos, codes, seen, "hamming"))
