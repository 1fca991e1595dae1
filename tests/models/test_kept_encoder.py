"""Encoders whose programs are kept: the vectors of the encoder itself, to the last bit, and never those of another."""

from __future__ import annotations

import json
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxret.errors import WeightsError
from jaxret.models import HashLayer, TemporalEncoder, create_backbone, kept_programs
from jaxret.models.encoder import VideoEncoder
from jaxret.models.kept_encoder import KeptEncoder, can_be_kept
from jaxret.models.kept_programs import KeptPrograms, Program, lower
from jaxret.models.store import fingerprint, load_encoder, save_encoder
from jaxret.preprocessing import Preprocessing

T, SIDE, D = 3, 16, 6
FRAMES = np.random.default_rng(0).integers(0, 256, (4, SIDE, SIDE, 3), np.uint8)
VECTORS = np.random.default_rng(1).standard_normal((2, T, D)).astype(np.float32)
LENGTHS = np.array([1, 3], np.int32)


def made(seed: int = 0, backbone=None) -> VideoEncoder:
    rngs = nnx.Rngs(seed)
    encoder = VideoEncoder(
        backbone or create_backbone("small-convnet", widths=[2, 3], grid=2, embedding_size=D, rngs=rngs),
        HashLayer(TemporalEncoder(D, 5, dropout=0.5, rngs=rngs), 8, rngs=rngs),
        Preprocessing(height=SIDE, width=SIDE, frames=T),
    )
    encoder.eval()
    return encoder


@pytest.fixture
def stored(tmp_path):
    """The folder of an encoder, and one for its programs."""
    (tmp_path / "programs").mkdir()
    save_encoder(made(), tmp_path / "encoder")
    return tmp_path / "encoder", tmp_path / "programs"


def opened(stored) -> KeptEncoder:
    return KeptEncoder(stored[0], KeptPrograms(stored[1]))


def results(encoder) -> list[np.ndarray]:
    found = [encoder.encode_frames(FRAMES), encoder.encode_clips_from_frame_vectors(VECTORS)]
    return [np.asarray(one) for one in (*found, encoder.encode_clips_from_frame_vectors(VECTORS, LENGTHS))]


def test_the_vectors_are_those_of_the_encoder_and_are_kept(stored, monkeypatch):
    assert can_be_kept(stored[0])
    whole = load_encoder(stored[0])
    expected = results(whole)
    assert not np.array_equal(expected[1], expected[2])
    first = opened(stored)
    assert [np.array_equal(*pair) for pair in zip(results(first), expected, strict=True)] == [True] * 3
    names = ("unit", "frame_embedding_size", "clip_embedding_size", "code_bits")
    facts = {name: getattr(whole, name) for name in names}
    assert {name: getattr(first, name) for name in facts} == facts
    assert len(list(stored[1].iterdir())) == 4

    monkeypatch.setattr("jaxret.models.store.load_encoder", None)  # nothing of it is needed any more
    second = opened(stored)
    assert [np.array_equal(*pair) for pair in zip(results(second), expected, strict=True)] == [True] * 3
    assert {name: getattr(second, name) for name in facts} == facts
    assert (second.kind, second.config, second.preprocessing) == (whole.kind, whole.config, whole.preprocessing)
    assert second.fingerprint == fingerprint(whole)
    with pytest.raises(TypeError, match="NoneType"):
        second.encode_frames(FRAMES[:1])  # another shape, another program


def test_weights_are_no_part_of_a_program(stored, tmp_path, monkeypatch):
    results(opened(stored))
    other = tmp_path / "other"
    save_encoder(made(seed=1), other)
    expected = results(load_encoder(other))
    monkeypatch.setattr("jaxret.models.store.load_encoder", None)
    found = results(KeptEncoder(other, KeptPrograms(stored[1])))
    assert [np.array_equal(*pair) for pair in zip(found, expected, strict=True)] == [True] * 3


def test_what_else_the_encoder_has_is_the_encoders_own(stored):
    encoder = opened(stored)
    assert encoder.summary == load_encoder(stored[0]).summary
    assert encoder.encode_clips(FRAMES[None, :T]).shape == (1, 8)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = encoder.nothing


@pytest.mark.parametrize("origin", ["sources", "versions", "settings"])
def test_programs_of_other_sources_versions_or_settings_are_not_used(stored, monkeypatch, origin):
    results(opened(stored))
    before = set(stored[1].iterdir())
    changed = {**kept_programs._origin(), origin: "other"}
    monkeypatch.setattr(kept_programs, "_origin", lambda: changed)
    results(opened(stored))
    assert len(set(stored[1].iterdir()) - before) == 4  # programs and facts


def test_the_origin_tells_sources_and_settings_apart(monkeypatch, tmp_path):
    before = kept_programs._origin()
    assert before == kept_programs._origin()
    with jax.default_matmul_precision("highest"):
        assert kept_programs._origin() != before
    (tmp_path / "model.py").write_text("1")
    monkeypatch.setattr(kept_programs, "_SOURCES", tmp_path)
    other = kept_programs._origin()
    assert other["sources"] != before["sources"]
    os.utime(tmp_path / "model.py", ns=(0, 0))
    assert kept_programs._origin()["sources"] != other["sources"]


def test_damaged_programs_are_made_anew(stored):
    expected = results(opened(stored))
    for path in stored[1].iterdir():
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
    (stored[1] / next(stored[1].iterdir()).name).write_bytes(b"")
    assert [np.array_equal(*pair) for pair in zip(results(opened(stored)), expected, strict=True)] == [True] * 3
    programs = KeptPrograms(stored[1])
    programs.keep_facts("one", {"a": 1})
    assert programs.program("one") is None  # facts are no program
    assert programs.facts("one") == {"a": 1}


def test_where_nothing_can_be_written_nothing_is_kept(stored):
    stored[1].rmdir()
    expected = results(load_encoder(stored[0]))
    assert [np.array_equal(*pair) for pair in zip(results(opened(stored)), expected, strict=True)] == [True] * 3
    assert not stored[1].exists()


def test_programs_that_were_used_least_recently_make_room(tmp_path, monkeypatch):
    monkeypatch.setattr(kept_programs, "_MOST_FILES", 2)
    programs = KeptPrograms(tmp_path)
    for number in range(3):
        programs.keep_facts(number, {"number": number})
        for age, path in enumerate(sorted(tmp_path.iterdir(), key=lambda path: -path.stat().st_mtime_ns)):
            os.utime(path, (1e9 - age, 1e9 - age))
        programs.facts(0)
    assert [programs.facts(number) for number in range(3)] == [{"number": 0}, None, {"number": 2}]


def test_parts_of_another_package_are_not_kept(stored):
    class Foreign(type(made().backbone)):
        name = "foreign"

    Foreign.__module__ = "another.package"
    rngs = nnx.Rngs(0)
    foreign = made(backbone=Foreign(widths=[2, 3], grid=2, embedding_size=D, rngs=rngs))
    encoder = opened(stored)
    encoder.__dict__["_whole"] = foreign
    np.testing.assert_array_equal(encoder.encode_frames(FRAMES), foreign.encode_frames(FRAMES))
    assert encoder.code_bits == 8
    assert not list(stored[1].iterdir())


def test_a_function_that_calls_what_must_be_loaded_first_is_no_program():
    matrix = np.eye(3, dtype=np.float32)
    assert lower(lambda arrays, x: jnp.linalg.eigh(x + arrays["a"])[0], {"a": matrix}, matrix) is None
    program = lower(lambda arrays, x: x @ arrays["b"] - arrays["a"], {"b": 2 * matrix, "a": matrix}, matrix)
    assert isinstance(program, Program)
    np.testing.assert_array_equal(program({"b": 2 * matrix, "a": matrix}, matrix), matrix)
    with pytest.raises(Exception, match=r"operand|type|shape"):
        program({"b": 2 * matrix, "a": matrix}, matrix[:2])


def test_only_whole_images_and_clips_are_kept_and_damage_is_told(stored):
    settings = json.loads((stored[0] / "encoder.json").read_text())
    (stored[0] / "encoder.json").write_text(json.dumps({**settings, "encoder": {"kind": "faster-rcnn"}}))
    assert not can_be_kept(stored[0])
    with pytest.raises(WeightsError, match="do not belong together, or one was altered"):
        opened(stored)
    (stored[0] / "weights.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"weights\.safetensors: no such file"):
        opened(stored)
