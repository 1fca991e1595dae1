"""The objective of image-to-video retrieval: its figures, and that training with it makes shots find their frames."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from jaxret.data.batches.loader import TrainingInput
from jaxret.data.batches.plans import ShuffledBatches
from jaxret.data.batches.shot_pairs import ShotPairs
from jaxret.errors import ConfigError
from jaxret.losses import cosine_margin_loss, pair_cosines
from jaxret.models import Mean, TanhHead, TemporalEncoder
from jaxret.training import CosineMarginObjective, SplitModel, make_train_step

D = 8


def shots(count: int = 24) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    made = []
    for centre in rng.normal(size=(count, D)):
        frames = centre + 0.2 * rng.normal(size=(int(rng.integers(2, 7)), D))
        made.append(frames / np.linalg.norm(frames, axis=1, keepdims=True))
    return made


def test_loss_and_figures_are_those_of_the_pairs():
    with TrainingInput(ShotPairs(shots(), max_frames=6), ShuffledBatches(24, 16), threads=0) as batches:
        batch = jax.tree.map(jnp.asarray, next(batches))
    model = Mean(D, rngs=nnx.Rngs(0))
    embedding = model(batch["shots"], batch["lengths"]).embedding
    loss, figures = CosineMarginObjective(0.3)(model, batch)
    assert float(loss) == float(cosine_margin_loss(batch["images"], embedding, batch["positive"], margin=0.3))
    cosines, positive = np.asarray(pair_cosines(batch["images"], embedding)), np.asarray(batch["positive"])
    assert 0 < positive.sum() < 16
    np.testing.assert_allclose(figures["positive_cosine"], cosines[positive].mean(), rtol=1e-5)
    np.testing.assert_allclose(figures["negative_cosine"], cosines[~positive].mean(), rtol=1e-5)
    none = {**batch, "positive": jnp.zeros(16, bool)}
    assert float(CosineMarginObjective()(model, none)[1]["positive_cosine"]) == 0


def test_training_makes_shots_find_their_frames():
    rngs = nnx.Rngs(0)
    made = TanhHead(TemporalEncoder(D, 16, cell="gru", dropout=0.0, rngs=rngs), D, rngs=rngs)
    split = SplitModel(made)
    optimiser = optax.adam(0.01)
    step = make_train_step(split, CosineMarginObjective(), optimiser)
    state = split.initial_state(optimiser, seed=0)
    images = np.stack([shot[0] for shot in shots()])
    padded = np.zeros((24, 6, D), np.float32)
    for row, shot in enumerate(shots()):
        padded[row, : len(shot)] = shot
    lengths = jnp.array([len(shot) for shot in shots()])

    def found() -> float:
        made.eval()
        embedding = np.asarray(made(jnp.asarray(padded), lengths).embedding)
        return float(np.mean((images @ embedding.T).argmax(axis=1) == np.arange(24)))

    before, losses = found(), []
    with TrainingInput(ShotPairs(shots(), max_frames=6), ShuffledBatches(24, 48), threads=0) as batches:
        for _ in range(150):
            state, metrics = step(state, jax.tree.map(jnp.asarray, next(batches)))
            losses.append(float(metrics["loss"]))
    split.write_back(state)
    assert before < 0.3
    assert found() > 0.8
    assert np.mean(losses[-20:]) < 0.5 * np.mean(losses[:5])


def test_a_margin_that_is_no_cosine_is_refused():
    with pytest.raises(ConfigError, match=r"margin must be a cosine in -1\.\.1, got 2\.0"):
        CosineMarginObjective(2.0)
