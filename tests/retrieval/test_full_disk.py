"""A disk that fills up: one line that names the file, what was there is whole, and the same command goes on later."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image
from tiny_clip_encoder import make_encoder

from jaxret.__main__ import dispatch
from jaxret.cli.run import run_command
from jaxret.data.batches.cache import FeatureCache
from jaxret.data.items import MediaItem
from jaxret.data.rows import Rows
from jaxret.errors import WriteError
from jaxret.index import EncoderRecord, MediaIndex, Space
from jaxret.models.encoder import VideoEncoder
from jaxret.models.store import load_encoder, save_encoder
from jaxret.preprocessing import Preprocessing
from jaxret.reporting import Section, paragraph, write_report
from jaxret.training import Checkpoints, RunLog, TrainState

resource = pytest.importorskip("resource")


@contextlib.contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """Writing past so many bytes of a file fails, as it does where a disk or a quota is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    kept_from = jax.config.jax_persistent_cache_min_compile_time_secs
    # Programs compiled meanwhile would be cut in the tests' cache, which other tests read.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 1e9)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", kept_from)


@pytest.fixture(scope="module")
def encoder() -> VideoEncoder:
    return make_encoder()


def check_line(told: str, name: str) -> None:
    assert told.startswith("jaxret: error: ")
    assert f"{name}: cannot be written: " in told
    assert "MB are free in" in told
    assert told.count("\n") == 1


def test_an_index_that_is_made(encoder: VideoEncoder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_encoder(encoder, tmp_path / "encoder")
    for number in range(30):
        pixels = np.random.default_rng(number).integers(0, 255, (32, 32, 3), np.uint8)
        (tmp_path / "media").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "media" / f"{number}.png")
    words = [
        "index",
        str(tmp_path / "media"),
        str(tmp_path / "index"),
        "--encoder",
        str(tmp_path / "encoder"),
        "--quiet",
    ]
    weights = (tmp_path / "encoder" / "weights.safetensors").stat().st_size
    with files_up_to(weights // 2):
        assert run_command(dispatch, words) == 2
    check_line(capsys.readouterr().err, "weights.safetensors")
    assert run_command(dispatch, ["index", str(tmp_path / "media" / "0.png"), *words[2:]]) == 0
    capsys.readouterr()
    with files_up_to(2000):  # the vectors alone are larger
        assert run_command(dispatch, words) == 2
    check_line(capsys.readouterr().err, "segments/000002")
    assert len(MediaIndex.open(tmp_path / "index")) == 1
    assert not list((tmp_path / "index" / "segments").glob("tmp-*"))
    assert run_command(dispatch, words) == 0
    assert len(MediaIndex.open(tmp_path / "index")) == 30


def test_an_addition_leaves_the_index_as_it_was(tmp_path: Path) -> None:
    index = MediaIndex.create(tmp_path, spaces=[Space("frame", 64)], encoder=EncoderRecord("x", Preprocessing()))
    index.add([MediaItem("a", "image")], {"frame": Rows(np.ones((1, 64)), [0])})
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    many = [MediaItem(f"{number}", "image") for number in range(100)], {"frame": Rows(np.ones((100, 64)), range(100))}
    with files_up_to(10_000), pytest.raises(WriteError, match="segments/000002: cannot be written"):
        index.add(*many)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == files
    index.add(*many)
    MediaIndex.open(tmp_path).verify()
    with files_up_to(100), pytest.raises(WriteError, match=r"manifest\.json: cannot be written"):
        index.remove(["a"])
    assert len(MediaIndex.open(tmp_path)) == 101


def test_an_encoder_stays_the_old_one(encoder: VideoEncoder, tmp_path: Path) -> None:
    save_encoder(encoder, tmp_path)
    with files_up_to(1000), pytest.raises(WriteError, match=r"weights\.safetensors: cannot be written"):
        save_encoder(encoder, tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["encoder.json", "weights.safetensors"]
    load_encoder(tmp_path)


def test_reports_logs_and_cached_features(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path / "cache", encoder="x", sampling={})
    log = RunLog(tmp_path / "metrics.jsonl")
    with files_up_to(2000):
        with pytest.raises(WriteError, match=r"abc\.npy: cannot be written"):
            cache.put("abc", np.ones((10, 10, 100)), np.ones((10, 10)))
        with pytest.raises(WriteError, match=r"report\.html: cannot be written"):
            write_report(tmp_path / "report.html", "a run", [Section("x", [paragraph("y" * 5000)])])
        with pytest.raises(WriteError, match=r"metrics\.jsonl: cannot be written"):
            log.append(step=1, words="z" * 5000)
    assert cache.get("abc") is None
    assert not (tmp_path / "report.html").exists()
    cache.put("abc", np.ones((10, 10, 100)), np.ones((10, 10)))
    assert cache.get("abc") is not None


def test_a_checkpoint_is_not_begun_where_it_does_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zero = jax.numpy.zeros(100_000)
    state = TrainState(**{field: {"a": zero} for field in TrainState.__dataclass_fields__})
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, state, data={}, progress={}, score=None)
        usage = shutil.disk_usage(tmp_path)
        with monkeypatch.context() as patched:
            patched.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1_000_000))
            with pytest.raises(WriteError, match=r"/2: cannot be written: .* it takes .* MB \(1\.0 MB are free"):
                checkpoints.save(2, state, data={}, progress={}, score=None)
        assert checkpoints.last_step == 1
        assert checkpoints.restore(1, state).data == {}
        checkpoints.save(2, state, data={}, progress={}, score=None)
        assert checkpoints.last_step == 2
