"""Chunks that overlap: their spans, and their frames, which are read once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from jaxret.data.readers import ArrayReader
from jaxret.data.sampling.frames import chunk_spans, even_samples, random_chunk
from jaxret.data.sampling.reading import chunks_of
from jaxret.errors import ConfigError
from jaxret.preprocessing import Preprocessing, ShotSampling


@pytest.mark.parametrize("overlap", [0.1, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("duration", [0.0, 3.0, 10.0, 12.4, 25.0, 61.7, 600.0])
def test_spans_are_equal_and_cover_the_video(duration, overlap):
    spans = chunk_spans(duration, 10.0, overlap)
    lengths = spans[:, 1] - spans[:, 0]
    np.testing.assert_allclose(lengths, lengths[0], rtol=1e-9)
    assert (spans[0, 0], spans[-1, 1]) == (0.0, duration)
    if duration <= 10:
        assert len(spans) == 1
        return
    np.testing.assert_allclose(spans[:-1, 1] - spans[1:, 0], overlap * lengths[0], rtol=1e-9)
    # One chunk more or less would not be nearer to the wanted length.
    for count in (len(spans) - 1, len(spans) + 1):
        if count:
            other = duration / (1 + (count - 1) * (1 - overlap))
            assert abs(other - 10) >= abs(lengths[0] - 10) - 1e-9


def test_without_overlap_nothing_changes():
    for duration in (0.0, 3.0, 25.0, 61.7):
        np.testing.assert_array_equal(chunk_spans(duration, 10.0, 0.0), chunk_spans(duration, 10.0))


@pytest.mark.parametrize("overlap", [-0.1, 1.0, float("nan")])
def test_an_overlap_out_of_range(overlap):
    with pytest.raises(ValueError, match="overlap must be a share of at least 0 and below 1"):
        chunk_spans(20.0, 10.0, overlap)
    with pytest.raises(ConfigError, match="chunk_overlap must be a share of at least 0 and below 1"):
        Preprocessing(chunk_overlap=overlap)
    with pytest.raises(ConfigError, match=r"shots do not overlap: leave it at 0, got 0.5"):
        Preprocessing(height=64, width=64, resize="limit", shots=ShotSampling(), chunk_overlap=0.5)


@pytest.mark.parametrize("modalities", [("rgb",), ("rgb", "difference")])
@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.8])
def test_frames_of_overlapping_chunks_are_read_once(overlap, modalities):
    video = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3), np.uint8)
    read: list[int] = []

    class Reader(ArrayReader):
        def frames(self, indices, geometry=None, channels=3) -> Iterator[np.ndarray]:
            for number, frame in zip(indices, super().frames(indices, geometry, channels), strict=True):
                read.append(int(number))
                yield frame

    settings = Preprocessing(
        height=8, width=8, frames=5, chunk_seconds=1.0, chunk_overlap=overlap, modalities=modalities
    )
    reader = Reader(video, times=np.arange(60) / 10, duration=6.0)
    chunks = list(chunks_of(reader, settings, is_image=False))
    assert read == sorted(set(read))
    spans = chunk_spans(6.0, 1.0, overlap)
    assert [(chunk.start, chunk.end) for chunk in chunks] == [tuple(span) for span in spans.tolist()]
    assert len(chunks) == {0.0: 6, 0.5: 11, 0.8: 26}[overlap]
    for chunk in chunks:
        chosen = even_samples(reader.times, chunk.start, chunk.end, 5)
        np.testing.assert_array_equal(chunk.pixels[..., :3], video[chosen])
        np.testing.assert_array_equal(chunk.times, reader.times[chosen])


def test_a_random_chunk_is_as_long_as_the_others():
    start, end = random_chunk(25.0, 10.0, np.random.default_rng(0), overlap=0.5)
    assert end - start == pytest.approx(10.0)
    assert 0 <= start <= 15
