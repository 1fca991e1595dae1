"""What the papers train on a draw of classes: the LSTM of system 1 and the hash layer of system 3."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from flax import nnx
from numpy.typing import NDArray
from studies.unseen_classes.videos import Videos, embedded

from jaxret.metrics import average_precision, relevance_by_label
from jaxret.models import HashLayer, SequenceEncoder, TemporalEncoder
from jaxret.rank import euclidean_topk
from jaxret.recipes.clip_settings import ClipTrainingConfig
from jaxret.recipes.clips.cnn_lstm import CnnLstmConfig
from jaxret.recipes.clips.deep_hash import DeepHashConfig, make_fusion
from jaxret.recipes.clips.fit import ClassifierTask, fit_classifier
from jaxret.training import LoopConfig, RunContext, RunFolder, Validation

LOOP = LoopConfig(epochs=40, evaluate_every=5, patience=2)


def lstm(videos: Videos, seed: int, folder: Path) -> SequenceEncoder:
    """The encoder of system 1: 256 units, last state, cross-entropy."""
    config = CnnLstmConfig(seed=seed, loop=LOOP)
    size = videos.vectors.shape[2]
    encoder = TemporalEncoder(size, config.units, dropout=config.dropout, rngs=nnx.Rngs(seed))
    return _trained(encoder, videos, config, folder)


def hash_layer(videos: Videos, bits: int, seed: int, folder: Path) -> SequenceEncoder:
    """The encoder of system 3: weighted average, hash layer, cross-entropy and triplets."""
    config = DeepHashConfig(seed=seed, loop=LOOP, bits=bits, fusion="weighted-average")
    rngs = nnx.Rngs(seed)
    fusion = make_fusion(config, videos.vectors.shape[2], rngs)
    return _trained(HashLayer(fusion, bits, rngs=rngs), videos, config, folder)


def _trained(encoder: SequenceEncoder, videos: Videos, config: ClipTrainingConfig, folder: Path) -> SequenceEncoder:
    """Trained on the draw's training videos but a tenth of their sources, which picks the epoch."""
    classes, train = videos.draw(config.seed)
    held = held_out(videos, train, config.seed)
    fitted, validation = train[~held], train[held]
    labels = np.searchsorted(classes, videos.labels)

    def read(row: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return {"inputs": videos.vectors[fitted[row]], "labels": np.int32(labels[fitted[row]])}

    def evaluate() -> dict[str, float]:
        vectors = embedded(encoder, videos.vectors)
        ranked = euclidean_topk(vectors[validation], vectors[fitted], len(fitted))
        relevance = relevance_by_label(ranked.ids, videos.labels[validation], videos.labels[fitted])
        return {"validation mAP": float(average_precision(relevance).mean)}

    run = RunFolder(folder)
    run.write_config("cnn-lstm", config)
    task = ClassifierTask(encoder, encoder.embedding_size, read, labels[fitted].tolist(), Validation(evaluate))
    result = fit_classifier(task, config, RunContext(run, log=str, show_progress=False))
    if not result.finished:
        raise SystemExit(f"stopped and saved in {folder}: call again to go on")
    return encoder


def held_out(videos: Videos, train: NDArray[np.int64], seed: int) -> NDArray[np.bool_]:
    """Which training videos are of the tenth of their sources that validates."""
    sources = np.random.default_rng(seed).permutation(np.unique(videos.sources[train]))
    return np.isin(videos.sources[train], sources[: max(1, len(sources) // 10)])
