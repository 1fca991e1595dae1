"""Which files of a folder are images and videos, by name and by content; and that all formats here are read."""

from __future__ import annotations

import io
import os

import av
import numpy as np
import pytest
from PIL import Image

from jaxret.data.datasets.folders import MediaFiles, media_kind, open_media
from jaxret.data.datasets.media_kinds import IMAGE_EXTENSIONS, VIDEO_EXTENSIONS, passed_over_in_words
from jaxret.data.decode.image import ImageReader, read_image
from jaxret.data.decode.still import open_still
from jaxret.data.open import open_dataset
from jaxret.errors import ConfigError, MediaError

# No images of pixels, or not without another program; and names that FFmpeg reads as videos.
NOT_TAKEN = {"BUFR", "EPS", "FITS", "FLI", "GRIB", "HDF5", "IPTC", "MPEG", "PDF", "WMF"}


def saved_by_pillow(kind):
    Image.init()
    if kind not in Image.SAVE:
        pytest.skip(f"this Pillow writes no {kind}")


def test_every_format_that_pillow_opens_is_an_image():
    Image.init()
    known = {name for name, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    known -= {name for name, kind in Image.registered_extensions().items() if kind in NOT_TAKEN}
    assert known - IMAGE_EXTENSIONS - {".gif", ".apng"} == set()
    assert not IMAGE_EXTENSIONS & VIDEO_EXTENSIONS - {".apng"}


@pytest.mark.parametrize(
    ("extension", "written"),
    [
        ("jfif", "JPEG"), ("jpe", "JPEG"), ("JPG", "JPEG"), ("avif", "AVIF"), ("apng", "PNG"), ("jp2", "JPEG2000"),
        ("j2k", "JPEG2000"), ("tga", "TGA"), ("dib", "DIB"), ("ico", "ICO"), ("pcx", "PCX"), ("sgi", "SGI"),
        ("dds", "DDS"), ("qoi", "QOI"), ("webp", "WEBP"),   ("msp", "MSP"),
        ("xbm", "XBM"), ("mpo", "MPO"), ("pfm", "PPM"),
    ],
)  # fmt: skip
def test_images_of_every_name_are_read(extension, written, tmp_path):
    saved_by_pillow(written)
    mode = {"MSP": "1", "XBM": "1"}.get(written, "RGB")
    path = tmp_path / f"a.{extension}"
    image = Image.new("RGB", (32, 32), (200, 30, 40)).convert(mode)
    if extension == "pfm":
        image = image.convert("F")
    image.save(path, written)
    assert media_kind(path) == "image"
    if extension == "pfm":
        with pytest.raises(MediaError, match="floating-point"):
            read_image(path)
        return
    assert read_image(path).shape == (32, 32, 3)
    if mode == "RGB":
        np.testing.assert_allclose(read_image(path)[16, 16], (200, 30, 40), atol=8)


@pytest.mark.parametrize(
    ("name", "codec", "container"),
    [
        ("a.3g2", "mpeg4", "3g2"), ("a.m2t", "libx264", "mpegts"), ("a.vob", "mpeg2video", "vob"),
        ("a.asf", "msmpeg4", "asf"), ("a.MP4", "libx264", "mp4"), ("a.mxf", "mpeg2video", "mxf"),
        ("a.nut", "libx264", "nut"), ("a.ivf", "libvpx", "ivf"), ("a.y4m", "wrapped_avframe", "yuv4mpegpipe"),
        ("a.rm", "rv10", "rm"), ("a.f4v", "libx264", "f4v"), ("a.m2v", "mpeg2video", "mpeg2video"),
        ("a.h264", "libx264", "h264"), ("a.mjpg", "mjpeg", "mjpeg"), ("a.b.mkv", "libx264", "matroska"),
    ],
)  # fmt: skip
def test_videos_of_every_name_and_of_none_are_read(name, codec, container, tmp_path, bar_frames):
    path = tmp_path / name
    with av.open(str(path), "w", format=container) as target:
        stream = target.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for pixels in bar_frames(12):
            target.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        target.mux(stream.encode(None))
    assert media_kind(path) == "video"
    with open_media(path) as reader:
        assert 11 <= reader.info.frame_count <= 12
    bare = tmp_path / "MP4"
    os.rename(path, bare)
    if container not in ("h264", "mjpeg"):  # as pictures in a row they say nothing of their own
        assert media_kind(bare) == "video"
        with open_media(bare) as reader:
            assert reader.info.frame_count >= 11


@pytest.mark.parametrize("written", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "JPEG2000", "GIF", "PPM", "QOI", "DDS"])
@pytest.mark.parametrize("name", ["photo", "IMG_0001.backup7", ".x/photo.1"])
def test_images_whose_name_says_nothing(written, name, tmp_path):
    saved_by_pillow(written)
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", (8, 8), (9, 200, 9)).save(path, written)
    assert media_kind(path) == "image"
    with open_media(path) as reader:
        assert reader.read().shape == (1, 8, 8, 3)


@pytest.mark.parametrize("brand", [b"heic", b"mif1", b"avif"])
def test_stills_in_the_boxes_of_films(brand, tmp_path):
    (tmp_path / "a").write_bytes(b"\0\0\0\x18ftyp" + brand + bytes(12))
    assert media_kind(tmp_path / "a") == "image"
    (tmp_path / "b").write_bytes(b"\0\0\0\x18ftypM4A " + bytes(12))
    assert media_kind(tmp_path / "b") is None


def test_an_animation_of_png(tmp_path):
    frames = [Image.new("RGB", (16, 16), (shade, 0, 0)) for shade in (10, 120, 240)]
    frames[0].save(tmp_path / "moving.apng", "PNG", save_all=True, append_images=frames[1:], duration=100)
    frames[0].save(tmp_path / "still.apng", "PNG")
    assert media_kind(tmp_path / "moving.apng") == "video"
    assert media_kind(tmp_path / "still.apng") == "image"
    with open_media(tmp_path / "moving.apng") as reader:
        assert reader.read()[:, 8, 8, 0].tolist() == [10, 120, 240]


def test_ffmpeg_reads_what_pillow_does_not(tmp_path):
    pixels = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    head = b"P7\nWIDTH 6\nHEIGHT 4\nDEPTH 3\nMAXVAL 255\nTUPLTYPE RGB\nENDHDR\n"
    (tmp_path / "a.pam").write_bytes(head + pixels.tobytes())
    np.testing.assert_array_equal(read_image(tmp_path / "a.pam"), pixels)
    with ImageReader("name.pam", data=head + pixels.tobytes()) as reader:
        np.testing.assert_array_equal(reader.read()[0], pixels)


def test_what_is_passed_over_is_counted_by_extension(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    for name in ("a.txt", "b.txt", "c.PDF", "README", "d.csv1"):
        (tmp_path / name).write_bytes(b"words")
    dataset = MediaFiles.of_folder(tmp_path)
    items, passed_over = dataset.items, dataset.passed_over
    assert [item.key for item in items] == ["a.png"]
    assert passed_over == {".txt": 2, ".pdf": 1, "": 1, ".csv1": 1}
    assert open_dataset(tmp_path).passed_over == passed_over
    assert passed_over_in_words(passed_over).endswith("2 .txt, 1 without extension, 1 .csv1, 1 .pdf")
    (tmp_path / "a.png").unlink()
    with pytest.raises(ConfigError, match=r"holds no image or video: passed over 5 files .*: 2 \.txt"):
        MediaFiles.of_folder(tmp_path)


def test_sixteen_bits_with_a_transparent_value(tmp_path):
    values = np.full((6, 8), 40000, np.uint16)
    values[:3] = 1234
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG")
    data = buffer.getvalue()
    chunk = b"tRNS" + (1234).to_bytes(2, "big")
    place = data.index(b"IDAT") - 4
    import zlib

    path = tmp_path / "a.png"
    path.write_bytes(
        data[:place] + (2).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big") + data[place:]
    )
    pixels = read_image(path)
    assert set(np.unique(pixels[:3])) == {255}
    assert set(np.unique(pixels[3:])) == {40000 >> 8}


@pytest.mark.parametrize(
    ("values", "shown"),
    [([0, 7, 255], [0, 7, 255]), ([0, 256, 65535], [0, 1, 255]), ([0, 1 << 24, 2**31 - 1], [0, 2, 255])],
)
def test_thirty_two_bits_of_a_tiff(values, shown, tmp_path):
    path = tmp_path / "a.tif"
    Image.fromarray(np.array([values], np.int32)).save(path)
    assert read_image(path)[0, :, 0].tolist() == shown


def test_a_still_in_the_boxes_of_a_film_through_ffmpeg(tmp_path):
    """As HEIC, which no writer here makes, is read."""
    saved_by_pillow("AVIF")
    path = tmp_path / "a.heic"
    Image.new("RGB", (64, 48), (200, 30, 40)).save(path, "AVIF")
    image = open_still(str(path), None)
    assert image.size == (64, 48)
    np.testing.assert_allclose(np.asarray(image)[20, 20], (200, 30, 40), atol=8)
