"""Trainings of the ConvLSTM benchmark, by the library's own recipes, kept in folders; and the baselines' vectors."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
from studies.convlstm.data import ClipData

from jaxret.data.dataset import MediaDataset
from jaxret.data.sampling.reading import read_chunks
from jaxret.data.sampling.sift import sift_features
from jaxret.models.descriptors.visual_words import SiftWordEncoder
from jaxret.models.encoder import VideoEncoder
from jaxret.models.store import load_encoder
from jaxret.preprocessing import Preprocessing
from jaxret.recipes.clips import ndvr_dml
from jaxret.recipes.conv_lstm import recipe as conv_lstm
from jaxret.recipes.conv_lstm.settings import Step, StepRecord
from jaxret.recipes.conv_lstm.thumbnail import TRIED_SHARES, with_thumbnail
from jaxret.recipes.conv_lstm.train import encoder_of
from jaxret.recipes.instances.fit_words import fit_words
from jaxret.training import LoopConfig, RunContext, RunFolder
from jaxret.visual_words import Codebook, WordBags, bags_of_words, words_of_map

__all__ = ["FOUR_STEPS", "autoencoder", "config_of", "ndvr", "sift_bags", "sift_words", "untrained"]

FOUR_STEPS: tuple[Step, ...] = ("pretrain", "triplet", "rank", "challenging")
THUMBNAIL_SHARE = max(TRIED_SHARES)
_SIZES: dict[str, Any] = {
    "image_size": 32,
    "embedding_size": 128,
    "map_channels": 8,
    "recurrent_channels": 16,
    "residual_channels": 8,
}
_TRANSFORMER = conv_lstm.TransformerConfig(
    transformer_layers=2, transformer_heads=3, transformer_units=48, transformer_feed_forward=96
)
_FRAMES = 8  # of a video that SIFT sees


def autoencoder(
    data: ClipData,
    architecture: str,
    folder: Path,
    *,
    steps: Sequence[Step] = FOUR_STEPS,
    like: Sequence[Step] = (),
    epochs: int | None = None,
    seed: int,
) -> RunFolder:
    """A training of the recipe `conv-lstm`; one that was stopped goes on, one that is there is taken.

    Args:
      data: what trains.
      architecture: m1 ... cnn-3d.
      folder: of the runs.
      steps: of the recipe.
      like: steps of another training of the same; the first ones that both have in common are taken from it, as many as
        it has finished. They are equal: all that is random in a step follows from the seed and the step's place.
      epochs: at most, of each step; None: the data set's.
      seed: everything random follows from it.
    """
    name = f"{_name_of(data)}-{architecture}"
    run = _run_of(folder, name, steps, seed)
    if (run.encoder / "encoder.json").exists():
        return run
    if like and (other := _run_of(folder, name, like, seed)).path.is_dir():
        common = takewhile(lambda pair: pair[0] == pair[1], zip(steps, like, strict=False))
        _take_steps(other, run, [step for step, _ in common])
    config = config_of(data, architecture, steps=steps, epochs=epochs or data.epochs, seed=seed)
    if conv_lstm.train(config, RunContext(run, "conv-lstm")) is None:
        raise SystemExit("the training was stopped: call again to go on")
    return run


def untrained(data: ClipData, architecture: str, folder: Path, *, seed: int) -> VideoEncoder:
    """The encoder that `autoencoder` begins with, and a thumbnail beside its vectors with the largest share tried."""
    config = config_of(data, architecture, steps=FOUR_STEPS, epochs=data.epochs, seed=seed)
    run = _run_of(folder, f"{_name_of(data)}-{architecture}", ["untrained"], seed)
    context = RunContext(run, "conv-lstm")
    model, drawn, config, _ = conv_lstm.prepare(config, context)
    config = dataclasses.replace(config, thumbnail_share=THUMBNAIL_SHARE)
    return with_thumbnail(encoder_of(model, config), drawn, config, context.log)


def config_of(
    data: ClipData, architecture: str, *, steps: Sequence[Step], epochs: int, seed: int
) -> conv_lstm.ConvLstmConfig:
    """The recipe's settings for such a training; see `autoencoder`."""
    settings = {**_SIZES, "batch_size": 32, **data.settings}
    if not architecture.endswith("3d"):
        settings = {name: value for name, value in settings.items() if not name.startswith("depth")}
    return dataclasses.replace(
        conv_lstm.RECIPE.config,
        data=data.unlabelled or data.spec,
        split_column=data.split_column,
        architecture=architecture,
        steps=tuple(steps),
        transformer=_TRANSFORMER if architecture.startswith("m3") else conv_lstm.TransformerConfig(),
        seed=seed,
        loop=LoopConfig(epochs=epochs, evaluate_every=max(1, epochs // 5), patience=4),
        pretrain_epochs=min(epochs, data.pretrain_epochs),
        **settings,
    )


def _name_of(data: ClipData) -> str:
    return data.name.split(",")[0].replace(" ", "-")


def _run_of(folder: Path, name: str, steps: Sequence[str], seed: int) -> RunFolder:
    return RunFolder(folder / f"{name}-{''.join(step[0] for step in steps)}-{seed}")


def _take_steps(finished: RunFolder, run: RunFolder, steps: Sequence[Step]) -> None:
    steps = list(takewhile(lambda step: StepRecord.read(finished.path / step, step).finished, steps))
    # The unit of the margin is the same where the step before it is; it is there once a step has needed it.
    shared = [name for name in ("margin.json",) if steps and (finished.path / name).exists()]
    for name in (*steps, *shared):
        target = run.path / name
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_suffix(".partial")
            if (source := finished.path / name).is_dir():
                shutil.rmtree(partial, ignore_errors=True)
                shutil.copytree(source, partial)
            else:
                shutil.copyfile(source, partial)
            partial.replace(target)


def ndvr(data: ClipData, folder: Path, *, weights: str, seed: int) -> Any:
    """The encoder of NDVR-DML on MobileNet V1, trained by its recipe."""
    run = RunFolder(folder / f"{_name_of(data)}-ndvr-{seed}")
    if not (run.encoder / "encoder.json").exists():
        config = ndvr_dml.NdvrDmlConfig(
            data=data.spec,
            split_column=data.split_column,
            backbone="mobilenet-v1",
            weights=weights,
            image_size=96,
            seed=seed,
            cache=folder / "frame-vectors",
            loop=LoopConfig(epochs=60, evaluate_every=5),
            **{name: value for name, value in data.settings.items() if name in ("frames", "chunk_seconds")},
        )
        if ndvr_dml.train(config, RunContext(run, "ndvr-dml")) is None:
            raise SystemExit("the training was stopped: call again to go on")
    return load_encoder(run.encoder)


def sift_bags(dataset: MediaDataset, words: SiftWordEncoder) -> list[np.ndarray]:
    """The bag of words of every video, of all its sampled frames together, as sequences of one vector (1, W)."""
    codebook = Codebook(np.asarray(words.centres[...]))
    vectors = []
    for number in range(len(dataset)):
        placed = []
        for chunk in read_chunks(dataset, number, words.preprocessing):
            for frame in chunk.pixels:
                found = codebook.assign(sift_features(frame, words.max_features, root=True).descriptors)
                placed.extend([words_of_map(found[None], (1.0, 1.0))] if len(found) else [])
        bags: WordBags = bags_of_words(placed, len(codebook))
        vectors.append(bags.dense().sum(axis=0, keepdims=True).astype(np.float32))
    return vectors


def sift_words(dataset: MediaDataset, numbers: Sequence[int], *, seed: int) -> SiftWordEncoder:
    """A codebook of 500 words, fitted on some videos."""
    size = Preprocessing(height=256, width=256, frames=_FRAMES, chunk_seconds=1e6, resize="limit")
    encoder = SiftWordEncoder(500, size, max_features=300)
    fit_words(encoder, dataset, numbers, seed=seed)
    return encoder
