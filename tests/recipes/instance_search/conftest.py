"""The pictures that the tests of instance search train on, and finished runs."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from instance_making import PICTURES, make_film, make_pictures
from instance_runs import FEATURES

from jaxret import train


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The seven pictures with a CSV of their boxes, a film, and a file that is no picture."""
    folder = make_pictures(tmp_path_factory.mktemp("things") / "pictures")
    make_film(folder / "x.mp4", [None, "flag"], seed=1)
    (folder / "broken.png").write_bytes(b"no picture")
    rows = ["path,left,top,right,bottom,label,split"]
    for name, (_, parts) in PICTURES.items():
        rows += [f"{name},{','.join(map(str, box))},{thing},test" for thing, box in parts.items()]
    (folder / "boxes.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="session")
def runs(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A finished run of each kind of features, SIFT where OpenCV is."""
    root = tmp_path_factory.mktemp("runs")
    for name, words in FEATURES.items():
        if name != "sift" or importlib.util.find_spec("cv2") is not None:
            assert train.main(["instance-search", "--data", str(data), "--out", str(root / name), *words]) == 0
    return {path.name: path for path in root.iterdir()}
