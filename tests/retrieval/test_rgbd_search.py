"""RGB-D videos through an index: folders of frames are added, and found by a folder of frames."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from flax import nnx
from reference import depth as slow

from jaxret.data.datasets.rgbd import write_rgbd_folder
from jaxret.data.decode.write import write_video
from jaxret.data.ground_truth.cropped import CroppedQueries
from jaxret.data.open import open_dataset
from jaxret.errors import ConfigError, MediaError
from jaxret.models import Mean, create_backbone
from jaxret.models.conv_lstm.volumes import scatter_to_planes
from jaxret.models.encoder import VideoEncoder
from jaxret.preprocessing import DepthPlanes, Preprocessing
from jaxret.retrieval import Retriever

PLANES = DepthPlanes(count=4)


def make_encoder() -> VideoEncoder:
    sizes = {"height": 8, "width": 8, "blocks": 1, "map_channels": 2, "recurrent_channels": 4, "residual_channels": 2}
    rngs = nnx.Rngs(0)
    backbone = create_backbone("conv-lstm", embedding_size=12, depth_planes=PLANES.count, rngs=rngs, **sizes)
    settings = Preprocessing(height=8, width=8, frames=3, chunk_seconds=0.3, chunk_overlap=0.5, depth=PLANES)
    return VideoEncoder(backbone, Mean(12, rngs=rngs), settings)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three that look alike but for their depth, and one of another colour."""
    root = tmp_path_factory.mktemp("rgbd")
    rng = np.random.default_rng(0)
    for number, (level, metres) in enumerate([(200, 0.8), (200, 2.0), (200, 4.0), (30, 2.0)]):
        colours = np.full((24, 8, 8, 3), level, np.uint8)
        depths = metres + 0.1 * rng.random((24, 8, 8))
        write_rgbd_folder(root / "ab"[number % 2] / f"v{number}", colours, depths)
    return root


@pytest.fixture(scope="module")
def retriever(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Retriever:
    folder = tmp_path_factory.mktemp("index") / "index"
    made = Retriever.create(folder, make_encoder())
    report = made.add(open_dataset(f"rgbd:{videos}"))
    assert len(report.added) == 4
    return Retriever.open(folder)  # which reads the planes and the overlap back


def test_videos_are_told_apart_by_their_depth(videos: Path, retriever: Retriever) -> None:
    starts = retriever.index.rows("clip").starts[:4]
    np.testing.assert_allclose(starts, np.arange(4) * starts[1])  # clips that overlap
    for path in sorted(videos.glob("*/*")):
        first, second = retriever.search(path, 2)
        assert first.item.key == path.relative_to(videos).as_posix()
        assert first.distance == pytest.approx(0, abs=1e-5)
        assert second.distance > 1e-3
    (match,) = retriever.search(f"rgbd,rate=30:{videos / 'b' / 'v1'}", 1)
    assert match.item.key == "b/v1"


def test_cropped_queries_find_their_video(videos: Path, retriever: Retriever) -> None:
    queries = CroppedQueries(open_dataset(f"rgbd:{videos}"), crops=2)
    for number, video in enumerate(queries.videos):
        (match,) = retriever.search(queries.subset([number]), 1)
        assert retriever.index.id_of(match.item.key) == video


def test_what_is_no_query(videos: Path, retriever: Retriever, tmp_path: Path) -> None:
    write_video(tmp_path / "plain.mp4", np.zeros((8, 16, 16, 3), np.uint8), fps=8)
    with pytest.raises(MediaError, match="it has no depth, and the encoder sees depth planes"):
        retriever.search(tmp_path / "plain.mp4")
    with pytest.raises(MediaError, match="not a file"):
        retriever.search(tmp_path)
    with pytest.raises(ConfigError, match=r"a query is one video, and .* names 4"):
        retriever.search(f"rgbd:{videos}")


def test_an_encoder_has_as_many_planes_as_its_pixels() -> None:
    encoder = make_encoder()
    more = dataclasses.replace(encoder.preprocessing, depth=DepthPlanes(count=5))
    with pytest.raises(ConfigError, match="conv-lstm has 4 depth planes, the preprocessing gives 5"):
        VideoEncoder(encoder.backbone, encoder.temporal, more)


def test_the_device_scatters_as_the_slow_twin() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 5, 6, 4), np.uint8)
    frames[..., 3] %= PLANES.count + 1
    scattered = scatter_to_planes(frames[..., :3].astype(np.float32), frames[..., 3], PLANES.count)
    np.testing.assert_array_equal(scattered, [slow.volume(frame, PLANES.count) for frame in frames])
