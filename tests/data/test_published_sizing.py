"""Frames are sized as the programs of published encoders do it: whole images, Pillow's kernels, rounded down."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from jaxret.data.decode.image import ImageReader
from jaxret.data.decode.video import VideoReader
from jaxret.data.decode.write import write_video
from jaxret.data.sampling.transforms import centre_geometry, random_geometry
from jaxret.errors import ConfigError
from jaxret.preprocessing import Preprocessing

SIZES = [(301, 467), (640, 333), (97, 61)]


def photo(height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 11, 3), np.uint8))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("resampling", ["bilinear", "bicubic"])
def test_a_photo_is_scaled_and_cut_as_pillow_does_it(tmp_path, size, resampling):
    path = tmp_path / "photo.jpg"
    Image.fromarray(photo(*size)).save(path, quality=90)
    wanted = Preprocessing(height=48, width=48, shortest=56, resampling=resampling)
    with ImageReader(path) as reader:
        (ours,) = reader.frames([0], centre_geometry(reader.info.height, reader.info.width, wanted))
    height, width = size
    scaled = [56 * side // min(size) for side in (height, width)]
    kernel = Image.Resampling.BICUBIC if resampling == "bicubic" else Image.Resampling.BILINEAR
    with Image.open(path) as image:
        expected = np.asarray(image.convert("RGB").resize(scaled[::-1], kernel))
    top, left = ((side - 48) // 2 for side in scaled)
    np.testing.assert_array_equal(ours, expected[top : top + 48, left : left + 48])


def test_the_fast_way_decodes_large_jpegs_smaller_and_the_others_do_not(tmp_path):
    path = tmp_path / "photo.jpg"
    Image.fromarray(photo(640, 960)).save(path)
    seen = {}
    for resampling in ("fast", "bilinear"):
        with ImageReader(path) as reader:
            size = Preprocessing(height=32, width=32, resampling=resampling)
            (seen[resampling],) = reader.frames([0], centre_geometry(640, 960, size))
    assert not np.array_equal(*seen.values())
    assert np.abs(seen["fast"].astype(int) - seen["bilinear"]).mean() < 3


def test_videos_know_both_kernels(tmp_path):
    path = tmp_path / "film.mp4"
    write_video(path, np.stack([photo(96, 128)] * 3), 10)
    seen = {}
    for resampling in ("fast", "bilinear", "bicubic"):
        with VideoReader(path) as reader:
            wanted = Preprocessing(height=24, width=24, shortest=32, resampling=resampling)
            (seen[resampling],) = reader.frames([0], centre_geometry(96, 128, wanted))
    np.testing.assert_array_equal(seen["fast"], seen["bilinear"])
    assert not np.array_equal(seen["bicubic"], seen["bilinear"])
    assert np.abs(seen["bicubic"].astype(int) - seen["bilinear"]).mean() < 8


def test_the_same_share_of_a_training_clip_is_cut_off():
    wanted = Preprocessing(height=48, width=48, shortest=64, resampling="bicubic")
    plan = random_geometry(100, 200, wanted, np.random.default_rng(0))
    assert plan.scaled_height >= 64
    assert plan.resampling == "bicubic"


def test_what_does_not_go_together_is_refused():
    with pytest.raises(ConfigError, match="shortest=300 is of resize='crop', got 'squash'"):
        Preprocessing(resize="squash", shortest=300)
    with pytest.raises(ConfigError, match="at least the window's 224 pixels, got 200"):
        Preprocessing(shortest=200)
    with pytest.raises(ConfigError, match="resampling must be one of fast, bilinear, bicubic, got 'lanczos'"):
        Preprocessing(resampling="lanczos")


def test_what_was_stored_before_these_settings_reads_and_writes_the_same():
    plain = Preprocessing()
    assert not {"shortest", "resampling"} & set(plain.to_json())
    chosen = Preprocessing(shortest=256, resampling="bicubic")
    assert Preprocessing.from_json(chosen.to_json()) == chosen
