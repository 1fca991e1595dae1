"""A network that is learned, joined with statistics of pixels: what rounds are trained without, stops and resumes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxret import Retriever, train
from jaxret.data.decode.write import write_video
from jaxret.data.open import open_dataset
from jaxret.data.splits import split_dataset
from jaxret.errors import ConfigError
from jaxret.models import Encoding, WithPixelStatistics, load_encoder
from jaxret.models.base import Backbone
from jaxret.models.encoder import VideoEncoder
from jaxret.models.store import encoder_arrays
from jaxret.models.temporal.open_set import OpenSetEncoder
from jaxret.models.temporal.open_set_hash import OpenSetHash
from jaxret.recipes.clips import learners
from jaxret.recipes.clips.c3d import C3dConfig
from jaxret.recipes.clips.open_set import resolve_fusion
from jaxret.recipes.clips.open_set_fit import fit_open_set_encoder
from jaxret.recipes.opening import LabelledData
from jaxret.recipes.recipe import open_config
from jaxret.training import LoopConfig, RunContext, RunFolder, refuse_idle
from jaxret.training.open_set import Deal, hold_out

SIZE, FRAMES, CLASSES = 8, 2, 4


class Projection(Backbone):
    """A dense layer on all pixels of a chunk: the smallest network of chunks."""

    name, unit, stage_names, embedding_size, channels = "projection", "chunk", (), 6, 3

    def __init__(self, rngs: nnx.Rngs):
        self.dense, self.dtype = nnx.Linear(FRAMES * SIZE * SIZE * 3, 6, rngs=rngs), jnp.dtype("float32")

    def __call__(self, clips):
        return Encoding(self.dense(clips.astype(jnp.float32).reshape(len(clips), -1) / 255))


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four classes of six videos of one colour with noise, each a source of its own."""
    folder, rng = tmp_path_factory.mktemp("media"), np.random.default_rng(0)
    for label, source in np.ndindex(CLASSES, 6):
        path = folder / f"class{label}" / f"{source}.mp4"
        path.parent.mkdir(exist_ok=True)
        colour = np.random.default_rng(label).integers(40, 216, 3)
        frames = np.clip(colour + rng.normal(0, 25, (4, 16, 16, 3)), 0, 255).astype(np.uint8)
        write_video(path, frames, fps=4)
    return folder


@pytest.fixture(scope="module")
def data(media: Path) -> LabelledData:
    dataset = open_dataset(str(media))
    return LabelledData(dataset, split_dataset(dataset, unseen_fraction=0.0, seed=0))


def config(**more: object) -> C3dConfig:
    loop = LoopConfig(epochs=2, evaluate_every=1)
    return C3dConfig(image_size=SIZE, frames=FRAMES, loop=loop, batch_size=8, **more)


def encoder(bits: int = 0) -> VideoEncoder:
    backbone = WithPixelStatistics(Projection(nnx.Rngs(0)), grid=2)
    size, settings = backbone.embedding_size, {"learned": backbone.learned, "rngs": nnx.Rngs(0)}
    sequence = OpenSetEncoder(size, CLASSES, **settings)
    return VideoEncoder(
        backbone, OpenSetHash(sequence, bits, rngs=nnx.Rngs(0)) if bits else sequence, config().preprocessing()
    )


def fit(
    data: LabelledData, folder: Path, bits: int = 0, stop_after: int | None = None
) -> tuple[VideoEncoder, str | None]:
    context = RunContext(RunFolder(folder), log=lambda _: None, show_progress=False, stop_after=stop_after)
    made = encoder(bits)
    return made, fit_open_set_encoder(made, data, None, config(bits=bits), context)


def test_rounds_are_trained_without_what_they_hold_out(
    data: LabelledData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = []
    by_steps = learners.fit_by_steps

    def spy(alone, part, *more):
        trained.append(part.splits)
        return by_steps(alone, part, *more)

    monkeypatch.setattr(learners, "fit_by_steps", spy)
    made, line = fit(data, tmp_path / "run")
    assert line is not None
    assert "over statistics of pixels" in line
    whole, *rounds = trained
    assert whole.train.tolist() == data.splits.train.tolist()
    items = data.dataset.items
    labels = [sorted(data.splits.seen).index(str(items[n].label)) for n in whole.train]
    sources = [items[n].source for n in whole.train]
    for splits, held_out in zip(rounds, hold_out(labels, sources, config().open_set_settings()), strict=True):
        deal = Deal.of(held_out, labels, sources)
        assert splits.train.tolist() == whole.train[deal.fitted].tolist()
        assert 0 < len(splits.train) < len(whole.train)
        assert set(splits.seen) == {str(items[n].label) for n in splits.train} < set(data.splits.seen)
        assert {str(items[n].label) for n in splits.validation} <= set(splits.seen)
    # The network of the encoder has learned, and those of the rounds have gone ways of their own.
    weights = [np.asarray(made.backbone.network.dense.kernel), np.asarray(Projection(nnx.Rngs(0)).dense.kernel)]
    assert np.abs(weights[0] - weights[1]).max() > 1e-4
    # Codes of the same run are fitted on the networks that are there.
    steps = len(trained)
    hashed, line = fit(data, tmp_path / "run", bits=16)
    assert line is not None
    assert "over codes of statistics of pixels" in line
    assert len(trained) == 2 * steps
    np.testing.assert_array_equal(np.asarray(hashed.backbone.network.dense.kernel), weights[0])
    assert np.abs(np.asarray(hashed.temporal.codewords)).min() == 1


def test_it_stops_anywhere_and_goes_on_to_the_same_encoder(data: LabelledData, tmp_path: Path) -> None:
    expected, _ = fit(data, tmp_path / "whole")
    found, line, calls = None, None, 0
    while line is None:
        found, line = fit(data, tmp_path / "parts", stop_after=3)
        calls += 1
    assert calls > 2
    for name, array in encoder_arrays(expected).items():
        np.testing.assert_array_equal(encoder_arrays(found)[name], array, err_msg=name)


def test_it_is_the_default_where_classes_can_be_held_out(media: Path, data: LabelledData, tmp_path: Path) -> None:
    lines: list[str] = []
    context = RunContext(RunFolder(tmp_path), log=lines.append)
    assert resolve_fusion(config(), data, context).fusion == "open-set"
    assert "--fusion mean trains the network alone" in lines[-1]
    assert "again in each of 2 rounds" in lines[-1]
    assert resolve_fusion(config(bits=8, balance_weight=0.1), data, context).fusion == "mean"
    assert lines[-2] == "fusion: mean (balance_weight=0.1 is a setting of codes that are trained by steps)"
    assert "may be found worse than without any training; without --balance-weight open-set is taken" in lines[-1]
    with pytest.raises(ConfigError, match=r"rounds=3 has no effect: fusion=mean holds no classes out"):
        refuse_idle(resolve_fusion(config(fusion="mean", rounds=3), data, context))
    two = dataclasses.replace(data.splits, train=data.splits.train[: len(data.splits.train) // 2])
    with pytest.raises(ConfigError, match=r"needs training videos of 3 classes, and there are 2. --fusion mean trains"):
        resolve_fusion(config(fusion="open-set"), LabelledData(data.dataset, two), context)
    assert resolve_fusion(config(), LabelledData(data.dataset, two), context).fusion == "mean"
    assert "without any training; with training videos of 3 classes open-set is taken" in lines[-1]


def test_a_run_from_before_is_the_network_alone(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"recipe": "c3d", "width": 0.5}), encoding="utf-8")
    assert open_config(RunFolder(tmp_path))[1].fusion == "mean"
    (tmp_path / "config.json").write_text(json.dumps({"recipe": "c3d", "fusion": "open-set"}), encoding="utf-8")
    assert open_config(RunFolder(tmp_path))[1].fusion == "open-set"


@pytest.mark.slow
@pytest.mark.parametrize("bits", [0, 16])
def test_c3d_trains_indexes_and_searches_with_it(media: Path, tmp_path: Path, bits: int) -> None:
    words = ["c3d", "--data", str(media), "--out", str(tmp_path / "run"), "--width", "0.03125", "--image-size", "32"]
    words += ["--frames", "4", "--epochs", "1", "--bits", str(bits), "--quiet"]
    assert train.main(words) == 0
    made = load_encoder(tmp_path / "run" / "encoder")
    assert made.backbone.name == "with-pixel-statistics"
    assert made.temporal.kind == ("open-set-hash" if bits else "open-set")
    video = next(media.glob("class1/*.mp4"))
    found = Retriever.open(tmp_path / "run").search(video, 1)[0]
    assert found.distance == pytest.approx(0, abs=1e-3)
    assert found.item.label == "class1"
    assert bits or found.item.path == str(video.resolve())  # of codes others may be as near
    assert "over statistics of pixels" in (tmp_path / "run" / "report.html").read_text() or bits
