"""Fusion over time, the hash layer and streams: against NumPy twins, and the rules all of them share."""

from __future__ import annotations

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jitted import apply

from jaxret.errors import ConfigError
from jaxret.models import (
    AttentionFusion,
    Convolution3dFusion,
    ConvolutionFusion,
    HashLayer,
    Maximum,
    Mean,
    SequenceEncoder,
    StreamBackbone,
    StreamFusion,
    Sum,
    TanhHead,
    TemporalEncoder,
    UnitLength,
    WeightedAverage,
    create_backbone,
    create_sequence_encoder,
)
from jaxret.models.encoder import VideoEncoder
from jaxret.models.layers.transformer import sinusoidal_positions
from jaxret.preprocessing import Preprocessing
from jaxret.rank import pack_bits

B, T, D = 3, 7, 8


def vectors() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(B, T, D)).astype(np.float32)


def all_kinds() -> list[SequenceEncoder]:
    rngs = nnx.Rngs(0)
    made: list[SequenceEncoder] = [
        TemporalEncoder(D, 5, bidirectional=True, rngs=rngs),
        Mean(D, rngs=rngs),
        WeightedAverage(D, rngs=rngs),
        ConvolutionFusion(D, 6, layers=3, rngs=rngs),
        Convolution3dFusion(D, 6, grid=2, channels=3, rngs=rngs),
        AttentionFusion(D, 12, heads=3, layers=2, rngs=rngs),
        StreamFusion([WeightedAverage(3, rngs=rngs), ConvolutionFusion(5, 4, rngs=rngs)]),
        Sum(D, rngs=rngs),
        UnitLength(Maximum(D, rngs=rngs)),
        TanhHead(TemporalEncoder(D, 5, cell="gru", rngs=rngs), 9, rngs=rngs),
    ]
    for encoder in made:
        randomise(encoder)
    return [*made, *(HashLayer(encoder, 16, rngs=rngs) for encoder in made)]


def randomise(module: nnx.Module) -> None:
    """Every parameter away from its initial value: a bias of zero would hide a missing one."""
    rng = np.random.default_rng(1)
    state = nnx.state(module, nnx.Param)
    nnx.update(module, jax.tree.map(lambda x: x + 0.3 * rng.normal(size=x.shape).astype(np.float32), state))


KINDS = all_kinds()
NAMES = [f"hash of {k.encoder.kind}" if isinstance(k, HashLayer) else k.kind for k in KINDS]


@pytest.mark.parametrize("encoder", KINDS, ids=NAMES)
def test_padding_changes_nothing_and_the_config_recreates(encoder):
    lengths = jnp.array([T, 4, 1])
    padded = vectors()
    padded[1, 4:], padded[2, 1:] = 1e3, -1e3
    whole = apply(encoder, padded, lengths).embedding
    assert (whole.shape, whole.dtype) == ((B, encoder.embedding_size), jnp.float32)
    for row, length in enumerate([T, 4, 1]):
        alone = apply(encoder, vectors()[row : row + 1, :length]).embedding[0]
        np.testing.assert_allclose(whole[row], alone, atol=2e-6)
    again = create_sequence_encoder(**json.loads(json.dumps(encoder.config)), rngs=nnx.Rngs(3))
    assert again.config == encoder.config
    nnx.update(again, nnx.state(encoder, nnx.Param))
    np.testing.assert_array_equal(apply(again, padded, lengths).embedding, whole)
    assert set(jax.eval_shape(encoder, padded).stages) == set(encoder.stage_names)


@pytest.mark.parametrize("encoder", KINDS, ids=NAMES)
def test_an_empty_sequence_is_finite_with_finite_gradients(encoder):
    def total(inputs: jax.Array) -> jax.Array:
        return jnp.sum(encoder(inputs, jnp.array([0, 2, T])).embedding)

    value, gradient = jax.jit(jax.value_and_grad(total))(vectors())
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    assert not np.asarray(gradient)[0].any()
    assert np.asarray(gradient)[1, :2].any()


@pytest.mark.parametrize("encoder", KINDS, ids=NAMES)
def test_shapes_that_do_not_fit_are_refused(encoder):
    with pytest.raises(ValueError, match=r"vectors must have shape \(B, T, 8\), got \(3, 7, 9\)"):
        encoder(jnp.zeros((B, T, D + 1)))
    with pytest.raises(ValueError, match=r"lengths must have shape \(3,\), got \(2,\)"):
        encoder(jnp.zeros((B, T, D)), jnp.array([1, 2]))


def test_weighted_average_starts_as_the_mean_and_follows_its_equation():
    encoder = WeightedAverage(D, rngs=nnx.Rngs(0))
    for averaging in (encoder, Mean(D, rngs=nnx.Rngs(0))):
        np.testing.assert_allclose(apply(averaging, vectors()).embedding, vectors().mean(axis=1), atol=1e-6)
    randomise(encoder)
    scores = vectors().astype(np.float64) @ np.asarray(encoder.score.kernel[...], np.float64)[:, 0]
    weights = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    encoding = apply(encoder, vectors())
    np.testing.assert_allclose(encoding.stages["weights"], weights, atol=1e-6)
    np.testing.assert_allclose(encoding.embedding, (weights[..., None] * vectors()).sum(axis=1), atol=1e-5)


def test_pooling_over_time_equals_loops_over_frames():
    lengths = [T, 3, 1]
    for pooling, pool in ((Mean, np.mean), (Sum, np.sum), (Maximum, np.max)):
        expected = np.stack([pool(v[:n].astype(np.float64), axis=0) for v, n in zip(vectors(), lengths, strict=True)])
        made = pooling(D, rngs=nnx.Rngs(0))
        np.testing.assert_allclose(apply(made, vectors(), jnp.array(lengths)).embedding, expected, atol=1e-5)
        unit = expected / np.sqrt((expected**2).sum(axis=1, keepdims=True))
        found = apply(UnitLength(made), vectors(), jnp.array(lengths)).embedding
        np.testing.assert_allclose(found, unit, atol=1e-6)
    np.testing.assert_array_equal(made(jnp.asarray(vectors()), jnp.array([0, 2, T])).embedding[0], 0)


def test_the_tanh_head_follows_its_equation():
    encoder = next(k for k in KINDS if isinstance(k, TanhHead))
    encoding = apply(encoder, vectors())
    hidden = np.asarray(encoding.stages["hidden_embedding"], np.float64)
    np.testing.assert_array_equal(hidden, apply(encoder.encoder, vectors()).embedding)
    bent = np.tanh(hidden @ np.asarray(encoder.linear.kernel[...], np.float64) + np.asarray(encoder.linear.bias[...]))
    expected = bent / np.sqrt((bent**2).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(encoding.embedding, expected, atol=1e-6)
    assert np.ptp(expected) > 0.1


def test_convolution_fusion_equals_loops_over_time():
    encoder = next(k for k in KINDS if isinstance(k, ConvolutionFusion))
    for row, sequence in enumerate(vectors().astype(np.float64)):
        for convolution in encoder.convolutions:
            kernel, bias = np.asarray(convolution.kernel[...], np.float64), np.asarray(convolution.bias[...])
            padded = np.pad(sequence, [(1, 1), (0, 0)])
            convolved = [
                sum(padded[t + offset] @ kernel[offset] for offset in range(3)) + bias for t in range(len(sequence))
            ]
            rectified = np.maximum(convolved, 0)
            sequence = np.stack([rectified[t : t + 2].max(axis=0) for t in range(0, len(rectified), 2)])
        got = apply(encoder, vectors()).embedding[row]
        np.testing.assert_allclose(got, sequence.mean(axis=0), rtol=1e-4, atol=1e-5)


def test_attention_fusion_equals_its_equations_in_numpy():
    encoder = next(k for k in KINDS if isinstance(k, AttentionFusion))

    def linear(layer, x):
        return x @ np.asarray(layer.kernel[...], np.float64) + np.asarray(layer.bias[...], np.float64)

    def norm(layer, x):
        scaled = (x - x.mean(axis=-1, keepdims=True)) / np.sqrt(x.var(axis=-1, keepdims=True) + layer.epsilon)
        return scaled * np.asarray(layer.scale[...]) + np.asarray(layer.bias[...])

    def softmax(x):
        return np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)

    def gelu(x):
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))

    for row, sequence in enumerate(vectors().astype(np.float64)):
        hidden = linear(encoder.project, sequence)
        angles = np.arange(T)[:, None] / 10_000 ** (np.arange(6) / 6)
        hidden = hidden + np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
        for layer in encoder.layers:
            x = norm(layer.attention_norm, hidden)
            q, k, v = (
                np.einsum("td,dhe->hte", x, np.asarray(part.kernel[...], np.float64))
                + np.asarray(part.bias[...])[:, None]
                for part in (layer.attention.query, layer.attention.key, layer.attention.value)
            )
            heads = softmax(q @ k.transpose(0, 2, 1) / math.sqrt(4)) @ v
            hidden = hidden + np.einsum("hte,hed->td", heads, np.asarray(layer.attention.out.kernel[...]))
            hidden = hidden + np.asarray(layer.attention.out.bias[...])
            hidden = hidden + linear(layer.narrow, gelu(linear(layer.widen, norm(layer.mlp_norm, hidden))))
        outputs = norm(encoder.norm, hidden)
        weights = softmax(outputs @ np.asarray(encoder.pool.score.kernel[...], np.float64)[:, 0])
        got = apply(encoder, vectors()).embedding[row]
        np.testing.assert_allclose(got, weights @ outputs, rtol=1e-4, atol=1e-4)


def test_order_matters_to_attention_and_not_to_the_weighted_average():
    for encoder in KINDS[:5]:
        turned = apply(encoder, vectors()[:, ::-1]).embedding - apply(encoder, vectors()).embedding
        assert (np.abs(turned).max() < 1e-5) == isinstance(encoder, (Mean, WeightedAverage))
    assert np.abs(np.diff(sinusoidal_positions(64, 12), axis=0)).max(axis=1).min() > 0.1


def test_dropout_is_on_in_training_only():
    for encoder in (ConvolutionFusion(D, 6, dropout=0.5, rngs=nnx.Rngs(0)), AttentionFusion(D, 12, rngs=nnx.Rngs(0))):
        inputs = vectors()
        np.testing.assert_array_equal(apply(encoder, inputs).embedding, apply(encoder, inputs).embedding)
        encoder.train()
        assert np.abs(apply(encoder, inputs).embedding - apply(encoder, inputs).embedding).max() > 1e-4


def test_the_code_is_the_sign_of_the_linear_layer():
    encoder = next(k for k in KINDS if isinstance(k, HashLayer))
    encoding = apply(encoder, vectors())
    before = np.asarray(encoding.stages["real_embedding"], np.float64)
    kernel, bias = (np.asarray(part[...], np.float64) for part in (encoder.linear.kernel, encoder.linear.bias))
    scores = before @ kernel + bias
    np.testing.assert_allclose(encoding.embedding, 1 / (1 + np.exp(-scores)), atol=1e-6)
    np.testing.assert_array_equal(pack_bits(np.asarray(encoding.embedding)), np.packbits(scores >= 0, 1, "little"))


@pytest.mark.parametrize("bits", [0, -8, 63, 100])
def test_bits_must_fill_whole_bytes(bits):
    with pytest.raises(ConfigError, match=rf"bits must be a positive multiple of 8 .*got {bits}"):
        HashLayer(WeightedAverage(D, rngs=nnx.Rngs(0)), bits, rngs=nnx.Rngs(0))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda r: ConvolutionFusion(D, window=2, rngs=r), "window must be odd, got 2"),
        (lambda r: ConvolutionFusion(D, layers=0, rngs=r), "layers must be at least 1, got 0"),
        (lambda r: ConvolutionFusion(D, dropout=1.0, rngs=r), "dropout must be at least 0 and below 1, got 1.0"),
        (lambda r: AttentionFusion(D, 10, heads=4, rngs=r), "even and a multiple of heads 4, got 10"),
        (lambda r: WeightedAverage(0, rngs=r), "input_size must be at least 1, got 0"),
        (lambda r: StreamFusion([]), "at least one encoder"),
        (lambda r: StreamFusion([HashLayer(WeightedAverage(D, rngs=r), 8, rngs=r)]), "after the fusion of streams"),
        (lambda r: HashLayer(HashLayer(WeightedAverage(D, rngs=r), 8, rngs=r), 8, rngs=r), "of 8 bits already"),
        (lambda r: UnitLength(HashLayer(Mean(D, rngs=r), 8, rngs=r)), "not scaled, and the encoder gives 8 bits"),
        (lambda r: TanhHead(HashLayer(Mean(D, rngs=r), 8, rngs=r), 4, rngs=r), "and the encoder gives 8 bits"),
        (lambda r: TanhHead(Mean(D, rngs=r), 0, rngs=r), "size must be at least 1, got 0"),
        (lambda r: create_sequence_encoder("averaged", rngs=r), "did you mean 'weighted-average'"),
        (lambda r: StreamBackbone([]), "at least one backbone"),
        (
            lambda r: StreamBackbone([create_backbone("small-convnet", channels=1, rngs=r)]),
            "takes 3 channels, got one of 1",
        ),
        (
            lambda r: StreamBackbone(
                [*[create_backbone("small-convnet", rngs=r)] * 2, create_backbone("small-convnet", rngs=r)]
            ),
            "share one backbone or have one each, got 2 backbones for 3 streams",
        ),
    ],
)
def test_bad_settings_are_named(make, message):
    with pytest.raises(ConfigError, match=message):
        make(nnx.Rngs(0))


@pytest.mark.parametrize("shared", [True, False])
def test_streams_are_encoded_apart_and_joined(shared):
    rngs = nnx.Rngs(0)
    parts = [create_backbone("small-convnet", widths=[2, 3], grid=2, embedding_size=5, rngs=rngs) for _ in range(2)]
    parts = [parts[0], parts[0] if shared else parts[1]]
    backbone = StreamBackbone(parts)
    pictures = np.random.default_rng(0).integers(0, 256, (B, 16, 16, 6), np.uint8)
    apart = [part(jnp.asarray(pictures[..., 3 * n : 3 * n + 3])).embedding for n, part in enumerate(parts)]
    np.testing.assert_array_equal(backbone(jnp.asarray(pictures)).embedding, np.concatenate(apart, axis=1))
    again = create_backbone(**json.loads(json.dumps(backbone.config)), rngs=nnx.Rngs(1))
    assert again.config == backbone.config
    sizes = [sum(x.size for x in jax.tree.leaves(nnx.state(b, nnx.Param))) for b in (parts[0], backbone)]
    assert sizes[1] == sizes[0] * (1 if shared else 2)
    fusion = StreamFusion([WeightedAverage(5, rngs=rngs), ConvolutionFusion(5, 4, rngs=rngs)])
    vectors = jnp.asarray(np.random.default_rng(1).normal(size=(B, T, 10)), jnp.float32)
    joined = fusion(vectors)
    np.testing.assert_array_equal(joined.embedding[:, :5], fusion.streams[0](vectors[..., :5]).embedding)
    np.testing.assert_array_equal(joined.embedding[:, 5:], fusion.streams[1](vectors[..., 5:]).embedding)
    with pytest.raises(ConfigError, match="streams need one backbone for all or one each, got 2"):
        create_backbone("streams", backbones=[p.config for p in parts], streams=3, rngs=rngs)


def test_an_encoder_with_a_hash_layer_says_its_bits():
    rngs = nnx.Rngs(0)
    backbone = create_backbone("small-convnet", widths=[2, 3], grid=2, embedding_size=5, rngs=rngs)
    plain = VideoEncoder(backbone, WeightedAverage(5, rngs=rngs), Preprocessing(16, 16, frames=T))
    hashed = VideoEncoder(
        backbone, HashLayer(WeightedAverage(5, rngs=rngs), 24, rngs=rngs), Preprocessing(16, 16, frames=T)
    )
    assert (plain.code_bits, hashed.code_bits, hashed.clip_embedding_size) == (0, 24, 24)
