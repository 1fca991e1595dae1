"""Resize arithmetic and its application."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from jaxret.data.sampling.transforms import (
    Augmentation,
    FrameGeometry,
    centre_geometry,
    cut_window,
    random_geometry,
    resize_frame,
    to_grey,
)
from jaxret.errors import ConfigError
from jaxret.preprocessing import Preprocessing

sides = st.integers(1, 700)


@given(sides, sides, st.integers(1, 300), st.integers(1, 300))
def test_crop_covers_exactly(height, width, target_height, target_width):
    plan = centre_geometry(height, width, Preprocessing(height=target_height, width=target_width, resize="crop"))
    assert plan.scaled_height >= target_height
    assert plan.scaled_width >= target_width
    assert plan.scaled_height == target_height or plan.scaled_width == target_width
    assert 0 <= plan.top <= plan.scaled_height - target_height
    assert abs(2 * plan.top - (plan.scaled_height - target_height)) <= 1
    assert abs(2 * plan.left - (plan.scaled_width - target_width)) <= 1


@given(sides, sides, st.integers(1, 300), st.integers(1, 300))
def test_pad_fits_exactly(height, width, target_height, target_width):
    plan = centre_geometry(height, width, Preprocessing(height=target_height, width=target_width, resize="pad"))
    assert 1 <= plan.scaled_height <= target_height
    assert 1 <= plan.scaled_width <= target_width
    assert plan.scaled_height == target_height or plan.scaled_width == target_width


@given(sides, sides, st.integers(1, 300), st.integers(1, 300), st.sampled_from(["crop", "pad"]), st.integers(0, 999))
def test_scaled_sizes_are_those_of_exact_fractions(height, width, target_height, target_width, resize, seed):
    settings = Preprocessing(height=target_height, width=target_width, resize=resize)
    augmentation = Augmentation(zoom=1.0 + seed % 3)
    plan = random_geometry(height, width, settings, np.random.default_rng(seed), augmentation)
    drawn = np.random.default_rng(seed).uniform(0.0, math.log(augmentation.zoom)) if seed % 3 else 0.0
    ratios = Fraction(target_height, height), Fraction(target_width, width)
    ratio = (max if resize == "crop" else min)(ratios) * Fraction(math.exp(drawn))
    expected = [max(1, math.floor(side * ratio + Fraction(1, 2))) for side in (height, width)]
    if resize == "crop":
        expected = np.maximum(expected, (target_height, target_width)).tolist()
    assert [plan.scaled_height, plan.scaled_width] == expected


@given(sides, sides, st.integers(1, 12), st.integers(1, 12), st.sampled_from(["limit", "fit"]))
def test_limit_and_fit_lie_inside_keep_the_shape_and_give_whole_steps(height, width, down, across, resize):
    settings = Preprocessing(height=32 * down, width=32 * across, resize=resize)
    plan = centre_geometry(height, width, settings)
    assert plan == FrameGeometry(plan.height, plan.width, 0, 0, plan.height, plan.width)
    assert plan.height % 32 == plan.width % 32 == 0
    assert 32 <= plan.height <= 32 * down
    assert 32 <= plan.width <= 32 * across
    ratio = min(32 * down / height, 32 * across / width, 1 if resize == "limit" else math.inf)
    for side, source in ((plan.height, height), (plan.width, width)):
        assert abs(side - ratio * source) <= 16 + 1e-6 or side == 32
    random = random_geometry(height, width, settings, np.random.default_rng(0), Augmentation(zoom=1.5))
    assert (random.height, random.width) == (plan.height, plan.width)
    assert 0 <= random.top <= random.scaled_height - random.height


def test_limit_needs_sizes_of_whole_steps():
    with pytest.raises(ConfigError, match=r"with resize='limit' .* multiples of 32, got 1000 x 1024"):
        Preprocessing(height=1000, width=1024, resize="limit")
    with pytest.raises(
        ConfigError, match="resize must be one of crop, squash, pad, limit, fit, patches, got 'stretch'"
    ):
        Preprocessing(resize="stretch")


def test_squash_ignores_the_aspect_ratio():
    plan = centre_geometry(10, 1000, Preprocessing(height=32, width=48, resize="squash"))
    assert plan == FrameGeometry(32, 48, 0, 0, 32, 48)


@given(sides, sides, st.sampled_from(["crop", "pad", "squash"]), st.integers(0, 2**20))
def test_random_window_lies_inside(height, width, resize, seed):
    settings = Preprocessing(height=40, width=50, resize=resize)
    plan = random_geometry(height, width, settings, np.random.default_rng(seed), Augmentation(zoom=1.5))
    for corner, scaled, window in ((plan.top, plan.scaled_height, 40), (plan.left, plan.scaled_width, 50)):
        assert min(0, scaled - window) <= corner <= max(0, scaled - window)


def test_random_choices_vary_and_stop_when_switched_off():
    settings = Preprocessing(height=40, width=40)
    rng = np.random.default_rng(0)
    plans = {random_geometry(60, 80, settings, rng) for _ in range(50)}
    assert len(plans) > 40
    assert {plan.mirror for plan in plans} == {True, False}
    assert len({plan.scaled_height for plan in plans}) > 5
    plain = {random_geometry(40, 40, settings, rng, Augmentation(zoom=1, mirror=0)) for _ in range(20)}
    assert plain == {centre_geometry(40, 40, settings)}


def test_window_against_a_loop():
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 255, (2, 9, 11, 3), np.uint8)
    for plan in (
        FrameGeometry(9, 11, 2, 3, 4, 5),
        FrameGeometry(9, 11, -2, 3, 14, 5, mirror=True),
        FrameGeometry(9, 11, -1, -4, 12, 20),
        FrameGeometry(9, 11, 5, 6, 9, 9),
    ):
        expected = np.zeros((2, plan.height, plan.width, 3), np.uint8)
        for row in range(plan.height):
            for column in range(plan.width):
                y, x = row + plan.top, column + plan.left
                if 0 <= y < 9 and 0 <= x < 11:
                    place = plan.width - 1 - column if plan.mirror else column
                    expected[:, row, place] = frame[:, y, x]
        np.testing.assert_array_equal(cut_window(frame, plan), expected)


def test_grey_is_bt601_rounded():
    pixels = np.random.default_rng(0).integers(0, 256, (50, 50, 3), np.uint8)
    luma = pixels @ np.array([0.299, 0.587, 0.114])
    assert np.abs(to_grey(pixels)[..., 0] - luma).max() <= 0.51
    assert to_grey(np.full((1, 3), 255, np.uint8))[0, 0] == 255


def test_resize_frame():
    frame = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    plan = FrameGeometry(10, 15, 0, 2, 10, 10, mirror=True)
    expected = np.asarray(Image.fromarray(frame).resize((15, 10), Image.Resampling.BILINEAR))[:, 2:12][:, ::-1]
    np.testing.assert_array_equal(resize_frame(frame, plan), expected)
    np.testing.assert_array_equal(resize_frame(frame, plan, 1), to_grey(expected))
    np.testing.assert_array_equal(resize_frame(frame, None), frame)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"zoom": 0.5}, "zoom must be at least 1"), ({"mirror": 2}, r"mirror must lie in 0\.\.1")],
)
def test_bad_augmentation_is_named(settings, message):
    with pytest.raises(ValueError, match=message):
        Augmentation(**settings)
