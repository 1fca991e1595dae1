"""A short run of every harness; `python -m fuzz` is the long one, see docs/robustness.md."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest
from fuzz.kernels import KERNELS, build_kernel
from fuzz.mutation import mutated
from fuzz.targets import TARGETS, Target

from jaxret.errors import ConfigError


@pytest.fixture(autouse=True)
def _no_fsync(monkeypatch):
    monkeypatch.setattr("os.fsync", lambda handle: None)


@pytest.mark.parametrize("name", TARGETS)
def test_whole_files_are_read_and_mutated_ones_are_read_or_refused(name, tmp_path):
    target = TARGETS[name]
    seeds = target.seeds()
    if name not in ("index", "specifications"):
        taken = [target.run(content, suffix, tmp_path) for suffix, content in seeds]
        assert sum(taken) >= len(seeds) * 0.8
    count = 0
    for number in range(40):
        rng = np.random.default_rng(number)
        (suffix, content), (_, other) = (seeds[rng.integers(len(seeds))] for _ in range(2))
        count += target.run(mutated(content, rng, target.longest, other), suffix, tmp_path)
    assert count < 40


def test_a_fault_is_found(tmp_path):
    def read(data, suffix, folder):
        if b"\xff" in data:
            raise KeyError("a fault of the reader")
        raise ConfigError("refused")

    target = Target(lambda: [(".x", b"abc")], read)
    inputs = [mutated(b"abc", np.random.default_rng(number), 16) for number in range(200)]
    good = [data for data in inputs if b"\xff" not in data]
    assert 0 < len(good) < len(inputs)
    assert not any(target.run(data, ".x", tmp_path) for data in good)
    with pytest.raises(KeyError):
        target.run(next(data for data in inputs if b"\xff" in data), ".x", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_kernels_are_right_under_sanitizers(name, tmp_path):
    program = build_kernel(name, tmp_path, standalone=True)
    ended = subprocess.run([program, "-runs=300", "-seed=1"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "Done 300 runs" in ended.stderr
