"""Media and indexes behind URLs: the same results as on this machine, and only what is needed comes over."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from flax import nnx
from PIL import Image
from range_server import RangeServer, serving

from jaxret.__main__ import dispatch
from jaxret.data.datasets.folders import open_media
from jaxret.data.datasets.moving_digits import MovingDigits
from jaxret.data.open import open_dataset
from jaxret.errors import ConfigError, IndexFormatError, MediaError
from jaxret.index import MediaIndex
from jaxret.models import TemporalEncoder, create_backbone
from jaxret.models.encoder import VideoEncoder
from jaxret.models.store import save_encoder
from jaxret.preprocessing import Preprocessing
from jaxret.remote import files_below, remote_state
from jaxret.retrieval import Retriever

pytest.importorskip("aiohttp", reason="files behind http:// need the extra `remote`")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of media, an index of it, and an encoder."""
    root = tmp_path_factory.mktemp("served")
    digits = MovingDigits(train_clips=0, validation_clips=0, test_clips=1, size=32)
    digits.write_media_folder(root / "media", indices=range(0, 80, 10))
    next((root / "media").glob("*.csv")).unlink()
    Image.fromarray(digits.render([4])[0][5]).save(root / "media" / "0-left" / "picture.png")
    (root / "media" / ".hidden").mkdir()
    shutil.copy(root / "media" / "0-left" / "picture.png", root / "media" / ".hidden" / "p.png")
    rngs = nnx.Rngs(0)
    encoder = VideoEncoder(
        create_backbone("small-convnet", widths=[4, 8], embedding_size=16, rngs=rngs),
        TemporalEncoder(16, 8, rngs=rngs),
        Preprocessing(height=32, width=32, frames=4, chunk_seconds=1.0),
    )
    save_encoder(encoder, root / "encoder")
    retriever = Retriever.create(root / "run" / "index", encoder)
    retriever.add(open_dataset(root / "media"))
    retriever.index.make_cells("frame", 4)
    return root


@pytest.fixture
def server(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with serving(root) as running:
        yield running


@pytest.fixture
def of_one_s_own(root: Path, tmp_path: Path, server: RangeServer, monkeypatch: pytest.MonkeyPatch):
    """The same on a copy that a test may change."""
    shutil.copytree(root, tmp_path / "served")
    with serving(tmp_path / "served") as running:
        yield tmp_path / "served", running


def test_a_folder_behind_a_url_has_the_same_items_and_frames(root: Path, server: RangeServer) -> None:
    here, there = open_dataset(root / "media"), open_dataset(f"{server.url}/media")
    assert [(item.key, item.kind, item.label) for item in there.items] == [
        (item.key, item.kind, item.label) for item in here.items
    ]
    for number in range(len(here)):
        assert there.info(number) == here.info(number)
        np.testing.assert_array_equal(there.read(number)[0], here.read(number)[0])
        assert there.stamp(number)[0] == here.stamp(number)[0]
        assert abs(there.stamp(number)[1] - here.stamp(number)[1]) < 10**9
    assert there.origin(0) == f"{server.url}/media/{there.items[0].key}"


def test_of_a_large_file_only_parts_are_read(of_one_s_own) -> None:
    folder, server = of_one_s_own
    film = next((folder / "media").rglob("*.mp4"))
    (folder / "film.mp4").write_bytes(film.read_bytes() + (8 << 20).to_bytes(4, "big") + b"free" + bytes((8 << 20) - 8))
    with open_media(f"{server.url}/film.mp4") as there, open_media(film) as here:
        np.testing.assert_array_equal(there.read(), here.read())
    assert 0 < server.sent["/film.mp4"] < 3 << 20


def test_indexing_from_a_url_gives_the_vectors_of_the_files_and_goes_on(
    root: Path, of_one_s_own, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, server = of_one_s_own
    words = ["index", f"{server.url}/media", str(tmp_path / "mine"), "--encoder", str(root / "encoder"), "--quiet"]
    assert dispatch(words) == 0
    mine, other = MediaIndex.open(tmp_path / "mine"), MediaIndex.open(root / "run" / "index")
    assert [item.key for item in mine.items] == [item.key for item in other.items]
    assert mine.items[0].path == f"{server.url}/media/{mine.items[0].key}"
    for space in ("frame", "clip"):
        np.testing.assert_array_equal(mine.rows(space).vectors, other.rows(space).vectors)
    assert dispatch(words) == 0
    assert "added 0 items, 9 were there already" in capsys.readouterr().out
    changed = folder / "media" / "0-left" / "picture.png"
    Image.fromarray(np.full((32, 32, 3), 9, np.uint8)).save(changed)
    os.utime(changed, (2e9, 2e9))
    next((folder / "media" / "0-left").glob("*.mp4")).unlink()
    assert dispatch([*words[:3], "--prune", "--quiet"]) == 0
    told = capsys.readouterr().out
    assert "renewed 1 item" in told
    assert "pruned 1 item" in told
    assert len(MediaIndex.open(tmp_path / "mine")) == 8


def test_an_index_behind_a_url_answers_as_it_does_here(
    root: Path, server: RangeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = []
    query = next((root / "media").rglob("*.mp4"))
    for place in (root / "run", f"{server.url}/run", f"{server.url}/run/index"):
        assert dispatch(["search", str(place), str(query), "--json"]) == 0
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1] == shown[2]
    remote = f"{server.url}/{query.relative_to(root)}"
    assert dispatch(["search", f"{server.url}/run", remote, "--json", "-k", "3"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert found[0]["distance"] < 1e-3
    retriever = Retriever.open(Path(f"{server.url}/run"))  # pathlib takes a slash out of it
    assert retriever.index.cells == {"frame": 4}
    retriever.index.verify()


def test_a_copy_is_brought_up_to_date_by_what_is_new_and_never_changed(of_one_s_own) -> None:
    folder, server = of_one_s_own
    url = f"{server.url}/run"
    Retriever.open(url)
    whole = sum(server.sent.values())
    server.sent.clear()
    copy = Retriever.open(url)
    assert set(server.sent) == {"/run/index/manifest.json"}
    original = MediaIndex.open(folder / "run" / "index")
    original.remove([original.items[0].key])
    original.compact()
    server.sent.clear()
    again = Retriever.open(url)
    assert len(again.index) == len(copy.index) - 1
    assert 0 < sum(server.sent.values()) < whole
    assert len(list((again.index.folder / "segments").rglob("*.arrow"))) == 1
    with pytest.raises(ConfigError, match=r"http://.*/run/index can be searched where it lies, and not changed"):
        again.index.remove([again.index.items[0].key])
    with pytest.raises(ConfigError, match="can be searched where it lies, and not changed"):
        dispatch(["index", str(folder / "media"), url, "--quiet"])
    with pytest.raises(ConfigError, match="an index is made on this machine"):
        Retriever.create(f"{server.url}/new", again.encoder)


@pytest.mark.parametrize("name", ["manifest.json", "clip.vectors.npy", "items.arrow", "weights.safetensors"])
def test_a_damaged_file_behind_a_url_is_refused_and_the_copy_stays(of_one_s_own, name: str) -> None:
    folder, server = of_one_s_own
    Retriever.open(f"{server.url}/run")
    shutil.rmtree(folder.parent / "cache") if name == "weights.safetensors" else None
    original = MediaIndex.open(folder / "run" / "index")
    original.remove([original.items[0].key])
    original.compact()
    (path,) = (folder / "run" / "index").rglob(name)
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    with pytest.raises(Exception, match=r"checksum does not match|do not belong together|is not JSON|is damaged"):
        Retriever.open(f"{server.url}/run")
    if name != "weights.safetensors":
        (copy,) = (folder.parent / "cache/jaxret/indexes").iterdir()
        assert len(MediaIndex.open(copy)) == len(original) + 1


def test_what_is_wrong_names_the_url(root: Path, server: RangeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    film = f"/{next((root / 'media').rglob('*.mp4')).relative_to(root)}"
    for call, error, message in (
        (lambda: open_dataset(f"{server.url}/nothing"), ConfigError, "/nothing: there are no files below it"),
        (lambda: open_dataset(f"{server.url}/a.csv"), ConfigError, "a CSV is read from this machine"),
        (lambda: Retriever.open(f"{server.url}/media"), IndexFormatError, "/media: is not an index"),
        (lambda: open_media(f"{server.url}/none.mp4"), MediaError, "none.mp4: no such file"),
        (lambda: open_media(f"{server.url}/encoder/encoder.json", "video"), MediaError, "encoder.json: "),
        (
            lambda: files_below("http://127.0.0.1:1/x"),
            MediaError,
            "http://127.0.0.1:1/x: cannot be read: Cannot connect",
        ),
    ):
        with pytest.raises(error, match=message):
            call()
    server.ranges = False
    with pytest.raises(MediaError, match="sends no parts of a file: copy it to this machine"):
        open_media(server.url + film)
    server.ranges = True
    server.refused.add(film)
    for call in (open_media, remote_state):  # not "there is none", which would prune it
        with pytest.raises(MediaError, match=r"mp4: cannot be read: 403"):
            call(server.url + film)
    with pytest.raises(MediaError, match="cannot be read: Cannot connect"):
        remote_state("http://127.0.0.1:1/x.mp4")
    monkeypatch.setitem(__import__("sys").modules, "aiohttp", None)
    with pytest.raises(ConfigError, match="http:// needs the package aiohttp: install the extra `remote`"):
        remote_state(f"{server.url}/x")


def test_content_without_a_tag_is_hashed(server: RangeServer, root: Path) -> None:
    here, there = open_dataset(root / "media"), open_dataset(f"{server.url}/media")
    tagged = there.content_hash(0)
    assert tagged != here.content_hash(0)
    server.tags = False
    assert there.content_hash(0) == here.content_hash(0)
