"""The composed encoder, and its folder on disk."""

from __future__ import annotations

import json
import os
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st
from other_user import as_another_user
from safetensors.numpy import load_file, save_file

from jaxret.errors import ConfigError, WeightsError
from jaxret.models import TemporalEncoder, create_backbone
from jaxret.models.encoder import VideoEncoder
from jaxret.models.registry import create_encoder
from jaxret.models.store import fingerprint, load_encoder, save_encoder
from jaxret.preprocessing import Preprocessing

B, T, H, D, U = 2, 3, 16, 6, 5


def encoder(seed: int = 0, *, preprocessing: Preprocessing | None = None, **temporal) -> VideoEncoder:
    rngs = nnx.Rngs(seed)
    made = VideoEncoder(
        create_backbone("small-convnet", widths=[2, 3], grid=2, embedding_size=D, rngs=rngs),
        TemporalEncoder(D, U, **temporal, rngs=rngs),
        preprocessing or Preprocessing(height=H, width=H, frames=T),
    )
    made.eval()
    return made


def clips() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (B, T, H, H, 3), np.uint8)


def test_a_clip_is_its_frames_encoded_and_then_put_in_order():
    made = encoder()
    vectors = made.encode_frames(clips().reshape(-1, H, H, 3))
    assert (vectors.shape, vectors.dtype) == ((B * T, D), jnp.float32)
    from_vectors = made.encode_clips_from_frame_vectors(np.asarray(vectors).reshape(B, T, D))
    whole = made.encode_clips(clips())
    assert (whole.shape, whole.dtype) == ((B, U), jnp.float32)
    np.testing.assert_allclose(from_vectors, whole, atol=1e-6)
    np.testing.assert_allclose(made(jnp.asarray(clips())).stages["frame_vectors"].reshape(-1, D), vectors, atol=1e-6)
    assert np.abs(made.encode_clips(clips()[:, ::-1]) - whole).max() > 1e-4


def test_config_is_json_and_recreates_the_encoder():
    made = encoder(cell="gru", bidirectional=True)
    again = create_encoder(json.loads(json.dumps(made.config)), rngs=nnx.Rngs(1))
    assert again.config == made.config
    assert again.preprocessing == made.preprocessing


def test_parts_that_do_not_fit_are_named():
    rngs = nnx.Rngs(0)
    backbone = create_backbone("small-convnet", embedding_size=8, rngs=rngs)
    with pytest.raises(ConfigError, match="takes vectors of 9, but small-convnet gives 8"):
        VideoEncoder(backbone, TemporalEncoder(9, 4, rngs=rngs), Preprocessing())
    with pytest.raises(ConfigError, match="takes 3 channels, the preprocessing gives 1"):
        VideoEncoder(backbone, TemporalEncoder(8, 4, rngs=rngs), Preprocessing(channels=1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "frames-sequence"}, "unknown kind of encoder .frames-sequence.: did you mean .frames-then-sequence."),
        ({"temporal": {"kind": "recurrent", "input_size": D, "unitz": 3}}, "unitz"),
        ({"backbone": {"name": "small-convnet", "width": 3}}, "unknown option of small-convnet 'width'"),
        ({"preprocessing": {}}, "missing or unknown settings"),
        ({"temporal": None}, "incomplete or malformed"),
    ],
)
def test_malformed_configs_are_named(change, message):
    with pytest.raises(ConfigError, match=message):
        create_encoder({**encoder().config, **change}, rngs=nnx.Rngs(0))


def test_save_and_load_give_the_same_encoder_and_fingerprint(tmp_path):
    made = encoder()
    made.train()
    for _ in range(2):
        made(jnp.asarray(clips()))  # running statistics and random streams move on
    made.eval()
    save_encoder(made, tmp_path / "deep" / "encoder")
    loaded = load_encoder(tmp_path / "deep" / "encoder")
    assert fingerprint(loaded) == fingerprint(made)
    assert len(fingerprint(made)) == 64
    np.testing.assert_array_equal(loaded.encode_clips(clips()), made.encode_clips(clips()))
    assert sorted(path.name for path in (tmp_path / "deep" / "encoder").iterdir()) == [
        "encoder.json",
        "weights.safetensors",
    ]
    save_encoder(encoder(5), tmp_path / "deep" / "encoder")  # replaces
    assert fingerprint(load_encoder(tmp_path / "deep" / "encoder")) == fingerprint(encoder(5))


def test_loading_makes_no_random_weights_and_leaves_streams_that_draw(tmp_path, monkeypatch):
    made = encoder(dropout=0.5, layers=2)
    save_encoder(made, tmp_path)
    real = create_encoder
    concrete = []

    def watched(config, **settings):
        again = real(config, **settings)
        concrete.append(not isinstance(again.backbone.dense.kernel.get_value(), jax.core.Tracer))
        return again

    monkeypatch.setattr("jaxret.models.store.create_encoder", watched)
    loaded, twin = load_encoder(tmp_path), load_encoder(tmp_path)
    assert concrete == [False, False]
    streams = jax.tree.leaves(nnx.state(loaded, nnx.RngState))
    assert streams
    assert all(isinstance(leaf, jax.Array) for leaf in streams)
    keys = [str(jax.random.key_data(leaf)) for leaf in streams if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)]
    assert len(set(keys)) == len(keys)  # no two layers drop the same
    for one in (loaded, twin):
        one.train()
    first, second = (np.asarray(loaded(jnp.asarray(clips())).embedding) for _ in range(2))
    assert np.abs(first - second).max() > 0  # dropout
    np.testing.assert_array_equal(first, twin(jnp.asarray(clips())).embedding)


def test_an_encoder_that_needs_numbers_to_be_made_is_loaded_all_the_same(tmp_path, monkeypatch):
    made = encoder()
    save_encoder(made, tmp_path)
    real = create_encoder

    def with_numbers(config, **settings):
        again = real(config, **settings)
        np.asarray(again.backbone.dense.kernel[...])  # as a class of another package may do
        return again

    monkeypatch.setattr("jaxret.models.store.create_encoder", with_numbers)
    np.testing.assert_array_equal(load_encoder(tmp_path).encode_clips(clips()), made.encode_clips(clips()))


def test_fingerprint_changes_with_any_weight_setting_or_preprocessing():
    base = fingerprint(encoder())
    assert base == fingerprint(encoder())
    changed = encoder()
    bias = changed.temporal.cells[0][0].bias
    bias[...] = bias[...].at[3].add(1e-7)
    moved = encoder()
    moved.backbone.convolutions[0].norm.mean[...] += 1e-6
    prints = {
        base,
        fingerprint(changed),
        fingerprint(moved),
        fingerprint(encoder(1)),
        fingerprint(encoder(output="mean")),
        fingerprint(encoder(preprocessing=Preprocessing(height=H, width=H, frames=T + 1))),
    }
    assert len(prints) == 6


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "encoder"
    save_encoder(encoder(), folder)
    return folder


@pytest.fixture
def copy(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "encoder")


def edit(folder, change) -> None:
    path = folder / "encoder.json"
    settings = json.loads(path.read_text())
    change(settings)
    path.write_text(json.dumps(settings))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.update(format=99), "has format 99; this version of jaxret reads format 1"),
        (lambda s: s.pop("fingerprint"), "is damaged"),
        (lambda s: s["encoder"].update(kind="other"), "describes no encoder: unknown kind of encoder 'other'"),
        (lambda s: s["encoder"]["temporal"].update(units=7), "does not fit its encoder: .*temporal.cells.0.0.bias is"),
        (lambda s: s["encoder"]["temporal"].update(layers=2), "missing temporal.cells.1.0.bias"),
        (lambda s: s["encoder"]["temporal"].update(output="mean"), "do not belong together, or one was altered"),
        (lambda s: s["encoder"]["preprocessing"].update(frames=9), "do not belong together, or one was altered"),
        (lambda s: s["encoder"].update(temporal=[1]), "describes no encoder"),
        (lambda s: s.update(encoder=3), "encoder.json"),
    ],
)
def test_an_edited_description_is_refused(copy, change, message):
    edit(copy, change)
    with pytest.raises(WeightsError, match=message):
        load_encoder(copy)


def test_altered_missing_and_foreign_files_are_refused(copy):
    weights = copy / "weights.safetensors"
    arrays = load_file(weights)
    name = "temporal.cells.0.0.kernel"
    save_file({**arrays, name: arrays[name] + 1}, weights)
    with pytest.raises(WeightsError, match="do not belong together, or one was altered"):
        load_encoder(copy)
    save_file({**arrays, "extra": arrays[name]}, weights)
    with pytest.raises(WeightsError, match="extra extra"):
        load_encoder(copy)
    save_file({**arrays, name: arrays[name].astype(np.float64)}, weights)
    with pytest.raises(WeightsError, match="float64"):
        load_encoder(copy)
    weights.unlink()
    with pytest.raises(WeightsError, match=r"weights\.safetensors: no such file"):
        load_encoder(copy)
    (copy / "encoder.json").write_bytes(b"\xff\xfe not JSON")
    with pytest.raises(WeightsError, match=r"encoder\.json is damaged"):
        load_encoder(copy)
    (copy / "encoder.json").unlink()
    with pytest.raises(WeightsError, match=r"encoder\.json: no such file"):
        load_encoder(copy)


@pytest.mark.parametrize("name", ["weights.safetensors", "encoder.json"])
def test_a_file_that_may_not_be_read_says_so(saved, others_folder, name):
    copied = shutil.copytree(saved, others_folder / "encoder")
    assert all(file.stat().st_mode & 0o044 == 0o044 for file in saved.iterdir())
    (copied / name).chmod(0o600 if os.geteuid() == 0 else 0)
    with as_another_user(), pytest.raises(WeightsError, match=f"{name}: Permission denied"):
        load_encoder(copied)


def test_no_damage_to_a_byte_of_the_weights_goes_unnoticed(saved, tmp_path_factory):
    whole = (saved / "weights.safetensors").read_bytes()
    folder = shutil.copytree(saved, tmp_path_factory.mktemp("damaged") / "encoder")

    @settings(max_examples=30, deadline=None)
    @given(length=st.integers(0, len(whole) - 1), place=st.integers(0, len(whole) - 1), byte=st.integers(1, 255))
    def check(length, place, byte):
        altered = bytearray(whole)
        altered[place] ^= byte
        for data in (whole[:length], bytes(altered)):
            (folder / "weights.safetensors").write_bytes(data)
            with pytest.raises(WeightsError):
                load_encoder(folder)

    check()
