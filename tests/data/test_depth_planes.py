"""Depth as planes: against loops that write down what is meant, and there and back."""

from __future__ import annotations

import json

import numpy as np
import pytest
from reference import depth as slow

from jaxret.data.sampling.depth_planes import frames_of_volumes, plane_numbers
from jaxret.data.sampling.transforms import FrameGeometry, resize_nearest
from jaxret.errors import ConfigError
from jaxret.preprocessing import DepthPlanes, Preprocessing

PLANES = DepthPlanes(count=5, near=0.5, far=3.0)


def slow_plane(metres: float, planes: DepthPlanes) -> int:
    """Walk from plane to plane until the depth is not behind it."""
    if not metres > 0:
        return 0
    for number in range(1, planes.count):
        if metres < planes.near + number * (planes.far - planes.near) / planes.count:
            return number
    return planes.count


def test_planes_against_a_walk_through_them():
    rng = np.random.default_rng(0)
    metres = np.concatenate([rng.uniform(-0.5, 5, 500), [0.0, np.nan, np.inf, 0.5, 3.0, 1e-3]])
    expected = [slow_plane(value, PLANES) for value in metres.tolist()]
    assert set(expected) == {0, 1, 2, 3, 4, 5}
    assert plane_numbers(metres, PLANES).tolist() == expected
    assert plane_numbers(metres[:6].reshape(2, 3).astype(np.float32), PLANES).shape == (2, 3)
    most = DepthPlanes(count=255, near=0.0, far=1.0)
    assert plane_numbers([0.9999, 2.0], most).tolist() == [255, 255]


def test_a_volume_is_seen_as_its_frame():
    frame = np.random.default_rng(1).integers(0, 256, (6, 7, 4), np.uint8)
    frame[..., 3] %= PLANES.count + 1
    empty = frame[..., 3] == 0
    assert 0 < empty.mean() < 1
    volume = slow.volume(frame, PLANES.count)
    frame[empty] = 0  # a pixel without a reading has no place for its colour
    np.testing.assert_array_equal(frames_of_volumes(volume), frame)
    np.testing.assert_array_equal(frames_of_volumes(np.stack([volume, volume])), [frame, frame])


def test_reconstructions_are_seen_where_they_are_fullest():
    volume = np.zeros((1, 1, 3, 4), np.float32)
    volume[0, 0] = [[10, 20, 30, 0.2], [300.4, -3.0, 99.6, 0.7], [1, 2, 3, 0.7]]
    assert frames_of_volumes(volume)[0, 0].tolist() == [255, 0, 100, 2]
    assert frames_of_volumes(volume, threshold=0.8)[0, 0].tolist() == [0, 0, 0, 0]


def test_what_are_no_volumes():
    with pytest.raises(ValueError, match=r"volumes must be \(..., H, W, Z, 4\)"):
        frames_of_volumes(np.zeros((4, 4, 4)))


def test_settings():
    settings = Preprocessing(depth=DepthPlanes(count=8, near=0.0, far=10.0), chunk_overlap=0.5)
    assert Preprocessing.from_json(json.loads(json.dumps(settings.to_json()))) == settings
    assert settings.pixel_channels == 4
    assert Preprocessing(channels=1, depth=DepthPlanes()).pixel_channels == 2
    # What encoders of colour hash must not change.
    assert not {"depth", "chunk_overlap"} & set(Preprocessing().to_json())
    for wrong, message in (
        ({"count": 0}, "count must be a whole number of planes in 1..255, got 0"),
        ({"count": 256}, "got 256"),
        ({"near": 3.0, "far": 3.0}, r"0 <= near < far, got 3.0 and 3.0"),
    ):
        with pytest.raises(ConfigError, match=message):
            DepthPlanes(**wrong)
    with pytest.raises(ConfigError, match=r"settings of shots or depth are malformed.*'planes'"):
        Preprocessing.from_json({**Preprocessing().to_json(), "depth": {"planes": 3}})


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize(
    "window", [(6, 8, 0, 0, 6, 8), (3, 5, 0, 0, 3, 5), (13, 9, 2, 1, 7, 6), (4, 8, -2, 3, 8, 5), (12, 16, 5, 9, 4, 4)]
)
def test_nearest_resizing_against_a_loop(window, mirror):
    depth = np.random.default_rng(2).integers(1, 60_000, (6, 8)).astype(np.float32)
    geometry = FrameGeometry(*window, mirror=mirror)
    result = resize_nearest(depth, geometry)
    expected = np.zeros((geometry.height, geometry.width), np.float32)
    for row in range(geometry.height):
        for column in range(geometry.width):
            down, across = geometry.top + row, geometry.left + column
            if 0 <= down < geometry.scaled_height and 0 <= across < geometry.scaled_width:
                from_top = int((down + 0.5) * 6 / geometry.scaled_height)
                from_left = int((across + 0.5) * 8 / geometry.scaled_width)
                expected[row, column] = depth[from_top, from_left]
    np.testing.assert_array_equal(result, expected[:, ::-1] if mirror else expected)
    assert result.dtype == depth.dtype
