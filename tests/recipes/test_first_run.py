"""What runs without arguments: it learns, and its report holds what it must beat."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from flax import nnx

import jaxret
from jaxret.data import open as opening
from jaxret.data.dataset import MediaSubset
from jaxret.data.datasets.moving_digits import MovingDigits
from jaxret.models import Mean, TemporalEncoder, create_backbone
from jaxret.models.encoder import VideoEncoder
from jaxret.preprocessing import Preprocessing
from jaxret.recipes.clip_media import embed_items
from jaxret.recipes.pixel_baseline import embed_beside_pixels
from jaxret.retrieval.encode import mean_frame_rows


def test_a_tiny_training_finds_more_than_its_baselines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digits = MovingDigits(train_clips=20, validation_clips=2, test_clips=8)
    chosen = ("0-up", "0-down", "1-left", "1-right", "1-up", "1-down")  # the last two are kept unseen
    few = [index for index, item in enumerate(digits.items) if item.label in chosen]
    monkeypatch.setattr(opening, "MovingDigits", lambda: MediaSubset(digits, few))
    log: list[str] = []
    run = jaxret.recipes.train(
        "moving-digits", out=tmp_path / "run", epochs=20, evaluate_every=20, batch_size=16, log=log.append
    )
    assert run is not None
    assert any("4 frames of 32 x 32 grey pixels" in line for line in log)
    found = {
        method: {group: figures["mAP"] for group, figures in groups.items()} for method, groups in run.figures.items()
    }
    assert set(found) == {"trained", "mean of frame vectors", "untrained", "mean of pixels", "chance"}
    for group in ("seen", "unseen"):
        baselines = [scores[group] for method, scores in found.items() if method != "trained"]
        assert found["trained"][group] > max(0.45, 1.5 * max(baselines)), (group, found)
    report = (run.path / "report.html").read_text(encoding="utf-8")
    assert "mean of pixels" in report
    assert "averaged into 16 x 16 cells" in report


@pytest.mark.parametrize("unit", ["frame", "chunk"])
def test_pixels_are_read_beside_the_vectors(unit: str) -> None:
    digits = MovingDigits(train_clips=1, validation_clips=0, test_clips=0, frames=16)
    rngs = nnx.Rngs(0)
    if unit == "frame":
        backbone = create_backbone("small-convnet", embedding_size=8, channels=1, rngs=rngs)
        encoder = VideoEncoder(
            backbone, TemporalEncoder(8, 4, rngs=rngs), Preprocessing(height=32, width=32, frames=16, channels=1)
        )
    else:
        backbone = create_backbone("c3d", embedding_size=8, width=1 / 32, rngs=rngs)
        encoder = VideoEncoder(backbone, Mean(8, rngs=rngs), Preprocessing(height=32, width=32, frames=16))
    indices = [3, 17]
    vectors, pixels = embed_beside_pixels(digits, encoder, indices, threads=1)
    alone = embed_items(digits, encoder, indices, threads=1)[0]
    for index in indices:
        np.testing.assert_allclose(vectors[index].vectors, alone[index].vectors, rtol=1e-4, atol=1e-5)
    rows = mean_frame_rows(pixels)
    clips = digits.render(indices).astype(np.float64)  # (2, 16, 32, 32, 3)
    if unit == "frame":
        clips = np.rint(clips @ np.array([0.299, 0.587, 0.114]))[..., None]
    blocks = clips.reshape(2, 16, 16, 2, 16, 2, -1).mean(axis=(1, 3, 5)) / 255  # (2, 16, 16, C)
    assert rows.items.tolist() == indices
    np.testing.assert_allclose(rows.vectors, blocks.reshape(2, -1), atol=2e-3)
