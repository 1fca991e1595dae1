"""Fitting on sequences in memory: learned codes tell made-up classes better than hashing by chance does."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from flax import nnx

from jaxret.data.items import MediaItem
from jaxret.data.rows import Rows
from jaxret.errors import ConfigError
from jaxret.evaluation import Ranking, evaluate_leave_one_out
from jaxret.models import HashLayer, SoftmaxHead, WeightedAverage
from jaxret.rank import RandomHyperplanes, pack_bits
from jaxret.recipes.clips.deep_hash import DeepHashConfig
from jaxret.recipes.clips.fit import ClassifierTask, _batch_plan, fit_classifier
from jaxret.training import LoopConfig, RunContext, RunFolder, Validation

CLASSES, PER_CLASS, T, D, BITS = 6, 24, 5, 32, 16


def sequences(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Classes differ in 3 of 32 dimensions, and only in one frame of five; all else is noise."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(CLASSES), PER_CLASS)
    vectors = rng.normal(size=(len(labels), T, D)).astype(np.float32)
    centres = np.random.default_rng(0).normal(size=(CLASSES, 3)) * 4
    frames = rng.integers(0, T, len(labels))
    vectors[np.arange(len(labels)), frames, :3] += centres[labels]
    vectors[np.arange(len(labels)), frames, 3] += 6  # what tells the frame that matters
    return vectors, labels


def mean_average_precision(codes: np.ndarray, labels: np.ndarray) -> float:
    items = [MediaItem(str(n), "video", label=str(label)) for n, label in enumerate(labels)]
    rows = Rows(codes, np.arange(len(codes)))
    return evaluate_leave_one_out(rows, items, ranking=Ranking("hamming"))["all"]["mAP"]


@pytest.mark.parametrize("triplet_only", [False, True])
def test_learned_codes_beat_random_hyperplanes_on_data_not_trained_on(tmp_path: Path, triplet_only: bool) -> None:
    vectors, labels = sequences(1)
    unseen, unseen_labels = sequences(2)
    encoder = HashLayer(WeightedAverage(D, rngs=nnx.Rngs(0)), BITS, rngs=nnx.Rngs(0))
    config = DeepHashConfig(bits=BITS, batch_size=48, loop=LoopConfig(epochs=40, evaluate_every=20, patience=0))
    config = dataclasses.replace(config, optimiser=dataclasses.replace(config.optimiser, learning_rate=1e-2))
    if triplet_only:
        config = dataclasses.replace(config, cross_entropy_weight=0.0, triplet_weight=1.0)
    run = RunFolder(tmp_path / "run")
    run.write_config("test", config)

    def figure() -> float:
        return mean_average_precision(pack_bits(np.asarray(encoder(unseen).embedding)), unseen_labels)

    untrained = figure()
    task = ClassifierTask(
        encoder,
        BITS,
        lambda row, rng: {"inputs": vectors[row], "labels": np.int32(labels[row])},
        labels.tolist(),
        Validation(lambda: {"validation mAP": figure()}),
    )
    result = fit_classifier(task, config, RunContext(run, log=str, show_progress=False))
    means = unseen.mean(axis=1)
    by_chance = [
        mean_average_precision(RandomHyperplanes(D, BITS, seed).codes(means), unseen_labels) for seed in range(5)
    ]
    assert result.finished
    assert figure() == pytest.approx(result.best_score)  # the best weights are left in the encoder
    assert figure() > 1.5 * max(*by_chance, untrained)


def test_a_head_that_is_given_classifies_afterwards(tmp_path: Path) -> None:
    vectors, labels = sequences(1)
    encoder = WeightedAverage(D, rngs=nnx.Rngs(0))
    head = SoftmaxHead(encoder.embedding_size, CLASSES, rngs=nnx.Rngs(0))
    loop = LoopConfig(epochs=30, evaluate_every=30)
    config = DeepHashConfig(bits=0, triplet_weight=0.0, batch_size=48, dropout=0.0, loop=loop)
    config = dataclasses.replace(config, optimiser=dataclasses.replace(config.optimiser, learning_rate=1e-2))
    run = RunFolder(tmp_path / "run")
    run.write_config("test", config)

    def right() -> float:
        return float(np.mean(np.asarray(head(encoder(vectors).embedding)).argmax(axis=1) == labels))

    untrained, seen = right(), []
    task = ClassifierTask(
        encoder,
        encoder.embedding_size,
        lambda row, rng: {"inputs": vectors[row], "labels": np.int32(labels[row])},
        labels.tolist(),
        Validation(lambda: seen.append(right()) or {"right": seen[-1]}),
        head=head,
    )
    fit_classifier(task, config, RunContext(run, log=str, show_progress=False))
    assert right() == seen[-1] > max(0.8, untrained)


@pytest.mark.parametrize("settings", [{}, {"triplet_weight": 0.0}, {"cross_entropy_weight": 0.0}, {"bits": 0}])
def test_the_weights_of_the_losses_change_no_batch(settings: dict) -> None:
    labels = [number % 7 for number in range(50)]
    usual, other = (_batch_plan(labels, DeepHashConfig(batch_size=12, **given)) for given in ({}, settings))
    assert (other.batch_size, other.steps_per_epoch) == (usual.batch_size, usual.steps_per_epoch)
    for step in range(10):
        np.testing.assert_array_equal(other.batch(step, 3), usual.batch(step, 3))


def test_without_triplets_a_batch_may_have_one_item_a_class() -> None:
    config = DeepHashConfig(batch_size=5, samples_per_class=1, triplet_weight=0.0)
    items = _batch_plan(list(range(8)), config).batch(0, 0)
    assert len(set(items.tolist())) == 5


def test_classes_of_one_item_have_no_positives(tmp_path: Path) -> None:
    vectors, _ = sequences(1)
    encoder = HashLayer(WeightedAverage(D, rngs=nnx.Rngs(0)), BITS, rngs=nnx.Rngs(0))
    task = ClassifierTask(
        encoder,
        BITS,
        lambda row, rng: {"inputs": vectors[row], "labels": np.int32(row)},
        list(range(8)),
        Validation(dict),
    )
    with pytest.raises(ConfigError, match="each of the 8 training classes has one item: add items, or take one"):
        fit_classifier(task, DeepHashConfig(bits=BITS), RunContext(RunFolder(tmp_path / "run")))
    assert not (tmp_path / "run").exists()
