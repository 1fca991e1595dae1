"""AVI files: frames that are repeated, files that were cut, and those that were written to a pipe."""

from __future__ import annotations

import io
import re
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from jaxret.data.decode.video import VideoReader


def write(path, bar_frames, stamps, last=1):
    with av.open(str(path), "w") as container:
        film = container.add_stream("mpeg4", rate=25)
        film.width, film.height, film.pix_fmt = 64, 48, "yuv420p"
        packets = []
        for stamp, pixels in zip(stamps, bar_frames(len(stamps)), strict=True):
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
            frame.pts, frame.time_base = stamp, Fraction(1, 25)
            packets += film.encode(frame)
        packets += film.encode(None)
        packets[-1].duration = last
        for packet in packets:
            container.mux(packet)
    return path.read_bytes()


@pytest.mark.parametrize("last", [1, 40])
def test_repeated_frames_are_no_damage(tmp_path, bar_frames, last):
    path = tmp_path / "repeats.avi"
    stamps = [0, 1, 2, 5, 6, 20, 21]
    data = write(path, bar_frames, stamps, last)
    assert data.count(b"00dc\0\0\0\0") > 13 + last - 1
    with VideoReader(path) as reader:
        assert reader.damage is None
        np.testing.assert_allclose(reader.times, np.array(stamps) / 25)


def test_a_cut_between_two_frames_is_told(tmp_path, bar_frames):
    path = tmp_path / "cut.avi"
    data = write(path, bar_frames, [0, 1, 2, 5, 6, 20, 21])
    chunks = re.finditer(rb"00dc(?!\0\0\0\0)", data[data.index(b"movi") : data.index(b"idx1")])
    fourth = data.index(b"movi") + [chunk.start() for chunk in chunks][3]
    path.write_bytes(data[:fourth])
    with VideoReader(path) as reader:
        assert reader.info.frame_count == 3
        assert reader.damage == "truncated: 3 of 22 frames are there"


def test_what_was_written_to_a_pipe_has_no_lengths(tmp_path, bar_frames):
    class Pipe:
        written = b""

        def write(self, data):
            self.written += bytes(data)
            return len(data)

    pipe = Pipe()
    with av.open(pipe, "w", format="avi") as container:
        film = container.add_stream("mpeg4", rate=25)
        film.width, film.height, film.pix_fmt = 64, 48, "yuv420p"
        for pixels in bar_frames(30):
            container.mux(film.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        container.mux(film.encode(None))
    path = tmp_path / "piped.avi"
    path.write_bytes(pipe.written)
    with VideoReader(path) as reader:
        assert reader.info.frame_count == 30
        assert reader.damage is None


def chunk(name, body):
    return name + len(body).to_bytes(4, "little") + body + b"\0" * (len(body) % 2)


def numbers(*values):
    return b"".join(value.to_bytes(4, "little") for value in values)


def in_two_parts(frames):
    """An AVI as OpenDML extends it, of one frame a tick, and where its second part begins."""
    jpegs = []
    for pixels in frames:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG")
        jpegs.append(chunk(b"00dc", file.getvalue()))
    height, width = frames.shape[1:3]
    half = len(jpegs) // 2
    bitmap = numbers(40, width, height, 1 | 24 << 16) + b"MJPG" + numbers(3 * width * height, 0, 0, 0, 0)
    stream = b"vidsMJPG" + numbers(0, 0, 0, 1, 25, 0, len(jpegs), 1 << 16, 1 << 32 - 1, 0, 0, width | height << 16)
    main = numbers(40_000, 0, 0, 0x10, half, 0, 1, 1 << 16, width, height, 0, 0, 0, 0)

    def header(places):
        entries = b"".join(place.to_bytes(8, "little") + numbers(0, half) for place in places)
        index = chunk(b"indx", numbers(4, len(places)) + b"00dc" + bytes(12) + entries)
        streams = chunk(b"strh", stream) + chunk(b"strf", bitmap) + index
        return chunk(b"LIST", b"hdrl" + chunk(b"avih", main) + chunk(b"LIST", b"strl" + streams))

    def film(images, start):
        """A list of frames with their index, which begins at `start`; where the index lies."""
        place = start + 12 + sum(map(len, images))
        places = start + 20 + np.cumsum([0, *map(len, images[:-1])])
        index = numbers(2 | 1 << 24, len(images)) + b"00dc" + bytes(12)
        index += b"".join(numbers(int(at), len(image) - 8) for at, image in zip(places, images, strict=True))
        return chunk(b"LIST", b"movi" + b"".join(images) + chunk(b"ix00", index)), place

    first, at = film(jpegs[:half], 12 + len(header([0, 0])))
    second_part = 12 + len(header([0, 0])) + len(first)
    second, then = film(jpegs[half:], second_part + 12)
    data = chunk(b"RIFF", b"AVI " + header([at, then]) + first) + chunk(b"RIFF", b"AVIX" + second)
    return data, second_part


@pytest.mark.parametrize("more", [0, 5, 14])
def test_a_cut_between_two_parts_is_told(tmp_path, bar_frames, more):
    path = tmp_path / "film.avi"
    data, second = in_two_parts(bar_frames(6))
    path.write_bytes(data)
    with VideoReader(path) as reader:
        assert reader.info.frame_count == 6
        assert reader.damage is None
    path.write_bytes(data[: second + more])
    with VideoReader(path) as reader:
        assert reader.info.frame_count == 3
        assert reader.damage == "truncated: 3 of 6 frames are there"
