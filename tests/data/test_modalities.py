"""Snippets to images: known answers, slow twins, and what rank pooling is supposed to be."""

from __future__ import annotations

import json
import sys
from fractions import Fraction
from types import SimpleNamespace
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from jaxret.data.sampling.modalities import (
    FLOW_LIMIT,
    SNIPPET_FRAMES,
    _rank_pooling_weights,
    modality_image,
    require_modalities,
    snippet_indices,
)
from jaxret.errors import ConfigError
from jaxret.preprocessing import Modality, Preprocessing


def noise(length: int, height: int = 5, width: int = 6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (length, height, width, 3), np.uint8)


def texture(height: int, width: int, seed: int) -> np.ndarray:
    """Smooth random blobs, grey, uint8 (H, W, 3)."""
    coarse = np.random.default_rng(seed).integers(30, 226, (height // 5, width // 5), np.uint8)
    grey = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    return np.repeat(grey[..., None], 3, axis=-1)


def moving_square(length: int, across: int, down: int) -> np.ndarray:
    """A square of 56 x 56 that moves over another texture of 120 x 120; it begins at (32, 32)."""
    frames = np.repeat(texture(120, 120, seed=1)[None], length, axis=0)
    for number, frame in enumerate(frames):
        row, column = 32 + number * down, 32 + number * across
        frame[row : row + 56, column : column + 56] = texture(56, 56, seed=2)
    return frames


def test_every_modality_has_a_snippet_length() -> None:
    assert set(SNIPPET_FRAMES) == set(get_args(Modality))


# Which frames


@pytest.mark.parametrize("name", SNIPPET_FRAMES)
@pytest.mark.parametrize("count", [1, 2, 3, 4, 9, 10, 11, 25])
def test_snippets_against_a_slow_twin(name: Modality, count: int) -> None:
    length = SNIPPET_FRAMES[name]
    for moment, row in enumerate(snippet_indices(name, range(count), count).tolist()):
        if count < length:
            expected = list(range(count))
            if name != "dynamic-image":
                expected += [count - 1] * (length - count)
        else:
            start = moment
            while start + length > count:
                start -= 1
            expected = list(range(start, start + length))
        assert row == expected
        assert name == "dynamic-image" or len(row) == length


# RGB and differences


def test_rgb_is_the_frame() -> None:
    np.testing.assert_array_equal(modality_image("rgb", noise(1)), noise(1)[0])


def test_differences_against_a_slow_twin() -> None:
    snippet = noise(4)
    image = modality_image("difference", snippet)
    assert image.shape == (5, 6, 3)
    assert image.dtype == np.uint8
    saturated = 0
    for row in range(5):
        for column in range(6):
            luma = [
                int((19595 * int(r) + 38470 * int(g) + 7471 * int(b) + 32768) >> 16)
                for r, g, b in snippet[:, row, column]
            ]
            for channel in range(3):
                expected = min(255, max(0, 128 + luma[channel + 1] - luma[channel]))
                assert image[row, column, channel] == expected
                saturated += expected in (0, 255)
    assert saturated  # the noise reaches both sides of the clipping


def test_a_shift_of_brightness_is_the_same_difference_everywhere() -> None:
    scene = texture(20, 30, seed=0)
    snippet = np.stack([scene, scene + 9, scene + 9, scene + 5])
    image = modality_image("difference", snippet)
    assert np.all(image == [128 + 9, 128, 128 - 4])


# Dynamic images


def harmonic(count: int) -> Fraction:
    return sum((Fraction(1, i) for i in range(1, count + 1)), Fraction(0))


@pytest.mark.parametrize("length", range(1, 11))
def test_rank_pooling_weights_against_the_closed_form(length: int) -> None:
    expected = [
        2 * (length - t + 1) - (length + 1) * (harmonic(length) - harmonic(t - 1)) for t in range(1, length + 1)
    ]
    weights = _rank_pooling_weights(length)
    assert sum(weights) == 0
    if length == 1:
        assert weights == (0,)
    else:
        unit = Fraction(weights[-1]) / expected[-1]
        assert unit > 0
        assert [Fraction(weight) for weight in weights] == [unit * value for value in expected]


@pytest.mark.parametrize("length", [2, 3, 7, 10])
def test_a_dynamic_image_is_the_first_step_towards_ranking_the_running_means(length: int) -> None:
    """Gradient, at 0, of the loss over all pairs q > t that wants <d, V_q> to exceed <d, V_t>."""
    snippet = noise(length, seed=length)
    means = [snippet[: t + 1].astype(np.float64).mean(0) for t in range(length)]
    step = sum(means[q] - means[t] for q in range(length) for t in range(q))
    stretched = (step - step.min()) / (step.max() - step.min()) * 255
    image = modality_image("dynamic-image", snippet)
    np.testing.assert_allclose(image, stretched, atol=0.5 + 1e-6)
    assert (image.min(), image.max()) == (0, 255)


def test_a_dynamic_image_ranks_the_frames_that_it_pools() -> None:
    """What it is for: scores of the running means by the pooled image ascend with time."""
    snippet = moving_square(10, across=3, down=1)
    pooled = modality_image("dynamic-image", snippet).astype(np.float64)
    means = np.cumsum(snippet, axis=0, dtype=np.float64) / np.arange(1, 11)[:, None, None, None]
    # The stretch to 0..255 adds a constant to the pooled frames, whose own sum over pixels need not be 0.
    scores = np.einsum("hwc,thwc->t", pooled - pooled.mean(), means)
    assert np.all(np.diff(scores) > 0)


@pytest.mark.parametrize("length", [1, 2, 3, 9, 10])
def test_a_still_snippet_is_grey(length: int) -> None:
    still = np.repeat(noise(1), length, axis=0)
    assert np.all(modality_image("dynamic-image", still) == 128)


# Flow


def test_flow_of_a_moving_square() -> None:
    pytest.importorskip("cv2")
    image = modality_image("flow", moving_square(2, across=3, down=-2)).astype(np.float64)
    inside, outside = image[44:76, 44:76].reshape(-1, 3), image[:, :12].reshape(-1, 3)
    unit = 127 / FLOW_LIMIT
    np.testing.assert_allclose(inside.mean(0), [128 + 3 * unit, 128 - 2 * unit, 13**0.5 * 255 / FLOW_LIMIT], atol=2)
    np.testing.assert_allclose(outside.mean(0), [128, 128, 0], atol=1)


def test_flow_of_a_mirrored_snippet_is_mirrored() -> None:
    pytest.importorskip("cv2")
    snippet = moving_square(2, across=3, down=2)
    image = modality_image("flow", snippet).astype(int)
    mirrored = modality_image("flow", snippet[:, :, ::-1]).astype(int)[:, ::-1]
    mirrored[..., 0] = 256 - mirrored[..., 0]
    assert np.abs(image - mirrored).mean() < 0.5
    assert image[60, 60, 0] > 140


def test_flow_of_a_still_snippet_is_none_even_in_noise() -> None:
    pytest.importorskip("cv2")
    image = modality_image("flow", np.repeat(noise(1, 64, 64), 2, axis=0))
    assert np.all(image == [128, 128, 0])


@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (12, 5), (8, 200)])
def test_flow_takes_any_size(shape: tuple[int, int]) -> None:
    pytest.importorskip("cv2")
    assert modality_image("flow", noise(2, *shape)).shape == (*shape, 3)


def test_scale_and_clipping_of_flow(monkeypatch: pytest.MonkeyPatch) -> None:
    moved = np.array([[(-30, 0), (-20, 0), (-10, 0), (0, 0), (0, 20), (0, 33), (3, 4), (18, 18)]], np.float32)
    fake = SimpleNamespace(calcOpticalFlowFarneback=lambda before, after, flow, **settings: moved)
    monkeypatch.setitem(sys.modules, "cv2", fake)
    image = modality_image("flow", noise(2, 1, 8))
    assert image[0].tolist() == [
        [1, 128, 255],
        [1, 128, 255],
        [64, 128, 128],  # -63.5 levels, and 127.5, to the even number
        [128, 128, 0],
        [128, 255, 255],
        [128, 255, 255],
        [147, 153, 64],
        [242, 242, 255],
    ]


def test_flow_without_opencv_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ConfigError, match="'flow' needs the extra `opencv`"):
        require_modalities(("rgb", "flow"))
    with pytest.raises(ConfigError, match="extra `opencv`"):
        modality_image("flow", noise(2))
    require_modalities(("rgb", "difference", "dynamic-image"))


@pytest.mark.parametrize(
    ("name", "snippet"),
    [
        ("rgb", noise(2)),
        ("flow", noise(1)),
        ("difference", noise(3)),
        ("difference", noise(4)[..., :1]),
        ("difference", noise(4).astype(np.float32)),
        ("difference", noise(4)[0]),
        ("dynamic-image", noise(11)),
        ("dynamic-image", noise(0)),
    ],
)
def test_snippets_of_another_shape_are_refused(name: Modality, snippet: np.ndarray) -> None:
    with pytest.raises(ValueError, match=rf"a {name} snippet must be uint8 \(.*got {snippet.dtype}"):
        modality_image(name, snippet)


# The setting


def test_modalities_of_preprocessing() -> None:
    settings = Preprocessing(modalities=("flow", "rgb", "dynamic-image"))
    assert (settings.pixel_channels, settings.motion) == (9, ("flow", "dynamic-image"))
    stored = json.loads(json.dumps(settings.to_json()))
    assert stored["modalities"] == ["flow", "rgb", "dynamic-image"]
    assert Preprocessing.from_json(stored) == settings
    assert hash(Preprocessing.from_json(stored)) == hash(settings)
    assert settings != Preprocessing(modalities=("rgb", "flow", "dynamic-image"))
    assert (Preprocessing().pixel_channels, Preprocessing().motion) == (3, ())
    assert Preprocessing(channels=1).pixel_channels == 1
    assert Preprocessing(modalities=("difference",)).pixel_channels == 3
    with pytest.raises(ConfigError, match="missing or unknown settings: modalities"):
        Preprocessing.from_json({name: value for name, value in stored.items() if name != "modalities"})


@pytest.mark.parametrize(
    ("modalities", "channels", "message"),
    [
        ((), 3, r"one or more of rgb, flow, difference, dynamic-image, got \(\)"),
        ("flow", 3, "tuple of one or more of .* got 'flow'"),
        (("rgb", "optical-flow"), 3, "unknown modality 'optical-flow': did you mean 'flow'"),
        (("RGB",), 3, "unknown modality 'RGB'"),
        ((3,), 3, "unknown modality 3"),
        (("flow", "rgb", "flow"), 3, "modality 'flow' is there twice: flow, rgb, flow"),
        (("rgb", "difference"), 1, "'difference' has 3 channels: it does not go with channels=1"),
    ],
)
def test_bad_modalities_are_named(modalities, channels, message) -> None:
    with pytest.raises(ConfigError, match=message):
        Preprocessing(modalities=modalities, channels=channels)
