"""Depth as planes: against loops that write down what is meant, and there and back."""

from __future__ import annotations

import json

import numpy as np
import pytest

from jaxret.data.sampling.depth_planes import depth_of_planes, frames_of_volumes, plane_numbers, volumes_of_frames
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


def slow_volume(frame: np.ndarray, count: int) -> np.ndarray:
    volume = np.zeros((*frame.shape[:2], count, 4), np.float32)
    for row in range(frame.shape[0]):
        for column in range(frame.shape[1]):
            *colour, plane = frame[row, column].tolist()
            if plane:
                volume[row, column, plane - 1] = [*colour, 1]
    return volume


def test_planes_against_a_walk_through_them():
    rng = np.random.default_rng(0)
    metres = np.concatenate([rng.uniform(-0.5, 5, 500), [0.0, np.nan, np.inf, 0.5, 3.0, 1e-3]])
    expected = [slow_plane(value, PLANES) for value in metres.tolist()]
    assert set(expected) == {0, 1, 2, 3, 4, 5}
    assert plane_numbers(metres, PLANES).tolist() == expected
    assert plane_numbers(metres[:6].reshape(2, 3).astype(np.float32), PLANES).shape == (2, 3)
    most = DepthPlanes(count=255, near=0.0, far=1.0)
    assert plane_numbers([0.9999, 2.0], most).tolist() == [255, 255]


def test_the_middle_of_a_plane_is_in_it():
    numbers = np.arange(PLANES.count + 1)
    middles = depth_of_planes(numbers, PLANES)
    assert plane_numbers(middles, PLANES).tolist() == numbers.tolist()
    assert middles[1] == pytest.approx(0.75)


def test_volumes_against_a_loop_and_back():
    rng = np.random.default_rng(1)
    frames = rng.integers(0, 256, (2, 3, 6, 7, 4), np.uint8)
    frames[..., 3] %= PLANES.count + 1
    volumes = volumes_of_frames(frames, PLANES)
    assert volumes.shape == (2, 3, 6, 7, 5, 4)
    assert volumes.dtype == np.float32
    for clip in range(2):
        for time in range(3):
            np.testing.assert_array_equal(volumes[clip, time], slow_volume(frames[clip, time], 5))
    empty = frames[..., 3] == 0
    assert 0 < empty.mean() < 1
    seen = frames.copy()
    seen[empty] = 0  # a pixel without a reading has no place for its colour
    np.testing.assert_array_equal(frames_of_volumes(volumes), seen)


def test_reconstructions_are_seen_where_they_are_fullest():
    volume = np.zeros((1, 1, 3, 4), np.float32)
    volume[0, 0] = [[10, 20, 30, 0.2], [300.4, -3.0, 99.6, 0.7], [1, 2, 3, 0.7]]
    assert frames_of_volumes(volume)[0, 0].tolist() == [255, 0, 100, 2]
    assert frames_of_volumes(volume, threshold=0.8)[0, 0].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (np.zeros((2, 2, 3), np.uint8), r"frames must be uint8 \(..., H, W, 4\), got uint8 \(2, 2, 3\)"),
        (np.zeros((2, 2, 4)), "got float64"),
        (np.full((2, 2, 4), 6, np.uint8), r"plane numbers must lie in 0..5, got 6"),
    ],
)
def test_what_are_no_rgbd_frames(frames, message):
    with pytest.raises(ValueError, match=message):
        volumes_of_frames(frames, PLANES)
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
