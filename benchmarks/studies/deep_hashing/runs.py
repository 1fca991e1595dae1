"""The trainings of accuracy_deep_hashing.py and their figures: of frame vectors, and of videos by the recipe itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx
from studies.deep_hashing.data import FrameSource, Sequences

from jaxret.data.rows import Rows
from jaxret.evaluation import LabelProtocol, Ranking, evaluate_queries
from jaxret.models import HashLayer, SequenceEncoder, StreamFusion, load_encoder
from jaxret.rank import RandomHyperplanes, pack_bits
from jaxret.recipes.clip_media import embed_items
from jaxret.recipes.clips import deep_hash
from jaxret.recipes.clips.deep_hash import DeepHashConfig, make_fusion
from jaxret.recipes.clips.fit import ClassifierTask, fit_classifier
from jaxret.retrieval.encode import clip_rows, code_rows
from jaxret.training import LoopConfig, RunContext, RunFolder, Validation, read_run_log

__all__ = ["END_TO_END_EPOCHS", "END_TO_END_FRAMES", "END_TO_END_PIXELS", "train_and_score", "trained_by_recipe"]

END_TO_END_PIXELS, END_TO_END_FRAMES, END_TO_END_EPOCHS = 96, 8, 3
METRICS = {"mAP@10": "mAP@10", "mAP@10 tie-averaged": "mAP@10, ties averaged"}


def make_sequence_encoder(data: Sequences, config: DeepHashConfig) -> SequenceEncoder:
    """What is trained: the fusion of each stream, and the hash layer."""
    rngs = nnx.Rngs(config.seed)
    parts = [make_fusion(config, data.size // data.streams, rngs) for _ in range(data.streams)]
    return HashLayer(parts[0] if data.streams == 1 else StreamFusion(parts), config.bits, rngs=rngs)


def embed(encoder: SequenceEncoder, vectors: np.ndarray) -> np.ndarray:
    """(N, T, D) to activations (N, bits)."""
    encode = jax.jit(lambda inputs: encoder(inputs).embedding)
    padded = np.pad(vectors, [(0, -len(vectors) % 256), (0, 0), (0, 0)])
    return np.concatenate([np.asarray(encode(part)) for part in np.split(padded, len(padded) // 256)])[: len(vectors)]


def figures_of(data: Sequences, queries: np.ndarray, gallery: np.ndarray, rows: tuple, ranking: Ranking) -> dict:
    """mAP@10 of `queries` among `gallery`, whose rows are given."""
    figures = evaluate_queries(
        Rows(rows[0], np.arange(len(queries))),
        [data.items[n] for n in queries],
        Rows(rows[1], np.arange(len(gallery))),
        [data.items[n] for n in gallery],
        ranking,
        LabelProtocol(ks=(10,)),
    )["all"]
    return {shown: figures[name] for name, shown in METRICS.items() if name in figures}


def train_and_score(make_data: Callable[[], Sequences], config: DeepHashConfig, folder: Path) -> dict[str, Any]:
    """The figures of one training by method; read from the folder where it has been done before."""
    done = folder / "judged.json"
    if done.exists():
        return json.loads(done.read_text())
    data = make_data()
    run = RunFolder(folder)
    run.write_config("deep-hash", config)
    encoder = make_sequence_encoder(data, config)
    held_back, trained_on = data.evenly(data.validation), data.evenly(data.train)

    def evaluate() -> dict[str, float]:
        rows = pack_bits(embed(encoder, held_back)), pack_bits(embed(encoder, trained_on))
        figure = figures_of(data, data.validation, data.train, rows, Ranking("hamming"))["mAP@10"]
        return {"validation mAP": figure}  # `fit` picks the epoch by this name

    task = ClassifierTask(encoder, config.bits, data.read, data.labels, Validation(evaluate))
    result = fit_classifier(task, config, RunContext(run, log=str, show_progress=False))
    if not result.finished:
        raise SystemExit(f"stopped and saved in {run.path}: call again to go on")
    gallery = data.gallery
    queries_in, gallery_in = data.evenly(data.test), data.evenly(gallery)
    queries, stored = embed(encoder, queries_in), embed(encoder, gallery_in)
    trained = np.isin(gallery, data.train)
    known = stored[trained].mean(axis=0)
    means = queries_in.mean(axis=1), gallery_in.mean(axis=1)

    def lsh(rows: tuple[np.ndarray, np.ndarray], center: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        planes = RandomHyperplanes(len(center), config.bits, config.seed, center=center)
        return planes.codes(rows[0]), planes.codes(rows[1])

    rows = {
        "learned codes": ((pack_bits(queries), pack_bits(stored)), Ranking("hamming")),
        "their activations, not rounded, Euclidean": ((queries, stored), Ranking()),
        "LSH of the activations": (lsh((queries, stored), known), Ranking("hamming")),
        "LSH of mean frame vectors": (lsh(means, means[1][trained].mean(axis=0)), Ranking("hamming")),
        "mean frame vectors, cosine": (means, Ranking("cosine")),
    }
    scores: dict[str, Any] = {
        method: figures_of(data, data.test, gallery, part, ranking) for method, (part, ranking) in rows.items()
    }
    scores["validation"] = evaluate()
    np.save(folder / "gallery_codes.npy", pack_bits(stored))
    partial = done.with_suffix(".partial")
    partial.write_text(json.dumps(scores, indent=1))
    partial.replace(done)
    return scores


def trained_by_recipe(source: FrameSource, seed: int, freeze: bool, folder: Path) -> dict[str, float]:
    """mAP@10 of a run of the recipe, done first if it is not there yet, and what its log says of the training."""
    run = RunFolder(folder)
    # Every epoch is kept and none is picked: a tenth of the training clips is few to pick by.
    loop = LoopConfig(epochs=END_TO_END_EPOCHS, evaluate_every=END_TO_END_EPOCHS)
    config = DeepHashConfig(
        data=source.data,
        split_column=source.split_column(seed),
        weights=source.weights,
        backbone=source.backbone,
        image_size=END_TO_END_PIXELS,
        frames=END_TO_END_FRAMES,
        fusion="weighted-average",
        freeze=freeze,
        backbone_learning_rate=None if freeze else 1e-4,
        batch_size=16,
        loop=loop,
        seed=seed,
        cache=source.cache if freeze else None,
    )
    if not run.figures.exists():
        deep_hash.train(config, RunContext(run, "deep-hash"))
    if not run.figures.exists():
        raise SystemExit(f"stopped and saved in {run.path}: call again to go on")
    dataset, splits = source.dataset(seed)
    gallery = np.concatenate([splits.train, splits.validation])
    encoder = load_encoder(run.encoder)
    wanted = np.concatenate([splits.test, gallery]).tolist()
    media = embed_items(dataset, encoder, wanted, threads=1)[0]
    codes = [code_rows(clip_rows({int(n): media[int(n)] for n in part}, encoder)) for part in (splits.test, gallery)]
    figures = evaluate_queries(
        *(part for rows in codes for part in _places(rows, dataset.items)),
        Ranking("hamming"),
        LabelProtocol(ks=(10,)),
    )["all"]
    (log,) = read_run_log(run.metrics)  # of the one evaluation, means over all steps
    training = {"training accuracy, all steps": log["train_accuracy"], "training loss, all steps": log["loss"]}
    return {shown: figures[name] for name, shown in METRICS.items() if name in figures} | training


def _places(rows: Rows, items: Any) -> tuple[Rows, list[Any]]:
    """Rows whose items are numbered from 0, and those items."""
    numbers, places = np.unique(rows.items, return_inverse=True)
    return Rows(rows.vectors, places), [items[n] for n in numbers]
