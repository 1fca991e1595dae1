"""The study of who queries: classes that were not trained on, with tests, with training videos, and by themselves."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import accuracy_open_set as program
import numpy as np
from numpy.typing import NDArray
from studies.unseen_classes.videos import Numbers, Videos

KINDS = (program.TESTS_QUERY, program.TRAINING_QUERIES, program.EACH_OTHER)


def test_classes_that_were_not_trained_on_query_alone() -> None:
    labels = np.repeat([0, 1], 6)
    numbers = np.arange(12)
    train, test = numbers[numbers % 3 > 0], numbers[numbers % 3 == 0]
    videos = Videos("some", 1, labels, numbers, train, test, lambda: np.zeros((12, 1, 1), np.float32))
    fitted_on: list[Numbers] = []

    def codes(given: Videos, seen: Numbers, chosen: Numbers, seed: int, bits: int) -> dict[str, NDArray[np.uint8]]:
        fitted_on.append(chosen)
        return {"one code for everything": np.zeros((12, bits // 8), np.uint8)}

    with mock.patch.object(program, "_codes", codes):
        found = program.classes(videos, 0, Path())
    assert len(fitted_on) == len(program.DEALT)
    for chosen, (dealt, first) in zip(fitted_on, program.DEALT.items(), strict=True):
        seen, own = videos.draw(first)
        np.testing.assert_array_equal(chosen, own)  # all training videos of the classes trained on
        of = {kind: found[f"codes of 64 bits, {dealt}: {kind}"]["one code for everything"] for kind in KINDS}
        assert {frozenset(figures) for figures in of.values()} == {frozenset({"mAP, unseen"})}
        # Nothing else is searched: all that is found is relevant. Among all, ties rank by number, class 0 first.
        assert of[program.EACH_OTHER]["mAP, unseen"] == 1.0
        for kind in (program.TESTS_QUERY, program.TRAINING_QUERIES):
            assert (of[kind]["mAP, unseen"] == 1.0) == (seen.tolist() == [1])
