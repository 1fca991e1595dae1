"""AVI files: frames that are repeated, files that were cut, and those that were written to a pipe."""

from __future__ import annotations

import re
from fractions import Fraction

import av
import numpy as np
import pytest

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
