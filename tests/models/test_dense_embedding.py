"""The parts of NDVR-DML: several layers max-pooled, and dense layers on the mean over a video, against NumPy."""

from __future__ import annotations

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxret.errors import ConfigError
from jaxret.models import DenseEmbedding, MaxPooledLayers, create_backbone, create_sequence_encoder
from jaxret.models.encoder import VideoEncoder
from jaxret.models.store import load_encoder, save_encoder
from jaxret.preprocessing import Preprocessing


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def small():
    return create_backbone("small-convnet", widths=[5, 7, 3], rngs=nnx.Rngs(0))


def test_each_max_pooled_layer_has_length_1_and_they_stand_side_by_side() -> None:
    backbone = small()
    pictures = jnp.asarray(np.random.default_rng(0).integers(0, 256, (2, 40, 56, 3), np.uint8))
    stages = backbone(pictures).stages
    net = MaxPooledLayers(backbone, ["conv_3", "conv_1"])
    found = net(pictures)
    assert net.embedding_size == 8
    for number in range(2):
        parts = [unit(np.asarray(stages[name])[number].max(axis=(0, 1))) for name in ("conv_3", "conv_1")]
        np.testing.assert_allclose(found.embedding[number], np.concatenate(parts), atol=1e-5)
    assert set(found.stages) == set(backbone.stage_names) == set(net.stage_names)


def test_layers_after_the_last_map_cost_nothing() -> None:
    backbone = create_backbone("mobilenet-v1", width=0.125, rngs=nnx.Rngs(0))
    images = jax.ShapeDtypeStruct((1, 32, 64, 3), jnp.uint8)

    def flops(net) -> float:
        return jax.jit(lambda net, x: net(x).embedding).lower(net, images).compile().cost_analysis()["flops"]

    assert flops(MaxPooledLayers(backbone, ["conv1", "conv_pw_2"])) < 0.5 * flops(backbone)


def test_the_mean_over_the_frames_that_count_then_tanh_layers() -> None:
    encoder = DenseEmbedding(6, [5, 4], rngs=nnx.Rngs(0))
    rng = np.random.default_rng(1)
    vectors, lengths = rng.normal(size=(3, 7, 6)).astype("f4"), np.array([7, 2, 1])
    found = encoder(jnp.asarray(vectors), jnp.asarray(lengths))
    for number, length in enumerate(lengths):
        mean = vectors[number, :length].astype("f8").mean(axis=0)
        hidden = video = unit(mean - mean.mean())
        for layer in encoder.layers:
            hidden = np.tanh(hidden @ np.asarray(layer.kernel[...]) + np.asarray(layer.bias[...]))
        np.testing.assert_allclose(found.embedding[number], unit(hidden), atol=1e-5)
        np.testing.assert_allclose(found.stages["video_vector"][number], video, atol=1e-5)
    # Padding changes nothing, and of an empty or constant vector nothing is left but finite numbers.
    vectors[1, 2:] = 1e6
    again = encoder(jnp.asarray(vectors), jnp.asarray(lengths)).embedding
    np.testing.assert_array_equal(again, found.embedding)
    assert np.isfinite(encoder(jnp.zeros((1, 2, 6)), jnp.array([0])).embedding).all()


def test_both_are_stored_and_recreated_from_their_config(tmp_path) -> None:
    net = MaxPooledLayers(small(), ["conv_1", "conv_2"])
    assert create_backbone(**json.loads(json.dumps(net.config)), rngs=nnx.Rngs(1)).config == net.config
    embedding = DenseEmbedding(12, [9, 4], rngs=nnx.Rngs(0))
    settings = json.loads(json.dumps(embedding.config))
    assert create_sequence_encoder(**settings, rngs=nnx.Rngs(1)).config == embedding.config
    encoder = VideoEncoder(net, embedding, Preprocessing(height=40, width=56, frames=2))
    save_encoder(encoder, tmp_path / "encoder")
    clips = np.random.default_rng(0).integers(0, 256, (1, 2, 40, 56, 3), np.uint8)
    np.testing.assert_array_equal(load_encoder(tmp_path / "encoder").encode_clips(clips), encoder.encode_clips(clips))


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([], "layers must name at least one feature map of small-convnet, got none"),
        (["conv_1", "conv_1"], "layers must name each feature map once, got conv_1, conv_1"),
        (["conv_4"], "unknown stage of small-convnet 'conv_4': did you mean 'conv_"),
    ],
)
def test_layers_that_do_not_fit_are_refused(layers, message) -> None:
    with pytest.raises(ConfigError, match=message):
        MaxPooledLayers(small(), layers)


def test_widths_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least one dense layer, got none"):
        DenseEmbedding(4, [], rngs=nnx.Rngs(0))
    with pytest.raises(ConfigError, match=r"widths\[1\] must be at least 1, got 0"):
        DenseEmbedding(4, [3, 0], rngs=nnx.Rngs(0))
