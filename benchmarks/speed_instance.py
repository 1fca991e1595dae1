"""Time of instance search on a folder of photographs of many sizes: fitting, indexing, one search.

    python benchmarks/speed_instance.py                              # ours, the bare passes, and the glue
    python benchmarks/speed_instance.py --before ../jaxret-before   # and an earlier checkout, built in place

Photographs are enlarged cuts of Corel-5k's of 800 to 1,600 pixels, half of them of the usual shapes (4:3, 3:2, 16:9,
square, upright or not) and half cut at will. Every method sees longer sides of 512 pixels and MobileNet V1's conv_pw_11
with ImageNet weights, in processes of their own, one after the other.

- `jaxret train instance-search`, patches of grids (the default) and words (BLCF): from an empty folder of compiled
  programs, and again. Its parts: decoding (of the threads that decode, which run beside the rest), compiling (what the
  first time takes longer), and the rest, which is computing, but also Python's start, imports and the report.
- Bare forward passes: decoded and sorted by size beforehand, compiled beforehand, batches of 16; each image once.
- Both are run three times (ours when all is compiled), and the one in the middle counts: the same work takes up to a
  sixth more or less processor time from minute to minute.
- Glue: OpenCV, onnxruntime, scikit-learn and faiss (peers/instance_glue.py), where they are installed.
- One search with a region, of the patches: decoding and encoding the query, both passes.

What was measured is kept under --work, so that a call goes on where one before it was stopped; --anew begins again.

Seconds are of the processor, all threads and the kernel's work included, for other programs do not change these, and
beside them by the clock.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from common import results_file
from common.paths import DATA, MOBILENET_WEIGHTS
from PIL import Image

from jaxret.cli.compilation_cache import SWITCH
from jaxret.rank import available_simd_levels

ROOT = Path(__file__).parents[1]
SIDE = 512
STAGE = "conv_pw_11"
METHODS = ("grid", "blcf", "bare", "glue")
SHAPES = ((4, 3), (3, 2), (16, 9), (1, 1), (3, 4), (2, 3))
TIMED = """
import json, sys, time, threading
spent = {"decoding": 0.0}
import jaxret.retrieval.systems.describing as module
real, lock = module.chunks_of, threading.Lock()
def chunks_of(*given, **named):
    start = time.thread_time()
    for chunk in real(*given, **named):
        with lock:
            spent["decoding"] += time.thread_time() - start
        yield chunk
        start = time.thread_time()
module.chunks_of = chunks_of
from jaxret import train
from jaxret.cli.run import run_command
assert run_command(train.main, sys.argv[1:]) == 0
print(json.dumps(spent))
"""
BARE = """
import json, sys, time, collections
from pathlib import Path
import jax, numpy as np
from flax import nnx
from PIL import Image
from jaxret.data.sampling.transforms import centre_geometry, resize_frame
from jaxret.models import pretrained_backbone
from jaxret.preprocessing import Preprocessing
folder, weights, side, stage = sys.argv[1:]
net = pretrained_backbone("mobilenet-v1", weights, rngs=nnx.Rngs(0))
encode = jax.jit(lambda net, images: net(images).stages[stage])
by_size = collections.defaultdict(list)
size = Preprocessing(height=int(side), width=int(side), resize="fit")
for path in sorted(Path(folder).rglob("*.jpg")):
    pixels = np.asarray(Image.open(path).convert("RGB"))
    frame = resize_frame(pixels, centre_geometry(*pixels.shape[:2], size))
    by_size[frame.shape].append(frame)
batches = [np.stack(f[n:n + 16]) for f in by_size.values() for n in range(0, len(f), 16)]
for batch in batches:
    encode(net, batch).block_until_ready()
rounds = []
for _ in range(3):
    start, clock = time.process_time(), time.perf_counter()
    for batch in batches:
        encode(net, batch).block_until_ready()
    rounds.append((time.process_time() - start, time.perf_counter() - clock))
spent = sorted(rounds)[1]
print(json.dumps({"processor": spent[0], "clock": spent[1], "sizes": len(by_size)}))
"""
SEARCH = """
import json, sys, time
from jaxret.cli.compilation_cache import programs_folder
from jaxret.models.kept_function import keep_programs_in
from jaxret.retrieval import Region, RegionSearch, Retriever, single_file
retriever = Retriever.open(sys.argv[1])
options = RegionSearch(Region(0.25, 0.25, 0.5, 0.5))
spent = []
def search(path):
    start = time.process_time()
    image, size = retriever.system.image(single_file(path), None)
    decoded = time.process_time()
    query = retriever.system.region_query(image, size, options)
    encoded = time.process_time()
    retriever.system.search_encoded(retriever.index, query, 10, options, None, None, None)
    spent.append((decoded - start, encoded - decoded, time.process_time() - encoded))
with keep_programs_in(programs_folder()):
    for path in sys.argv[2:]:
        search(path)
import numpy as np
first, *others = np.array(spent) * 1000
names = "decoding", "encoding", "both passes"
print(json.dumps({"first": first.sum(), **dict(zip(names, np.median(others, axis=0)))}))
"""


def make_photographs(folder: Path, count: int, data: Path) -> None:
    """Write the photographs, the same each time."""
    folder.mkdir(parents=True)
    paths = sorted((data / "corel5k" / "train").rglob("*.jpg"))
    for number in range(count):
        rng = np.random.default_rng([number, 19])
        with Image.open(paths[int(rng.integers(len(paths)))]) as image:
            wide, high = SHAPES[rng.integers(len(SHAPES))] if number % 2 else rng.uniform(0.3, 1, 2)
            share = min(image.width / wide, image.height / high)
            wide, high = wide * share, high * share
            left, top = (rng.uniform(0, max(room, 0)) for room in (image.width - wide, image.height - high))
            scale = rng.integers(800, 1601) / max(wide, high)
            size = (round(wide * scale), round(high * scale))
            cut = image.convert("RGB").resize(size, Image.Resampling.BICUBIC, (left, top, left + wide, top + high))
            cut.save(folder / f"{number:04}.jpg", quality=90)


def measured(words: list[str], *, folder: Path = ROOT, **environment: str) -> tuple[dict[str, float], str]:
    """Seconds of a process, which runs in a checkout's folder, and the last line that it printed."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    own = {**os.environ, **environment}
    done = subprocess.run(words, cwd=folder, env=own, capture_output=True, text=True, check=False)
    clock, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{' '.join(words[:6])}: {done.stderr[-3000:]}")
    spent = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return {"processor s": spent, "s by the clock": clock}, done.stdout.strip().splitlines()[-1]


def training(photographs: Path, out: Path, features: str) -> list[str]:
    """The words of the command."""
    network = ["--backbone", "mobilenet-v1", "--weights", str(MOBILENET_WEIGHTS), "--image-size", str(SIDE)]
    chosen = ["--features", features] if features else []
    return ["instance-search", "--data", str(photographs), "--out", str(out), *network, *chosen, "--quiet"]


class Measurements:
    """What was measured, kept in a file, and the folders that the measured processes leave.

    Args:
      args: of the command line.
    """

    def __init__(self, args: argparse.Namespace):
        self.before: Path | None = args.before
        self.photographs = (args.work / f"photographs-{args.images}").absolute()
        self.work = (args.work / f"measured-{args.images}").absolute()
        if args.anew:
            shutil.rmtree(self.work, ignore_errors=True)
        if not self.photographs.exists():
            make_photographs(self.photographs, args.images, DATA)
        self.work.mkdir(parents=True, exist_ok=True)
        self._file = self.work / "figures.json"
        self.figures: dict[str, dict[str, float]] = json.loads(self._file.read_text()) if self._file.exists() else {}

    def measure(self, name: str, how: Callable[[], dict[str, float]]) -> None:
        """Measure what was not measured yet."""
        if name not in self.figures:
            self.figures[name] = how()
            self._file.write_text(json.dumps(self.figures, indent=1))
        print(name, {figure: round(value, 3) for figure, value in self.figures[name].items()}, flush=True)

    def folder(self, name: str, *, empty: bool = False) -> Path:
        """A folder of the work."""
        folder = self.work / name
        if empty:
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def again(self, features: str) -> dict[str, float]:
        """What takes the middle of three times, of trainings that compile nothing."""
        names = [f"{features}, again, {number} of 3" for number in (1, 2, 3)]
        for name in names:
            self.measure(name, lambda: self.ours(features, first=False))
        return sorted((self.figures[name] for name in names), key=lambda figures: figures["processor s"])[1]

    def ours(self, features: str, *, first: bool) -> dict[str, float]:
        """A training and its index, with or without what one before it compiled."""
        kept, out = self.folder(f"compiled {features}", empty=first), self.folder(features, empty=True) / "run"
        line = [sys.executable, "-c", TIMED, *training(self.photographs, out, features)]
        figures, last = measured(line, **environment(kept))
        return figures | {"decoding s": json.loads(last)["decoding"]}

    def search(self) -> dict[str, float]:
        """Searches of the index of patches."""
        queries = [str(path) for path in sorted(self.photographs.glob("*.jpg"))[:9]]
        line = [sys.executable, "-c", SEARCH, str(self.folder("grid") / "run"), *queries]
        figures: dict[str, float] = json.loads(measured(line, **environment(self.folder("compiled grid")))[1])
        return figures

    def bare(self) -> dict[str, float]:
        """The network alone."""
        line = [sys.executable, "-c", BARE, str(self.photographs), str(MOBILENET_WEIGHTS), str(SIDE), STAGE]
        found = json.loads(measured(line, **environment(self.folder("compiled bare")))[1])
        return {"processor s": found["processor"], "s by the clock": found["clock"], "sizes": found["sizes"]}

    def glue(self) -> dict[str, float]:
        """The peers."""
        return glue(self.photographs, self.folder("glue"))

    def earlier(self) -> dict[str, float]:
        """The earlier checkout, whose package Python finds first in its folder."""
        assert self.before is not None
        out, kept = self.folder("before", empty=True) / "run", self.folder("compiled before", empty=True)
        line = [sys.executable, "-m", "jaxret.train", *training(self.photographs, out, "")]
        root = self.before.absolute()
        return measured(line, folder=root, PYTHONPATH=str(root), JAX_COMPILATION_CACHE_DIR=str(kept))[0]


def environment(kept: Path) -> dict[str, str]:
    """Variables by which programs are kept in a folder, and Python's bytecode too, as a user has them."""
    settings = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1"}
    settings["PYTHONDONTWRITEBYTECODE"] = ""
    return {"PYTHONPATH": str(ROOT), "JAX_COMPILATION_CACHE_DIR": str(kept), SWITCH: str(kept), **settings}


def main() -> None:
    """Measure, print, write the result file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=900)
    parser.add_argument("--before", type=Path, help="an earlier checkout, built in place")
    parser.add_argument("--work", type=Path, default=Path("runs/speed_instance"), help="what is kept")
    parser.add_argument("--anew", action="store_true", help="measure again what was measured")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=[*METHODS])
    args = parser.parse_args()
    found = Measurements(args)
    for features in [name for name in ("grid", "blcf") if name in args.methods]:
        found.measure(f"{features}, first time", lambda features=features: found.ours(features, first=True))
        found.measure(f"{features}, again", lambda features=features: found.again(features))
    if "grid" in args.methods:
        found.measure("search", found.search)
    if "bare" in args.methods:
        found.measure("bare", found.bare)
    if "glue" in args.methods:
        found.measure("glue", found.glue)
    if args.before:
        found.measure("before", found.earlier)
    data = f"{args.images} photographs of many sizes, {available_simd_levels()[-1]}"  # how parts weigh depends on it
    rows = list(rows_of(found.figures, data))
    print(results_file.update("speed_instance", rows, ["jax", "flax", "onnxruntime", "faiss-cpu", "scikit-learn"]))


def rows_of(found: dict[str, dict[str, float]], data: str) -> Iterator[dict[str, Any]]:
    """The rows of the result file, from what was measured."""
    bare = found.get("bare", {})
    for features in ("grid", "blcf"):
        again = found.get(f"{features}, again", {})
        for setting in [name for name in ("first time", "again") if f"{features}, {name}" in found]:
            figures = dict(found[f"{features}, {setting}"])
            compiled = {}
            if setting == "first time" and again:
                compiled = {"compiling s": figures["processor s"] - again["processor s"]}
            rest = figures["processor s"] - figures["decoding s"] - sum(compiled.values())
            figures |= {**compiled, "computing and the rest s": rest}
            if bare:
                figures["processor, to bare passes"] = figures["processor s"] / bare["processor s"]
                figures["clock, to bare passes"] = figures["s by the clock"] / bare["s by the clock"]
            yield from results_file.rows_of(
                data, f"jaxret, {features}", figures, setting=f"fitting and indexing, {setting}"
            )
    for name, method, setting in (
        ("search", "jaxret, grid", "one search, ms of the processor"),
        ("bare", "bare forward passes", "each image once"),
        ("glue", "OpenCV, onnxruntime, scikit-learn, faiss", "fitting and indexing, again"),
        ("before", "jaxret before, blcf", "fitting and indexing, first time"),
    ):
        if name in found:
            yield from results_file.rows_of(data, method, found[name], setting=setting)


def glue(photographs: Path, out: Path) -> dict[str, float]:
    """Times of the peers."""
    from flax import nnx
    from peers.onnx_networks import mobilenet_map

    from jaxret.models import pretrained_backbone

    net = pretrained_backbone("mobilenet-v1", str(MOBILENET_WEIGHTS), rngs=nnx.Rngs(0))
    (out / "map.onnx").write_bytes(mobilenet_map(net, STAGE))
    script = Path(__file__).parent / "peers" / "instance_glue.py"
    figures, line = measured([sys.executable, str(script), str(photographs), str(out / "map.onnx"), str(SIDE)])
    parts = json.loads(line)
    search = parts.pop("one search")
    return {**figures, **{f"{name} s": spent for name, spent in parts.items()}, "one search ms": search * 1000}


if __name__ == "__main__":
    main()
