"""Differences of the study of unseen classes are those from the mean vector, whatever a call runs first."""

import pytest
from accuracy_open_set import HASH, LSTM, MEAN, MEAN_PLANES, rows_of, with_baseline

DIFFERENCE = "mAP, seen, less the mean's"


@pytest.mark.parametrize(("baseline", "other"), [(MEAN, LSTM), (MEAN_PLANES, HASH)])
def test_differences_are_from_the_mean(baseline: str, other: str) -> None:
    figures = {baseline: {"mAP, seen": 0.5}, other: {"mAP, seen": 0.75}}
    for found in (figures, dict(reversed(figures.items()))):
        rows = {(row["method"], row["metric"]): row["value"] for row in rows_of("data", "", found, 0)}
        assert (rows[baseline, DIFFERENCE], rows[other, DIFFERENCE]) == (0.0, 0.25)


def test_what_is_trained_stands_beside_the_mean() -> None:
    assert with_baseline(["trained"]) == ["fitted", "trained"]
    assert with_baseline(["few"]) == ["few"]
