"""A folder of broken, damaged and odd files through `jaxret index`: the rest is indexed, and everything is told."""

from __future__ import annotations

import json
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import psutil
import pytest
from flax import nnx
from PIL import Image
from tiny_clip_encoder import make_encoder

from jaxret import build_index, search
from jaxret.data.open import open_dataset
from jaxret.models import TemporalEncoder, create_backbone
from jaxret.models.encoder import VideoEncoder
from jaxret.preprocessing import Preprocessing, ShotSampling
from jaxret.retrieval import Retriever
from jaxret.retrieval.encode.shots import ShotDetector

STEPS = [100 * number for number in range(19)]


def film(path: Path, *, stamps: list[int] | None = None) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=10)
        stream.width, stream.height = 48, 32
        stream.pix_fmt = "yuvj420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for number, stamp in enumerate(stamps or [*STEPS, 1900]):
            frame = av.VideoFrame.from_ndarray(np.full((32, 48, 3), 10 * number, np.uint8), "rgb24")
            frame.pts, frame.time_base = stamp, Fraction(1, 1000)
            for packet in stream.encode(frame):
                container.mux(packet)
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "media"
    root.mkdir()
    film(root / "plain.mkv")
    film(root / "jump.mkv", stamps=[*STEPS, 139_811_800])
    data = film(root / "whole.mkv").read_bytes()
    (root / "whole.mkv").unlink()
    (root / "cut.mkv").write_bytes(data[: len(data) // 2])
    with av.open(str(root / "plain.mkv")) as container:
        victim = bytes([packet for packet in container.demux(video=0) if packet.size][6])
    content = (root / "plain.mkv").read_bytes()
    (root / "hole.mkv").write_bytes(content.replace(victim, bytes(len(victim))))
    Image.new("RGB", (32, 32)).save(root / "MP4", "JPEG")
    (root / "broken.jfif").write_bytes(b"\xff\xd8\xff" + bytes(50))
    (root / "notes.txt").write_text("words")
    return root


@pytest.mark.parametrize("shots", [None, ShotSampling(rate=5.0)])
def test_everything_is_told(folder: Path, tmp_path: Path, shots: ShotSampling | None, capsys) -> None:
    rngs = nnx.Rngs(0)
    encoder = VideoEncoder(
        create_backbone("small-convnet", widths=[8, 8], embedding_size=32, rngs=rngs),
        TemporalEncoder(32, 32, rngs=rngs),
        Preprocessing(height=32, width=32, frames=4, chunk_seconds=1.0, resize="limit", shots=shots),
    )
    Retriever.create(tmp_path / "index", encoder)
    assert build_index.main([str(folder), str(tmp_path / "index"), "--quiet"]) == 0
    told = capsys.readouterr().out
    assert "added 5 items" in told
    assert "1 could not be read; 5 are in" in told
    assert f"skipped {folder}/broken.jfif" in told
    assert f"damaged {folder}/jump.mkv: no new frame for more than 60 s in 1 place: after 1.9 s" in told
    assert f"damaged {folder}/cut.mkv: truncated" in told
    assert f"damaged {folder}/hole.mkv: 1 frames do not decode: 6 (at 0.600 s)" in told or shots
    assert "plain.mkv" not in told
    assert "passed over 1 files that are no images or videos: 1 .txt" in told
    index = Retriever.open(tmp_path / "index").index
    assert len(index.rows("clip")) < 40
    assert index.rows("clip").ends.max() == pytest.approx(139_811.9, abs=0.1)


def test_a_damaged_query_is_told_beside_its_results(folder: Path, tmp_path: Path, capsys) -> None:
    encoder = make_encoder(units=32)
    Retriever.create(tmp_path / "index", encoder).add(open_dataset(folder))
    assert search.main([str(tmp_path / "index"), str(folder / "jump.mkv"), "-k", "6", "--json"]) == 0
    told = capsys.readouterr()
    found = [json.loads(line) for line in told.out.splitlines()]
    assert "jump.mkv" in [hit["key"] for hit in found if hit["distance"] < 1e-3]
    assert "the query is damaged" in told.err
    assert "no new frame for more than 60 s" in told.err


def test_a_gap_ends_a_shot() -> None:
    detector = ShotDetector(threshold=0.5)
    assert detector.add(np.ones((3, 2)), [0.0, 0.5, 1.0]) == []
    (first,) = detector.add(np.ones((1, 2)), [9000.0])
    (last,) = detector.finish(9000.5)
    assert [(shot.start, shot.end) for shot in (first, last)] == [(0.0, 1.5), (9000.0, 9000.5)]


@pytest.mark.slow
def test_five_thousand_files_of_which_five_hundred_are_broken_in_fifty_ways(tmp_path: Path, capsys) -> None:
    rng = np.random.default_rng(0)
    root = tmp_path / "media"
    root.mkdir()
    wholes = {}
    for ending in ("png", "jpg", "webp", "tif", "gif", "bmp"):
        for number in range(733):
            path = root / f"{number}.{ending}"
            Image.fromarray(rng.integers(0, 255, (24, 32, 3), np.uint8)).save(path)
        wholes[ending] = path.read_bytes()
    for ending in ("mkv", "mp4", "avi", "mov"):
        data = film(tmp_path / f"film.{ending}").read_bytes()
        wholes[ending] = data
        for number in range(25 + (ending == "mkv") * 2):
            (root / f"{number}.{ending}").write_bytes(data)
    ways = {
        "empty": lambda data: b"",
        "noise": lambda data: rng.bytes(len(data)),
        "begun": lambda data: data[:12],
        "zeroed": lambda data: data[:16] + bytes(len(data) - 16),
        "words": lambda data: b"<html><title>404 Not Found</title></html>" * 20,
    }
    for ending, data in wholes.items():
        for way, broken in ways.items():
            for number in range(10):
                (root / f"{way}-{number}.{ending}").write_bytes(broken(data))
    encoder = make_encoder(units=32)
    Retriever.create(tmp_path / "index", encoder)
    before = psutil.Process().memory_info().rss
    start = time.monotonic()
    assert build_index.main([str(root), str(tmp_path / "index"), "--quiet"]) == 0
    seconds = time.monotonic() - start
    told = capsys.readouterr().out
    assert "added 4500 items, 0 were there already, 500 could not be read; 4500 are in" in told
    for ending in wholes:
        for way in ways:
            assert f"skipped {root}/{way}-0.{ending}: " in told
    assert 5000 / seconds > 25  # files a second
    assert psutil.Process().memory_info().rss - before < 1 << 30
    with capsys.disabled():
        print(f"\n{5000 / seconds:.0f} files a second")
