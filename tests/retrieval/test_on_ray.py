"""Indexing and searching by Ray: the same rows and hits as here, whatever ends meanwhile."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import numpy as np
import psutil
import pytest
from flax import nnx
from index_parts import PartsHere

from jaxret.__main__ import dispatch
from jaxret.data.datasets.moving_digits import MovingDigits
from jaxret.data.open import open_dataset
from jaxret.errors import ConfigError
from jaxret.index import MediaIndex, ShardedIndex
from jaxret.models import HashLayer, TemporalEncoder, create_backbone
from jaxret.models.encoder import VideoEncoder
from jaxret.models.store import save_encoder
from jaxret.preprocessing import Preprocessing
from jaxret.retrieval import RayCluster, Retriever, SequenceSearch, VectorSearch

by_ray = [
    pytest.mark.slow,  # to start Ray takes longer than all these tests
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed (extra `ray`)"),
    pytest.mark.filterwarnings("ignore"),
]
OPTIONS = [
    VectorSearch(),
    VectorSearch(space="clip"),
    VectorSearch(space="code", rerank=12),
    VectorSearch(space="frame"),
    VectorSearch(min_cosine=0.5),
    VectorSearch(probes=2),
    SequenceSearch("dtw"),
    SequenceSearch("bi-dtw", "query"),
    SequenceSearch("mean-cosine"),
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Media, an encoder, and an index of a segment a class."""
    root = tmp_path_factory.mktemp("on_ray")
    digits = MovingDigits(train_clips=0, validation_clips=0, test_clips=1, size=32)
    digits.write_media_folder(root / "media", indices=range(0, 80, 2))
    next((root / "media").glob("*.csv")).unlink()
    encoder = VideoEncoder(
        create_backbone("small-convnet", widths=[4, 8], embedding_size=16, rngs=nnx.Rngs(0)),
        HashLayer(TemporalEncoder(16, 8, rngs=nnx.Rngs(0)), 16, rngs=nnx.Rngs(0)),
        Preprocessing(height=32, width=32, frames=4, chunk_seconds=0.2),
    )
    save_encoder(encoder, root / "encoder")
    retriever = Retriever.create(root / "index", encoder)
    for folder in sorted((root / "media").iterdir())[::5]:
        retriever.add(open_dataset(folder))
    assert len(retriever.index._snapshot.segments) > 7
    return root


def hits(retriever: Retriever, root: Path) -> list:
    queries = sorted((root / "media").rglob("*.mp4"))[::17]
    return [
        retriever.search(query, 9, options=options, where=where)
        for query in queries
        for options in OPTIONS
        for where in (None, "duration > 0.1")
    ]


@pytest.mark.parametrize("count", [1, 2, 7])
def test_parts_find_what_the_whole_finds(root: Path, count: int) -> None:
    retriever = Retriever.open(root / "index")
    expected = hits(retriever, root)
    assert sum(map(len, expected)) > 60
    parted = Retriever(retriever.encoder, ShardedIndex(retriever.index, PartsHere(retriever.index, count)))
    assert hits(parted, root) == expected


def test_what_is_wrong_is_named(root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for wrong, message in (
        ({"workers": 0}, "workers must be at least 1, got 0"),
        ({"address": ""}, "address must be 'local', 'auto' or where a Ray cluster is, got ''"),
    ):
        with pytest.raises(ValueError, match=message):
            RayCluster(**wrong)
    with pytest.raises(ConfigError, match="--workers are those of a cluster: name it with --ray"):
        dispatch(["index", str(root / "media"), str(root / "index"), "--workers", "3"])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="work on several machines needs Ray: install the extra `ray`"):
        Retriever.open(root / "index", ray=RayCluster())
    with pytest.raises(ConfigError, match="needs Ray: install the extra `ray`"):
        dispatch(
            ["index", str(root / "media"), str(tmp_path / "x"), "--encoder", str(root / "encoder"), "--ray", "local"]
        )


def rows_of(folder: Path) -> dict:
    index = MediaIndex.open(folder)
    index.verify()
    return {"keys": [item.key for item in index.items]} | {name: index.rows(name).vectors for name in index.spaces}


class TestRay:
    """With Ray itself, on this machine."""

    pytestmark = by_ray

    @pytest.fixture(scope="class", autouse=True)
    def _ended(self):
        yield
        import ray

        ray.shutdown()

    def test_workers_make_the_rows_that_are_made_here(self, root: Path, tmp_path: Path) -> None:
        broken = shutil.copytree(root / "media", tmp_path / "media")
        (broken / "0-left" / "broken.mp4").write_bytes(b"no film")
        made = {}
        for workers in (0, 1, 3):
            folder = tmp_path / f"of{workers}"
            words = ["index", str(broken), str(folder), "--encoder", str(root / "encoder"), "--quiet"]
            assert dispatch([*words, *(["--ray", "local", "--workers", str(workers)] if workers else [])]) == 0
            made[workers] = rows_of(folder)
        assert made[1]["keys"] == made[3]["keys"] == made[0]["keys"]
        for space in ("frame", "clip", "code"):
            np.testing.assert_array_equal(made[1][space], made[3][space])
            np.testing.assert_allclose(made[1][space].astype(float), made[0][space].astype(float), atol=1e-5)

    def test_a_worker_that_ends_is_replaced_and_nothing_is_lost(self, root: Path, tmp_path: Path) -> None:
        from jaxret.retrieval.on_ray import encoders

        whole = Retriever.create(tmp_path / "whole", Retriever.open(root / "index").encoder)
        whole.add(open_dataset(root / "media"), ray=RayCluster("local", 2))
        ended = []

        def end_one(number: int) -> None:
            if number in (3, 20):
                processes = psutil.Process().children(recursive=True)
                worker = next(one for one in processes if "EncodingWorker" in " ".join(one.cmdline()))
                worker.kill()
                ended.append(worker.pid)

        other = Retriever.create(tmp_path / "other", whole.encoder)
        other.add(open_dataset(root / "media"), ray=RayCluster("local", 2), on_item=end_one)
        assert len(ended) == 2
        assert len(other.index) > encoders.PART
        for name, rows in rows_of(tmp_path / "whole").items():
            np.testing.assert_array_equal(rows_of(tmp_path / "other")[name], rows)

    @pytest.mark.parametrize("workers", [1, 2, 7])
    def test_shards_find_what_the_whole_finds(self, root: Path, workers: int) -> None:
        sharded = Retriever.open(root / "index", ray=RayCluster("local", workers))
        assert hits(sharded, root) == hits(Retriever.open(root / "index"), root)
        with pytest.raises(ValueError, match="nothing"):
            sharded.index.search("clip", np.zeros(16), 3, where="nothing = 1")
