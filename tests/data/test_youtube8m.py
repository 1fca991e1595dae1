"""TFRecords without TensorFlow: messages written by the protobuf library come back, and YouTube-8M's files of them."""

from __future__ import annotations

import struct
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from jaxret.data.datasets.published.tf_records import _masked_crc32c, parse_example, read_tf_records
from jaxret.data.datasets.published.youtube8m import read_labels, read_vocabulary
from jaxret.data.open import open_dataset
from jaxret.errors import ConfigError, MediaError


@pytest.fixture(scope="module")
def proto() -> ModuleType:
    """TensorFlow's own message types, as tensorflow-datasets ships them for the protobuf library."""
    return pytest.importorskip("tensorflow_datasets.proto.tf_example_generated_pb2")


def write_records(path: Path, records: list[bytes]) -> Path:
    with path.open("wb") as file:
        for record in records:
            length = struct.pack("<Q", len(record))
            file.write(length + struct.pack("<I", _masked_crc32c(length)))
            file.write(record + struct.pack("<I", _masked_crc32c(record)))
    return path


def test_examples_come_back(proto):
    example = proto.Example()
    example.features.feature["name"].bytes_list.value.extend([b"a", b"", bytes(range(256)) * 2])
    example.features.feature["floats"].float_list.value.extend([1.5, -2.25, 1e30])
    example.features.feature["numbers"].int64_list.value.extend([0, 1, 300, -1, 2**62, -(2**63)])
    example.features.feature["nothing"].SetInParent()
    example.features.feature["no floats"].float_list.SetInParent()
    features = parse_example(example.SerializeToString())
    assert features["name"] == [b"a", b"", bytes(range(256)) * 2]
    assert features["floats"].tolist() == np.array([1.5, -2.25, 1e30], np.float32).tolist()
    assert features["numbers"].tolist() == [0, 1, 300, -1, 2**62, -(2**63)]
    assert list(features["nothing"]) == list(features["no floats"]) == []
    assert parse_example(b"") == {}


@pytest.mark.parametrize("record", [b"\x0a\xff", b"\xff" * 11, b"\x0b", b"\x08\x01", b"\x0a\x02\x0a\x05"])
def test_other_bytes_are_no_example(record):
    with pytest.raises(ValueError, match=r"no tf\.train\.Example"):
        parse_example(record)


def test_records_and_damage(tmp_path):
    records = [b"first", b"", b"x" * 1000]
    path = write_records(tmp_path / "a.tfrecord", records)
    assert list(read_tf_records(path, check_data=True)) == records
    whole = path.read_bytes()
    path.write_bytes(whole[:-3])
    with pytest.raises(MediaError, match="ends within a record"):
        list(read_tf_records(path))
    path.write_bytes(b"\x07" + whole[1:])
    with pytest.raises(MediaError, match="the length of a record is wrong"):
        list(read_tf_records(path))
    path.write_bytes(whole.replace(b"first", b"fIrst"))
    assert next(read_tf_records(path)) == b"fIrst"
    with pytest.raises(MediaError, match="their checksum is wrong"):
        next(read_tf_records(path, check_data=True))
    with pytest.raises(MediaError, match="No such file"):
        next(read_tf_records(tmp_path / "none"))


VOCABULARY = """Index,TrainVideoCount,KnowledgeGraphId,Name,WikiUrl,Vertical1,Vertical2,Vertical3,WikiDescription
0,788288,/m/03bt1gh,Game,https://en.wikipedia.org/wiki/Game,Games,,,"A game, of play."
1,539945,/m/01mw1,Video game,https://en.wikipedia.org/wiki/Video_game,Games,,,x
3861,123,/m/0hcr,Rare thing,https://en.wikipedia.org/wiki/Rare,Arts & Entertainment,Games,,y
"""


@pytest.fixture
def vocabulary(tmp_path) -> dict:
    (tmp_path / "vocabulary.csv").write_text(VOCABULARY)
    return read_vocabulary(tmp_path / "vocabulary.csv")


def video_record(proto, name: bytes, labels: list[int], key: str = "id") -> bytes:
    example = proto.Example()
    example.features.feature[key].bytes_list.value.append(name)
    example.features.feature["labels"].int64_list.value.extend(labels)
    example.features.feature["mean_rgb"].float_list.value.extend(np.linspace(-1, 1, 1024))
    example.features.feature["mean_audio"].float_list.value.extend(np.ones(128))
    return example.SerializeToString()


def test_vocabulary(vocabulary, tmp_path):
    assert len(vocabulary) == 3
    assert (vocabulary[3861].name, vocabulary[3861].videos, vocabulary[3861].vertical) == (
        "Rare thing", 123, "Arts & Entertainment"
    )  # fmt: skip
    (tmp_path / "bad.csv").write_text("Index,Name\n0,Game\n")
    with pytest.raises(ConfigError, match="no column 'TrainVideoCount'"):
        read_vocabulary(tmp_path / "bad.csv")
    (tmp_path / "bad.csv").write_text(VOCABULARY.replace("539945", "many"))
    with pytest.raises(ConfigError, match=r"bad\.csv, after 1 labels: .*'many'"):
        read_vocabulary(tmp_path / "bad.csv")


def test_labels_of_video_level_records(proto, tmp_path):
    records = [
        video_record(proto, b"eXbF", [0, 3861, 1]),
        video_record(proto, b"Gone", [1]),
        video_record(proto, b"bare", [], key="video_id"),
    ]
    path = write_records(tmp_path / "train0093.tfrecord", records)
    assert list(read_labels(path)) == [("eXbF", (0, 3861, 1)), ("Gone", (1,)), ("bare", ())]


def test_labels_of_frame_level_records(proto, tmp_path):
    rng = np.random.default_rng(0)
    rgb, audio = rng.integers(0, 256, (3, 1024), np.uint8), rng.integers(0, 256, (3, 128), np.uint8)
    example = proto.SequenceExample()
    example.context.feature["id"].bytes_list.value.append(b"eXbF")
    example.context.feature["labels"].int64_list.value.extend([1, 0])
    for second in range(3):
        example.feature_lists.feature_list["rgb"].feature.add().bytes_list.value.append(rgb[second].tobytes())
        example.feature_lists.feature_list["audio"].feature.add().bytes_list.value.append(audio[second].tobytes())
    path = write_records(tmp_path / "train00.tfrecord", [example.SerializeToString()])
    assert list(read_labels(path)) == [("eXbF", (1, 0))]
    write_records(path, [b"\x0a\xff"])
    with pytest.raises(MediaError, match=r"no tf\.train\.Example"):
        list(read_labels(path))


def test_videos_on_disk_are_labelled_by_the_records(proto, tmp_path, make_video):
    (tmp_path / "vocabulary.csv").write_text(VOCABULARY)
    with pytest.raises(ConfigError, match=r"holds no features \*\.tfrecord"):
        open_dataset(f"youtube-8m:{tmp_path}")
    (tmp_path / "features").mkdir()
    train = [video_record(proto, b"eXbF", [0, 3861, 1]), video_record(proto, b"Gone", [1])]
    write_records(tmp_path / "features" / "train0093.tfrecord", train)
    write_records(tmp_path / "features" / "test0001.tfrecord", [video_record(proto, b"bare", [])])
    with pytest.raises(ConfigError, match="holds no video named by the id of a record"):
        open_dataset(f"youtube-8m:{tmp_path}")
    video = make_video("tube.mp4", count=4).read_bytes()
    for name in ("eXbF.mp4", "bare.mp4", "other.mp4"):
        (tmp_path / name).write_bytes(video)
    dataset = open_dataset(f"youtube-8m:{tmp_path}")
    assert sorted((item.key, item.label, item.split, item.source) for item in dataset.items if item.label) == [
        ("eXbF", "Rare thing", None, "eXbF")  # alone, they are dealt
    ]
    assert [(item.key, item.split) for item in dataset.items if item.label is None] == [("bare", "unused")]
    write_records(tmp_path / "features" / "validate0001.tfrecord", [video_record(proto, b"more", [1])])
    (tmp_path / "more.mp4").write_bytes(video)
    both = open_dataset(f"youtube-8m:{tmp_path}")
    assert sorted((item.key, item.split) for item in both.items) == [
        ("bare", "unused"), ("eXbF", "train"), ("more", "test")
    ]  # fmt: skip
    (tmp_path / "vocabulary.csv").write_text(VOCABULARY.replace("3861,", "3862,"))
    with pytest.raises(ConfigError, match="video eXbF has label 3861, which the vocabulary lacks"):
        open_dataset(f"youtube-8m:{tmp_path}")
