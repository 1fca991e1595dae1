"""Patches of grids: cells, boxes and whitened means against loops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from flax import nnx
from instance_making import FITTED, grid_encoder, scene

from jaxret.errors import ConfigError
from jaxret.models.descriptors.grid import GridEncoder, cell_means, grid_cells, window_cosines, window_means
from jaxret.models.store import fingerprint, load_encoder, save_encoder
from jaxret.preprocessing import Preprocessing, ShotSampling

SIZES = [(64, 64), (32, 64), (64, 32)]


def whitened_encoder() -> GridEncoder:
    encoder = grid_encoder(whitened_size=5)
    rng = np.random.default_rng(0)
    assert encoder.whitening is not None
    encoder.whitening.assign(rng.normal(size=16) / 9, rng.normal(size=(16, 5)))
    return encoder


def area_mean(one: np.ndarray, top: float, left: float, bottom: float, right: float) -> np.ndarray:
    """The mean of a map over a rectangle in cells; a cell counts by how much of it lies inside."""
    total, area = np.zeros(one.shape[-1]), 0.0
    for y in range(one.shape[0]):
        for x in range(one.shape[1]):
            share = max(0.0, min(bottom, y + 1) - max(top, y)) * max(0.0, min(right, x + 1) - max(left, x))
            total, area = total + share * one[y, x], area + share
    return total / area


def expected(encoder: GridEncoder, mean: np.ndarray) -> np.ndarray:
    if encoder.whitening is not None:
        mean = (mean - np.asarray(encoder.whitening.mean[...])) @ np.asarray(encoder.whitening.components[...])
    return mean / np.linalg.norm(mean)


def test_the_cells_are_those_of_four_grids() -> None:
    cells = grid_cells(4)
    assert len(cells) == 1 + 4 + 9 + 16
    covered = [np.zeros((12, 12), int) for _ in range(4)]
    for number, (top, left, bottom, right) in enumerate(cells.tolist()):
        covered[[0, *[1] * 4, *[2] * 9, *[3] * 16][number]][top:bottom, left:right] += 1
    assert all((grid == 1).all() for grid in covered)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("make", [grid_encoder, whitened_encoder])
def test_cells_and_boxes_are_means_of_the_map(make, size: tuple[int, int]) -> None:
    encoder = make()
    image = scene(0, size, {"flag": (4, 4, 28, 28)})[None]
    one = np.asarray(encoder.backbone(image).stages[encoder.stage], np.float64)[0]
    rows, columns = one.shape[:2]
    # Alone, and within a larger batch whose padding must not matter.
    padded, within = np.pad(image, [(0, 0), (0, 64 - size[0]), (0, 64 - size[1]), (0, 0)], constant_values=9), [size]
    places = encoder.places(image).reshape(144, -1)
    np.testing.assert_allclose(encoder.places(padded, within).reshape(144, -1), places, atol=2e-5)
    found = encoder.vectors(encoder.cells(places))
    # The mean of projected places is the projected mean.
    again = encoder.cells(encoder.projected(places))
    for (top, left, bottom, right), vector, other in zip(grid_cells(4) / 12, found, again, strict=True):
        mean = area_mean(one, top * rows, left * columns, bottom * rows, right * columns)
        np.testing.assert_allclose(vector, expected(encoder, mean), atol=2e-5)
        np.testing.assert_allclose(other / np.linalg.norm(other), expected(encoder, mean), atol=2e-5)
    height, width = size
    for box in ((3.0, 5.0, 21.5, 30.0), (0.0, 0.0, float(width), float(height)), (9.0, 9.0, 9.5, 9.5)):
        left, top, right, bottom = (edge / 4 for edge in box)
        mean = area_mean(one, top, left, bottom, right)
        for found in (encoder.box_mean(image, box), encoder.box_mean(padded, box, within)):
            np.testing.assert_allclose(encoder.vectors(found), expected(encoder, mean), atol=2e-5)


def test_windows_are_means_of_places() -> None:
    places = np.random.default_rng(0).normal(size=(2, 12, 12, 3)).astype(np.float32)
    windows = np.array([(0, 0, 1, 1), (2, 3, 7, 12), (0, 0, 12, 12)])
    found = window_means(places, windows)
    for number, (top, left, bottom, right) in enumerate(windows.tolist()):
        np.testing.assert_allclose(found[:, number], places[:, top:bottom, left:right].mean(axis=(1, 2)), atol=1e-5)


def test_cells_and_cosines_are_those_of_means() -> None:
    rng = np.random.default_rng(0)
    places = rng.normal(size=(12, 12, 6)).astype(np.float32)
    places[:3, :3] = 0
    for levels in (1, 4):
        np.testing.assert_allclose(cell_means(places, levels), window_means(places, grid_cells(levels)), atol=1e-6)
    vectors = rng.normal(size=(2, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    begins = [(top, left) for top in range(12) for left in range(12)]
    windows = np.array([(t, le, b, r) for t, le in begins for b in range(t + 1, 13) for r in (12, le + 1)])
    means = window_means(places, windows)
    lengths = np.linalg.norm(means, axis=1)
    nothing = (windows[:, 2] <= 3) & (windows[:, 3] <= 3)
    found = window_cosines(places, windows, vectors)
    assert found.shape == (2, len(windows))
    assert nothing.sum() == 18
    assert (found[:, nothing] == 0).all()
    expected = vectors @ (means[~nothing] / lengths[~nothing, None]).T
    np.testing.assert_allclose(found[:, ~nothing], expected, atol=2e-5)


def test_stored_and_loaded(tmp_path: Path) -> None:
    encoder = whitened_encoder()
    save_encoder(encoder, tmp_path / "encoder")
    again = load_encoder(tmp_path / "encoder")
    assert isinstance(again, GridEncoder)
    assert (again.config, again.summary, fingerprint(again)) == (encoder.config, encoder.summary, fingerprint(encoder))
    assert "patches of grids up to 4 x 4 of conv_3" in encoder.summary
    assert not nnx.to_flat_state(nnx.state(encoder.whitening, nnx.Param)), "training leaves the whitening alone"


def test_what_does_not_fit() -> None:
    net = grid_encoder().backbone
    with pytest.raises(ConfigError, match=r"levels must be 1\.\.4, the finest grid of patches is 4 x 4, got 5"):
        GridEncoder(net, "conv_3", FITTED, levels=5)
    with pytest.raises(ConfigError, match=r"whitened_size must be 1\.\.16, the channels of conv_3"):
        GridEncoder(net, "conv_3", FITTED, whitened_size=17)
    for wrong in (
        Preprocessing(height=64, width=64),
        Preprocessing(height=64, width=64, resize="limit", shots=ShotSampling(image_side=64)),
    ):
        with pytest.raises(ConfigError, match="patches lie in whole images: resize must be limit or fit"):
            GridEncoder(net, "conv_3", wrong)
    with pytest.raises(
        ValueError, match="the sides of images must be multiples of 4 pixels, the stride of conv_3, got 33 x 64"
    ):
        GridEncoder(net, "conv_3", FITTED).places(np.zeros((1, 33, 64, 3), np.uint8))
