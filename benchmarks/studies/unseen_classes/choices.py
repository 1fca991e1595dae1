"""Ways of choosing an open-set encoder's codes beside each other, by training videos alone.

What is the default was decided by these: other draws of classes than the tests', in which a third of the sources of
each class's training videos are the queries. Test videos are not looked at.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from flax import nnx
from numpy.typing import NDArray
from studies.unseen_classes.videos import Videos, scores, unit_means

from jaxret.models.temporal.open_set import OpenSetEncoder
from jaxret.rank import pack_bits
from jaxret.training.itq import fit_itq
from jaxret.training.open_set import OpenSetSettings
from jaxret.training.open_set.codes import chosen, fit_codes, tried_codes
from jaxret.training.open_set.fit import choose_posteriors, open_trials
from jaxret.training.open_set.rounds import Items, Round, calibrated

FIRST_DRAW = 1000  # the tests' are 0, 1, ...
ITQ = "mean of frame vectors, ITQ"

_TO_4 = (4.0, 2.0, 1.0, 0.5, 0.25)
WAYS: Mapping[str, OpenSetSettings] = {
    "both mAPs, no marks, weight up to 4": OpenSetSettings(code_weights=_TO_4, marks=(0.0,), held_out_power=1),
    "both mAPs, marks, weight up to 4": OpenSetSettings(code_weights=_TO_4, held_out_power=1),
    "held-out mAP squared, no marks, weight up to 4": OpenSetSettings(code_weights=_TO_4, marks=(0.0,)),
    "held-out mAP squared, marks, weight up to 1 (the default)": OpenSetSettings(),
    "weight 0.5, doubt 100, four marks": OpenSetSettings(code_weights=(0.5,), doubts=(100.0,), marks=(1 / 16,)),
}
"""What codes are chosen from, and by; what the tables call it."""
_ALL = OpenSetSettings(code_weights=_TO_4)  # the candidates of all of these


def without_tests(videos: Videos, seed: int) -> Videos:
    """The training videos alone: those of a third of each class's sources are the queries, in the place of tests."""
    rng = np.random.default_rng(seed)
    labels, sources = videos.labels[videos.train], videos.sources[videos.train]
    dealt = [rng.permutation(np.unique(sources[labels == label])) for label in np.unique(labels)]
    queries = np.isin(sources, np.concatenate([own[: max(1, len(own) // 3)] for own in dealt]))
    return dataclasses.replace(videos, train=videos.train[~queries], test=videos.train[queries])


def by_ways(videos: Videos, number: int, bits: int) -> dict[str, dict[str, float]]:
    """Of one draw: mAP by codes of each of WAYS, and by ITQ of the means."""
    seed = FIRST_DRAW + number
    shown = without_tests(videos, seed)
    seen, train = shown.draw(seed)
    means = unit_means(shown.vectors)
    made = {ITQ: fit_itq(means[train], bits, seed=seed)(means)}
    encoder = OpenSetEncoder(shown.vectors.shape[2], len(seen), rngs=nnx.Rngs(0))
    labels, sources = np.searchsorted(seen, shown.labels[train]), shown.sources[train].tolist()
    candidates = dataclasses.replace(_ALL, seed=seed)
    items, trials = open_trials(encoder, shown.vectors[train], labels, sources, candidates)
    posteriors = choose_posteriors(encoder, items, trials, candidates)
    before, tried = tried_codes(posteriors.trials, posteriors.rounds, candidates, bits)
    known, every = calibrated(posteriors.rounds), every_video(shown, posteriors.whole)
    for way, settings in WAYS.items():
        allowed = {
            (weight, doubt, share): found
            for (weight, doubt, share), found in tried.items()
            if weight in settings.code_weights and doubt in settings.doubts and share in settings.marks
        }
        fit = chosen(posteriors.fit, before, allowed, settings)
        codes = fit_codes(posteriors.items, posteriors.rounds, posteriors.whole, fit, bits=bits, seed=seed)
        made[way] = codes.signs(every, known, fit.weight, fit.doubt or 1.0)
        print(f"{videos.name}, draw {seed}, {way}: {fit}", flush=True)
    return {
        way: scores(shown, pack_bits(bits_of.astype(np.float32), threshold=0.0), seen, "hamming")
        for way, bits_of in made.items()
    }


def every_video(videos: Videos, whole: Round) -> Round:
    """All videos, as an encoder sees them that is fitted on training videos."""
    nothing: NDArray[np.int64] = np.zeros(len(videos.labels), np.int64)  # labels and sources have no say
    items = Items.of(videos.vectors, nothing, nothing, 0)
    posterior, statistics = whole.classifier.read(items)
    return dataclasses.replace(whole, mean=items.mean, posterior=posterior, statistics=statistics)
