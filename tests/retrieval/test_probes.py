"""Searching some cells only, or on a device: the same answers (when all are probed), and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from flax import nnx
from PIL import Image

from jaxret.__main__ import dispatch
from jaxret.data.datasets.moving_digits import MovingDigits
from jaxret.data.open import open_dataset
from jaxret.errors import ConfigError
from jaxret.models import HashLayer, TemporalEncoder, create_backbone
from jaxret.models.encoder import VideoEncoder
from jaxret.preprocessing import Preprocessing
from jaxret.retrieval import Retriever, VectorSearch


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("media")
    digits = MovingDigits(train_clips=0, validation_clips=0, test_clips=1, size=32)
    digits.write_media_folder(root, indices=range(0, 80, 4))
    next(root.glob("*.csv")).unlink()
    Image.fromarray(digits.render([4])[0][5]).save(root / "0-left" / "picture.png")
    return root


def make_retriever(folder: Path, root: Path, bits: int) -> Retriever:
    rngs = nnx.Rngs(0)
    temporal = TemporalEncoder(16, 8, rngs=rngs)
    encoder = VideoEncoder(
        create_backbone("small-convnet", widths=[4, 8], embedding_size=16, rngs=rngs),
        HashLayer(temporal, bits, rngs=rngs) if bits else temporal,
        Preprocessing(height=32, width=32, frames=4, chunk_seconds=1.0),
    )
    retriever = Retriever.create(root / "index", encoder)
    retriever.add(open_dataset(folder))
    return retriever


@pytest.fixture(scope="module")
def retriever(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Retriever:
    return make_retriever(folder, tmp_path_factory.mktemp("plain"), bits=0)


def test_all_cells_give_the_exact_matches_and_one_cell_some_of_them(folder: Path, retriever: Retriever) -> None:
    video, image = next(folder.rglob("*.mp4")), folder / "0-left" / "picture.png"
    for query in (video, image):
        for options in ({}, {"min_cosine": 0.9}):
            exact = retriever.search(query, 15, options=VectorSearch(**options))
            assert retriever.search(query, 15, options=VectorSearch(probes=100, **options)) == exact
        exact, few = retriever.search(query, 21), retriever.search(query, 21, options=VectorSearch(probes=1))
        assert 0 < len(few) < len(exact)
        assert few[0] == exact[0]
        if query == video:  # of one chunk, as all here are: an item is found as it is or not at all
            assert [match for match in exact if match in few] == few


def test_a_device_gives_the_exact_matches(folder: Path, retriever: Retriever, capsys) -> None:
    video, image = next(folder.rglob("*.mp4")), folder / "0-left" / "picture.png"
    for query, options in ((video, {}), (image, {"metric": "cosine"}), (image, {"min_cosine": 0.9})):
        exact = retriever.search(query, 5, options=VectorSearch(**options))
        assert retriever.search(query, 5, options=VectorSearch(device="cpu", **options)) == exact
    command = ["search", str(retriever.index.folder), str(image), "-k", "5", "--json"]
    printed = []
    for device in ([], ["--device", "cpu"]):
        assert dispatch([*command, *device]) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]


def test_probes_imply_vectors_where_there_are_codes(folder: Path, tmp_path: Path) -> None:
    retriever = make_retriever(folder, tmp_path, bits=16)
    video = next(folder.rglob("*.mp4"))
    assert retriever.search(video, 3, options=VectorSearch(probes=100)) == retriever.search(
        video, 3, options=VectorSearch(space="clip")
    )
    with pytest.raises(ValueError, match=r"probes looks into cells of vectors: .* got 'code'"):
        retriever.search(video, 3, options=VectorSearch(probes=2, space="code"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"probes": 0}, "probes must be at least 1, got 0"),
        ({"probes": 2, "metric": "cosine"}, "probes needs metric 'euclidean'"),
        ({"probes": 2, "space": "frame"}, "a video in the frame space is compared with every item, and probes would"),
        ({"device": "abacus"}, "devices must be of a kind that JAX finds here .* got 'abacus'"),
        ({"device": "cpu", "space": "frame"}, "a video in the frame space is compared .* leave device 'cpu' out"),
        ({"probes": 2, "rerank": 20}, "rerank .* needs the code space, got 'clip'"),
    ],
)
def test_what_does_not_go_together_is_named(folder: Path, retriever: Retriever, options, message) -> None:
    with pytest.raises(ValueError, match=message):
        retriever.search(next(folder.rglob("*.mp4")), 3, options=VectorSearch(**options))


def test_the_commands_make_cells_and_look_into_them(folder: Path, tmp_path: Path, capsys) -> None:
    index = make_retriever(folder, tmp_path, bits=0).index.folder
    search = ["search", str(index), str(next(folder.rglob("*.mp4"))), "-k", "21", "--json"]
    with pytest.raises(ConfigError, match=r"--probes looks into cells, and .* keeps none: make them with --cells"):
        dispatch([*search, "--probes", "1"])
    with pytest.raises(ConfigError, match=r"--cells 500: no space of .* \(frame 81, clip 20\)"):
        dispatch(["index", str(index), "--cells", "500"])
    assert dispatch(["index", str(index), "--cells", "30"]) == 0
    told = capsys.readouterr().out
    assert "space frame: 81 vectors in 30 cells" in told
    assert "space clip has 20 vectors, fewer than cells: it is searched as it is" in told
    assert dispatch(["index", str(index), "--cells", "4"]) == 0
    table = capsys.readouterr().out.split("space clip: 20 vectors in 4 cells")[1].split("\n")
    assert [line.split()[:2] for line in table[2:5]] == [
        ["none", "1.000"],
        ["1", table[3].split()[1]],
        ["2", table[4].split()[1]],
    ]
    shown, told = {}, {}
    for probes in ("1", "4"):
        dispatch([*search, "--probes", probes])
        shown[probes], told[probes] = capsys.readouterr()
    dispatch(search)
    assert shown["4"] == capsys.readouterr().out
    found = shown["1"].count("\n")
    assert told["1"] == f"jaxret: {found} of 21 results lie in the cells looked into: a larger --probes may find more\n"
    assert told["4"] == ""
    assert 0 < shown["1"].count("\n") < shown["4"].count("\n")
    assert dispatch(["index", str(folder), str(index), "--cells", "0", "--quiet"]) == 0
    assert "keeps no cells" in capsys.readouterr().out
