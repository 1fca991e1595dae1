"""Which evaluation belongs to which queries, of an index of whole images and clips."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jaxret.data.dataset import MediaDataset
from jaxret.data.ground_truth.films import FilmQueries
from jaxret.data.ground_truth.stanford_i2v import I2VQueries
from jaxret.retrieval.evaluate.cropped import CroppedVideos, evaluate_cropped
from jaxret.retrieval.evaluate.films import evaluate_films
from jaxret.retrieval.evaluate.labels import evaluate_labels
from jaxret.retrieval.evaluate.report import Report
from jaxret.retrieval.evaluate.stanford_i2v import evaluate_stanford_i2v

__all__ = ["MEASURES"]

MEASURES: dict[type[Any], Callable[..., Report]] = {
    type(None): evaluate_labels,
    MediaDataset: evaluate_labels,
    CroppedVideos: evaluate_cropped,
    FilmQueries: evaluate_films,
    I2VQueries: evaluate_stanford_i2v,
}
"""By the class of the queries, or that of all that are none of the others: what measures them."""
