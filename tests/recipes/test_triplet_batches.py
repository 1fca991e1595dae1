"""Batches for the triplet loss: as many classes as fit, as many clips of each, and what devices share evenly."""

from __future__ import annotations

import pytest

from jaxret.errors import ConfigError
from jaxret.recipes.conv_lstm.labelled_clips import triplet_batches


def labels(classes: int, clips: int) -> list[int]:
    return [label for label in range(classes) for _ in range(clips)]


@pytest.mark.parametrize(
    ("classes", "clips", "devices", "expected"),
    [
        (6, 20, 1, (6, 5)),
        (6, 20, 4, (6, 4)),  # 30 is no multiple of 4
        (7, 20, 8, (6, 4)),
        (3, 20, 4, (3, 8)),
        (2, 3, 1, (2, 4)),  # repeated, where a class has fewer
        (99, 20, 8, (8, 4)),
    ],
)
def test_as_many_classes_as_the_devices_can_share(
    classes: int, clips: int, devices: int, expected: tuple[int, int]
) -> None:
    plan = triplet_batches(labels(classes, clips), batch_size=32, samples_per_class=4, devices=devices)
    assert (plan.classes_per_batch, plan.samples_per_class) == expected
    assert plan.batch_size % devices == 0


def test_what_makes_no_batch_is_refused() -> None:
    with pytest.raises(ConfigError, match="each of 5 training classes has one clip"):
        triplet_batches(labels(5, 1), batch_size=32, samples_per_class=4)
    with pytest.raises(ConfigError, match=r"no batch of at most 9 clips, 4 or more of a class, .* over 16 devices"):
        triplet_batches(labels(5, 9), batch_size=9, samples_per_class=4, devices=16)
