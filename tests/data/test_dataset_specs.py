"""`open_dataset` finds every kind of data set by name, and says what there is when it cannot."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import jaxret
from jaxret.data.datasets.folders import MediaFiles
from jaxret.data.datasets.moving_digits import MovingDigits
from jaxret.data.open import open_dataset
from jaxret.errors import ConfigError, MediaError

tfds = pytest.importorskip("tensorflow_datasets", reason="the extra tfds is not installed")


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("digits")
    MovingDigits(train_clips=1, validation_clips=0, test_clips=1).write_media_folder(folder, [0, 1, 100])
    return folder


def test_moving_digits():
    assert len(open_dataset("moving-digits")) == len(MovingDigits())


def test_folder_with_its_csv_and_the_csv_itself(written):
    for spec in (written, written / "clips.csv", str(written)):
        dataset = open_dataset(spec)
        assert isinstance(dataset, MediaFiles)
        assert [item.split for item in dataset.items] == ["train", "train", "test"]
        assert dataset.items[0].source.startswith("scan-")


def test_folder_without_csv_or_with_too_many(written, tmp_path):
    path = tmp_path / "class" / "a.png"
    path.parent.mkdir()
    Image.new("L", (8, 8)).save(path)
    (tmp_path / "other.csv").write_text("name,size\na,1\n")
    assert [item.label for item in open_dataset(tmp_path).items] == ["class"]
    for name in ("x.csv", "y.csv"):
        (tmp_path / name).write_text("path,label\nclass/a.png,z\n")
    with pytest.raises(ConfigError, match=r"holds 2 CSVs; name one: .*x\.csv.*y\.csv"):
        open_dataset(tmp_path)
    assert open_dataset(tmp_path / "x.csv").labels == ("z",)


def test_csv_options(written):
    moved = written.parent / "listing.csv"
    moved.write_text((written / "clips.csv").read_text().replace("split", "split9"))
    dataset = open_dataset(moved, root=written, split_column="split9")
    assert dataset.items[2].split == "test"


def test_single_file(written, tmp_path):
    path = next(written.glob("*/*.mp4"))
    assert open_dataset(path).items[0].kind == "video"
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no")
    with pytest.raises(MediaError, match=r"broken\.mp4"):
        open_dataset(broken)


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("moving_digits", "there is no file or folder 'moving_digits'"),
        ("nowhere/at/all", "there is no file or folder 'nowhere/at/all'"),
        ("nowhere.mp4", "there is no file or folder 'nowhere.mp4'"),
        (__file__, f"'{__file__}' is no media file"),
        ("", "its name is empty"),
    ],
)
def test_unknown_spec_lists_the_choices(spec, told):
    with pytest.raises(ConfigError, match=rf"no data set: {told}; choose moving-digits, tfds:NAME"):
        open_dataset(spec)


def png(pixels: np.ndarray) -> io.BytesIO:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    buffer.seek(0)
    return buffer


class JaxretTestImages(tfds.core.GeneratorBasedBuilder):
    """Six training and three test images, red or blue."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "label": tfds.features.ClassLabel(names=["red", "blue"]),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, download_manager):
        return {"train": self._generate_examples(6), "test": self._generate_examples(3)}

    def _generate_examples(self, count):
        for number in range(count):
            pixels = np.zeros((8, 10, 3), np.uint8)
            pixels[..., 2 * (number % 2)] = 100 + number
            yield number, {"image": png(pixels), "label": number % 2}


class JaxretTestVideos(tfds.core.GeneratorBasedBuilder):
    """Two videos stored as arrays, in a named configuration."""

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [tfds.core.BuilderConfig(name="small", version="1.0.0")]  # noqa: RUF012 - as the library wants it

    def _info(self):
        features = {
            "video": tfds.features.Tensor(shape=(None, 8, 10, 3), dtype=np.uint8),
            "action": tfds.features.ClassLabel(names=["run", "jump"]),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, download_manager):
        return {"train": self._generate_examples(2)}

    def _generate_examples(self, count):
        for number in range(count):
            yield number, {"video": np.full((5 + number, 8, 10, 3), 40 * number, np.uint8), "action": number}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tfds")
    JaxretTestImages(data_dir=folder, file_format="array_record").download_and_prepare()
    JaxretTestVideos(data_dir=folder, file_format="array_record", config="small").download_and_prepare()
    return folder


class TestTfds:
    def test_images(self, prepared):
        dataset = open_dataset("tfds:jaxret_test_images", data_dir=prepared)
        assert len(dataset) == 9
        assert {item.split for item in dataset.items} == {"train", "test"}
        for index, item in enumerate(dataset.items):
            pixels, times = dataset.read(index)
            assert item.kind == "image"
            assert pixels.shape == (1, 8, 10, 3)
            assert times.tolist() == [0.0]
            red, green, _ = pixels[0, 0, 0]
            assert green == 0
            assert item.label == ("red" if red else "blue")
        assert len({dataset.content_hash(index) for index in range(9)}) == 6  # the test images repeat
        stamps = {item.split: dataset.stamp(index) for index, item in enumerate(dataset.items)}
        files = {split: list(prepared.glob(f"jaxret_test_images/**/*-{split}.*")) for split in stamps}
        assert stamps == {
            split: (sum(path.stat().st_size for path in paths), max(path.stat().st_mtime_ns for path in paths))
            for split, paths in files.items()
        }

    def test_videos_as_arrays(self, prepared):
        dataset = open_dataset("tfds:jaxret_test_videos:small", data_dir=prepared)
        lengths = {item.label: dataset.info(index).frame_count for index, item in enumerate(dataset.items)}
        assert lengths == {"run": 5, "jump": 6}
        assert dataset.info(0).duration == pytest.approx(dataset.info(0).frame_count / 25)
        assert dataset.items[0].kind == "video"
        assert dataset.read(0, [4])[0].shape == (1, 8, 10, 3)

    def test_without_the_code_that_made_it_and_without_tensorflow(self, prepared):
        program = (
            "import sys\nfrom jaxret.data.open import open_dataset\n"
            f"dataset = open_dataset('tfds:jaxret_test_images', data_dir={str(prepared)!r})\n"
            "print(dataset.read(3)[0].shape, {'jax', 'tensorflow'} & set(sys.modules))"
        )
        root = Path(jaxret.__file__).parents[1]
        done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, timeout=120)
        assert done.stdout.strip() == "(1, 8, 10, 3) set()", done.stderr

    def test_nothing_is_fetched_unasked(self, prepared):
        for name in ("mnist", "no_such_data_set", "jaxret_test_videos:large"):
            with pytest.raises(ConfigError, match=r"not prepared in .*; allow the download"):
                open_dataset(f"tfds:{name}", data_dir=prepared)

    def test_unknown_name_with_download(self, prepared):
        with pytest.raises(ConfigError, match="knows no 'no_such_data_set'"):
            open_dataset("tfds:no_such_data_set", data_dir=prepared, download=True)

    def test_download_prepares_a_registered_data_set(self, tmp_path):
        dataset = open_dataset("tfds:jaxret_test_images", data_dir=tmp_path, download=True)
        assert len(dataset) == 9

    def test_features_that_need_tensorflow(self, prepared, tmp_path):
        """A prepared data set whose feature is the library's own Video."""
        if "tensorflow" in sys.modules:
            pytest.skip("TensorFlow is installed")
        source = prepared / "jaxret_test_videos" / "small" / "1.0.0"
        target = tmp_path / "jaxret_test_videos" / "small" / "1.0.0"
        target.mkdir(parents=True)
        for path in source.iterdir():
            (target / path.name).write_bytes(path.read_bytes())
        features = json.loads((target / "features.json").read_text())
        video = features["featuresDict"]["features"]["video"]
        video["pythonClassName"] = "tensorflow_datasets.core.features.video_feature.Video"
        video["video"] = {key: video["tensor"][key] for key in ("shape", "dtype")}
        del video["tensor"]
        (target / "features.json").write_text(json.dumps(features))
        with pytest.raises(ConfigError, match=r"need TensorFlow; install `tensorflow` beside the extra"):
            open_dataset("tfds:jaxret_test_videos:small", data_dir=tmp_path)

    def test_missing_library_names_the_extra(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
        with pytest.raises(ConfigError, match=r"pip install 'jaxret\[tfds\]'"):
            open_dataset("tfds:mnist")
