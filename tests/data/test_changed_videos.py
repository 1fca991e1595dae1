"""Changed videos against NumPy, SciPy and a file that was encoded and decoded."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from jaxret.data.datasets.moving_digits import MovingDigits
from jaxret.data.decode.video import VideoReader
from jaxret.data.decode.write import encoded_again, write_video
from jaxret.data.ground_truth.changed import ChangedVideos
from jaxret.data.sampling.changed_frames import ChangedReader, FrameChange, random_change
from jaxret.data.sampling.changes import CHANGES
from jaxret.data.sampling.reading import read_training_clip
from jaxret.data.sampling.transforms import Augmentation, FrameGeometry, resize_frame
from jaxret.preprocessing import Preprocessing


@pytest.fixture(scope="module")
def digits() -> MovingDigits:
    return MovingDigits(1, 0, 0, size=64)


def pixels_of(dataset, index: int, frames=None) -> np.ndarray:
    with dataset.open(index) as reader:
        return reader.read(frames).astype(np.float64)


@pytest.mark.parametrize("strength", [0.25, 1.0])
def test_colours_are_factors_of_brightness_contrast_and_saturation(digits, strength: float) -> None:
    for index in range(6):
        original, changed = (
            pixels_of(digits, index)[0],
            pixels_of(ChangedVideos(digits, ("colour",), strength), index)[0],
        )
        candidates = []
        for signs in np.ndindex(2, 2, 2):
            brightness, contrast, saturation = 2.0 ** (strength * (2 * np.array(signs) - 1))
            made = np.clip(original * brightness, 0, 255)
            made = np.clip(grey(made).mean() * (1 - contrast) + made * contrast, 0, 255)
            made = np.clip(grey(made)[..., None] * (1 - saturation) + made * saturation, 0, 255)
            candidates.append(np.abs(made - changed).mean())
        assert min(candidates) < 2
        assert sorted(candidates)[1] > 2 * min(candidates)


def grey(pixels: np.ndarray) -> np.ndarray:
    return pixels @ [0.299, 0.587, 0.114]


def test_a_window_is_a_part_of_the_frame_and_the_same_in_all_frames(digits) -> None:
    places = set()
    for index in range(8):
        original, changed = pixels_of(digits, index), pixels_of(ChangedVideos(digits, ("crop",), 0.5), index)
        assert changed.shape == (12, 48, 48, 3)
        found = [
            (top, left)
            for top in range(17)
            for left in range(17)
            if np.array_equal(original[:, top : top + 48, left : left + 48], changed)
        ]
        assert len(found) == 1
        places |= set(found)
    assert len(places) > 4


def test_scale_is_that_of_the_frame_resized(digits) -> None:
    changed = ChangedVideos(digits, ("scale",), 2 / 3)
    assert (changed.info(0).width, changed.info(0).height) == (16, 16)
    geometry = FrameGeometry(16, 16, 0, 0, 16, 16)
    expected = [resize_frame(frame.astype(np.uint8), geometry) for frame in pixels_of(digits, 0)]
    np.testing.assert_array_equal(pixels_of(changed, 0), expected)
    assert ChangedVideos(digits, ("scale",), 1.0).info(0).width == 16, "no side is left shorter"


def test_blur_is_gaussian(digits) -> None:
    changed = pixels_of(ChangedVideos(digits, ("blur",), 1.0), 3)[5]
    original = pixels_of(digits, 3)[5]
    blurred = gaussian_filter(original, (64 / 25, 64 / 25, 0), mode="nearest")
    assert np.abs(changed - blurred).mean() < 1.5 < np.abs(changed - original).mean()


def test_encoded_again_is_what_a_file_of_that_quality_shows(digits, tmp_path) -> None:
    frames = digits.render([2])[0]
    for quantiser in (2, 12, 31):
        fixed = {"qmin": str(quantiser), "qmax": str(quantiser)}
        write_video(tmp_path / "a.mp4", frames, 25, codec="mpeg4", options=fixed)
        with VideoReader(tmp_path / "a.mp4") as reader:
            shown = reader.read().astype(np.float64)  # whose colours are converted elsewhere
        assert np.abs(encoded_again(frames, quantiser) - shown).mean() < 1.5
    losses = [
        np.abs(pixels_of(ChangedVideos(digits, ("encode",), strength), 2) - frames).mean() for strength in (0, 0.5, 1)
    ]
    assert losses[0] < losses[1] < losses[2]


def test_frames_of_long_videos_are_encoded_in_stretches_and_come_in_order() -> None:
    long = MovingDigits(1, 0, 0, frames=70, size=32)
    changed = ChangedVideos(long, ("encode",), 0.2)
    wanted = [0, 31, 32, 32, 69]
    found, whole = pixels_of(changed, 0, wanted), pixels_of(changed, 0)
    np.testing.assert_array_equal(found, whole[wanted])
    nearest = np.abs(whole[wanted][:, None] - pixels_of(long, 0)[None]).mean(axis=(2, 3, 4)).argmin(axis=1)
    assert np.abs(nearest - wanted).max() <= 1


def test_all_changes_together_are_the_same_each_time_and_differ_by_seed(digits) -> None:
    half = ChangedVideos(digits, CHANGES, 0.5)
    with half.open(1) as reader:
        assert reader.read([3]).shape[1:] == (reader.info.height, reader.info.width, 3)
        assert reader.read([3], FrameGeometry(20, 20, 2, 2, 16, 16), 1).shape == (1, 16, 16, 1)
        assert reader.info.width % 2 == 0
    np.testing.assert_array_equal(pixels_of(half, 1), pixels_of(ChangedVideos(digits, CHANGES, 0.5), 1))
    other = ChangedVideos(digits, CHANGES, 0.5, seed=1)
    assert not np.array_equal(pixels_of(half, 1), pixels_of(other, 1))
    assert half.content_hash(1) == ChangedVideos(digits, CHANGES, 0.5).content_hash(1)
    assert len({each.content_hash(1) for each in (half, other, ChangedVideos(digits, CHANGES, 0.6))}) == 3
    assert half.items is digits.items


@pytest.mark.parametrize(
    ("changes", "strength", "message"),
    [
        (("sepia",), 0.5, "changes must be of colour, scale, .* got 'sepia'"),
        (("blur", "blur"), 0.5, "changes must name each once"),
        ((), 0.5, "changes must name each once, and one at least"),
        (("blur",), 1.1, "strength must lie in 0..1, got 1.1"),
    ],
)
def test_what_cannot_be_changed(digits, changes, strength: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ChangedVideos(digits, changes, strength)


def test_a_quantiser_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"quantiser must lie in 1\.\.31, got 32"):
        encoded_again(np.zeros((1, 16, 16, 3), np.uint8), 32)


def test_frames_to_train_on_are_made_smaller_first_and_encoded_alone(digits) -> None:
    change = random_change(0.5, np.random.default_rng(3))
    assert change.scale is not None
    assert change.quantiser is not None
    wanted = [1, 1, 4, 9]
    with ChangedReader(digits.open(2), change, shortest=48) as reader:
        found = reader.read(wanted)
        assert found.shape[1:] == (reader.info.height, reader.info.width, 3)
    smaller = FrameGeometry(48, 48, 0, 0, 48, 48)
    alone = dataclasses.replace(change, scale=min(1.0, change.scale * 64 / 48))  # of the video's own 64 pixels
    made = [alone.frame(resize_frame(frame, smaller)) for frame in digits.render([2])[0][[1, 4, 9]]]
    np.testing.assert_array_equal(found, encoded_again(np.stack(made), change.quantiser)[[0, 0, 1, 2]])
    with ChangedReader(digits.open(2), FrameChange(), shortest=200) as reader:  # nothing is to be done
        np.testing.assert_array_equal(reader.read(), digits.render([2])[0])


def test_changes_of_training_clips_are_drawn_up_to_a_strength() -> None:
    rng = np.random.default_rng(0)
    drawn = [random_change(0.5, rng) for _ in range(400)]
    lowest = {"scale": 2**-1.5, "side": 0.75}
    scales, sides = np.array([each.scale for each in drawn]), np.array([each.window[2] for each in drawn])
    for found, least in ((scales, lowest["scale"]), (sides, lowest["side"])):
        assert least <= found.min() < least + 0.02
        assert 0.98 < found.max() <= 1
    colours = np.log2([each.colour for each in drawn])
    assert 0.48 < np.abs(colours).max() <= 0.5
    assert set(np.sign(colours).ravel()) == {-1.0, 1.0}
    assert {each.quantiser for each in drawn} == set(range(2, 17))
    strengths = np.stack([-np.log2(scales) / 3, 2 * (1 - sides), np.abs(colours[:, 0])])
    assert np.abs(np.corrcoef(strengths) - np.eye(3)).max() < 0.15, "each change has a strength of its own"


def test_a_training_clip_is_changed_as_a_whole_and_else_read_as_before(digits) -> None:
    settings = Preprocessing(height=32, width=32, frames=4, chunk_seconds=10.0)

    def clip(seed: int, **augment: float) -> np.ndarray:
        rng = np.random.default_rng(seed)
        return read_training_clip(digits, 0, settings, rng, Augmentation(1.0, 0.0, **augment)).astype(float)

    np.testing.assert_array_equal(clip(0, changes=0.0), clip(0))
    brightness = [clip(seed, changes=1.0).mean() / clip(seed).mean() for seed in range(12)]
    assert min(brightness) < 0.8
    assert max(brightness) > 1.25
    np.testing.assert_array_equal(clip(5, changes=1.0), clip(5, changes=1.0))
    with pytest.raises(ValueError, match=r"changes must lie in 0\.\.1, got 1\.5"):
        Augmentation(changes=1.5)
