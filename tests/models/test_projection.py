"""A projection behind an encoder: what it computes, that training leaves it alone, and that it is stored with it."""

from __future__ import annotations

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from jitted import apply
from safetensors.numpy import load_file

from jaxret.errors import ConfigError
from jaxret.models import (
    Backbone,
    HashLayer,
    LinearProjection,
    ProjectedBackbone,
    ProjectedEncoder,
    StreamBackbone,
    TemporalEncoder,
    create_backbone,
    create_sequence_encoder,
)
from jaxret.models.encoder import VideoEncoder
from jaxret.models.store import encoder_arrays, fingerprint, load_encoder, parameter_count, save_encoder
from jaxret.preprocessing import Preprocessing
from jaxret.recipes.clips.fit import EmbeddingClassifier
from jaxret.training import SplitModel

B, T, H, D, U, E = 3, 4, 16, 6, 5, 2


def numbers(size: int, seed: int = 0, kept: int = E) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=size), rng.normal(size=(size, kept))


def projected(seed: int = 0) -> ProjectedEncoder:
    made = ProjectedEncoder(TemporalEncoder(D, U, dropout=0.5, rngs=nnx.Rngs(0)), E)
    made.projection.assign(*numbers(U, seed))
    made.eval()
    return made


def backbone() -> ProjectedBackbone:
    made = ProjectedBackbone(create_backbone("small-convnet", widths=[2], embedding_size=8, rngs=nnx.Rngs(0)), D)
    made.projection.assign(*numbers(8, 3, D))
    return made


def sequences() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(B, T, D)).astype(np.float32)


class OfChunks(Backbone):
    name, unit, embedding_size = "of-chunks", "chunk", 4


def test_a_projection_is_a_centred_product():
    made, vectors = projected(), sequences()
    mean, components = numbers(U)
    encoding = apply(made, vectors, jnp.array([T, 2, 0]))
    before = apply(made.encoder, vectors, jnp.array([T, 2, 0]))
    expected = (np.asarray(before.embedding, np.float64) - mean) @ components
    np.testing.assert_allclose(encoding.embedding, expected, atol=1e-6)
    np.testing.assert_array_equal(encoding.stages["unprojected_embedding"], before.embedding)
    assert set(encoding.stages) == set(made.stage_names)
    assert np.ptp(expected) > 0.1
    assert made.code_bits == 0


def test_before_numbers_are_given_the_first_entries_are_kept():
    vectors = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 5)), jnp.bfloat16)
    found = LinearProjection(5, 3)(vectors)
    assert found.dtype == jnp.float32
    np.testing.assert_array_equal(found, vectors[..., :3].astype(jnp.float32))


def test_frame_vectors_are_projected_behind_a_backbone():
    made = backbone()
    pictures = jnp.asarray(np.random.default_rng(0).integers(0, 256, (B, H, H, 3), np.uint8))
    encoding, before = apply(made, pictures), apply(made.backbone, pictures).embedding
    mean, components = numbers(8, 3, D)
    np.testing.assert_allclose(encoding.embedding, (np.asarray(before, np.float64) - mean) @ components, atol=1e-4)
    np.testing.assert_array_equal(encoding.stages["unprojected"], before)
    assert set(encoding.stages) == set(made.stage_names)
    again = create_backbone(**json.loads(json.dumps(made.config)), rngs=nnx.Rngs(1))
    assert again.config == made.config
    joined = apply(StreamBackbone([made, made]), np.concatenate([pictures, pictures[::-1]], axis=-1)).embedding
    np.testing.assert_allclose(joined[:, :D], encoding.embedding, atol=1e-4)
    np.testing.assert_allclose(joined[:, D:], encoding.embedding[::-1], atol=1e-4)


def test_config_recreates_the_shape_also_below_a_hash_layer():
    made = HashLayer(projected(), 8, rngs=nnx.Rngs(0))
    again = create_sequence_encoder(**json.loads(json.dumps(made.config)), rngs=nnx.Rngs(1))
    assert again.config == made.config
    assert again.embedding_size == again.code_bits == 8
    assert set(jax.eval_shape(again, sequences()).stages) == set(again.stage_names)
    assert "projection to 2 numbers, then codes of 8 bits" in made.summary


def test_an_encoder_stores_its_projections_and_is_another_with_others(tmp_path):
    made = VideoEncoder(backbone(), projected(), Preprocessing(height=H, width=H, frames=T))
    save_encoder(made, tmp_path / "encoder")
    stored = load_file(tmp_path / "encoder" / "weights.safetensors")
    np.testing.assert_array_equal(stored["temporal.projection.mean"], numbers(U)[0].astype(np.float32))
    np.testing.assert_array_equal(stored["backbone.projection.components"], numbers(8, 3, D)[1].astype(np.float32))
    loaded = load_encoder(tmp_path / "encoder")
    assert fingerprint(loaded) == fingerprint(made)
    clips = np.random.default_rng(0).integers(0, 256, (B, T, H, H, 3), np.uint8)
    np.testing.assert_array_equal(loaded.encode_clips(clips), made.encode_clips(clips))
    assert loaded.encode_clips(clips).shape == (B, E)
    assert (loaded.frame_embedding_size, loaded.clip_embedding_size) == (D, E)
    before = fingerprint(made)
    made.temporal.projection.assign(*numbers(U, 7))
    assert fingerprint(made) != before


def test_training_leaves_the_projection_alone():
    encoder = projected()
    arrays, parameters = encoder_arrays(encoder), parameter_count(encoder)
    assert {"projection.mean", "projection.components"} <= set(arrays)
    assert parameters == parameter_count(encoder.encoder)
    split = SplitModel(EmbeddingClassifier(encoder, E, 3, dropout=0.0, rngs=nnx.Rngs(1)))
    optimiser = optax.adamw(0.1, weight_decay=0.5)
    state = split.initial_state(optimiser, seed=0)

    def loss(weights):
        model = split.merge(weights, state.statistics, jax.random.key(0))
        return (model(jnp.asarray(sequences()))[1] ** 2).sum()

    gradients = jax.jit(jax.grad(loss))(state.parameters)
    with jax.numpy_dtype_promotion("standard"):  # optax's own
        updates, _ = optimiser.update(gradients, state.optimiser, state.parameters)
    changed = dataclasses.replace(state, parameters=optax.apply_updates(state.parameters, updates))
    split.write_back(changed)
    after = encoder_arrays(encoder)
    same = {name for name in arrays if np.array_equal(arrays[name], after[name])}
    assert same == {"projection.mean", "projection.components"}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ProjectedEncoder(TemporalEncoder(D, U, rngs=nnx.Rngs(0)), 0), "size must be at least 1, got 0"),
        (lambda: ProjectedEncoder(TemporalEncoder(D, U, rngs=nnx.Rngs(0)), 6), "at most the 5 numbers .* got 6"),
        (lambda: ProjectedEncoder(HashLayer(projected(), 8, rngs=nnx.Rngs(0)), 4), "before a hash layer.* 8 bits"),
        (lambda: ProjectedBackbone(OfChunks(), 2), "of-chunks takes chunks: put the projection behind the encoder"),
        (lambda: create_sequence_encoder("projectid", rngs=nnx.Rngs(0)), "did you mean 'projected'"),
        (lambda: create_backbone("project", rngs=nnx.Rngs(0)), "did you mean 'projected'"),
    ],
)  # fmt: skip
def test_projections_that_cannot_be_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


@pytest.mark.parametrize(
    ("mean", "components", "message"),
    [
        (np.zeros(4), np.zeros((5, 2)), r"mean must have shape \(5,\), got \(4,\)"),
        (np.zeros(5), np.zeros((2, 5)), r"components must have shape \(5, 2\), got \(2, 5\)"),
        (np.zeros(5), np.full((5, 2), 1e39), "components must be finite in float32"),
        (np.full(5, np.nan), np.zeros((5, 2)), "mean must be finite"),
    ],
)
def test_numbers_that_do_not_fit_change_nothing(mean, components, message):
    projection = LinearProjection(5, 2)
    before = encoder_arrays(projection)
    with pytest.raises(ValueError, match=message):
        projection.assign(mean, components)
    for name, array in encoder_arrays(projection).items():
        np.testing.assert_array_equal(array, before[name])
