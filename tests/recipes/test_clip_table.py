"""Clips as samples, in batches of one shape; what comes back of them as pictures; maps of embeddings."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx
from PIL import Image

from jaxret.data.dataset import MediaDataset
from jaxret.data.datasets.moving_digits import MovingDigits
from jaxret.data.items import MediaItem
from jaxret.data.sampling.reading import read_chunks
from jaxret.data.sampling.transforms import Augmentation
from jaxret.errors import ConfigError, MediaError
from jaxret.models import Mean
from jaxret.models.conv_lstm.autoencoder import create_autoencoder
from jaxret.models.encoder import VideoEncoder
from jaxret.preprocessing import Preprocessing
from jaxret.recipes.conv_lstm.clip_table import (
    batches_of_clips,
    clip_table,
    held_out_clips,
    pixel_statistics,
    training_reader,
)
from jaxret.recipes.conv_lstm.hard_clips import mean_distance
from jaxret.recipes.conv_lstm.reconstructions import (
    draw_clips_and_reconstructions,
    frames_of_output,
    reconstruction_error,
)
from jaxret.recipes.conv_lstm.report import embedding_map
from jaxret.reporting import draw_embedding_map
from jaxret.training import ReconstructionObjective

CLIPS = Preprocessing(height=16, width=16, frames=4, chunk_seconds=1.0)


class WithBroken(MediaDataset):
    """Moving digits of which two cannot be opened."""

    def __init__(self) -> None:
        self.digits = MovingDigits(1, 0, 0, frames=24, size=16, fps=8.0)
        self.items = self.digits.items

    def open(self, index: int):
        if index in (1, 4):
            raise MediaError(self.items[index].key, "it is broken")
        return self.digits.open(index)

    def content_hash(self, index: int) -> str:
        return self.digits.content_hash(index)


@pytest.fixture(scope="module")
def dataset() -> WithBroken:
    return WithBroken()


def test_every_chunk_of_every_video_that_opens_is_a_clip(dataset: WithBroken) -> None:
    table, broken = clip_table(dataset, range(6), CLIPS, threads=2)
    assert table.items.tolist() == [0, 0, 0, 2, 2, 2, 3, 3, 3, 5, 5, 5]
    np.testing.assert_allclose(table.spans[:3], [[0, 1], [1, 2], [2, 3]])
    assert sorted(broken) == [1, 4]
    with pytest.raises(ConfigError, match=r"none of 2 videos can be used: .*it is broken"):
        clip_table(dataset, [1, 4], CLIPS, threads=1)
    assert len(clip_table(dataset, [], CLIPS, threads=1)[0]) == 0


def test_batches_hold_the_clips_that_are_indexed_wherever_one_begins(dataset: WithBroken) -> None:
    table, _ = clip_table(dataset, [0, 2, 3], CLIPS, threads=2)
    expected = np.stack([chunk.pixels for number in (0, 2, 3) for chunk in read_chunks(dataset, number, CLIPS)])
    batches = list(batches_of_clips(dataset, table, CLIPS, batch_size=4, threads=2))
    assert [number for number, _, _ in batches] == [0, 1, 2]
    np.testing.assert_array_equal(np.concatenate([clips for _, clips, _ in batches])[:9], expected)
    assert batches[2][2].tolist() == [True, False, False, False]
    assert not batches[2][1][1:].any()
    ((number, clips, readable),) = batches_of_clips(dataset, table, CLIPS, batch_size=4, threads=2, first=2)
    assert number == 2
    np.testing.assert_array_equal(clips, batches[2][1])
    assert readable.tolist() == batches[2][2].tolist()
    table.items[4] = 1  # that does not open any more
    assert [
        readable.tolist() for _, _, readable in batches_of_clips(dataset, table, CLIPS, batch_size=9, threads=2)
    ] == [[True] * 4 + [False] + [True] * 4]


def test_a_training_clip_is_of_its_own_span(dataset: WithBroken) -> None:
    table, _ = clip_table(dataset, [0], CLIPS, threads=1)
    still = training_reader(dataset, table, CLIPS, Augmentation(zoom=1.0, mirror=0.0), [7, 8, 9])
    frames = dataset.digits.render([0])[0]
    for row in range(3):
        read = still(row, np.random.default_rng(row))
        assert (read["labels"], read["items"]) == (7 + row, 0)
        for place, frame in enumerate(read["inputs"]):
            of_segment = frames[8 * row + 2 * place : 8 * row + 2 * place + 2]
            assert (frame == of_segment).all(axis=(1, 2, 3)).any()


def test_statistics_are_those_of_all_pixels(dataset: WithBroken) -> None:
    table, _ = clip_table(dataset, [0, 2, 3], CLIPS, threads=2)
    pixels = np.concatenate([c.pixels for n in (0, 2, 3) for c in read_chunks(dataset, n, CLIPS)]).astype(float)
    assert pixel_statistics(dataset, table, CLIPS, threads=2) == pytest.approx((pixels.mean(), pixels.std()))


def test_held_out_clips_are_spread_and_limited(dataset: WithBroken) -> None:
    assert held_out_clips(dataset, np.arange(6), CLIPS, limit=3, threads=1).items.tolist() == [0, 2, 5]
    assert len(held_out_clips(dataset, np.arange(6), CLIPS, limit=99, threads=1)) == 12
    assert len(held_out_clips(dataset, np.array([1]), CLIPS, limit=9, threads=1)) == 0


SMALL = {"height": 16, "width": 16, "blocks": 1, "embedding_size": 4, "map_channels": 2}
SMALL |= {"recurrent_channels": 2, "residual_channels": 2, "rngs": nnx.Rngs(0)}


@pytest.mark.parametrize(("bins", "standardise_by"), [(0, "data"), (0, "clip"), (16, "data")])
@pytest.mark.parametrize("planes", [0, 4])
def test_an_output_that_is_the_target_gives_the_pictures_back(bins: int, standardise_by: str, planes: int) -> None:
    settings = {**SMALL, "bins": bins, "pixel_mean": 100.0, "pixel_deviation": 50.0, "standardise_by": standardise_by}
    model = create_autoencoder("cnn-3d" if planes else "m1", **settings, **({"depth_planes": planes} if planes else {}))
    clips = np.random.default_rng(0).integers(0, 256, (2, 3, 16, 16, 4 if planes else 3), np.uint8)
    if planes:
        clips[..., 3] = np.random.default_rng(1).integers(0, planes + 1, clips.shape[:-1])
        clips[clips[..., 3] == 0] = 0  # no reading: nothing is seen
    output = np.asarray(model.backbone.standardise(clips))
    if bins:
        colours = output[..., :3] * 50 + 100
        chosen = np.clip(colours // (256 / bins), 0, bins - 1)
        logits = np.where(np.arange(bins) == chosen[..., None], 50.0, 0.0).reshape(*colours.shape[:-1], -1)
        output = np.concatenate([logits, output[..., 3:] * 20 - 10], axis=-1)
    made = frames_of_output(model, output.astype(np.float32), clips)
    assert (made.dtype, made.shape) == (np.uint8, clips.shape)
    off = np.abs(made.astype(int) - clips)
    assert off[..., :3].max() <= (128 // bins if bins else 0)
    assert planes == 0 or not off[..., 3].any()


@pytest.mark.parametrize(("mean", "deviation"), [(88.8, 51.9), (100.1, 63.7), (0.3, 0.7)])
@pytest.mark.parametrize("bins", [32, 256])
def test_every_intensity_is_asked_for_in_its_own_bin(bins: int, mean: float, deviation: float) -> None:
    settings = {**SMALL, "bins": bins, "pixel_mean": mean, "pixel_deviation": deviation}
    # The loss reads none of its parameters, of which the layer of logits has millions.
    model = nnx.eval_shape(lambda: create_autoencoder("m1", **{**settings, "rngs": nnx.Rngs(0)}))
    clips = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16, 1).repeat(3, axis=-1)
    logits = 50.0 * (np.arange(bins) == (clips.astype(int) * bins // 256)[..., None])
    loss, _ = ReconstructionObjective().loss(model, logits.reshape(1, 1, 16, 16, -1).astype(np.float32), clips)
    assert float(loss) < 1e-6


@pytest.mark.parametrize("remat", [False, True])
def test_the_error_is_the_mean_of_what_is_minimised_clip_by_clip(
    dataset: WithBroken, tmp_path: Path, remat: bool
) -> None:
    model = create_autoencoder("m1", **SMALL, remat=remat)
    table, _ = clip_table(dataset, [0, 2], CLIPS, threads=1)
    clips = [chunk.pixels[None] for number in (0, 2) for chunk in read_chunks(dataset, number, CLIPS)]
    losses = [float(ReconstructionObjective()(model, {"inputs": clip})[0]) for clip in clips]
    found = reconstruction_error(model, dataset, table, CLIPS, batch_size=4, threads=1)
    assert found == pytest.approx(np.mean(losses), rel=1e-5)
    draw_clips_and_reconstructions(tmp_path / "a.png", model, dataset, table.take([0, 3]), CLIPS, threads=1)
    assert np.asarray(Image.open(tmp_path / "a.png")).std() > 10
    table.items[:] = 1
    assert np.isnan(reconstruction_error(model, dataset, table, CLIPS, batch_size=4, threads=1))
    draw_clips_and_reconstructions(tmp_path / "b.png", model, dataset, table, CLIPS, threads=1)
    assert not (tmp_path / "b.png").exists()


def test_the_unit_of_an_untrained_encoder_is_as_a_step_of_training_sees_it(dataset: WithBroken) -> None:
    model = create_autoencoder("m1", **SMALL)
    encoder = VideoEncoder(model.backbone, Mean(model.backbone.embedding_size, rngs=nnx.Rngs(0)), CLIPS)
    table, _ = clip_table(dataset, [0, 2, 3], CLIPS, threads=1)
    settings = {"batch_size": len(table), "threads": 1}
    before = nnx.to_pure_dict(nnx.state(model))
    found = mean_distance(dataset, encoder, table, table.items, untrained=True, **settings)
    jax.tree.map(np.testing.assert_array_equal, nnx.to_pure_dict(nnx.state(model)), before)
    clips = np.concatenate([chunk.pixels[None] for n in (0, 2, 3) for chunk in read_chunks(dataset, n, CLIPS)])
    model.train()
    vectors = np.asarray(model.backbone(clips).embedding, np.float64)
    pairs = [(a, b) for a in range(9) for b in range(9) if table.items[a] != table.items[b]]
    expected = np.mean([((vectors[a] - vectors[b]) ** 2).sum() for a, b in pairs])
    assert found == pytest.approx(expected, rel=1e-3)
    model.eval()
    assert found > 3 * mean_distance(dataset, encoder, table, table.items, **settings)


@pytest.mark.parametrize("count", [5, 12])
def test_a_map_keeps_groups_together_and_follows_from_the_seed(count: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    classes = np.arange(count) % 2
    vectors = (rng.normal(size=(count, 8)) + 40 * classes[:, None]).astype(np.float32)
    places = embedding_map(vectors, seed=3)
    assert places is not None
    np.testing.assert_array_equal(places, embedding_map(vectors, seed=3))
    if count > 5:
        distances = np.linalg.norm(places[:, None] - places, axis=-1) + np.eye(count) * 1e9
        assert (classes[distances.argmin(axis=1)] == classes).all()
    assert embedding_map(vectors[:4], seed=0) is None
    same = embedding_map(np.ones((6, 3), np.float32), seed=0)  # an encoder that tells nothing apart
    assert same is not None
    assert np.isfinite(same).all()
    draw_embedding_map(tmp_path / "map.png", {"a": places, "b": -places}, [None, *"xyxyxyxyxyx"][:count])
    assert np.asarray(Image.open(tmp_path / "map.png")).shape[1] > 900


def test_items_without_a_class_are_drawn_too(tmp_path: Path) -> None:
    items = [MediaItem(str(n), "video") for n in range(5)]
    draw_embedding_map(
        tmp_path / "map.png", {"a": np.random.default_rng(0).normal(size=(5, 2))}, [i.label for i in items]
    )
    assert (tmp_path / "map.png").stat().st_size > 1000
