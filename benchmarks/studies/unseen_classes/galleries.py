"""What the rounds search that choose an open-set encoder: what was fitted on, or other videos; by training videos.

The default leaves a third of the sources of kept classes out of a round's fit, searches with them, and finds among
all videos, those that were fitted on included. Here rounds leave out a third or half of these sources, and what was
left out and the held-out classes search among each other: nothing is found that was fitted on. Draws and queries are
those of `choices`, so that test videos are not looked at. Each way fits on all training videos of a draw ("all are
searched"), and on half of their sources, of which that half is searched, or the other (`unlabelled.halves`).

The rule, written down before anything was measured. Differences from the default are paired by draw; the standard
error is the standard deviation of five draws over the square root of 5. A way becomes the default if on each of the
three data sets none of these falls by more than its standard error: mAP of classes not trained on where the other
half is searched, and mAP of both kinds of classes where all are searched; and if the first rises by more than its
standard error on one of the three at least. Of two such ways it is the one with the larger sum of the first over the
data sets. Vectors and codes are judged each by themselves.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from flax import nnx
from numpy.typing import NDArray
from studies.unseen_classes.choices import FIRST_DRAW, every_video, without_tests
from studies.unseen_classes.unlabelled import halves
from studies.unseen_classes.videos import Numbers, Videos, scores

from jaxret.models.temporal.open_set import OpenSetEncoder
from jaxret.rank import pack_bits
from jaxret.training.open_set import Deal, HeldOut, OpenSetSettings
from jaxret.training.open_set.codes import choose_codes, fit_codes
from jaxret.training.open_set.fit import choose_posteriors, open_trials
from jaxret.training.open_set.rounds import Floats, Items, calibrated
from jaxret.training.open_set.trials import Trials

FITTED_TOO = "rounds search what was fitted on, too (the default)"
THIRD, HALF = "rounds search a third that was left out", "rounds search half that was left out"
GALLERIES = {FITTED_TOO: None, THIRD: 1 / 3, HALF: 1 / 2}
"""By name the share of the sources that rounds leave out and search alone; None: as the default does it."""
ALL_SEARCHED = "all are searched"
Figures = dict[str, dict[str, dict[str, float]]]  # by setting and way


class OtherVideos(Trials):
    """Trials of which a round searches nothing that it was fitted on."""

    def scores(self, rows: Sequence[Floats]) -> Floats:
        """As of `Trials`: what a round leaves out and its held-out classes, each among the others."""
        found = []
        for one, deal in zip(rows, self.deals, strict=True):
            shown = deal.shown
            every = np.ones(int(shown.sum()), bool)
            part = Trials(self.items.take(shown), [Deal(deal.kept[shown], ~every, every)], (), self.nuisances)
            found.append(part.scores([one[shown]])[0])
        return np.array(found)


def other_videos(trials: Trials, share: float, settings: OpenSetSettings) -> OtherVideos:
    """The same items and held-out classes, that share of the other classes' sources left out.

    Args:
      trials: of vectors that no network learned from the classes.
      share: above 0 and below 1; one source at least is left out.
      settings: the seed is of the sources.
    """
    labels, sources = trials.items.labels, trials.items.sources
    rng = np.random.default_rng(settings.seed)
    deals = []
    for one in trials.deals:
        of_kept = rng.permutation(np.unique(sources[one.kept]))
        left_out = tuple(map(str, of_kept[: max(1, round(share * len(of_kept)))]))
        without = tuple(np.unique(labels[~one.kept]).tolist())
        deals.append(Deal.of(HeldOut(without, left_out), labels, sources.tolist()))
    return OtherVideos(trials.items, deals, trials.seen, trials.nuisances)


def by_galleries(videos: Videos, number: int, bits: int) -> tuple[Figures, Figures]:
    """Of one draw, by what is searched and by each of GALLERIES: mAP of vectors, and of codes."""
    seed = FIRST_DRAW + number
    shown = without_tests(videos, seed)
    seen, train = shown.draw(seed)
    half, parts = halves(shown, seen, train, seed)
    of_vectors: Figures = {}
    of_codes: Figures = {}
    for fitted_on, settings in ((train, {ALL_SEARCHED: shown}), (half, parts)):
        for way, share in GALLERIES.items():
            vectors, codes = _made(shown, seen, fitted_on, share, seed, bits)
            for setting, searched in settings.items():
                of_vectors.setdefault(setting, {})[way] = scores(searched, vectors, seen, "cosine")
                of_codes.setdefault(setting, {})[way] = scores(searched, codes, seen, "hamming")
    return of_vectors, of_codes


def _made(
    videos: Videos, seen: Numbers, train: Numbers, share: float | None, seed: int, bits: int
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Vectors (N, E) and codes (N, bits / 8) of all videos, by an encoder that was fitted on some."""
    encoder = OpenSetEncoder.to_fit(videos.vectors.shape[2], len(seen), rngs=nnx.Rngs(0))
    of_codes = OpenSetEncoder(videos.vectors.shape[2], len(seen), rngs=nnx.Rngs(0))  # codes are of means as they are
    labels, sources = np.searchsorted(seen, videos.labels[train]), videos.sources[train].tolist()
    settings = OpenSetSettings(seed=seed)

    def chosen(one: OpenSetEncoder) -> tuple[Items, Trials]:
        items, trials = open_trials(one, videos.vectors[train], labels, sources, settings)
        return items, trials if share is None else other_videos(trials, share, settings)

    fitted = choose_posteriors(encoder, *chosen(encoder), settings)
    every = every_video(videos, fitted.whole)
    every = dataclasses.replace(every, mean=fitted.nuisances(every.mean))
    vectors = every.embedding(calibrated(fitted.rounds), fitted.fit.weight).astype(np.float32)
    print(f"{videos.name}, draw {seed}, share {share}, {len(train)} videos: {fitted.fit}", flush=True)

    fitted = choose_posteriors(of_codes, *chosen(of_codes), settings)
    rounds, candidates = fitted.rounds, settings.for_classes(len(seen))
    fit = choose_codes(fitted.trials, rounds, fitted.fit, candidates, bits)
    made = fit_codes(fitted.items, rounds, fitted.whole, fit, bits=bits, seed=seed)
    signs = made.signs(every_video(videos, fitted.whole), calibrated(rounds), fit.weight, fit.doubt or 1.0)
    print(f"{videos.name}, draw {seed}, share {share}, {len(train)} videos, codes: {fit}", flush=True)
    return vectors, pack_bits(signs.astype(np.float32), threshold=0.0)
