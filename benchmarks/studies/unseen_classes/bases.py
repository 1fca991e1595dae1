"""Other vectors in the place of the mean vectors of an open-set encoder, by training videos alone.

The mean vectors are shortened within classes, which takes labels. Beside them: their principal components, whose
variances labels have no part in, made more alike; and sums of both. Draws and queries are those of `choices`, so that
test videos are not looked at.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from flax import nnx
from numpy.typing import NDArray
from studies.unseen_classes.choices import FIRST_DRAW, every_video, without_tests
from studies.unseen_classes.unlabelled import whitened
from studies.unseen_classes.videos import Videos, scores

from jaxret.models.temporal.open_set import OpenSetEncoder
from jaxret.training.open_set import OpenSetSettings
from jaxret.training.open_set.fit import choose_posteriors, open_trials
from jaxret.training.open_set.nuisances import Nuisances
from jaxret.training.open_set.rounds import calibrated
from jaxret.training.open_set.trials import nuisances_of
from jaxret.training.pca import fit_pca

DEFAULT = "open-set encoder"
_POWERS = {"1/8": 1 / 8, "1/4": 1 / 4}  # of the variance
_SHARES = {"1/4": 1 / 4, "1/2": 1 / 2}  # of the cosine
_RIDGE = 100.0  # variances are added to a hundredth of their mean along all directions
OF_MEANS = {f"PCA of the means, variance^-{name}": power for name, power in _POWERS.items()}
OF_RIDGE = {f"PCA of the means, (1 + 100 variance)^-{name}": power for name, power in _POWERS.items()}
OF_SHORTENED = {f"PCA of the shortened means, variance^-{name}": power for name, power in _POWERS.items()}
SUMS = {f"shortened means + {name} of PCA, variance^-1/4": share for name, share in _SHARES.items()}
HELD_OUT, BOTH = "vectors and weight by held-out classes", "vectors and weight by both"
OTHERS = (*OF_MEANS, *OF_RIDGE, *OF_SHORTENED, *SUMS, HELD_OUT, BOTH)
"""What the tables call them. The weight is the default's but of the last two, which are chosen in the rounds: the
highest mAP of held-out classes with which kept ones lose nothing against the default, or, as the default chooses, the
highest sum of both with which neither loses anything against the means."""

Floats = NDArray[np.float64]
Choice = tuple[str, float]  # what stands in the place of the means, and the posterior's weight


def bases(fitted: Floats, shortened: Nuisances, every: Floats) -> dict[str, Floats]:
    """What stands in the place of the means: by name (N, E), of length 1.

    Args:
      fitted: (M, D) mean vectors that components are fitted on.
      shortened: the default.
      every: (N, D) mean vectors.
    """
    found = {DEFAULT: shortened(every)}
    found |= {name: whitened(fitted, every, power) for name, power in OF_MEANS.items()}
    pca = fit_pca(fitted, variance=1.0, whiten=True)
    variances = (pca.components**2).sum(axis=0) ** -1.0
    over_mean = variances / (variances.sum() / fitted.shape[1])
    for name, power in OF_RIDGE.items():
        shares = (1 + _RIDGE * over_mean) ** -power
        found[name] = Nuisances(pca.mean, pca.components * np.sqrt(variances), over_mean, shares)(every)
    found |= {name: whitened(shortened(fitted), found[DEFAULT], power) for name, power in OF_SHORTENED.items()}
    alike = whitened(fitted, every, 1 / 4)
    for name, share in SUMS.items():
        found[name] = np.hstack([np.sqrt(1 - share) * found[DEFAULT], np.sqrt(share) * alike])
    return found


def chosen(tried: Mapping[Choice, Floats], default: Choice, before: Floats) -> dict[str, Choice]:
    """By HELD_OUT and by BOTH what is best; of equals the default.

    Args:
      tried: mAP of kept and of held-out classes (2,), of the default at least.
      default: what the default chose.
      before: the means' mAPs.
    """
    order = [default, *tried]
    gains = {one: tried[one] - before for one in order}
    return {
        HELD_OUT: max(
            (one for one in order if tried[one][0] >= tried[default][0]), key=lambda one: float(tried[one][1])
        ),
        BOTH: max(order, key=lambda one: (bool((gains[one] >= 0).all()), float(gains[one].sum()))),
    }


def by_bases(videos: Videos, number: int) -> dict[str, dict[str, float]]:
    """Of one draw: mAP by the default and by each of OTHERS."""
    seed = FIRST_DRAW + number
    shown = without_tests(videos, seed)
    seen, train = shown.draw(seed)
    encoder = OpenSetEncoder.to_fit(shown.vectors.shape[2], len(seen), rngs=nnx.Rngs(0))
    labels, sources = np.searchsorted(seen, shown.labels[train]), shown.sources[train].tolist()
    settings = OpenSetSettings(seed=seed)
    items, trials = open_trials(encoder, shown.vectors[train], labels, sources, settings)
    fitted = choose_posteriors(encoder, items, trials, settings)
    trials, rounds, fit = fitted.trials, fitted.rounds, fitted.fit
    parts = [trials.items.take(one.deal.fitted) for one in rounds]
    in_rounds = [
        bases(part.mean, nuisances_of(part, fit.strength, encoder.nuisances), trials.items.mean) for part in parts
    ]
    known = [calibrated([other for other in rounds if other is not one]) for one in rounds]
    tried: dict[Choice, Floats] = {}
    for base in in_rounds[0]:
        for weight in dict.fromkeys((*settings.weights, fit.weight)):
            rows = [
                dataclasses.replace(one, mean=made[base]).embedding(of_others, weight)
                for one, made, of_others in zip(rounds, in_rounds, known, strict=True)
            ]
            tried[base, weight] = trials.scores(rows).mean(axis=0)
    picked = chosen(tried, (DEFAULT, fit.weight), trials.plain.mean(axis=0))
    print(f"{videos.name}, draw {seed}: {fit}, {picked}", flush=True)
    every, of_all = every_video(shown, fitted.whole), calibrated(rounds)
    made = bases(fitted.items.mean, fitted.nuisances, every.mean)
    ways = {base: (base, fit.weight) for base in made} | picked
    return {
        way: scores(
            shown,
            dataclasses.replace(every, mean=made[base]).embedding(of_all, weight).astype(np.float32),
            seen,
            "cosine",
        )
        for way, (base, weight) in ways.items()
    }
