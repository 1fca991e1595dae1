"""Each distortion does what it says, and a photograph is the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from jaxret.data.sampling.screen_photos import (
    blur,
    compress_jpeg,
    expose,
    moire,
    photograph,
    screen_border,
    warp_perspective,
)

GREY = np.full((48, 64, 3), 128, np.uint8)


def scene(height: int = 60, width: int = 80) -> np.ndarray:
    """Smooth, with a bright square, and colours that differ."""
    down, across = np.mgrid[:height, :width]
    image = np.stack([across * 2, down * 3, 200 - across], axis=-1).clip(0, 255).astype(np.uint8)
    image[10:20, 30:45] = 255
    return image


ALL = {
    "border": lambda p: screen_border(p, 0.1),
    "warp": lambda p: warp_perspective(p, [[5, 3], [70, 8], [75, 55], [2, 50]]),
    "blur": lambda p: blur(p, 1.5),
    "exposure": lambda p: expose(p, 0.5, (1.1, 1.0, 0.8)),
    "moire": lambda p: moire(p, 6.0, 0.4, 0.2),
    "jpeg": lambda p: compress_jpeg(p, 60),
    "photograph": lambda p: photograph(p, np.random.default_rng(0)),
}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("shape", [(60, 80), (33, 17), (1, 1)])
def test_size_and_type_stay_and_the_input_too(name, shape):
    image = scene(*shape) if min(shape) > 20 else np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    before = image.copy()
    if name == "warp":
        corners = [[0.1, 0.1], [shape[1], 0.2], [0.9 * shape[1], shape[0]], [0.05, 0.8 * shape[0]]]
        made = warp_perspective(image, corners)
    else:
        made = ALL[name](image)
    assert (made.shape, made.dtype) == (image.shape, np.uint8)
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(made, made.copy())
    made[...] = 0  # its own memory
    np.testing.assert_array_equal(image, before)
    if min(shape) > 20:
        assert not np.array_equal(ALL[name](image), image)


def test_no_distortion_changes_nothing():
    image = scene()
    whole = [[0, 0], [80, 0], [80, 60], [0, 60]]
    for made in (
        screen_border(image, 0.0),
        warp_perspective(image, whole),
        blur(image, 0.0),
        expose(image, 0.0),
        moire(image, 5.0, 0.3, 0.0),
    ):
        np.testing.assert_array_equal(made, image)
    np.testing.assert_array_equal(photograph(image, np.random.default_rng(0), strength=0), compress_jpeg(image, 95))


def test_the_same_seed_gives_the_same_photograph_and_others_differ():
    made = [photograph(scene(), np.random.default_rng(seed)) for seed in (0, 0, 1, 2)]
    np.testing.assert_array_equal(made[0], made[1])
    assert not np.array_equal(made[1], made[2])
    assert not np.array_equal(made[2], made[3])


def test_strength_is_how_far_photographs_are_off():
    def off(strength: float) -> float:
        made = [photograph(scene(), np.random.default_rng(seed), strength=strength) for seed in range(6)]
        return float(np.mean([np.abs(one.astype(int) - scene()).mean() for one in made]))

    assert off(0) < 3 < off(0.3) < off(1)


def test_a_warp_takes_each_point_where_the_projection_takes_it():
    corners = np.array([[10, 6], [70, 2], [76, 57], [4, 50]], np.float64)
    image = np.zeros((60, 80, 3), np.uint8)
    centres = [(20, 15), (60, 20), (40, 45)]
    for x, y in centres:
        image[y - 2 : y + 2, x - 2 : x + 2] = 255  # around the corner of four pixels, the point (x, y)
    warped = warp_perspective(image, corners)[..., 0].astype(float)
    # The projection by another way: from the unit square to the quadrilateral (Heckbert 1989, in closed form).
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = corners
    sx, sy = x0 - x1 + x2 - x3, y0 - y1 + y2 - y3
    determinant = (x1 - x2) * (y3 - y2) - (x3 - x2) * (y1 - y2)
    g = (sx * (y3 - y2) - (x3 - x2) * sy) / determinant
    h = ((x1 - x2) * sy - sx * (y1 - y2)) / determinant
    for x, y in centres:
        u, v = x / 80, y / 60
        w = g * u + h * v + 1
        to_x = ((x1 - x0 + g * x1) * u + (x3 - x0 + h * x3) * v + x0) / w
        to_y = ((y1 - y0 + g * y1) * u + (y3 - y0 + h * y3) * v + y0) / w
        near = np.zeros_like(warped)
        near[int(to_y) - 4 : int(to_y) + 5, int(to_x) - 4 : int(to_x) + 5] = 1
        light = warped * near
        down, across = np.mgrid[:60, :80] + 0.5
        assert (light * across).sum() / light.sum() == pytest.approx(to_x, abs=0.2)
        assert (light * down).sum() / light.sum() == pytest.approx(to_y, abs=0.2)


def test_outside_the_warped_image_is_the_given_level():
    made = warp_perspective(GREY, [[20, 10], [50, 10], [50, 40], [20, 40]], level=33)
    assert np.all(made[:9] == 33)
    assert np.all(made[12:38, 22:48] == 128)


def test_a_border_frames_the_whole_image():
    made = screen_border(scene(), 0.1, level=9)
    assert np.all(made[:6] == 9)
    assert np.all(made[:, -6:] == 9)
    inside = made[6:-6, 6:-6].astype(float)
    np.testing.assert_allclose(inside.mean(axis=(0, 1)), scene().mean(axis=(0, 1)), atol=3)


def test_blur_keeps_light_and_loses_detail():
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    spreads = [blur(noise, deviation).std() for deviation in (0.5, 1, 2, 4)]
    assert spreads == sorted(spreads, reverse=True)
    assert abs(blur(noise, 2.0).mean() - noise.mean()) < 2
    np.testing.assert_array_equal(blur(GREY, 3.0), GREY)


def test_exposure_scales_light_channel_by_channel_and_clips():
    made = expose(scene(), -1.0, (1.0, 2.0, 0.5)).astype(float)
    light = (scene() / 255.0) ** 2.2 * np.array([0.5, 1.0, 0.25])
    np.testing.assert_allclose(made, 255 * light ** (1 / 2.2), atol=0.51)
    assert np.all(expose(GREY, 8.0) == 255)


def test_moire_is_a_wave_of_the_period_and_direction_given():
    angle, period = np.arctan2(6, 8), 6.4  # 64 pixels: 8 periods across, 6 down
    made = moire(np.full((64, 64, 3), 100, np.uint8), period, angle, 0.1)
    light = (made / 255.0) ** 2.2
    spectra = np.fft.fft2(light, axes=(0, 1))
    for channel in range(3):
        spectrum = np.abs(spectra[..., channel])
        spectrum[0, 0] = 0
        assert np.unravel_index(spectrum.argmax(), spectrum.shape) in {(6, 8), (58, 56)}
    phases = np.angle(spectra[6, 8])
    np.testing.assert_allclose((phases - phases[0]) % (2 * np.pi), [0, 2 * np.pi / 3, 4 * np.pi / 3], atol=0.05)
    np.testing.assert_allclose(light.mean(), (100 / 255) ** 2.2, rtol=0.01)


def test_lower_quality_is_farther_from_the_image():
    errors = [np.abs(compress_jpeg(scene(), quality).astype(int) - scene()).mean() for quality in (95, 60, 20, 5)]
    assert errors == sorted(errors)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: photograph(GREY, np.random.default_rng(0), strength=1.5), r"strength must lie in 0\.\.1, got 1\.5"),
        (lambda: blur(GREY.astype(float), 1), r"image must be uint8 \(H, W, 3\), got float64 \(48, 64, 3\)"),
        (lambda: blur(GREY, -1), "deviation .* got -1"),
        (lambda: screen_border(GREY, 0.5), r"share must be at least 0 and below 0\.5, got 0\.5"),
        (lambda: screen_border(GREY, 0.1, level=300), r"level must lie in 0\.\.255, got 300"),
        (lambda: warp_perspective(GREY, [[0, 0], [1, 1]]), r"four finite points \(4, 2\)"),
        (lambda: warp_perspective(GREY, [[0, 0], [0, 9], [9, 9], [9, 0]]), "convex shape clockwise"),
        (lambda: warp_perspective(GREY, [[0, 0], [9, 0], [2, 2], [0, 9]]), "convex shape clockwise"),
        (lambda: expose(GREY, 0.0, (1, 1)), "gains must be three"),
        (lambda: expose(GREY, float("nan")), "stops must be finite"),
        (lambda: moire(GREY, 0.0, 0, 0.1), "period must be"),
        (lambda: moire(GREY, 3.0, 0, 1.1), r"strength must lie in 0\.\.1"),
        (lambda: compress_jpeg(GREY, 100), r"quality must lie in 1\.\.95, got 100"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
