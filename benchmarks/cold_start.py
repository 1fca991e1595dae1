"""Processor time of one search from the command line, from the start of Python to the last line printed.

    python benchmarks/cold_start.py                   # some 2 minutes on one core
    python benchmarks/cold_start.py --before COMMIT   # then: the library as it was at a commit, beside it

A MobileNet V1 with random weights, a dozen images, one query. Measured are seconds of the processor, all threads and
the kernel's work included, so that a busy machine does not change them, and beside them those of `import jax`. The
first search with an encoder compiles; later ones find its programs in the cache folder.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from common import results_file

REPEATS = 3
ROOT = Path(__file__).parents[1]
MAKE = """
import sys
from pathlib import Path
import numpy as np
from flax import nnx
from PIL import Image
from jaxret.data.open import open_dataset
from jaxret.models import Mean, create_backbone
from jaxret.models.encoder import VideoEncoder
from jaxret.preprocessing import Preprocessing
from jaxret.retrieval import Retriever
root, rng = Path(sys.argv[1]), np.random.default_rng(0)
(root / "media").mkdir()
for number in range(12):
    Image.fromarray(rng.integers(0, 256, (240, 320, 3), np.uint8)).save(root / "media" / f"{number}.png")
rngs = nnx.Rngs(0)
backbone = create_backbone("mobilenet-v1", rngs=rngs)
preprocessing = Preprocessing(height=224, width=224, frames=16)
encoder = VideoEncoder(backbone, Mean(backbone.embedding_size, rngs=rngs), preprocessing)
Retriever.create(root / "index", encoder).add(open_dataset(root / "media"))
"""


def seconds(words: list[str], environment: dict[str, str]) -> float:
    """Processor time of a process and those that it started."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        words, env={**os.environ, **environment}, cwd="/", capture_output=True, text=True, check=False
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"{' '.join(words)}: {done.stderr[-2000:]}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(library: Path, root: Path) -> dict[str, list[float]]:
    """Seconds of each thing, REPEATS times, in turn.

    Args:
        library: the folder in which the package lies.
        root: an empty folder.
    """
    own = {"PYTHONPATH": str(library), "XDG_CACHE_HOME": str(root / "cache"), "JAX_PLATFORMS": "cpu"}
    search = [sys.executable, "-m", "jaxret", "search", str(root / "index"), str(root / "media" / "3.png")]
    subprocess.run([sys.executable, "-c", MAKE, str(root)], env={**os.environ, **own}, cwd="/", check=True)
    taken: dict[str, list[float]] = {"first search": [seconds(search, own)]}
    for _ in range(REPEATS):
        for name, words, more in (
            ("import jax", [sys.executable, "-c", "import jax"], {}),
            ("search", search, {}),
            ("search, nothing kept", search, {"JAXRET_COMPILATION_CACHE": "off"}),
            ("jaxret --help", [sys.executable, "-m", "jaxret", "--help"], {}),
        ):
            taken.setdefault(name, []).append(seconds(words, {**own, **more}))
    return taken


def rows_of(data: str, taken: dict[str, list[float]]) -> list[dict[str, Any]]:
    """A row for each thing: the median, and how many times that of `import jax`."""
    jax = float(np.median(taken["import jax"]))
    rows = []
    for name, samples in taken.items():
        median = float(np.median(samples))
        figures = {"CPU seconds": median, "times import jax": median / jax}
        rows += results_file.rows_of(data, name, figures)
        print(f"{data:<20}{name:<22}{median:6.2f} CPU seconds, {median / jax:5.2f} times import jax")
    return rows


def main() -> None:
    """Measures, prints, writes benchmarks/results/cold_start.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", metavar="COMMIT", help="measure the library of this commit, and keep the rest")
    commit = parser.parse_args().before
    os.environ.pop("JAX_COMPILATION_CACHE_DIR", None)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "work"
        root.mkdir()
        rows = rows_of("now", measure(ROOT, root)) if commit is None else measure_commit(commit, Path(folder), root)
    print("\nwrote", results_file.update("cold_start", rows, ["jax", "flax"]))


def measure_commit(commit: str, folder: Path, root: Path) -> list[dict[str, Any]]:
    """The rows of an older library, with the kernels built here."""
    then = folder / "then"
    subprocess.run(["git", "-C", str(ROOT), "worktree", "add", "--detach", str(then), commit], check=True)
    try:
        for built in (ROOT / "jaxret" / "rank").glob("*.so"):
            (then / "jaxret" / "rank" / built.name).write_bytes(built.read_bytes())
        return rows_of(f"before ({commit})", measure(then, root))
    finally:
        subprocess.run(["git", "-C", str(ROOT), "worktree", "remove", "--force", str(then)], check=True)


if __name__ == "__main__":
    main()
