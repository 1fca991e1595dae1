"""The map of speeds measures no program that runs other instructions than it claims."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import speed_rank
from studies.rank_speed import levels
from studies.rank_speed.cells import LEVELS

from jaxret.rank import available_simd_levels

HERE = [level for level in available_simd_levels() if level in LEVELS]
PROGRAM = Path(speed_rank.__file__)
HIGHER = {
    "jaxret": {"JAXRET_SIMD": "sse4"},
    "faiss": {"FAISS_SIMD_LEVEL": "AVX2"},
    "NumPy": {"NPY_DISABLE_CPU_FEATURES": ""},
    "OpenBLAS": {"OPENBLAS_CORETYPE": "Haswell"},
}


def run(code: str, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code]
    path = os.pathsep.join([str(PROGRAM.parent), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        command, env=os.environ | variables | {"PYTHONPATH": path}, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("level", HERE)
def test_all_take_the_level_that_they_are_held_to(level: str) -> None:
    code = f"from studies.rank_speed.levels import require, taken; require({level!r}); print(dict(taken({level!r})))"
    done = run(code, levels.environment(level))
    assert done.returncode == 0, done.stderr
    found = eval(done.stdout)
    assert found.keys() >= {"jaxret", "NumPy", "OpenBLAS"}
    assert found.items() <= levels.wanted(level).items()
    assert ("faiss" in found) == (importlib.util.find_spec("faiss") is not None)


@pytest.mark.skipif("avx2" not in HERE, reason="there is no higher level")
@pytest.mark.parametrize("program", HIGHER)
def test_a_program_at_another_level_is_refused(program: str) -> None:
    if program == "faiss":
        pytest.importorskip("faiss")
    done = run("from studies.rank_speed.levels import require; require('portable')",
               levels.environment("portable") | HIGHER[program])  # fmt: skip
    assert done.returncode == 1
    assert f"LevelError: at 'portable' {program} must run {levels.wanted('portable')[program]!r}, but" in done.stderr


@pytest.mark.skipif("avx2" not in HERE, reason="there is no higher level")
def test_speed_rank_refuses_before_it_measures(tmp_path: Path) -> None:
    variables = levels.environment("portable") | HIGHER["OpenBLAS"]
    done = subprocess.run([sys.executable, PROGRAM, "--quick"], cwd=tmp_path, env=os.environ | variables,
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == "at 'portable' OpenBLAS must run 'Nehalem', but it runs 'Haswell'\n"
    assert not list(tmp_path.iterdir())


def test_what_says_nothing_of_its_level_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(levels, "threadpool_info", lambda: [{"user_api": "blas", "internal_api": "mkl"}])
    assert dict(levels.taken("portable"))["OpenBLAS"] == "mkl"
