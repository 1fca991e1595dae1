"""Queries of the ConvLSTM benchmark: videos played backwards, and what is right for a walk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from flax import nnx
from studies.convlstm.backwards import BackwardsVideos
from studies.convlstm.data import ClipData
from studies.convlstm.protocol import EncodedData, Media, encode_at_shares, encode_data, figures

from jaxret.data.dataset import MediaDataset
from jaxret.data.datasets.moving_digits import MovingDigits
from jaxret.data.datasets.rgbd import RgbdFolders, open_rgbd, write_rgbd_folder
from jaxret.models import Mean
from jaxret.models.backbones.thumbnail import ThumbnailBackbone
from jaxret.models.encoder import VideoEncoder
from jaxret.models.registry import create_backbone
from jaxret.preprocessing import Preprocessing


def test_a_video_is_played_backwards_with_its_depth_and_each_frame_as_long_as_before(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    colours, depths = rng.integers(0, 256, (4, 6, 8, 3), np.uint8), rng.uniform(1, 4, (4, 6, 8)).round(3)
    write_rgbd_folder(tmp_path / "walk", colours, depths, times=np.array([0, 2, 3, 7]) / 30)
    videos = open_rgbd(RgbdFolders(str(tmp_path)))
    backwards = BackwardsVideos(videos)
    with videos.open(0) as reader, backwards.open(0) as turned:
        assert turned.info == reader.info
        np.testing.assert_array_equal(turned.read(), colours[::-1])
        np.testing.assert_array_equal(turned.read([2, 0, 0]), colours[[1, 3, 3]])
        np.testing.assert_allclose(list(turned.depths([0, 3])), depths[[3, 0]], atol=1e-6)
        ends = np.append(reader.times, reader.info.duration)
        np.testing.assert_allclose(np.append(turned.times, turned.info.duration), ends[-1] - ends[::-1], atol=1e-9)
    assert backwards.content_hash(0) != videos.content_hash(0)


class Digits(ClipData):
    """Moving digits as if they were the pieces of a walk: those of a digit are near each other."""

    def dataset(self) -> MediaDataset:
        return MovingDigits(0, 0, 1)


def cells(dataset: MediaDataset) -> list[np.ndarray]:
    """A sequence of 4 x 4 cells a video, one vector a frame."""
    frames = [np.asarray(dataset.read(number)[0], np.float32) for number in range(len(dataset))]
    made = [each.reshape(len(each), 4, -1, 4, each.shape[2] // 4, 3).mean(axis=(2, 4, 5)) for each in frames]
    return [each.reshape(len(each), -1) for each in made]


def test_a_walk_is_searched_in_both_directions() -> None:
    labels = np.array([int(item.label[0]) for item in MovingDigits(0, 0, 1).items])
    beside = np.abs(np.subtract.outer(np.arange(len(labels)), np.arange(len(labels)))) < 2
    near = (labels[:, None] == labels) & ~beside
    data = Digits("a walk", "", "split", {}, 1, 1, lambda dataset: list(range(0, len(dataset), 8)), near=near)
    media = Media(data, seed=0)
    found = {measure: figures(EncodedData(media, cells, colours=False), measure) for measure in ("bi-dtw", "dtw")}
    assert set(found["dtw"]) == {f"{way}mAP by {what}" for way in ("", "backwards: ") for what in ("clip", "place")}
    for what in ("clip", "place"):  # of frames that are encoded one by one, either way gives the same vectors
        assert found["bi-dtw"][f"backwards: mAP by {what}"] == pytest.approx(found["bi-dtw"][f"mAP by {what}"])
        assert found["dtw"][f"backwards: mAP by {what}"] < found["dtw"][f"mAP by {what}"]
    assert found["dtw"]["mAP by clip"] == 1


def test_shares_of_the_thumbnail_are_those_of_encoders_with_such_a_share() -> None:
    sizes = {"embedding_size": 6, "blocks": 1, "map_channels": 2, "recurrent_channels": 2, "residual_channels": 2}
    backbone = create_backbone("conv-lstm", height=8, width=8, **sizes, rngs=nnx.Rngs(0))

    def beside(share: float) -> VideoEncoder:
        joined = ThumbnailBackbone(backbone, share, grid=2)
        joined.assign(2.0, 0.5)
        size = Preprocessing(height=8, width=8, frames=2)
        return VideoEncoder(joined, Mean(joined.embedding_size, rngs=nnx.Rngs(0)), size)

    data = Digits("digits", "", "split", {}, 1, 1, lambda dataset: [0, 1])
    media = Media(data, seed=0)
    media.dataset, media.changed = media.dataset.subset(range(3)), {}
    for share, found in zip((0.0, 0.6, 1.0), encode_at_shares(beside(0.3), media, (0.0, 0.6, 1.0)), strict=True):
        wanted = encode_data(beside(share), media)
        for ours, theirs in ((found.videos, wanted.videos), (found.queries, wanted.queries)):
            np.testing.assert_allclose(np.concatenate(ours), np.concatenate(theirs), rtol=1e-4, atol=1e-6)
