"""The autoencoders of system 2 against their parts put together by hand, the paper's sizes, and themselves."""

from __future__ import annotations

import functools
import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from jaxret.errors import ConfigError
from jaxret.models import Mean, create_backbone
from jaxret.models.conv_lstm.autoencoder import AUTOENCODERS, ConvLstmAutoencoder, create_autoencoder
from jaxret.models.conv_lstm.volumes import scatter_to_planes
from jaxret.models.encoder import VideoEncoder
from jaxret.models.registry import create_encoder
from jaxret.models.store import load_encoder, save_encoder
from jaxret.preprocessing import Preprocessing
from jaxret.training import ReconstructionObjective, SplitModel

TINY = {
    "height": 8,
    "width": 4,
    "blocks": 2,
    "embedding_size": 6,
    "map_channels": 5,
    "recurrent_channels": 4,
    "residual_channels": 3,
}
SMALL_TRANSFORMER = {"layers": 1, "units": 16, "feed_forward": 12}


@nnx.jit
def reconstruct(model, clips):
    return model.reconstruct(clips)


@nnx.jit
def run(layer, maps):
    return layer(maps)


def tiny(name: str, **changes) -> ConvLstmAutoencoder:
    settings = {**TINY, **({"depth_planes": 4} if "3d" in name else {}), **changes}
    if name.startswith("m3"):
        settings["transformer"] = SMALL_TRANSFORMER
    return create_autoencoder(name, **settings, rngs=nnx.Rngs(0))


def clips_of(model: ConvLstmAutoencoder, batch: int = 2, frames: int = 3) -> np.ndarray:
    rng = np.random.default_rng(3)
    height, width = model.backbone.spatial[:2]
    clips = rng.integers(0, 256, (batch, frames, height, width, model.backbone.channels), np.uint8)
    if planes := model.backbone.depth_planes:
        clips[..., 3] = rng.integers(0, planes + 1, clips.shape[:-1])
    return clips


@pytest.mark.parametrize("name", AUTOENCODERS)
def test_what_comes_back_has_the_shape_of_what_went_in(name):
    model = tiny(name)
    clips = clips_of(model)
    shapes = jax.eval_shape(model, clips)
    expected = (2, 3, 8, 4, 4, 4) if model.backbone.depth_planes else clips.shape
    assert shapes.output.shape == expected
    assert shapes.frame_embeddings.shape == (2, 3, 6)
    assert shapes.clip_embedding.shape == (2, 6)
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes)} == {jnp.dtype(jnp.float32)}
    stages = jax.eval_shape(model.backbone, clips).stages
    assert tuple(sorted(stages)) == tuple(sorted(model.backbone.stage_names))
    assert stages["block_2"].shape == (2, 3, 2, 1, *((1,) if "3d" in name else ()), 5)
    in_bins = jax.eval_shape(tiny(name, bins=4), clips).output
    assert in_bins.shape[-1] == 12 + ("3d" in name)


def dense(layer: nnx.Linear, inputs: np.ndarray) -> np.ndarray:
    return inputs @ np.asarray(layer.kernel[...]) + np.asarray(layer.bias[...])


def test_m1_is_its_blocks_one_after_the_other():
    model = tiny("m1", pixel_mean=100.0, pixel_deviation=50.0)
    clips = clips_of(model)
    maps = (clips.astype(np.float32) - 100) / 50
    for block in model.backbone.blocks:
        maps = run(block, maps)
    vectors = dense(model.backbone.dense, np.asarray(maps).reshape(2, 3, 2 * 1 * 5))
    decoder = model.decoder
    decoder.scale[...], decoder.shift[...] = jnp.array([1.0, 2.0, 3.0]), jnp.array([0.5, 0.0, -1.0])
    maps = dense(decoder.dense, vectors).reshape(2, 3, 2, 1, 5)
    for block in decoder.blocks:
        maps = run(block, maps)
    output = np.asarray(run(decoder.last, maps)) * [1.0, 2.0, 3.0] + [0.5, 0.0, -1.0]
    made = reconstruct(model, clips)
    np.testing.assert_allclose(made.frame_embeddings, vectors, atol=1e-5)
    np.testing.assert_allclose(made.clip_embedding, vectors.mean(axis=1), atol=1e-5)
    np.testing.assert_allclose(made.output, output, atol=1e-5)
    assert np.asarray(made.frame_embeddings).std(axis=1).max() > 1e-3  # frames differ


def test_depth_becomes_planes_of_colour_and_occupancy():
    model = tiny("m1-3d")
    clips = clips_of(model)
    clips[0, 0, 0, 0, 3] = 200  # beyond the last plane: no reading
    volume = model.backbone.standardise(clips)
    expected = np.zeros((2, 3, 8, 4, 4, 4), np.float32)
    for place in np.ndindex(clips.shape[:-1]):
        plane = int(clips[(*place, 3)])
        if 1 <= plane <= 4:
            expected[(*place, plane - 1)] = [*((clips[(*place,)][:3] - 127.5) / 64), 1]
    np.testing.assert_allclose(volume, expected, atol=1e-6)
    np.testing.assert_array_equal(scatter_to_planes(jnp.ones((1, 1, 3)), jnp.array([[-1]]), 3), jnp.zeros((1, 1, 3, 4)))


def conv_lstm_parameters(window: int, into: int, channels: int) -> int:
    return 4 * channels * (window * (into + channels) + 1)


def autoencoder_parameters(name: str, planes: int) -> int:
    """From the sizes that the paper prints, and our decisions: 1 x 1 convolutions, last scale and shift."""
    window, colours = (27, 4) if planes else (9, 3)
    places = 32 * 32 * (planes // 8 if planes else 1)
    total = 0
    for into in (colours, 16, 16):
        total += 2 * conv_lstm_parameters(window, into, 32)  # 64 channels, half a direction
        total += conv_lstm_parameters(window, 64, 32) + 64 * 32 + 32  # block R, its shortcut
        total += 96 * 16 + 16 + 2 * 16  # to 16 channels, batch norm
    total += 16 * places * 4000 + 4000 + 4000 * 16 * places + 16 * places
    for into in (16, 32, 32):
        convolution = 3 * window * into * 32 + 32
        total += convolution if name.startswith("m2") else conv_lstm_parameters(window, into, 32)
        total += (16 * 32 + 32 if into == 16 else 0) + 2 * 32
    total += conv_lstm_parameters(window, 32, colours) + 2 * colours
    if name.startswith("m3"):
        total += 2 * 4000 * 512 + 512 + 4000 + 2 * 512
        attention = 3 * (512 * 513 + 513) + 513 * 512 + 512
        total += 5 * (attention + 512 * 2048 + 2048 + 2048 * 512 + 512 + 4 * 512)
    return total


@pytest.mark.parametrize("name", [name for name in AUTOENCODERS if name.startswith("m")])
def test_the_papers_configuration_has_the_papers_sizes(name):
    model = nnx.eval_shape(lambda: create_autoencoder(name, rngs=nnx.Rngs(0)))
    planes = model.backbone.depth_planes
    counted = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))
    assert counted == autoencoder_parameters(name, planes)
    clip = jax.ShapeDtypeStruct((1, 16, 256, 256, model.backbone.channels), jnp.uint8)
    reconstruction, encoding = jax.eval_shape(lambda net, clip: (net(clip), net.backbone(clip)), model, clip)
    assert reconstruction.output.shape == (1, 16, 256, 256, *((planes, 4) if planes else (3,)))
    assert encoding.stages["block_3"].shape[2:4] == (32, 32)


def loss_and_changes(model: ConvLstmAutoencoder) -> tuple[Any, Any, Any]:
    """The loss, its gradients, and the running statistics after it."""
    split = SplitModel(model)
    start = split.initial_state(optax.sgd(0.1), seed=0)
    batch = {"inputs": clips_of(model)}

    @functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})  # compiles in half of the time
    def compute(parameters):
        def loss_of(parameters):
            trained = split.merge(parameters, start.statistics, jax.random.key(0))
            trained.train()
            return ReconstructionObjective()(trained, batch)[0], split.statistics_of(trained)

        return jax.value_and_grad(loss_of, has_aux=True)(parameters)

    (loss, statistics), gradients = compute(start.parameters)
    return loss, gradients, statistics


@pytest.mark.parametrize("name", ["m3", "m2-3d", "cnn-3d"])
def test_gradients_reach_every_parameter(name):
    _, gradients, _ = loss_and_changes(tiny(name, blocks=1))
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradients):
        # A key's bias moves all scores of a query alike, so that its gradient is rounding; no other may be zero.
        if "['key']['bias']" not in jax.tree_util.keystr(path):
            assert float(jnp.abs(leaf).max()) > 0, path


def test_remat_changes_no_number():
    results = [loss_and_changes(tiny("m1", remat=remat, blocks=1)) for remat in (False, True)]
    before = SplitModel(tiny("m1", blocks=1)).initial_state(optax.sgd(0.1), seed=0).statistics
    for one, other in zip(jax.tree.leaves(before), jax.tree.leaves(results[1][2]), strict=True):
        assert not np.array_equal(one, other)  # running statistics were updated
    for one, other in zip(*map(jax.tree.leaves, results), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_the_encoder_alone_is_stored_and_encodes_clips(tmp_path):
    model = tiny("m2", blocks=1)
    encoder = VideoEncoder(model.backbone, Mean(6, rngs=nnx.Rngs(0)), Preprocessing(height=8, width=4, frames=3))
    clips = clips_of(model)
    expected = reconstruct(model, clips).clip_embedding
    np.testing.assert_allclose(encoder.encode_clips(clips), expected, atol=1e-5)
    np.testing.assert_allclose(encoder.encode_frames(clips), expected, atol=1e-5)
    save_encoder(encoder, tmp_path / "encoder")
    np.testing.assert_allclose(load_encoder(tmp_path / "encoder").encode_clips(clips), expected, atol=1e-5)
    assert create_encoder(json.loads(json.dumps(encoder.config)), rngs=nnx.Rngs(1)).config == encoder.config


def test_the_loss_of_depth_is_of_taken_places_and_of_occupancy():
    model = tiny("cnn-3d", blocks=1)
    clips = clips_of(model)
    output = np.asarray(reconstruct(model, clips).output)
    target = np.asarray(model.backbone.standardise(clips))
    taken = target[..., 3] == 1
    colour = ((output - target)[taken][:, :3] ** 2).mean()
    occupancy = ((output - target)[..., 3] ** 2).mean()
    loss, figures = nnx.jit(ReconstructionObjective())(model, {"inputs": clips})
    assert float(loss) == pytest.approx(colour + occupancy, rel=1e-5)
    assert float(figures["occupancy"]) == pytest.approx(occupancy, rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"height": 18}, "2 blocks halve height: it must be a multiple of 4, got 18"),
        ({"name": "m1-3d", "depth_planes": 6}, "2 blocks halve depth_planes: it must be a multiple of 4, got 6"),
        ({"name": "m4"}, "unknown autoencoder 'm4': did you mean"),
        ({"depth_planes": 8}, "m1 takes none of depth_planes, got 8"),
        ({"name": "m2-3d", "depth_planes": 0}, "m2-3d needs at least 1 of depth_planes, got 0"),
        ({"transformer": {"layers": 1}}, "m1 has no transformer"),
        ({"name": "m3", "transformer": {"head": 1}}, "unknown size of the transformer 'head': did you mean 'heads'"),
        ({"bins": 1}, r"bins must be 0 \(pixels, no bins\) or 2 to 256, got 1"),
        ({"recurrent_channels": 5}, "recurrent_channels must be even, half a direction, got 5"),
        ({"channels": 2}, r"channels must be 1 \(grey\) or 3 \(RGB\), got 2"),
        ({"pixel_deviation": 0.0}, "pixel_deviation must be above 0, got 0.0"),
        ({"embeding_size": 3}, "unknown option of conv-lstm 'embeding_size': did you mean 'embedding_size'"),
    ],
)
def test_bad_settings_are_named(changes, message):
    with pytest.raises(ConfigError, match=message):
        create_autoencoder(**{"name": "m1", **TINY, **changes}, rngs=nnx.Rngs(0))


def test_clips_of_another_shape_are_refused():
    backbone = create_backbone("conv-lstm", **TINY, rngs=nnx.Rngs(0))
    for shape in ((1, 2, 8, 8, 3), (1, 0, 8, 4, 3), (2, 8, 4, 3)):
        with pytest.raises(ValueError, match=r"clips must have shape \(B, T, 8, 4, 3\) for this conv-lstm, got"):
            backbone(jnp.zeros(shape))


@pytest.mark.parametrize("name", ["m1", "m1-3d"])
def test_a_clip_standardised_by_its_own_pixels_is_the_same_brighter_or_with_less_contrast(name: str) -> None:
    by_clip, by_data = tiny(name, standardise_by="clip").backbone, tiny(name, pixel_mean=90.0).backbone
    clips = clips_of(tiny(name)).astype(np.float32)
    changed = clips.copy()
    changed[0, ..., :3] = 0.5 * clips[0, ..., :3] + 40
    changed[1, ..., :3] = 0.6 * clips[1, ..., :3]
    pixels = clips[..., :3].astype(np.float64)
    expected = np.stack([(clip - clip.mean()) / np.sqrt(clip.var() + 25.0) for clip in pixels])
    planes = by_clip.depth_planes
    if planes:
        expected = np.asarray(scatter_to_planes(jnp.asarray(expected, jnp.float32), jnp.asarray(clips[..., 3]), planes))
    np.testing.assert_allclose(by_clip.standardise(clips), expected, atol=1e-5)
    own, of_data = (
        [np.asarray(nnx.jit(lambda model, x: model(x).embedding)(model, x)) for x in (clips, changed)]
        for model in (by_clip, by_data)
    )
    assert np.abs(own[0] - own[1]).max() < 0.02 * np.abs(own[0]).max()
    assert np.abs(of_data[0] - of_data[1]).max() > 0.1 * np.abs(of_data[0]).max()
    assert create_backbone(**by_clip.config, rngs=nnx.Rngs(0)).standardise_by == "clip"
    blank = by_clip.standardise(np.full_like(clips, 7.0))
    assert np.abs(blank[..., :3]).max() == 0


def test_whose_pixels_there_are_is_named() -> None:
    with pytest.raises(ConfigError, match="standardise_by must be one of data, clip, got 'frame'"):
        tiny("m1", standardise_by="frame")
