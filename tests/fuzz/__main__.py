"""Fuzz one target: PYTHONPATH=tests python -m fuzz TARGET [--seconds N] [--corpus FOLDER].

Parsers are fuzzed by atheris where it is installed (pip install atheris), else by seeded mutations; kernels by clang's
libFuzzer, else by the mutations of kernels/standalone.c. What is found to be new is kept in FOLDER/TARGET, and the next
run goes on from there; an input that makes a fault is left in FOLDER/finds.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from fuzz.kernels import KERNELS, build_kernel
from fuzz.mutation import mutated
from PIL import Image

SLOWEST, MOST_MEMORY = 20, 3000
"""Seconds for one input, and megabytes of the process: beyond is a find."""


def main() -> int:
    """Parse the command line and fuzz until the time is over."""
    parser = argparse.ArgumentParser(
        prog="python -m fuzz", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("target")
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--corpus", type=Path, default=Path("fuzz-corpus"))
    parser.add_argument("--engine", choices=("guided", "plain"), default="guided")
    options = parser.parse_args()
    corpus, finds = options.corpus / options.target, options.corpus / "finds"
    for folder in (corpus, finds):
        folder.mkdir(parents=True, exist_ok=True)
    flags = [f"-max_total_time={options.seconds}", f"-timeout={SLOWEST}", f"-rss_limit_mb={MOST_MEMORY}"]
    flags += [f"-artifact_prefix={finds}/{options.target}-", "-print_final_stats=1"]
    if options.target in KERNELS:
        with tempfile.TemporaryDirectory() as folder:
            standalone = None if options.engine == "guided" else True
            program = build_kernel(options.target, Path(folder), standalone=standalone)
            return subprocess.run([program, *flags, "-max_len=512", corpus], check=False).returncode
    os.fsync = lambda handle: None  # no plug is pulled here, and waiting for the disk is most of a small change
    Image.MAX_IMAGE_PIXELS = 1 << 20  # up to Pillow's own limit a canvas takes half a second, and teaches nothing
    if options.engine == "guided":
        with contextlib.suppress(ModuleNotFoundError):
            return _guided(options.target, corpus, flags)
    return _plain(options.target, corpus, finds, options.seconds)


def _guided(name: str, corpus: Path, flags: list[str]) -> int:
    import atheris

    with atheris.instrument_imports(include=["jaxret"], enable_loader_override=False):
        from fuzz.targets import TARGETS
    target = TARGETS[name]
    suffixes = _write_seeds(name, corpus)
    scratch = tempfile.TemporaryDirectory()

    def run(data: bytes) -> None:
        # One target reads several kinds of file: the last byte says which.
        if data:
            target.run(data[:-1], suffixes[data[-1] % len(suffixes)], Path(scratch.name))

    atheris.Setup([sys.argv[0], *flags, f"-max_len={target.longest}", str(corpus)], run)
    atheris.Fuzz()
    return 0


def _write_seeds(name: str, corpus: Path) -> list[str]:
    """The suffixes of a target's files; its seeds are put into the corpus."""
    from fuzz.targets import TARGETS

    files = TARGETS[name].seeds()
    suffixes = sorted({suffix for suffix, _ in files})
    for number, (suffix, content) in enumerate(files):
        (corpus / f"seed-{number}").write_bytes(content + bytes([suffixes.index(suffix)]))
    return suffixes


def _plain(name: str, corpus: Path, finds: Path, seconds: int) -> int:
    """Mutate until the time is over; the number of the last run is kept, so that another run tries others."""
    from fuzz.targets import TARGETS

    target, counter = TARGETS[name], corpus / "runs"
    files = target.seeds()
    number = int(counter.read_text()) if counter.exists() else 0
    end, first = time.monotonic() + seconds, number
    with tempfile.TemporaryDirectory() as scratch:
        while time.monotonic() < end:
            rng = np.random.default_rng(number)
            (suffix, content), (_, other) = (files[rng.integers(len(files))] for _ in range(2))
            data = mutated(content, rng, target.longest, other)
            before = time.monotonic()
            try:
                target.run(data, suffix, Path(scratch))
                if time.monotonic() - before > SLOWEST:
                    raise TimeoutError(f"{time.monotonic() - before:.0f} seconds")
                if (held := resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024) > MOST_MEMORY:
                    raise MemoryError(f"{held} MB are held")
            except BaseException:
                (finds / f"{name}-{number}{suffix}").write_bytes(data)
                raise
            number += 1
            if number % 100 == 0:
                counter.write_text(str(number))
    print(f"{name}: {number - first} runs")
    return 0


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    sys.exit(main())
