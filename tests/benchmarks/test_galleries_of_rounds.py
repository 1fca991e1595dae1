"""Rounds that search nothing that they were fitted on."""

from __future__ import annotations

import numpy as np
from studies.unseen_classes.galleries import other_videos

from jaxret.training.open_set import Deal, OpenSetSettings
from jaxret.training.open_set.rounds import Items
from jaxret.training.open_set.trials import Trials


def _trials(mean: np.ndarray) -> Trials:
    numbers = np.arange(len(mean))
    labels, sources = numbers // 12, numbers // 2
    kept = labels > 0
    return Trials(Items(mean, mean, labels, sources), [Deal(kept, kept, ~kept)], (), 0)


def test_what_is_left_out_is_half_of_the_sources_and_no_held_out_class() -> None:
    trials = _trials(np.eye(48))
    for share, sources in ((1 / 2, 9), (1 / 3, 6), (0.01, 1)):
        (deal,) = other_videos(trials, share, OpenSetSettings()).deals
        np.testing.assert_array_equal(deal.kept, trials.deals[0].kept)
        np.testing.assert_array_equal(deal.shown, ~deal.fitted)
        assert len(np.unique(trials.items.sources[deal.kept & deal.shown])) == sources
        assert not set(trials.items.sources[deal.fitted]) & set(trials.items.sources[deal.shown])


def test_only_what_was_left_out_is_searched() -> None:
    mean = np.random.default_rng(0).normal(size=(48, 4))
    trials = other_videos(_trials(mean), 1 / 2, OpenSetSettings())
    shown = trials.deals[0].shown
    before = trials.scores([mean])
    moved = np.where(shown[:, None], mean, 100.0)  # what was fitted on has no say
    np.testing.assert_array_equal(trials.scores([moved]), before)
    labels = np.eye(4)[trials.items.labels]
    np.testing.assert_allclose(trials.scores([labels]), [[1.0, 1.0]])
    assert before.shape == (1, 2)
    assert (before < 1).all()
