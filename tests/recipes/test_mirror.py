"""Training clips are flipped by default, save where left and right are classes."""

from __future__ import annotations

import pytest

from jaxret.data.datasets.folders import MediaFiles
from jaxret.data.datasets.moving_digits import MovingDigits
from jaxret.data.direction import direction_is_class
from jaxret.data.items import MediaItem
from jaxret.errors import ConfigError
from jaxret.recipes.clip_settings import ClipConfig, FrameBackboneConfig
from jaxret.recipes.opening import augmentation_of


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (("3-left", "3-right", "3-up"), True),
        (("Push_LEFT", "push_right"), True),
        (("left to right", "right to left"), True),
        (("left", "up"), False),
        (("bright", "bleft hand"), False),
        (("left left", "right left"), False),
        ((), False),
    ],
)
def test_direction_is_a_class_where_its_opposite_is_another(labels: tuple[str, ...], expected: bool) -> None:
    assert direction_is_class(labels) is expected


def test_clips_are_flipped_where_that_keeps_their_class() -> None:
    actions = MediaFiles([MediaItem(f"{name}.mp4", "video", name, path="x") for name in ("run", "jump")], probe=False)
    assert augmentation_of(ClipConfig(), actions).mirror == 0.5
    assert augmentation_of(ClipConfig(), MovingDigits(1, 0, 0)).mirror == 0
    given = augmentation_of(ClipConfig(mirror=0.25, zoom=2.0), MovingDigits(1, 0, 0))
    assert (given.mirror, given.zoom, given.changes) == (0.25, 2.0, 0.0)
    assert augmentation_of(ClipConfig(changes=0.5), actions).changes == 0.5


def test_changes_of_cached_vectors_need_a_view_to_be_seen_in() -> None:
    with pytest.raises(ConfigError, match=r"changes=0\.5 is of cached views but the first, and there is one"):
        FrameBackboneConfig(changes=0.5, freeze=True)
    assert FrameBackboneConfig(changes=0.5, freeze=True, cached_views=2).changes == 0.5
    assert FrameBackboneConfig(changes=0.5, freeze=False).changes == 0.5
