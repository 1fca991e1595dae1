"""Fifty kills while 2,000 clips are indexed by three Ray workers: is the index that of an undisturbed call?

    pip install -e '.[ray]'
    python benchmarks/faults_on_ray.py --resume faults.json    # some 15 minutes on one core; goes on where it was
    python benchmarks/faults_on_ray.py --resume faults.json --quick    # 160 clips, three kills; writes no results

Clips of moving digits are encoded by a small network with random weights, `jaxret index --ray local --workers 3`. Kills
are by SIGKILL, their times and kinds drawn with a seed: of a worker while it encodes, of the driver at any time, of the
driver while it writes (as soon as the folder of a new segment is there). Whenever the driver is gone, the same call is
given again, until it comes to its end; then the rows and items are compared with those of the undisturbed call, to the
last bit, and a new index is begun until all kills are done.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from common import results_file

CLIPS, WORKERS, KILLS = 2000, 3, 50
KINDS = ("worker", "worker", "driver", "writer")
MAKE = """
import sys
from pathlib import Path
from flax import nnx
from jaxret.data.datasets.moving_digits import MovingDigits
from jaxret.models import TemporalEncoder, create_backbone
from jaxret.models.encoder import VideoEncoder
from jaxret.models.store import save_encoder
from jaxret.preprocessing import Preprocessing
root, clips = Path(sys.argv[1]), int(sys.argv[2])
digits = MovingDigits(train_clips=0, validation_clips=0, test_clips=-(-clips // 80), size=32)
digits.write_media_folder(root / "media", indices=range(clips))
next((root / "media").glob("*.csv")).unlink()
rngs = nnx.Rngs(0)
save_encoder(VideoEncoder(
    create_backbone("small-convnet", widths=[8, 16], embedding_size=32, rngs=rngs),
    TemporalEncoder(32, 16, rngs=rngs),
    Preprocessing(height=32, width=32, frames=8, chunk_seconds=1.0),
), root / "encoder")
"""


def call(root: Path, index: str) -> subprocess.Popen[bytes]:
    """The command, begun."""
    words = ["index", str(root / "media"), str(root / index), "--encoder", str(root / "encoder"), "--quiet"]
    words = [sys.executable, "-m", "jaxret", *words, "--ray", "local", "--workers", str(WORKERS)]
    log = open(root / f"{index}.log", "ab")  # noqa: SIM115 - the process has it
    return subprocess.Popen(words, stdout=log, stderr=log, env={**os.environ, "RAY_DEDUP_LOGS": "0"})


def workers_of(driver: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The processes of its workers that have begun."""
    try:
        below = psutil.Process(driver.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    found = []
    for process in below:
        try:
            if "EncodingWorker" in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def disturbed(root: Path, index: str, kills: dict[str, int], most: int, chance: random.Random) -> int:
    """One index, under kills until there were `most`; how often the command was given."""
    calls = 0
    while True:
        driver = call(root, index)
        calls += 1
        while driver.poll() is None:
            if sum(kills.values()) >= most:
                if driver.wait() == 0:
                    return calls
                break
            kind = chance.choice(KINDS)
            if not _kill(kind, driver, root / index, chance):
                break
            kills[kind] += 1
            print(f"  {sum(kills.values()):2} kills, the last of a {kind}", flush=True)
        if driver.wait() == 0:
            return calls
        _wait_for_the_rest(root)


def _kill(kind: str, driver: subprocess.Popen[bytes], index: Path, chance: random.Random) -> bool:
    """Kill at a moment that the kind asks for; False where the driver came to its end before."""
    while driver.poll() is None and not workers_of(driver):
        time.sleep(0.1)
    until = time.monotonic() + chance.uniform(0.5, 6.0 if kind == "worker" else 25.0)
    while driver.poll() is None:
        due = time.monotonic() > until
        if kind == "writer" and list((index / "segments").glob("tmp-*")):
            driver.kill()
            return True
        if kind == "driver" and due:
            driver.kill()
            return True
        if kind == "worker" and due and (found := workers_of(driver)):
            chance.choice(found).kill()
            return True
        time.sleep(0.002 if kind == "writer" else 0.1)
    return False


def _wait_for_the_rest(root: Path) -> None:
    """Until the processes of a killed driver are gone, which share its fate."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        alive = [
            p for p in psutil.process_iter(["cmdline"]) if "ray::EncodingWorker" in " ".join(p.info["cmdline"] or [])
        ]
        if not alive:
            return
        time.sleep(0.2)


def contents(folder: Path) -> dict[str, Any]:
    """Items and rows, after all files were verified."""
    from jaxret.index import MediaIndex

    index = MediaIndex.open(folder)
    index.verify()
    rows = {name: index.rows(name) for name in index.spaces}
    found: dict[str, Any] = {"items": [item.to_json() for item in index.items]}
    for name, part in rows.items():
        found |= {f"{name} vectors": part.vectors, f"{name} items": part.items, f"{name} starts": part.starts}
    return found


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two indexes hold the same, to the last bit, in the same order."""
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def main() -> None:
    """Measures, and writes benchmarks/results/faults_on_ray.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resume", type=Path, required=True, help="a file that keeps what is done, to go on from")
    parser.add_argument("--root", type=Path, default=Path("/tmp/faults-on-ray"), help="folder of clips and indexes")
    parser.add_argument("--minutes", type=float, default=10.0, help="stop after so long, to be called again")
    parser.add_argument("--quick", action="store_true", help="fewer clips and kills, no file")
    options = parser.parse_args()
    clips, most = (160, 3) if options.quick else (CLIPS, KILLS)
    begin, root = time.monotonic(), options.root
    if not (root / "encoder" / "encoder.json").exists():
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        subprocess.run([sys.executable, "-c", MAKE, str(root), str(clips)], check=True)
    if not (root / "undisturbed.done").exists():
        shutil.rmtree(root / "undisturbed", ignore_errors=True)
        if call(root, "undisturbed").wait() != 0:
            sys.exit((root / "undisturbed.log").read_text()[-2000:])
        (root / "undisturbed.done").touch()
    expected = contents(root / "undisturbed")
    state = json.loads(options.resume.read_text()) if options.resume.exists() else {"kills": {}, "indexes": []}
    while sum(state["kills"].values()) < most and time.monotonic() - begin < 60 * options.minutes:
        number = len(state["indexes"])
        kills = {kind: state["kills"].get(kind, 0) for kind in dict.fromkeys(KINDS)}
        shutil.rmtree(root / "disturbed", ignore_errors=True)
        calls = disturbed(root, "disturbed", kills, most, random.Random(number))
        equal = same(contents(root / "disturbed"), expected)
        state["indexes"].append(
            {"calls": calls, "kills": sum(kills.values()) - sum(state["kills"].values()), "equal": equal}
        )
        state["kills"] = kills
        options.resume.write_text(json.dumps(state))
        print(f"index {number}: {state['indexes'][-1]}", flush=True)
    if sum(state["kills"].values()) < most:
        print("not done: call it again")
    if options.quick or sum(state["kills"].values()) < most:
        return
    data = f"{CLIPS:,} clips, {WORKERS} local workers"
    figures = {f"kills of a {kind}": count for kind, count in state["kills"].items()}
    figures |= {
        "indexes made": len(state["indexes"]),
        "calls of the command": sum(one["calls"] for one in state["indexes"]),
        "indexes equal to the undisturbed one": sum(one["equal"] for one in state["indexes"]),
    }
    rows = results_file.rows_of(data, "jaxret index --ray local", figures)
    print("wrote", results_file.write("faults_on_ray", rows, ["ray"]))


if __name__ == "__main__":
    main()
