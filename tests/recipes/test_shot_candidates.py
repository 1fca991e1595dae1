"""Which encoder of shots is taken: paired differences against SciPy, and what is no gain."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from jaxret.recipes.image_to_video.candidates import best_candidate, compare


def test_gains_are_paired_by_query() -> None:
    rng = np.random.default_rng(0)
    scores = {"sum": rng.uniform(size=40)}
    scores |= {"max": scores["sum"] - 0.1, "lstm": scores["sum"] + rng.normal(0.02, 0.1, 40)}
    for candidate in compare(scores):
        own = scores[candidate.name]
        assert candidate.mean_average_precision == pytest.approx(own.mean())
        assert candidate.gain == pytest.approx(own.mean() - scores["sum"].mean())
        assert candidate.error == pytest.approx(stats.sem(own - scores["sum"]), abs=1e-12)


def test_the_best_is_taken_of_those_that_gain_more_than_the_error() -> None:
    base = np.linspace(0.2, 0.8, 26)
    noise = np.where(np.arange(26) % 2, 1.0, -1.0)
    scores = {"sum": base, "max": base + 0.01, "gru": base + 0.02, "lstm": base + 0.05 + 0.9 * noise}
    found = {candidate.name: candidate for candidate in compare(scores)}
    assert found["lstm"].gain > found["gru"].gain
    assert not found["lstm"].better  # by chance as likely as not
    assert best_candidate(list(found.values())) == "gru"
    assert best_candidate(compare({"sum": base, "max": base - 0.1})) == "sum"
    assert best_candidate(compare({"sum": base[:1], "max": base[:1] + 0.1})) == "sum"  # one query tells nothing
    assert best_candidate([]) == "sum"
