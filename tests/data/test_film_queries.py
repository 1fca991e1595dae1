"""Photographs of films: which film and moment each is of, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxret.data.ground_truth.films import read_film_queries
from jaxret.errors import ConfigError, MediaError


@pytest.fixture
def folder(tmp_path, make_video) -> Path:
    (tmp_path / "photos").mkdir()
    for name in ("a", "b", "c"):
        Image.new("RGB", (40, 30)).save(tmp_path / "photos" / f"{name}.png")
    (tmp_path / "film.mp4").write_bytes(make_video("film.mp4", count=8).read_bytes())
    return tmp_path


def table(folder: Path, text: str) -> Path:
    path = folder / "queries.csv"
    path.write_text(text)
    return path


def test_one_film(folder):
    made = read_film_queries(table(folder, "path,start,end\nphotos/b.png,1:02:03,\nphotos/a.png, 12.5 ,0:14\n"))
    assert [item.key for item in made.films.items] == ["film.mp4"]
    assert [item.key for item in made.photographs.items] == ["photos/b.png", "photos/a.png"]
    assert {item.source for item in made.photographs.items} == {"film.mp4"}
    assert made.film_of.tolist() == [0, 0]
    np.testing.assert_array_equal(made.spans, [[3723, 3723], [12.5, 14]])
    assert made.photographs.read(0)[0].shape == (1, 30, 40, 3)
    assert made.films.info(0).frame_count == 8


def test_several_films(folder, make_video):
    (folder / "other.mp4").write_bytes(make_video("film.mp4", count=8).read_bytes())
    text = "film,path,start\nother.mp4,photos/a.png,1\nfilm.mp4,photos/b.png,2\nother.mp4,photos/c.png,3\n"
    made = read_film_queries(table(folder, text))
    assert [made.films.items[number].key for number in made.film_of] == ["other.mp4", "film.mp4", "other.mp4"]
    assert made.spans[:, 0].tolist() == [1, 2, 3]
    with pytest.raises(ConfigError, match=r"must hold exactly one video, got film\.mp4, other\.mp4"):
        read_film_queries(table(folder, "path,start\nphotos/a.png,1\n"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the header must name path and start.* got nothing"),
        ("path,start,label\nphotos/a.png,1,x\n", "got path, start, label"),
        ("path,start\n", "lists no photographs"),
        ("path,start\nphotos/a.png\n", "line 2: 1 cells, but the header names 2"),
        ("path,start\nphotos/a.png,noon\n", "line 2: a time must be seconds, m:ss or h:mm:ss, got 'noon'"),
        ("path,start,end\nphotos/a.png,5,4\n", r"line 2: the span ends before it starts: 5 \.\. 4"),
        ("path,start\nphotos/a.png,1\nphotos/a.png,2\n", "line 3: path 'photos/a.png' is listed twice"),
        ("path,start\nfilm.mp4,1\n", r"line 2: 'film\.mp4' is no image by its extension"),
        ("path,start,film\nphotos/a.png,1,photos/b.png\n", "line 2: 'photos/b.png' is no video by its extension"),
    ],
)
def test_malformed_tables_are_named_by_line(folder, text, message):
    with pytest.raises(ConfigError, match=message):
        read_film_queries(table(folder, text))


def test_files_that_cannot_be_read_are_errors(folder):
    with pytest.raises(MediaError, match=r"missing\.png: no such file \(.*queries\.csv, line 2\)"):
        read_film_queries(table(folder, "path,start\nphotos/missing.png,1\n"))
    (folder / "film.mp4").write_bytes(b"x" * 100)
    with pytest.raises(MediaError, match=r"film\.mp4"):
        read_film_queries(table(folder, "path,start\nphotos/a.png,1\n"))
    with pytest.raises(ConfigError, match="No such file"):
        read_film_queries(folder / "nowhere.csv")
