"""Encoders of RGB-D video are handed four channels; a plain video is an error that says so."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from jaxret.data.datasets.folders import MediaFiles
from jaxret.data.datasets.rgbd import write_rgbd_folder
from jaxret.data.decode.write import write_video
from jaxret.data.items import MediaItem
from jaxret.data.open import open_dataset
from jaxret.data.sampling.reading import read_encoded
from jaxret.errors import MediaError
from jaxret.preprocessing import DepthPlanes, Preprocessing
from jaxret.retrieval.encode import frame_vectors


class MeanOfPixels:
    """A vector is the mean of each channel: of a frame, or of a chunk."""

    def __init__(self, unit: str, overlap: float):
        self.unit = unit
        self.preprocessing = Preprocessing(
            height=8, width=8, frames=4, chunk_seconds=0.2, chunk_overlap=overlap, depth=DepthPlanes(count=5)
        )

    def encode_frames(self, frames):
        assert frames.shape[-1] == 4
        return jnp.asarray(frames, jnp.float32).mean(axis=tuple(range(1, frames.ndim - 1)))


@pytest.mark.parametrize("unit", ["frame", "chunk"])
@pytest.mark.parametrize("overlap", [0.0, 0.5])
def test_vectors_of_rgbd_videos(tmp_path, unit, overlap):
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        colours = rng.integers(0, 256, (18, 12, 16, 3), np.uint8)
        write_rgbd_folder(tmp_path / name, colours, rng.uniform(0.4, 5, (18, 12, 16)))
    dataset = open_dataset(f"rgbd:{tmp_path}")
    encoder = MeanOfPixels(unit, overlap)
    for number, result in frame_vectors(dataset, encoder):
        chunks = list(read_encoded(dataset, number, encoder.preprocessing))
        assert len(chunks) == {0.0: 3, 0.5: 5}[overlap]
        pixels = np.stack([chunk.pixels for chunk in chunks]).astype(np.float64)
        expected = pixels.mean(axis=(2, 3)) if unit == "frame" else pixels.mean(axis=(1, 2, 3))[:, None]
        np.testing.assert_allclose(result.vectors, expected, rtol=1e-5)
        assert result.spans.tolist() == [[chunk.start, chunk.end] for chunk in chunks]


def test_a_plain_video_is_an_error(tmp_path):
    path = tmp_path / "plain.mp4"
    write_video(path, np.zeros((8, 16, 16, 3), np.uint8), fps=8)
    files = MediaFiles([MediaItem("plain", "video", path=str(path))])
    ((_, result),) = frame_vectors(files, MeanOfPixels("chunk", 0.0))
    assert isinstance(result, MediaError)
    assert "has no depth, and the encoder sees depth planes" in str(result)
