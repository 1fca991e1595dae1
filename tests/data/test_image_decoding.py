"""Images of every mode, and broken ones."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxret.data.decode import image as image_decoding
from jaxret.data.decode.image import BACKGROUND, ImageReader, check_image, read_image
from jaxret.data.decode.still import open_still
from jaxret.data.sampling.transforms import FrameGeometry, centre_geometry, resize_frame
from jaxret.errors import MediaError
from jaxret.preprocessing import Preprocessing


@pytest.fixture
def colours() -> np.ndarray:
    """Four flat quarters, so that lossy formats and orientations can be checked. (20, 30, 3)"""
    pixels = np.zeros((20, 30, 3), np.uint8)
    pixels[:10, :15] = (200, 30, 40)
    pixels[:10, 15:] = (20, 180, 60)
    pixels[10:, :15] = (40, 50, 220)
    pixels[10:, 15:] = (240, 230, 20)
    return pixels


def save(path: Path, image: Image.Image, **options) -> Path:
    image.save(path, **options)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.ppm"])
def test_rgb_is_exact(tmp_path, colours, name):
    np.testing.assert_array_equal(read_image(save(tmp_path / name, Image.fromarray(colours))), colours)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path, colours, orientation):
    stored = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a, 1),  # to be turned clockwise for display, so stored counter-clockwise
        7: lambda a: np.rot90(a.swapaxes(0, 1), 2),
        8: lambda a: np.rot90(a, -1),
    }[orientation](colours)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "a.png", Image.fromarray(np.ascontiguousarray(stored)), exif=exif)
    with ImageReader(path) as reader:
        assert (reader.info.height, reader.info.width) == (20, 30)
        np.testing.assert_array_equal(reader.read()[0], colours)
    np.testing.assert_array_equal(open_still(str(path), None), colours)


def test_grey_palette_and_two_level(tmp_path, colours):
    grey = Image.fromarray(colours).convert("L")
    pixels = read_image(save(tmp_path / "l.png", grey))
    np.testing.assert_array_equal(pixels, np.asarray(grey)[..., None].repeat(3, -1))
    palette = Image.fromarray(colours).quantize(4)
    np.testing.assert_array_equal(read_image(save(tmp_path / "p.png", palette)), np.asarray(palette.convert("RGB")))
    bits = read_image(save(tmp_path / "1.png", grey.convert("1", dither=0)))
    assert set(np.unique(bits)) == {0, 255}


def test_transparency_is_laid_over_the_documented_background(tmp_path, colours):
    alpha = np.zeros((20, 30, 1), np.uint8)
    alpha[:, :15] = 255
    alpha[0, 0] = 128
    rgba = Image.fromarray(np.concatenate([colours, alpha], -1))
    pixels = read_image(save(tmp_path / "a.png", rgba))
    np.testing.assert_array_equal(pixels[:, 15:], np.broadcast_to(BACKGROUND, (20, 15, 3)))
    np.testing.assert_array_equal(pixels[1:, :15], colours[1:, :15])
    np.testing.assert_allclose(pixels[0, 0], (200 / 2 + 127.5, 30 / 2 + 127.5, 40 / 2 + 127.5), atol=1.5)
    grey = read_image(save(tmp_path / "la.png", rgba.convert("LA")))
    assert grey[5, 20].tolist() == list(BACKGROUND)
    palette = Image.fromarray(colours).quantize(4)
    index = palette.getpixel((29, 0))
    seen = read_image(save(tmp_path / "p.png", palette, transparency=index))
    assert seen[0, 29].tolist() == list(BACKGROUND)
    assert seen[19, 29].tolist() != list(BACKGROUND)


def test_cmyk(tmp_path, colours):
    path = save(tmp_path / "a.jpg", Image.fromarray(colours).convert("CMYK"), quality=95, subsampling=0)
    assert (
        np.abs(
            read_image(path)[[4, 4, 15, 15], [5, 25, 5, 25]].astype(int) - colours[[4, 4, 15, 15], [5, 25, 5, 25]]
        ).max()
        < 12
    )


def test_sixteen_bit_keeps_the_upper_half(tmp_path):
    values = np.linspace(0, 65535, 600).astype(np.uint16).reshape(20, 30)
    for name in ("a.png", "a.tif"):
        pixels = read_image(save(tmp_path / name, Image.fromarray(values)))
        np.testing.assert_array_equal(pixels[..., 0], values >> 8)
        np.testing.assert_array_equal(pixels[..., 2], values >> 8)
    wide = save(tmp_path / "i.tif", Image.fromarray(values.astype(np.int32)))
    np.testing.assert_array_equal(read_image(wide)[..., 1], values >> 8)


def test_floating_point_is_refused(tmp_path):
    path = save(tmp_path / "f.tif", Image.fromarray(np.ones((4, 4), np.float32)))
    with pytest.raises(MediaError, match="floating-point"):
        read_image(path)


def test_first_frame_of_an_animation(tmp_path, colours):
    first = Image.fromarray(colours)
    path = tmp_path / "a.webp"
    first.save(path, save_all=True, append_images=[Image.new("RGB", first.size)], lossless=True)
    np.testing.assert_array_equal(read_image(path), colours)


def test_geometry_and_grey(tmp_path, colours):
    path = save(tmp_path / "a.png", Image.fromarray(colours))
    with ImageReader(path) as reader:
        scaled = np.asarray(Image.fromarray(colours).resize((15, 10), Image.Resampling.BILINEAR))
        geometry = centre_geometry(20, 30, Preprocessing(height=10, width=10))
        np.testing.assert_array_equal(reader.read([0], geometry)[0], scaled[:, 2:12])
        assert reader.read([0], geometry, channels=1).shape == (1, 10, 10, 1)
        assert reader.read([0, 0, 0]).shape == (3, 20, 30, 3)
        assert reader.times.tolist() == [0.0]
        with pytest.raises(IndexError):
            reader.read([1])


def test_large_jpeg_reduced_while_decoding_is_close(tmp_path):
    rng = np.random.default_rng(0)
    smooth = Image.fromarray(rng.integers(0, 255, (6, 8, 3), np.uint8)).resize((1600, 1200), Image.Resampling.BICUBIC)
    path = save(tmp_path / "a.jpg", smooth, quality=95)
    geometry = FrameGeometry(60, 80, 0, 0, 60, 80)
    with ImageReader(path) as reader:
        reduced = reader.read([0], geometry)[0]
        assert reader._image.size[0] < 1600  # it did decode smaller
        assert reader.info.width == 1600
    exact = np.asarray(smooth.resize((80, 60), Image.Resampling.BILINEAR))
    assert np.abs(reduced.astype(int) - exact).mean() < 2


class TestBroken:
    def test_truncated(self, tmp_path):
        noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
        for name in ("a.png", "a.jpg", "a.webp", "a.tif"):
            data = save(tmp_path / name, noise).read_bytes()
            path = tmp_path / f"cut-{name}"
            path.write_bytes(data[: len(data) // 2])
            for function in (read_image, check_image):
                with pytest.raises(MediaError) as caught:
                    function(path)
                assert "\n" not in str(caught.value)
                assert str(path) in str(caught.value)

    @pytest.mark.parametrize(
        "content", [b"", b"garbage", b"\x89PNG\r\n\x1a\n" + bytes(50), b"\xff\xd8\xff" + bytes(50)]
    )
    def test_garbage(self, tmp_path, content):
        path = tmp_path / "a.png"
        path.write_bytes(content)
        with pytest.raises(MediaError):
            read_image(path)

    def test_missing(self, tmp_path):
        with pytest.raises(MediaError, match="no such file"):
            read_image(tmp_path / "nowhere.png")

    def test_decompression_bomb(self, tmp_path, monkeypatch):
        path = tmp_path / "bomb.png"
        buffer = io.BytesIO()
        Image.new("1", (20000, 20000)).save(buffer, "png")
        path.write_bytes(buffer.getvalue())
        assert path.stat().st_size < 100_000
        with pytest.raises(MediaError, match="89478485 pixels"):
            read_image(path)
        monkeypatch.setattr(image_decoding, "MAX_PIXELS", 100)
        small = save(tmp_path / "small.png", Image.new("RGB", (11, 10)))
        with pytest.raises(MediaError, match="11x10 is above 100 pixels"):
            read_image(small)


def test_check_reads_headers_and_data(tmp_path, colours):
    assert check_image(save(tmp_path / "a.jpg", Image.fromarray(colours))).width == 30


@pytest.mark.parametrize("resampling", ["fast", "bicubic"])
@pytest.mark.parametrize(("channels", "mirror"), [(3, False), (1, True)])
def test_a_reader_scales_as_frames_are_scaled(tmp_path, resampling, channels, mirror):
    # Reducing before the pixels become an array gives the same bits as after; so for a turned image.
    pixels = np.random.default_rng(3).integers(0, 256, (90, 120, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(tmp_path / "a.png", Image.fromarray(pixels), exif=exif)
    geometry = FrameGeometry(61, 47, -3, 5, 64, 32, mirror, resampling)
    with ImageReader(path) as reader:
        (frame,) = reader.frames([0], geometry, channels)
    expected = resize_frame(np.rot90(pixels, -1), geometry, channels)
    np.testing.assert_array_equal(frame, expected)
    assert frame.flags.writeable
