"""What needs no labels: mean vectors centred, or whitened partly and wholly, by statistics of the training videos."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray
from studies.unseen_classes.videos import Numbers, Videos

from jaxret.training.pca import fit_pca

CENTRED = "mean of frame vectors, centred"
PARTLY, WHOLLY = "mean of frame vectors, partly whitened", "mean of frame vectors, whitened"
_POWERS = {PARTLY: 1 / 4, WHOLLY: 1 / 2}  # of the variance that a component is divided by

FITTED_HALF = "the half that was fitted on is searched"
OTHER_HALF = "the other half is searched"
OTHERS_ALONE = "classes not trained on are searched alone"

Floats = NDArray[np.float64]


def unlabelled(means: NDArray[np.float32], train: Numbers) -> dict[str, NDArray[np.float32]]:
    """Mean vectors (N, D) less their centre, and as principal components (N, C), made alike in variance: by method.

    Args:
      means: of all videos.
      train: those that the centre and the components are fitted on; C is in how many of them these vary.
    """
    centred = means - means[train].mean(axis=0, dtype=np.float64)
    found = {CENTRED: _unit(centred)} | {
        method: whitened(means[train], means, power) for method, power in _POWERS.items()
    }
    return {method: rows.astype(np.float32) for method, rows in found.items()}


def whitened(fitted: ArrayLike, every: ArrayLike, power: float) -> Floats:
    """Principal components of vectors (N, D), each divided by its variance to the power given: (N, C), of length 1.

    Args:
      fitted: (M, D), of which there are C components that vary.
      every: (N, D).
      power: 0 to 1/2.
    """
    pca = fit_pca(fitted, variance=1.0, whiten=True)
    inverse_deviations = np.linalg.norm(pca.components, axis=0)
    return _unit((np.asarray(every, np.float64) - pca.mean) @ (pca.components * inverse_deviations ** (2 * power - 1)))


def halves(videos: Videos, seen: Numbers, train: Numbers, seed: int) -> tuple[Numbers, dict[str, Videos]]:
    """Training videos of half of the sources, and galleries that do and do not hold them.

    Of classes that are trained on a gallery holds that half, or the other, or none; of the others all.

    Args:
      videos: all.
      seen: classes that are trained on.
      train: their training videos.
      seed: of the draw of sources.

    Returns:
      Numbers of the half; and by setting the videos, `train` being what is searched. Queries of classes trained on
      are missing where those are not searched.
    """
    sources = np.random.default_rng(seed).permutation(np.unique(videos.sources[train]))
    half = np.isin(videos.sources[train], sources[::2])
    others, queries = (part[~np.isin(videos.labels[part], seen)] for part in (videos.train, videos.test))
    searched = {FITTED_HALF: train[half], OTHER_HALF: train[~half]}
    shown = {
        setting: dataclasses.replace(videos, train=np.concatenate([own, others])) for setting, own in searched.items()
    }
    return train[half], shown | {OTHERS_ALONE: dataclasses.replace(videos, train=others, test=queries)}


def _unit(rows: Floats) -> Floats:
    scaled: Floats = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return scaled
