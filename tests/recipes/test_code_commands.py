"""The commands on an index with binary codes."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest
from flax import nnx

from jaxret.__main__ import dispatch
from jaxret.data.datasets.moving_digits import MovingDigits
from jaxret.errors import ConfigError
from jaxret.models import TemporalEncoder, create_backbone
from jaxret.models.encoder import VideoEncoder
from jaxret.models.store import save_encoder
from jaxret.models.temporal.heads import HashLayer
from jaxret.preprocessing import Preprocessing


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("media")
    digits = MovingDigits(train_clips=3, validation_clips=0, test_clips=0, size=32)
    digits.write_media_folder(root, [n for n, item in enumerate(digits.items) if item.label in ("0-up", "1-left")])
    next(root.glob("*.csv")).unlink()
    return root


@pytest.fixture(scope="module")
def index(media: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    rngs = nnx.Rngs(0)
    encoder = VideoEncoder(
        create_backbone("small-convnet", widths=[8, 8], embedding_size=32, rngs=rngs),
        HashLayer(TemporalEncoder(32, 16, rngs=rngs), 24, rngs=rngs),
        Preprocessing(height=32, width=32, frames=4, chunk_seconds=1.0),
    )
    root = tmp_path_factory.mktemp("run")
    save_encoder(encoder, root / "encoder")
    assert dispatch(["index", str(media), str(root / "index"), "--encoder", str(root), "--quiet"]) == 0
    return root / "index"


def test_index_prints_the_bytes_of_a_video(index: Path, media: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["index", str(media), str(index), "--quiet"]) == 0
    assert "codes of 24 bits a chunk: 3.0 bytes a video, their clip embeddings 96.0" in capsys.readouterr().out


def test_search_prints_bits_or_reranked_distances(index: Path, media: Path, capsys) -> None:
    video = str(next(media.glob("1-left/*.mp4")))
    assert dispatch(["search", str(index), video, "--space", "code", "-k", "6"]) == 0
    by_code = capsys.readouterr().out
    header, *lines = by_code.splitlines()
    assert header.split()[:2] == ["bits", "cosine"]
    bits = [line.split()[1] for line in lines]
    assert bits[0] == "0"
    assert [int(b) for b in bits] == sorted(int(b) for b in bits)
    assert dispatch(["search", str(index), video, "-k", "6"]) == 0
    assert capsys.readouterr().out == by_code
    assert dispatch(["search", str(index), video, "--space", "code", "--rerank", "100", "-k", "6"]) == 0
    reranked = capsys.readouterr().out
    assert reranked.splitlines()[0].split()[:2] == ["distance", "cosine"]
    assert dispatch(["search", str(index), video, "--space", "clip", "-k", "6"]) == 0
    assert capsys.readouterr().out == reranked
    assert dispatch(["search", str(index), video, "-k", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metric"] == "hamming"
    with pytest.raises(ValueError, match="rerank must be at least k = 10, got 5"):
        dispatch(["search", str(index), video, "--rerank", "5"])


def test_evaluate_says_what_it_measured(index: Path, tmp_path: Path, capsys) -> None:
    figures = tmp_path / "figures.json"
    assert dispatch(["evaluate", str(index), "--space", "code", "-k", "3", "--json", str(figures)]) == 0
    printed = capsys.readouterr().out
    first, *tables = printed.splitlines()
    assert first.startswith(
        "code space by hamming; mAP@k divides by min(n_relevant,k); equal distances in order of id;"
    )
    values = json.loads(figures.read_text())["all"]
    rows = {}
    for header, row in pairwise(tables):
        if row.startswith("all "):
            rows |= dict(zip(re.split(r"\s{2,}", header.strip()), row.split()[1:], strict=True))
    assert {"mAP", "mAP tie-averaged", "mAP@3", "mAP@3 tie-averaged"} <= set(rows)
    assert {name: float(cell) for name, cell in rows.items()} == pytest.approx({n: values[n] for n in rows}, abs=6e-5)
    assert dispatch(["evaluate", str(index), "-k", "3"]) == 0
    assert capsys.readouterr().out == printed
    assert dispatch(["evaluate", str(index), "-k", "3", "--depth", "4", "--denominator", "retrieved"]) == 0
    cut = capsys.readouterr().out
    assert "mAP@3 (retrieved)" in cut
    assert "tie-averaged" not in cut
    assert dispatch(["evaluate", str(index), "-k", "1", "--metric", "cosine"]) == 0
    assert capsys.readouterr().out.startswith("clip space by cosine")
    assert dispatch(["evaluate", str(index), "-k", "1", "--space", "code", "--rerank", "100"]) == 0
    assert capsys.readouterr().out.startswith("code space by hamming, of which the nearest 100 are ordered by")
    with pytest.raises(ConfigError, match="go together, got cosine in space code"):
        dispatch(["evaluate", str(index), "--space", "code", "--metric", "cosine"])
