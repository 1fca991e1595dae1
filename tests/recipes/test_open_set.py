"""The recipe open-set, from a folder of videos to a search, beside the mean vector that it must not fall behind."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import save_file

from jaxret import Retriever, train
from jaxret.data.decode.write import write_video
from jaxret.errors import ConfigError
from jaxret.models import create_backbone
from jaxret.models.store import encoder_arrays
from jaxret.models.temporal.open_set import OpenSetEncoder
from jaxret.recipes.clips.open_set import OpenSetConfig

CLASSES, SOURCES, SIZE = 5, 10, 32


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos of plain colours with noise, each a source of its own; and the weights of a small network."""
    folder = tmp_path_factory.mktemp("open_set")
    rng = np.random.default_rng(0)
    for label in range(CLASSES):
        colour = np.random.default_rng(label).integers(40, 216, 3)
        for source in range(SOURCES):
            path = folder / "media" / f"class{label}" / f"{source}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            frames = np.clip(colour + rng.normal(0, 25, (8, SIZE, SIZE, 3)), 0, 255).astype(np.uint8)
            write_video(path, frames, fps=8)
    save_file(encoder_arrays(create_backbone("small-convnet", rngs=nnx.Rngs(0))), folder / "weights.safetensors")
    return folder


def arguments(media: Path, out: Path) -> list[str]:
    settings = {
        "data": media / "media",
        "out": out,
        "backbone": "small-convnet",
        "weights": media / "weights.safetensors",
        "image-size": SIZE,
        "frames": 4,
        "rounds": 2,
        "unseen-fraction": 0.2,
    }
    return ["open-set", *(word for name, value in settings.items() for word in (f"--{name}", str(value))), "--quiet"]


def test_a_run_is_indexed_and_searched_and_the_mean_stands_beside_it(
    media: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert train.main(arguments(media, run)) == 0
    printed = capsys.readouterr().out
    assert "held-out training classes gain" in printed
    figures = json.loads((run / "figures.json").read_text(encoding="utf-8"))
    assert {"seen", "unseen"} <= set(figures["trained"])
    # Before it is fitted, the encoder ranks as the mean of the frame vectors does.
    mean, before = (figures[name]["all"]["mAP"] for name in ("mean of frame vectors", "untrained"))
    assert 0 < before <= 1
    assert 0 < mean <= 1
    retriever = Retriever.open(run)
    temporal = retriever.encoder.temporal
    assert isinstance(temporal, OpenSetEncoder)
    assert temporal.classes == CLASSES - 1
    hits = retriever.search(media / "media" / "class0" / "0.mp4", k=3)
    assert hits[0].item.key.endswith("class0/0.mp4")
    assert hits[0].distance == pytest.approx(0, abs=1e-3)


def test_what_it_cannot_do_is_refused(media: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="trains no steps"):
        train.main([*arguments(media, tmp_path / "a"), "--stop-after", "3"])
    with pytest.raises(ConfigError, match="weights=none: a random backbone would stay random"):
        OpenSetConfig(weights="none")
    with pytest.raises(ConfigError, match="held_out must be a share of the classes above 0 and below 1, got 1"):
        OpenSetConfig(held_out=1.0)
    with pytest.raises(ConfigError, match="rounds must be at least 2"):
        OpenSetConfig(rounds=1)
