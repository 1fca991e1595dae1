"""Small indexes to test with."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from jaxret.index import EncoderRecord, MediaIndex, MediaItem, Rows, SearchOptions, Space
from jaxret.index.manifest import manifest_checksum
from jaxret.preprocessing import Preprocessing


def as_version_1(folder: Path) -> None:
    """Rewrite an index as versions before Arrow files wrote it: items as JSON lines, no table of keys."""
    path = folder / "manifest.json"
    body = json.loads(path.read_text())
    body["format_version"] = 1
    del body["media_root"]
    items = [item.to_json() for item in MediaIndex.open(folder)._snapshot.items]
    for segment in body["segments"]:
        (folder / segment["items"]["file"]).unlink()
        (folder / segment.pop("keys")["file"]).unlink()
        assert not segment["removed"]
        lines = [json.dumps(items.pop(0)).encode() + b"\n" for _ in range(segment["n_items"])]
        file = f"segments/{segment['name']}/items.jsonl"
        (folder / file).write_bytes(b"".join(lines))
        digest = hashlib.sha256(b"".join(lines)).hexdigest()
        segment["items"] = {"file": file, "size": sum(map(len, lines)), "sha256": digest}
    body["checksum"] = manifest_checksum(body)
    path.write_text(json.dumps(body))


@dataclasses.dataclass
class Maker:
    """Makes indexes below one folder; counts them."""

    root: Path
    made: int = 0

    encoder = EncoderRecord("sha256:abc", Preprocessing(), {"name": "small-convnet", "widths": [8, 16]})

    def empty(self, *spaces: Space) -> MediaIndex:
        self.made += 1
        folder = self.root / f"index{self.made}"
        return MediaIndex.create(folder, spaces=spaces or (Space("frame", 3),), encoder=self.encoder)

    def item(self, name: str, kind: str = "video", **fields) -> MediaItem:
        return MediaItem(name, kind, **fields)

    def search(self, index: MediaIndex, **arguments):
        """`index.search` with the fields of `SearchOptions` among its arguments."""
        names = {field.name for field in dataclasses.fields(SearchOptions)} & set(arguments)
        options = SearchOptions(**{name: arguments.pop(name) for name in names})
        return index.search(options=options, **arguments)

    def rows(self, *per_item, dtype=np.float32) -> Rows:
        """Rows of item 0, of item 1, ...: each a list of vectors; row r of an item spans r .. r + 0.5 s."""
        items = [i for i, rows in enumerate(per_item) for _ in rows]
        starts = np.array([r for rows in per_item for r in range(len(rows))], float)
        vectors = np.array([row for rows in per_item for row in rows], dtype).reshape(len(items), -1)
        return Rows(vectors, items, starts, starts + 0.5)

    def filled(self) -> MediaIndex:
        """Three segments, four items, one of them removed."""
        index = self.empty()
        index.add(
            [self.item("a"), self.item("b", "image")],
            {"frame": self.rows([[0, 0, 0], [1, 0, 0]], [[5, 0, 0]])},
        )
        index.add([self.item("c", label="jump", source="film")], {"frame": self.rows([[2, 0, 0], [9, 9, 9]])})
        index.add([self.item("d")], {"frame": self.rows([[3, 0, 0]])})
        index.remove(["b"])
        return index

    def version_1(self) -> MediaIndex:
        """An index of two segments as older versions wrote it: items a and b in the first, c in the second."""
        index = self.empty()
        index.add(
            [self.item("a", source="film"), self.item("b", "image")],
            {"frame": self.rows([[0, 0, 0], [1, 0, 0]], [[5, 0, 0]])},
        )
        index.add([self.item("c", label="jump", source="film")], {"frame": self.rows([[2, 0, 0], [9, 9, 9]])})
        as_version_1(index.folder)
        return MediaIndex.open(index.folder)


@pytest.fixture(scope="module", autouse=True)
def _no_fsync():
    """No test pulls the plug, and waiting for the disk is most of the time of a small change."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda handle: None)
        yield


@pytest.fixture
def make(tmp_path) -> Maker:
    return Maker(tmp_path)


@pytest.fixture(scope="session")
def make_many(tmp_path_factory) -> Maker:
    """For property tests, which call a test function many times."""
    return Maker(tmp_path_factory.mktemp("indexes"))
