"""What a run is trained on is written down, and a training that goes on refuses other data."""

from __future__ import annotations

import dataclasses

import pytest
from PIL import Image

from jaxret.data.data_record import check_data, write_data
from jaxret.data.datasets.folders import MediaFiles
from jaxret.errors import ConfigError


@pytest.fixture
def media(tmp_path):
    for number, name in enumerate(("cats/a.png", "cats/b.png", "dogs/c.png")):
        path = tmp_path / "media" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8 + number, 8)).save(path)
    return tmp_path / "media"


def test_the_same_data_pass_wherever_they_lie(media, tmp_path):
    check_data(tmp_path / "data.json", MediaFiles.of_folder(media))  # of an older run: nothing is known
    write_data(tmp_path / "data.json", MediaFiles.of_folder(media))
    check_data(tmp_path / "data.json", MediaFiles.of_folder(media))
    media.rename(tmp_path / "elsewhere")
    check_data(tmp_path / "data.json", MediaFiles.of_folder(tmp_path / "elsewhere"))


def test_what_is_missing_new_or_another_is_named(media, tmp_path):
    record = tmp_path / "data.json"
    write_data(record, MediaFiles.of_folder(media))
    (media / "cats/a.png").write_bytes(b"broken")
    Image.new("RGB", (50, 50)).save(media / "dogs/c.png")
    (media / "cats/b.png").rename(media / "dogs/b.png")
    with pytest.raises(
        ConfigError,
        match=r"of 3 items 2 are missing or cannot be read \(cats/a\.png, cats/b\.png\); 1 are new \(dogs/b\.png\);"
        r" 1 are others now \(dogs/c\.png\)\. Put them back",
    ):
        check_data(record, MediaFiles.of_folder(media))


@pytest.mark.parametrize("change", [{"label": "birds"}, {"split": "test"}, {"source": "film"}])
def test_another_label_split_or_source_is_another_item(media, tmp_path, change):
    record, files = tmp_path / "data.json", MediaFiles.of_folder(media)
    write_data(record, files)
    files.items = (dataclasses.replace(files.items[0], **change), *files.items[1:])
    with pytest.raises(ConfigError, match=r"1 are others now \(cats/a\.png\)"):
        check_data(record, files)
    record.write_text("[3")
    with pytest.raises(ConfigError, match=r"data\.json is damaged"):
        check_data(record, files)
