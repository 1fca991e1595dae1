"""The documented commands for the paper's corpora, on small files as these are published: each must have something to
train, validate and test, clips that are full of frames, and depths that planes tell apart."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from readme_commands import readme_commands

from jaxret.data.datasets.moving_digits import MovingDigits
from jaxret.data.datasets.published.tf_records import _masked_crc32c
from jaxret.data.decode.write import write_video
from jaxret.recipes.conv_lstm.clip_table import StepsData, plane_shares
from jaxret.recipes.conv_lstm.recipe import RECIPE, ConvLstmConfig, prepare
from jaxret.recipes.conv_lstm.remarks import said_of_depth
from jaxret.recipes.recipe import RunContext
from jaxret.train import _parse
from jaxret.training import RunFolder

SMALL = "--image-size 16 --blocks 1 --map-channels 2 --recurrent-channels 4 --residual-channels 2 --embedding-size 8"
STREET = (1000.0, 60.0, 30.0, 12.0, 6.0, 3.0)  # metres of the rows of an image, from the sky down to the road
ROOM = (4.2, 3.5, 2.9, 2.3, 1.7, 1.1)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A web video of four seconds."""
    path = tmp_path_factory.mktemp("video") / "web.mp4"
    frames = MovingDigits(train_clips=1, validation_clips=0, test_clips=0, size=16).render([0])[0]
    write_video(path, np.concatenate([frames] * 4)[:32], fps=8)
    return path.read_bytes()


def write_cc_web_video(root: Path, video: bytes) -> None:
    (root / "GT").mkdir(parents=True)
    lines, codes = [], "ESVML" * 2 + "XX"
    for query in range(1, 5):
        numbers = range(100 * query, 100 * query + len(codes))
        for number in numbers:
            name = f"{query}_{number % 100}_Y.mp4"
            lines.append(f"{number}\t{query}\tYouTube\t{name}\thttp://x/{number}\n")
            (root / name).write_bytes(video)
        text = "".join(f"{number}\t{code}\n" for number, code in zip(numbers, codes, strict=True))
        (root / "GT" / f"GT_{query}.rst").write_text(text)
    (root / "Video_List.txt").write_text("".join(lines))
    (root / "Seed.txt").write_text("".join(f"{query}\t{100 * query}\n" for query in range(1, 5)))


def write_youtube_8m(root: Path, video: bytes, *, parts: tuple[str, ...], labels: int) -> None:
    """Twenty videos a part, each of one of so many labels; what is in the part test has none."""
    proto = pytest.importorskip("tensorflow_datasets.proto.tf_example_generated_pb2")
    root.mkdir()
    header = "Index,TrainVideoCount,KnowledgeGraphId,Name,WikiUrl,Vertical1,Vertical2,Vertical3,WikiDescription\n"
    rows = "".join(f"{label},{1000 + label},/m/{label},Label {label},,Games,,,x\n" for label in range(labels))
    (root / "vocabulary.csv").write_text(header + rows)
    for part in parts:
        records = []
        for number in range(20):
            example = proto.Example()
            name = f"{part[:2]}{number:02d}"
            example.features.feature["id"].bytes_list.value.append(name.encode())
            example.features.feature["labels"].int64_list.value.extend([] if part == "test" else [number % labels])
            (root / f"{name}.mp4").write_bytes(video)
            record, length = example.SerializeToString(), struct.pack("<Q", example.ByteSize())
            crcs = (struct.pack("<I", _masked_crc32c(data)) for data in (length, record))
            records += [length, next(crcs), record, next(crcs)]
        (root / f"{part}0001.tfrecord").write_bytes(b"".join(records))


def write_stanford_rooms(root: Path) -> None:
    """Six areas of six rooms, in each a camera with 16 views."""
    for area in ("1", "2", "3", "4", "5a", "6"):
        folders = {kind: root / f"area_{area}" / "data" / kind for kind in ("rgb", "depth")}
        for folder in folders.values():
            folder.mkdir(parents=True)
        depth = np.repeat(np.round(512 * np.array(ROOM)).astype(np.uint16)[:, None], 8, axis=1)
        for room in range(6):
            for frame in range(16):
                stem = f"camera_{32 * f'{room:x}'}_office_{room}_frame_{frame}_domain"
                Image.fromarray(np.full((6, 8, 3), 16 * room + frame, np.uint8)).save(
                    folders["rgb"] / f"{stem}_rgb.png"
                )
                Image.fromarray(depth).save(folders["depth"] / f"{stem}_depth.png")


def write_synthia_sf(root: Path) -> None:
    """Six sequences of 100 frames."""
    steps = np.round(np.array(STREET) / 1000 * (256**3 - 1)).astype(np.int64)
    colours = np.stack([steps % 256, steps // 256 % 256, steps // 65536], axis=1).astype(np.uint8)
    depth = Image.fromarray(np.repeat(colours[:, None], 8, axis=1))
    for sequence in range(1, 7):
        for kind in ("RGBLeft", "DepthLeft"):
            (root / f"SEQ{sequence}" / kind).mkdir(parents=True)
        for number in range(100):
            image = Image.fromarray(np.full((6, 8, 3), 20 * sequence + number // 2, np.uint8))
            image.save(root / f"SEQ{sequence}" / "RGBLeft" / f"{number:07d}.png")
            depth.save(root / f"SEQ{sequence}" / "DepthLeft" / f"{number:07d}.png")


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory, video: bytes) -> Path:
    root = tmp_path_factory.mktemp("corpora")
    write_cc_web_video(root / "cc-web-video", video)
    write_stanford_rooms(root / "stanford-rooms")
    write_synthia_sf(root / "synthia-sf")
    return root


def prepared(words: list[str], tmp_path: Path) -> tuple[StepsData, ConvLstmConfig, list[str]]:
    """What the recipe begins with, by the words of a training, and what it logs."""
    config = _parse("conv-lstm", RECIPE.config, [*words, *SMALL.split()])
    log: list[str] = []
    context = RunContext(RunFolder(tmp_path / "run"), "conv-lstm", log=log.append, show_progress=False)
    _, data, config, _ = prepare(config, context)
    return data, config, log


def documented(corpus: str, folder: Path) -> list[str]:
    """The words of its documented training, without the name of the recipe and the run that another one leaves."""
    commands = [words for words in readme_commands("published corpora", {}) if corpus in " ".join(words)]
    (words,) = [words[3:] for words in commands if words[4].startswith(corpus)]
    for flag in ("--from", "--out"):
        if flag in words:
            del words[words.index(flag) : words.index(flag) + 2]
    return [word.replace(":FOLDER", f":{folder}") for word in words]


def check_splits(data: StepsData, log: list[str]) -> None:
    splits = data.splits.splits
    for name in ("train", "validation", "test"):
        assert len(getattr(splits, name)), f"{name}: {log}"
    assert not any("warning" in line for line in log), log
    sources = [
        {data.dataset.items[n].source for n in getattr(splits, name)} for name in ("train", "validation", "test")
    ]
    assert sum(map(len, sources)) == len(set().union(*sources))  # none is in two


@pytest.mark.parametrize("corpus", ["cc-web-video", "stanford-rooms", "synthia-sf"])
def test_there_is_something_to_train_validate_and_test(corpora: Path, tmp_path: Path, corpus: str) -> None:
    data, config, log = prepared(documented(corpus, corpora / corpus), tmp_path)
    check_splits(data, log)
    classes = {data.dataset.items[n].label for n in data.splits.splits.test}
    assert classes == set(data.dataset.labels)  # every class is tested
    frames = config.frames
    for item, (start, end) in zip(data.table.items, data.table.spans, strict=True):
        with data.dataset.open(int(item)) as reader:
            assert ((reader.times >= start - 1e-6) & (reader.times < end - 1e-6)).sum() >= frames
    if config.depth is None:
        return
    assert len(data.dataset.labels) == 6  # as in the paper's table 2
    shares = plane_shares(data.dataset, data.table, config.preprocessing(), threads=1)
    assert shares.sum() == pytest.approx(1)
    assert shares[1:].max() < 0.5
    assert (shares[1:] > 0).sum() >= 5
    assert any(line.startswith("depth: 0 % of the pixels have no reading") for line in log)


@pytest.mark.parametrize(
    ("parts", "labels"), [(("train", "validate", "test"), 4), (("train",), 4), (("train", "test"), 4), (("train",), 20)]
)
def test_youtube_8m_whatever_parts_of_it_are_there(tmp_path: Path, video: bytes, parts, labels) -> None:
    write_youtube_8m(tmp_path / "youtube", video, parts=parts, labels=labels)
    data, _, log = prepared(documented("youtube-8m", tmp_path / "youtube"), tmp_path)
    check_splits(data, log)
    used = [n for name in ("train", "validation", "test") for n in getattr(data.splits.splits, name)]
    assert not any(data.dataset.items[n].key.startswith("te") for n in used)
    if "validate" in parts:
        assert all(data.dataset.items[n].key.startswith("va") for n in data.splits.splits.test)


def test_what_leaves_nothing_to_measure_or_to_tell_apart_is_warned_of(corpora: Path, tmp_path: Path) -> None:
    words = ["--data", f"synthia-sf,frames=1000:{corpora / 'synthia-sf'}", "--architecture", "m1-3d"]
    data, config, log = prepared(words, tmp_path)
    assert len(data.splits.splits.train) == 6
    assert any(
        line.startswith(
            "warning: no item is left for validation and test, so that the last weights are kept in the place "
            "of the best and nothing is measured: the classes have too few sources to deal. Add files"
        )
        for line in log
    )
    (said,) = [line for line in log if "planes" in line]
    assert said.startswith("warning: of the depths 81 % lie in the last of 16 planes (beyond 4.25 m)")  # 13 of 16 rows
    assert said.endswith("a larger --depth-far spreads them")
    near = np.zeros(17)
    near[[0, 1, 5]] = 0.5, 0.3, 0.2
    assert "60 % lie in the first of 16 planes (nearer than 0.75 m)" in said_of_depth(near, config.depth)
