"""C3D against a NumPy twin, against Keras' layers with the same weights, and against itself."""

from __future__ import annotations

import json
import math
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from reference import c3d as twin

from jaxret.data.datasets.moving_digits import MovingDigits
from jaxret.errors import ConfigError
from jaxret.models import SoftmaxHead, create_backbone
from jaxret.models.backbones.c3d import C3D
from jaxret.models.layers.init import he_normal

DENSE = (24, 12)
SMALL = {"width": 1 / 16, "dense": (16 * 24, 16 * 12), "embedding_size": 10}


@nnx.jit
def encode(net, clips):
    return net(clips)


def clips_of(*shape: int) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, shape, np.uint8)


def small_net_and_arrays(channels: int = 3):
    net = C3D(**SMALL, channels=channels, rngs=nnx.Rngs(0))
    arrays = twin.random_arrays(np.random.default_rng(1), SMALL["width"], (*DENSE, 10), channels)
    for name, (kernel, bias) in arrays.items():
        layer = net.convolutions[name] if name.startswith("conv") else getattr(net, name)
        assert layer.kernel.shape == kernel.shape, name
        layer.kernel[...], layer.bias[...] = kernel, bias
    return net, arrays


# Odd and even sizes of every pooled axis; a last map of more places than the grid, and of fewer.
@pytest.mark.parametrize("shape", [(2, 8, 56, 70, 3), (1, 33, 48, 230, 3), (2, 1, 16, 9, 1)])
def test_every_stage_equals_the_twin(shape):
    net, arrays = small_net_and_arrays(channels=shape[-1])
    clips = clips_of(*shape)
    expected = twin.c3d(arrays, clips)
    encoding = encode(net, clips)
    found = {"embedding": encoding.embedding, **encoding.stages}
    assert sorted(found) == sorted(expected)
    assert set(net.stage_names) == set(encoding.stages)
    for name, array in found.items():
        assert array.shape == expected[name].shape, name
        np.testing.assert_allclose(array, expected[name], atol=1e-4 * np.abs(expected[name]).max(), err_msg=name)


def test_outputs_equal_keras_layers_with_the_same_weights(monkeypatch):
    monkeypatch.setitem(os.environ, "KERAS_BACKEND", "jax")
    keras = pytest.importorskip("keras", reason="keras is not installed (extra `bench`)")
    net, arrays = small_net_and_arrays()
    shape = (8, 100, 100, 3)  # the last pooled map is 1 x 4 x 4, as at the original's 16 x 112 x 112: it is the grid
    clips = clips_of(1, *shape)
    layers = [keras.layers.Rescaling(1 / 64, offset=-127.5 / 64)]
    for name in twin.LAYERS:
        if name.startswith("conv"):
            layers.append(
                keras.layers.Conv3D(arrays[name][0].shape[-1], 3, padding="same", activation="relu", name=name)
            )
        else:
            layers.append(keras.layers.MaxPool3D((1, 2, 2) if name == "pool1" else 2, padding="same", name=name))
    layers.append(keras.layers.Flatten())
    layers += [keras.layers.Dense(arrays[n][0].shape[-1], "relu", name=n) for n in ("fc6", "fc7", "feature")]
    peer = keras.Sequential([keras.Input(shape), *layers])
    for name, weights in arrays.items():
        peer.get_layer(name).set_weights(weights)
    names = ["conv1a", "pool1", "conv3b", "conv5b", "pool5", "fc6", "feature"]
    peer = keras.Model(peer.inputs, [peer.get_layer(name).output for name in names])
    expected = dict(zip(names, peer.predict_on_batch(clips.astype(np.float32)), strict=True))
    encoding = encode(net, clips)
    found = {"feature": encoding.embedding, **encoding.stages}
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, atol=1e-4 * np.abs(array).max(), err_msg=name)


def parameters(module: nnx.Module) -> int:
    return sum(math.prod(p.shape) for p in jax.tree.leaves(nnx.state(module, nnx.Param)))


def test_parameters_are_those_of_the_layers_and_round_to_the_papers_46_million():
    net = nnx.eval_shape(lambda: C3D(rngs=nnx.Rngs(0)))
    head = nnx.eval_shape(lambda: SoftmaxHead(256, 38, rngs=nnx.Rngs(0)))
    ins = [3, 64, 128, 256, 256, 512, 512, 512]
    outs = [64, 128, 256, 256, 512, 512, 512, 512]
    convolutions = sum(27 * a * b + b for a, b in zip(ins, outs, strict=True))
    assert parameters(net.convolutions) == convolutions == 27_655_936
    assert parameters(net) == convolutions + 8193 * 2048 + 2049 * 512 + 513 * 256
    assert round((parameters(net) + parameters(head)) / 1e6) == 46
    original = convolutions + 8193 * 4096 + 4097 * 4096 + 4097 * 487
    assert original * 4 / 2**20 == pytest.approx(305.17, abs=0.05)  # what the paper gives as the size of its model


def test_large_clips_have_the_stages_of_the_paper():
    net = C3D(width=1 / 64, rngs=nnx.Rngs(0))
    for size, last in ((112, (1, 4, 4)), (224, (1, 7, 7))):
        stages = jax.eval_shape(net, jax.ShapeDtypeStruct((3, 16, size, size, 3), jnp.uint8)).stages
        assert stages["pool1"].shape == (3, 16, size // 2, size // 2, 1)
        assert stages["conv5b"].shape == (3, 2, size // 16, size // 16, 8)
        assert stages["pool5"].shape == (3, *last, 8)
        assert stages["grid"].shape == (3, 4, 4, 8)


def test_each_clip_of_a_batch_is_encoded_on_its_own():
    net, _ = small_net_and_arrays()
    clips = clips_of(2, 8, 32, 32, 3)
    together = encode(net, clips).embedding
    assert together.dtype == jnp.float32
    for clip, vector in zip(clips, together, strict=True):
        np.testing.assert_allclose(encode(net, clip[None]).embedding[0], vector, atol=1e-5)
    assert np.abs(together[0] - together[1]).max() > 1e-2


def test_order_of_frames_matters():
    net, _ = small_net_and_arrays()
    clips = clips_of(1, 8, 32, 32, 3)
    difference = np.abs(encode(net, clips).embedding - encode(net, clips[:, ::-1]).embedding).max()
    assert difference > 1e-2


def test_a_network_from_the_config_takes_the_weights():
    net = C3D(**SMALL, dropout=0.5, channels=1, rngs=nnx.Rngs(0))
    again = create_backbone(**json.loads(json.dumps(net.config)), rngs=nnx.Rngs(5))
    assert again.config == net.config
    nnx.update(again, nnx.state(net))
    clips = clips_of(1, 8, 32, 32, 1)
    np.testing.assert_array_equal(encode(again, clips).embedding, encode(net, clips).embedding)


def test_dropout_acts_in_training_only():
    net = C3D(**SMALL, rngs=nnx.Rngs(0))
    clips = clips_of(1, 8, 32, 32, 3)
    np.testing.assert_array_equal(encode(net, clips).embedding, encode(net, clips).embedding)
    net.train()
    first, second = encode(net, clips), encode(net, clips)
    np.testing.assert_array_equal(first.stages["fc6"], second.stages["fc6"])
    assert np.any(first.embedding != second.embedding)
    net.eval()
    np.testing.assert_array_equal(encode(net, clips).embedding, encode(net, clips).embedding)


def test_training_mode_encodes_the_same_and_gradients_reach_every_parameter():
    net = C3D(**SMALL, dropout=0.0, rngs=nnx.Rngs(0))
    clips = clips_of(2, 2, 16, 16, 3)
    in_evaluation = encode(net, clips).embedding
    net.train()

    def loss(net):
        encoding = net(clips)
        return jnp.sum(encoding.embedding**2), encoding.embedding

    gradients, in_training = nnx.jit(nnx.grad(loss, has_aux=True))(net)
    np.testing.assert_allclose(in_training, in_evaluation, atol=1e-4)
    for gradient in jax.tree.leaves(gradients):
        assert np.isfinite(gradient).all()
        assert np.any(gradient != 0)


def test_bfloat16_is_close_and_keeps_float32_parameters():
    net, arrays = small_net_and_arrays()
    half = C3D(**SMALL, dtype="bfloat16", rngs=nnx.Rngs(0))
    nnx.update(half, nnx.state(net))
    clips = clips_of(1, 8, 32, 32, 3)
    encoding = encode(half, clips)
    assert encoding.embedding.dtype == jnp.float32
    assert encoding.stages["conv5b"].dtype == jnp.bfloat16
    assert half.fc6.kernel.dtype == jnp.float32
    expected = twin.c3d(arrays, clips)["embedding"]
    np.testing.assert_allclose(encoding.embedding, expected, atol=0.05 * np.abs(expected).max())


def test_different_clips_have_different_features_before_training():
    """With weights that do not sum to 0 all features point the same way, and there is little to begin to learn from."""
    digits = MovingDigits(train_clips=1, validation_clips=0, test_clips=0)
    clips = digits.render(range(0, 48, 6))[:, :8]
    net = C3D(width=1 / 8, rngs=nnx.Rngs(0))

    def alike() -> float:
        features = np.asarray(encode(net, clips).embedding)
        features = features / np.linalg.norm(features, axis=1, keepdims=True)
        return float(np.mean((features @ features.T)[np.triu_indices(len(clips), 1)]))

    centred = alike()
    for layer in (*net.convolutions.values(), net.fc6, net.fc7, net.feature):
        layer.kernel[...] = he_normal(jax.random.key(3), layer.kernel.shape)
    assert centred < 0.9 < alike()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"width": 0.01}, r"width must be at least 0.015625, got 0.01"),
        ({"width": float("nan")}, "width must be at least 0.015625, got nan"),
        ({"dense": (2048,)}, r"dense must be two numbers of units, each at least 1, got \(2048,\)"),
        ({"dense": (2048, 0)}, r"dense must be two numbers of units, each at least 1, got \(2048, 0\)"),
        ({"embedding_size": 0}, "embedding_size must be at least 1, got 0"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1, got 1.0"),
        ({"channels": 2}, r"channels must be 1 \(grey\) or 3 \(RGB\), got 2"),
        ({"dtype": "float16"}, "dtype must be float32 or bfloat16, got 'float16'"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ConfigError, match=message):
        C3D(**settings, rngs=nnx.Rngs(0))


@pytest.mark.parametrize("shape", [(16, 112, 112, 3), (1, 16, 112, 112, 1), (1, 0, 112, 112, 3)])
def test_bad_clips_are_named(shape):
    net = C3D(width=1 / 64, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"clips must have shape \(B, T, H, W, 3\) for this c3d, got \("):
        net(jnp.zeros(shape, jnp.uint8))
