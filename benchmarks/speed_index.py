"""An index with metadata, beside LanceDB, Qdrant's local mode, and faiss with a pandas table, at one job in one run.

    python benchmarks/speed_index.py                  # some 15 minutes on one core, 10 GB of disk
    python benchmarks/speed_index.py --resume FILE    # the same in several calls: what was measured is kept in a file
    python benchmarks/speed_index.py --quick          # a minute, smaller; writes no file

The job: N items with a key, a label and a duration, and a vector of 64 numbers each, are added in parts of 100,000;
the index is opened in a new process; the 10 nearest of one query are found, of all items and of the 1 % with one label;
one item in a thousand is removed. All searches are exact, on one thread where that can be chosen, and must find the
keys that NumPy finds. Every system runs in processes of its own. Times are processor time of the process, all threads
and the kernel's work for it together, so that a busy machine does not change them; waiting for the disk is not in them.
Memory is what the process gained from before the index was opened to after the searches, mapped pages included.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from common import results_file

D, K, PART, LABELS = 64, 10, 100_000, 100
REPEATS = 15
LABEL = "c7"


def vectors_of(start: int, stop: int) -> np.ndarray:
    """Rows start .. stop of the gallery, float32; the same whoever makes them."""
    return np.random.default_rng([1, start]).standard_normal((stop - start, D), np.float32)


def query_vectors() -> np.ndarray:
    """REPEATS queries, float32."""
    return np.random.default_rng(2).standard_normal((REPEATS, D), np.float32)


def key_of(number: int) -> str:
    """The key of an item."""
    return f"holiday/{number % 997:04d}/clip_{number:08d}.mp4"


def label_of(number: int) -> str:
    """The label of an item."""
    return f"c{number % LABELS}"


def columns_of(start: int, count: int) -> dict[str, list[Any]]:
    """The table of `count` items from number `start` on."""
    numbers = range(start, start + count)
    durations = [float(n % 60) for n in numbers]
    return {"key": list(map(key_of, numbers)), "label": list(map(label_of, numbers)), "duration": durations}


class Peer(ABC):
    """One system at the job.

    Args:
        folder: where it keeps everything.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    @abstractmethod
    def add(self, start: int, vectors: np.ndarray) -> None:
        """Add items from number `start` on, so that a new process finds them."""

    def finish(self) -> None:  # noqa: B027 - most have nothing to do
        """After the last addition."""

    @abstractmethod
    def open(self) -> None:
        """Open what was added."""

    @abstractmethod
    def search(self, query: np.ndarray, label: str | None) -> list[str]:
        """Keys of the K nearest, of all or of one label."""

    @abstractmethod
    def remove(self, keys: list[str]) -> None:
        """Remove items for good."""


class Jaxret(Peer):
    """This library."""

    def add(self, start: int, vectors: np.ndarray) -> None:
        """See `Peer.add`."""

        from jaxret.index import EncoderRecord, MediaIndex, Rows, Space, items_of_table
        from jaxret.preprocessing import Preprocessing

        if start == 0:
            encoder = EncoderRecord("benchmark", Preprocessing())
            self.index = MediaIndex.create(self.folder, spaces=[Space("clip", D)], encoder=encoder)
        items = items_of_table({**columns_of(start, len(vectors)), "kind": ["video"] * len(vectors)})
        self.index.add(items, {"clip": Rows(vectors, np.arange(len(vectors)))})

    def open(self) -> None:
        """See `Peer.open`."""
        from jaxret.index import MediaIndex

        self.index = MediaIndex.open(self.folder)

    def search(self, query: np.ndarray, label: str | None) -> list[str]:
        """See `Peer.search`."""
        where = None if label is None else f"label = '{label}'"
        found = self.index.search("clip", query, K, where=where, threads=1)
        return [found.found[number].key for number in found.ids[0].tolist()]

    def remove(self, keys: list[str]) -> None:
        """See `Peer.remove`."""
        self.index.remove(keys)


class FaissPandas(Peer):
    """faiss's flat index, and a table of pandas in Parquet."""

    def add(self, start: int, vectors: np.ndarray) -> None:
        """See `Peer.add`."""
        import faiss
        import pandas

        if start == 0:
            self.flat, self.parts = faiss.IndexFlatL2(D), []
        self.flat.add(vectors)
        self.parts.append(pandas.DataFrame(columns_of(start, len(vectors))))

    def finish(self) -> None:
        """See `Peer.finish`."""
        import pandas

        self.table = pandas.concat(self.parts, ignore_index=True)
        self._write()

    def _write(self) -> None:
        import faiss

        self.folder.mkdir(exist_ok=True)
        faiss.write_index(self.flat, str(self.folder / "flat.faiss"))
        self.table.to_parquet(self.folder / "table.parquet")

    def open(self) -> None:
        """See `Peer.open`."""
        import faiss
        import pandas

        faiss.omp_set_num_threads(1)
        self.flat = faiss.read_index(str(self.folder / "flat.faiss"), faiss.IO_FLAG_MMAP)
        self.table = pandas.read_parquet(self.folder / "table.parquet")

    def search(self, query: np.ndarray, label: str | None) -> list[str]:
        """See `Peer.search`."""
        import faiss

        chosen = None
        if label is not None:
            passing = np.flatnonzero((self.table["label"] == label).to_numpy())
            chosen = faiss.SearchParameters(sel=faiss.IDSelectorBatch(passing))
        _, ids = self.flat.search(query, K, params=chosen)
        return self.table["key"].iloc[ids[0]].tolist()

    def remove(self, keys: list[str]) -> None:
        """See `Peer.remove`."""
        import faiss

        gone = self.table["key"].isin(keys).to_numpy()
        self.flat = faiss.read_index(str(self.folder / "flat.faiss"))  # a mapped one cannot change
        self.flat.remove_ids(np.flatnonzero(gone))
        self.table = self.table[~gone].reset_index(drop=True)
        self._write()


class LanceDb(Peer):
    """LanceDB without a vector index, which is exact."""

    def add(self, start: int, vectors: np.ndarray) -> None:
        """See `Peer.add`."""
        import lancedb
        import pyarrow as pa

        flat = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), D)
        part = pa.table({**columns_of(start, len(vectors)), "vector": flat})
        if start == 0:
            self.table = lancedb.connect(self.folder).create_table("items", part)
        else:
            self.table.add(part)

    def open(self) -> None:
        """See `Peer.open`."""
        import lancedb

        self.table = lancedb.connect(self.folder).open_table("items")

    def search(self, query: np.ndarray, label: str | None) -> list[str]:
        """See `Peer.search`."""
        wanted = self.table.search(query[0]).select(["key"]).limit(K)
        if label is not None:
            wanted = wanted.where(f"label = '{label}'", prefilter=True)
        return wanted.to_arrow()["key"].to_pylist()

    def remove(self, keys: list[str]) -> None:
        """See `Peer.remove`."""
        names = ", ".join(f"'{key}'" for key in keys)
        self.table.delete(f"key IN ({names})")


class QdrantLocal(Peer):
    """Qdrant's local mode, which is exact."""

    def add(self, start: int, vectors: np.ndarray) -> None:
        """See `Peer.add`."""
        from qdrant_client import QdrantClient, models

        if start == 0:
            self.client = QdrantClient(path=str(self.folder))
            distance = models.VectorParams(size=D, distance=models.Distance.EUCLID)
            self.client.create_collection("items", vectors_config=distance)
        numbers = list(range(start, start + len(vectors)))
        payload = [{"key": key_of(n), "label": label_of(n), "duration": float(n % 60)} for n in numbers]
        self.client.upload_collection("items", vectors, payload=payload, ids=numbers)

    def finish(self) -> None:
        """See `Peer.finish`."""
        self.client.close()

    def open(self) -> None:
        """See `Peer.open`."""
        from qdrant_client import QdrantClient

        self.client = QdrantClient(path=str(self.folder))

    def search(self, query: np.ndarray, label: str | None) -> list[str]:
        """See `Peer.search`."""
        from qdrant_client import models

        match = None if label is None else models.MatchValue(value=label)
        chosen = None if match is None else models.Filter(must=[models.FieldCondition(key="label", match=match)])
        found = self.client.query_points("items", query=query[0], query_filter=chosen, limit=K).points
        return [point.payload["key"] for point in found]

    def remove(self, keys: list[str]) -> None:
        """See `Peer.remove`."""
        numbers = [int(key[-12:-4]) for key in keys]
        self.client.delete("items", points_selector=numbers)


PEERS: dict[str, Callable[[Path], Peer]] = {
    "jaxret": Jaxret,
    "faiss + pandas": FaissPandas,
    "LanceDB": LanceDb,
    "Qdrant local": QdrantLocal,
}
PACKAGES = ["pyarrow", "faiss-cpu", "pandas", "lancedb", "qdrant-client"]
MOST_ITEMS = {"Qdrant local": 1_000}
"""Ten thousand take it minutes: it keeps every point as Python objects, and writes each to SQLite by itself."""


def megabytes() -> float:
    """Memory of this process, mapped pages included."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def build(name: str, size: int, folder: Path) -> dict[str, float]:
    """Add everything."""
    peer, seconds = PEERS[name](folder), 0.0
    for start in range(0, size, PART):
        vectors = vectors_of(start, min(start + PART, size))
        begin = time.process_time()
        peer.add(start, vectors)
        seconds += time.process_time() - begin
    begin = time.process_time()
    peer.finish()
    seconds += time.process_time() - begin
    stored = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return {"added a CPU second": size / seconds, "MB on disk": stored / 1e6}


def use(name: str, size: int, folder: Path) -> dict[str, float]:
    """Open, search, search with a filter, remove."""
    peer, queries = PEERS[name](folder), query_vectors()
    __import__({"jaxret": "jaxret.index", "LanceDB": "lancedb", "Qdrant local": "qdrant_client"}.get(name, "faiss"))
    __import__("pandas" if name.startswith("faiss") else "numpy")
    before = megabytes()
    figures = {"CPU ms to open": milliseconds(peer.open), "MB once open": megabytes() - before}
    figures["CPU ms of the first search"] = milliseconds(lambda: peer.search(queries[:1], None))
    for metric, label in (("CPU ms a search", None), ("CPU ms a search of 1 %", LABEL)):
        taken = []
        for number in range(1, REPEATS):
            query = queries[number : number + 1]
            begin = time.process_time()
            keys = peer.search(query, label)
            taken.append(time.process_time() - begin)
            if number == 1:
                check(keys, query, size, label)
        figures[metric] = float(np.median(taken)) * 1e3
        if label is not None:
            figures["CPU ms of the first search of 1 %"] = taken[0] * 1e3
    figures["MB after the searches"] = megabytes() - before
    gone = [key_of(number) for number in range(0, size, 1000)]
    figures["CPU ms to remove a thousandth"] = milliseconds(lambda: peer.remove(gone))
    assert not set(gone) & set(peer.search(vectors_of(0, min(PART, size))[:1], None))
    return figures


def milliseconds(call: Callable[[], Any]) -> float:
    """How long a call takes."""
    begin = time.process_time()
    call()
    return (time.process_time() - begin) * 1e3


def check(keys: list[str], query: np.ndarray, size: int, label: str | None) -> None:
    """The keys are those that NumPy finds."""
    best: list[tuple[float, str]] = []
    for start in range(0, size, PART):
        vectors = vectors_of(start, min(start + PART, size))
        numbers = np.arange(start, start + len(vectors))
        if label is not None:
            chosen = numbers % LABELS == int(label[1:])
            vectors, numbers = vectors[chosen], numbers[chosen]
        rough = (vectors * vectors).sum(axis=1) - 2 * (vectors @ query[0])
        nearest = np.argsort(rough)[: 10 * K]  # among which the K nearest are, whatever the rounding of float32
        distances = ((vectors[nearest].astype(np.float64) - query) ** 2).sum(axis=1)
        best += [(float(distance), key_of(int(n))) for distance, n in zip(distances, numbers[nearest], strict=True)]
    assert keys == [key for _, key in sorted(best)[:K]]


def measure(name: str, size: int) -> dict[str, float]:
    """All figures of a system, its two steps in processes of their own."""
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as parent:
        for step in ("build", "use"):
            words = [sys.executable, __file__, "--child", step, name, str(size), f"{parent}/index"]
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(f"{name}, {size} items, {step}: {done.stderr[-2000:]}")
            figures |= json.loads(done.stdout.split("FIGURES ")[1])
    return figures


def main() -> None:
    """Measures, prints, and without --quick writes benchmarks/results/index_at_scale.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller, no file")
    parser.add_argument("--largest", type=int, default=10_000_000, help="items of the largest index")
    parser.add_argument("--resume", type=Path, help="a file that keeps what is measured, to go on from")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        step, name, size, folder = options.child
        measured = {"build": build, "use": use}[step](name, int(size), Path(folder))
        print("FIGURES " + json.dumps(measured))
        return
    kept = json.loads(options.resume.read_text()) if options.resume and options.resume.exists() else {}
    rows = []
    sizes = (1_000, 10_000) if options.quick else (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
    for name in PEERS:
        for size in sizes:
            if size > min(options.largest, MOST_ITEMS.get(name, size)):
                continue
            if (figures := kept.get(f"{size} {name}")) is None:
                figures = kept[f"{size} {name}"] = measure(name, size)
                if options.resume:
                    options.resume.write_text(json.dumps(kept))
            print(f"{size:>9,} {name:<15}" + "  ".join(f"{metric} {value:,.1f}" for metric, value in figures.items()))
            rows += results_file.rows_of(f"{size:,} items of {D} numbers", name, figures)
    if not options.quick:
        print("\nwrote", results_file.write("index_at_scale", rows, PACKAGES))


if __name__ == "__main__":
    main()
