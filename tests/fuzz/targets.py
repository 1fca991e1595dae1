"""What is fuzzed: each target reads an input and lets only the library's own errors pass."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from fuzz import seeds
from fuzz.seeds import Seeds

from jaxret.data.datasets.csv import read_media_table
from jaxret.data.datasets.folders import MediaFiles
from jaxret.data.datasets.published.tf_records import parse_example, read_tf_records
from jaxret.data.datasets.rgbd import parse_rgbd_spec
from jaxret.data.ground_truth.boxes import read_box_annotations
from jaxret.data.ground_truth.camera_poses import read_pose
from jaxret.data.ground_truth.clock_times import parse_clock
from jaxret.data.ground_truth.films import read_film_queries
from jaxret.data.ground_truth.oxford import read_oxford_queries
from jaxret.data.ground_truth.revisited import read_revisited
from jaxret.data.ground_truth.stanford_i2v import read_ground_truth, read_scene_results
from jaxret.data.items import MediaItem
from jaxret.data.sampling.reading import read_encoded
from jaxret.errors import JaxretError
from jaxret.index import MediaIndex, SearchOptions
from jaxret.index.manifest import manifest_checksum
from jaxret.models.weights import read_weights
from jaxret.preprocessing import Preprocessing, ShotSampling
from jaxret.retrieval.region import Region

__all__ = ["TARGETS", "Target"]


@dataclasses.dataclass(frozen=True)
class Target:
    """Something that reads untrusted bytes.

    Attributes:
      seeds: makes what a fuzzer starts from.
      read: called with an input, its suffix and a scratch folder; raises nothing but the library's own errors.
      longest: bytes of an input.
    """

    seeds: Callable[[], Seeds]
    read: Callable[[bytes, str, Path], None]
    longest: int = 1 << 14

    def run(self, data: bytes, suffix: str, scratch: Path) -> bool:
        """Whether the input was taken; False where it was refused as it should be."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # decoders warn of what they find
            try:
                self.read(data, suffix, scratch)
            except JaxretError:
                return False
        return True


def _written(data: bytes, suffix: str, scratch: Path) -> Path:
    path = scratch / f"input{suffix}"
    path.write_bytes(data)
    return path


def _read_weights(data: bytes, suffix: str, scratch: Path) -> None:
    arrays = read_weights(_written(data, suffix, scratch))
    total = sum(array.nbytes for array in arrays.values())
    assert total <= 64 * len(data) + (1 << 21), f"{len(data)} bytes became {total}"
    for array in arrays.values():
        array.tobytes()  # all of it is there


_SHOTS = Preprocessing(height=32, width=32, resize="limit", shots=ShotSampling(rate=5.0))
_CHUNKS = Preprocessing(height=32, width=32, frames=4, chunk_seconds=1.0)


def _read_media(data: bytes, suffix: str, scratch: Path) -> None:
    kind = "video" if suffix in {".mp4", ".mkv", ".avi", ".ts", ".flv"} else "image"
    path = _written(data, suffix, scratch)
    files = MediaFiles([MediaItem(path.name, kind, path=str(path))])
    if files.skipped:
        raise files.skipped[0]
    for preprocessing in (_CHUNKS, _SHOTS):
        for count, chunk in enumerate(read_encoded(files, 0, preprocessing)):
            assert chunk.pixels.dtype == np.uint8
            assert np.isfinite(chunk.times).all()
            assert count < 512, "a few frames became many chunks"  # a frame stands for a minute at most


def _read_table(data: bytes, _suffix: str, scratch: Path) -> None:
    """One of the readers of text, as the first byte says."""
    reader = data[0] % 8 if data else 0
    text = scratch / "table.csv"
    text.write_bytes(data[1:])
    match reader:
        case 0:
            read_media_table(text, split_column="split")
        case 1:
            (scratch / "a.png").touch()
            read_box_annotations(text)
        case 2:
            read_film_queries(text)
        case 3:
            read_revisited(text.rename(scratch / "truth.json"))
        case 4:
            read_ground_truth(text)
        case 5:
            read_pose(text)
        case 6:
            (scratch / "q_good.txt").write_text("all_souls\n")
            read_oxford_queries(text.rename(scratch / "q_query.txt").parent)
        case _:
            read_scene_results(text)


def _read_specification(data: bytes, _suffix: str, _scratch: Path) -> None:
    text = data.decode("utf-8", "surrogateescape")
    for parse in (Region.parse, parse_clock):
        with contextlib.suppress(ValueError):
            parse(text)
    parse_rgbd_spec(text)


def _read_records(data: bytes, suffix: str, scratch: Path) -> None:
    for record in read_tf_records(_written(data, suffix, scratch)):
        with contextlib.suppress(ValueError):
            parse_example(record)


class _IndexFolder:
    """Index folders with mutated files; an input is a list of edits of the files of one whole index.

    The lowest bit of the first byte says whether checksums are made to fit what was edited, so that the checks behind
    them are reached, the next one whether the slow things are tried too: cells, and changes.
    """

    def __init__(self) -> None:
        self._whole: dict[str, bytes] = {}
        self._lying: dict[Path, bytes] = {}

    @property
    def whole(self) -> dict[str, bytes]:
        """The files, made at the first use."""
        self._whole = self._whole or dict(seeds.index_files())
        return self._whole

    def seeds(self) -> Seeds:
        """No edit; one of each kind, with checksums that fit and that do not."""
        edits = [b"", bytes([0, 0, 0, 9, 65, 66]), bytes([3, 1, 0, 20]), bytes([5, 2, 0, 80, 1]), bytes([9, 3, 0, 0])]
        return [(".edits", bytes([fitting]) + edit) for fitting in range(4) for edit in edits]

    def read(self, data: bytes, _suffix: str, scratch: Path) -> None:
        """Edit a copy, open it, search it in every way, change it."""
        folder = scratch / "index"
        files = dict(self.whole)
        for edit in _edits(data[1:]):
            name = sorted(files)[edit[0] % len(files)]
            files[name] = _edited(files[name], edit)
        if data[:1] and data[0] % 2:
            files["manifest.json"] = _fitting(files)
        self._lay(folder, files)
        index = MediaIndex.open(folder)
        vectors = np.ones((2, 3), np.float32)
        with contextlib.suppress(JaxretError):
            index.verify()
        for options in (None, SearchOptions("cosine"), SearchOptions(min_cosine=0.1)):
            self._search(index, "frame", vectors, options)
        for options in (None, SearchOptions(multi_index=True)):
            self._search(index, "code", np.zeros((2, 2), np.uint8), options)
        for space in index.spaces:
            with _refused():
                index.rows(space)
        if not data[:1] or not data[0] & 2:
            return
        self._search(index, "frame", vectors, SearchOptions(probes=1))
        for name in ("key", "modified", "duration"):
            with _refused():
                index.values(name)
        self._lying = {}
        with _refused():
            index.remove([item.key for item in index.items[:1]])
            index.compact()
            index.refresh()

    def _lay(self, folder: Path, files: dict[str, bytes]) -> None:
        """Write the files; those that lie there as they should be, from the input before, are left."""
        if folder / "manifest.json" not in self._lying:
            shutil.rmtree(folder, ignore_errors=True)
        for name, content in files.items():
            path = folder / name
            if self._lying.get(path) != content:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.unlink(missing_ok=True)  # the index before may have it in memory
                path.write_bytes(content)
        self._lying = {folder / name: content for name, content in files.items()}

    @staticmethod
    def _search(index: MediaIndex, space: str, vectors: np.ndarray, options: SearchOptions | None) -> None:
        with _refused():
            found = index.search(space, vectors, 3, options=options)
            assert found.ids.max() < len(index)


_OF_QUESTIONS = ("space must be", "dimension", "metric", "must have", "is not in the index")


@contextlib.contextmanager
def _refused() -> Iterator[None]:
    """What is refused is so by the library's own errors, or a ValueError for a question that the index does not fit."""
    try:
        yield
    except JaxretError:
        pass
    except ValueError as error:
        if not any(text in str(error) for text in _OF_QUESTIONS):
            raise


def _edits(data: bytes) -> Iterator[bytes]:
    """Pieces of eight bytes at most: file, kind of edit, place (2), what is written."""
    for start in range(0, len(data), 8):
        yield data[start : start + 8].ljust(5, b"0")


def _edited(content: bytes, edit: bytes) -> bytes:
    place = int.from_bytes(edit[2:4], "big") % (len(content) + 1)
    written = edit[4:]
    match edit[1] % 5:
        case 0:  # overwrite
            return content[:place] + written + content[place + len(written) :]
        case 1:  # cut off
            return content[:place]
        case 2:  # put in
            return content[:place] + written + content[place:]
        case 3:  # another number, where there is one: the next digits from here on
            end = place
            while end < len(content) and not content[end : end + 1].isdigit():
                end += 1
            rest = content[end:].lstrip(b"0123456789")
            return content[:end] + str(int.from_bytes(written, "big", signed=True)).encode() + rest
        case _:  # take out
            return content[:place] + content[place + 1 + edit[4] :]


def _fitting(files: dict[str, bytes]) -> bytes:
    """The manifest with sizes and checksums of the files as they are, as far as it can be read."""
    try:
        body = json.loads(files["manifest.json"])
        for segment in body["segments"]:
            of_spaces = [file for arrays in segment["arrays"].values() for file in arrays.values()]
            for entry in [segment["items"], segment["keys"], *of_spaces]:
                content = files.get(entry["file"], b"")
                entry.update(size=len(content), sha256=hashlib.sha256(content).hexdigest())
        body["checksum"] = manifest_checksum(body)
        return json.dumps(body).encode()
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return files["manifest.json"]


def _specification_seeds() -> Seeds:
    texts = ["rgbd,rate=15,frames=60:walks", "0.25,0.2,0.5,0.5", "1:02:03.5"]
    return [(".txt", text.encode()) for text in texts]


_INDEX = _IndexFolder()

TARGETS = {
    "index": Target(_INDEX.seeds, _INDEX.read, 64),
    "keras": Target(seeds.keras_seeds, _read_weights),
    "safetensors": Target(seeds.safetensors_seeds, _read_weights, 1 << 10),
    "torch": Target(seeds.torch_seeds, _read_weights, 1 << 11),
    "images": Target(seeds.image_seeds, _read_media, 1 << 12),
    "videos": Target(seeds.video_seeds, _read_media, 1 << 14),
    "tables": Target(seeds.table_seeds, _read_table, 1 << 10),
    "specifications": Target(_specification_seeds, _read_specification, 80),
    "records": Target(seeds.record_seeds, _read_records, 1 << 9),
}
