"""R-MAC for instance search: squares and boxes against loops, for every size that pictures come in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from flax import nnx
from instance_making import FITTED, region_encoder, scene
from jitted import apply

from jaxret.errors import ConfigError
from jaxret.models import PooledBackbone, create_backbone
from jaxret.models.descriptors.rmac import RegionalEncoder
from jaxret.models.store import fingerprint, load_encoder, save_encoder
from jaxret.preprocessing import Preprocessing, ShotSampling

SIZES = [(64, 64), (32, 64), (64, 32), (32, 32)]


def whitened_encoder() -> RegionalEncoder:
    encoder = region_encoder(whitened_size=5)
    rng = np.random.default_rng(0)
    assert encoder.backbone.whitening is not None
    encoder.backbone.whitening.assign(rng.normal(size=16) / 9, rng.normal(size=(16, 5)))
    return encoder


def unit(vector: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vector)
    return vector / length if length else vector


def whitened(encoder: RegionalEncoder, largest: np.ndarray) -> np.ndarray:
    layer = encoder.backbone.whitening
    if layer is None:
        return unit(largest)
    return unit((unit(largest) - np.asarray(layer.mean[...])) @ np.asarray(layer.components[...]))


def loop_squares(height: int, width: int, levels: int) -> list[tuple[int, int, int, int]]:
    """Left, top, right, bottom in cells, from the paper's words: levels l = 1.. of squares of side 2 min / (l + 1)."""
    short, long = min(height, width), max(height, width)
    more = 0
    if short != long:
        overlaps = {n: 1 - (long - short) / (short * (n - 1)) for n in range(2, 2 * long + 2)}
        more = min(overlaps, key=lambda n: (round(abs(overlaps[n] - 0.4), 9), n)) - 1
    squares = []
    for level in range(1, levels + 1):
        side = 2 * short // (level + 1)
        if not side:
            break
        down = level + (more if height == long and short != long else 0)
        across = level + (more if width == long and short != long else 0)
        for y in range(down):
            for x in range(across):
                top = 0 if down == 1 else y * (height - side) // (down - 1)
                left = 0 if across == 1 else x * (width - side) // (across - 1)
                squares.append((left, top, left + side, top + side))
    return squares


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("make", [region_encoder, whitened_encoder])
def test_squares_are_max_pooled(make, size: tuple[int, int]) -> None:
    encoder = make()
    picture = scene(0, size, {"flag": (4, 4, 28, 28)})[None]
    maps = np.asarray(apply(encoder.backbone, picture).stages["conv_3"], np.float64)[0]
    found = encoder.regions(picture)
    squares = loop_squares(*maps.shape[:2], encoder.levels)
    valid = np.asarray(found.valid)[0]
    assert valid.sum() == len(squares) <= encoder.region_count == len(valid)
    assert valid[: len(squares)].all()
    np.testing.assert_array_equal(np.asarray(found.boxes)[0][: len(squares)], 4 * np.array(squares))
    total = np.zeros(encoder.vector_size)
    for (left, top, right, bottom), vector in zip(squares, np.asarray(found.vectors)[0], strict=False):
        largest = maps[top:bottom, left:right].reshape(-1, maps.shape[-1]).max(axis=0)
        np.testing.assert_allclose(vector, whitened(encoder, largest), atol=2e-5)
    for left, top, right, bottom in loop_squares(*maps.shape[:2], 3):  # the vector of the picture: R-MAC's own levels
        total += whitened(encoder, maps[top:bottom, left:right].reshape(-1, maps.shape[-1]).max(axis=0))
    np.testing.assert_allclose(np.asarray(found.image_vector)[0], unit(total), atol=2e-5)
    assert not np.asarray(found.boxes)[0][len(squares) :].any()


def test_room_for_the_squares_of_every_size() -> None:
    """Pictures that fit into a rectangle have maps of up to its size, and more squares the longer they are."""
    for levels in (1, 3, 5):
        encoder = region_encoder(levels=levels)
        most = max(len(loop_squares(r, c, levels)) for r in range(1, 17) for c in range(1, 17))
        assert encoder.region_count == most


@pytest.mark.parametrize("size", SIZES)
def test_boxes_are_max_pooled(size: tuple[int, int]) -> None:
    encoder = whitened_encoder()
    height, width = size
    picture = scene(1, size, {"sea": (4, 4, 28, 28)})[None]
    maps = np.asarray(apply(encoder.backbone, picture).stages["conv_3"], np.float64)[0]
    rng = np.random.default_rng(0)
    corners = np.sort(rng.uniform(0, 1, (12, 2, 2)), axis=1).reshape(12, 4) * np.tile([width, height], 2)
    boxes = [*corners.tolist(), [0, 0, width, height], [5, 5, 5.5, 5.5], [3.9, 0, 4.1, 32], [2, 2, 6, 6]]
    found = np.asarray(encoder.region_vectors(picture, np.array([boxes], np.float32)))[0]
    for (left, top, right, bottom), vector in zip(boxes, found, strict=True):
        inside = [
            maps[y, x]
            for y in range(height // 4)
            for x in range(width // 4)
            if _held(4 * x + 2, left, right, width // 4) and _held(4 * y + 2, top, bottom, height // 4)
        ]
        np.testing.assert_allclose(vector, whitened(encoder, np.max(inside, axis=0)), atol=2e-5)


def _held(centre: int, low: float, high: float, cells: int) -> bool:
    """Whether this cell counts along one axis: its centre is inside, or none is and it is the nearest."""
    inside = [c for c in range(2, 4 * cells, 4) if low <= c < high]
    nearest = min(range(2, 4 * cells, 4), key=lambda c: (abs(c - (low + high) / 2), c))
    return centre in inside if inside else centre == nearest


def test_stored_and_loaded(tmp_path: Path) -> None:
    encoder = whitened_encoder()
    save_encoder(encoder, tmp_path / "encoder")
    again = load_encoder(tmp_path / "encoder")
    assert isinstance(again, RegionalEncoder)
    assert (again.config, again.summary, fingerprint(again)) == (encoder.config, encoder.summary, fingerprint(encoder))
    picture = scene(0, (64, 64), {})[None]
    np.testing.assert_array_equal(again.regions(picture).vectors, encoder.regions(picture).vectors)


def test_settings_that_do_not_fit() -> None:
    net = create_backbone("small-convnet", widths=[8, 8, 16], rngs=nnx.Rngs(0))
    with pytest.raises(ConfigError, match="squares are R-MAC's: the pooling must be rmac, got 'spoc'"):
        RegionalEncoder(PooledBackbone(net, "conv_3", pooling="spoc"), FITTED)
    with pytest.raises(ConfigError, match=r"levels must be .*at least 1, got 0"):
        region_encoder(levels=0)
    shots = Preprocessing(height=64, width=64, resize="limit", shots=ShotSampling(image_side=64))
    for preprocessing in (Preprocessing(height=64, width=64), shots):
        with pytest.raises(ConfigError, match="regions lie in whole images: resize must be limit or fit, and without"):
            RegionalEncoder(PooledBackbone(net, "conv_3"), preprocessing)
