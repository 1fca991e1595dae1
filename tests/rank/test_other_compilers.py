"""The kernels built by other compilers, and for other processors under an emulator, against brute force."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("other_compilers.sh")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("compiler", "emulator"), [("gcc", ""), ("clang", ""), ("aarch64-linux-gnu-gcc", "qemu-aarch64")]
)
def test_kernels(compiler, emulator):
    for program in filter(None, (compiler, emulator)):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")
    done = subprocess.run(["sh", SCRIPT, compiler], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "level" in done.stdout
    assert "0 wrong" in done.stdout
