"""The walk-throughs of docs/extending, installed as a package of one's own would be, work together."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXTENDING = Path(__file__).parents[2] / "docs" / "extending"
if not EXTENDING.is_dir():
    pytest.skip("the docs are not here", allow_module_level=True)

ENTRY_POINTS = """
[jaxret.models]
tiny-vit = tiny_vit
[jaxret.objectives]
arcface = arcface
[jaxret.recipes]
mean-frames = mean_frames:RECIPE
"""

USE = """
import json, sys
import manhattan
import numpy as np
import jaxret
from jaxret import VectorSearch
from jaxret.data.datasets.moving_digits import MovingDigits

digits = MovingDigits(8, 2, 2)
few = [index for index, item in enumerate(digits.items) if item.label in ("0-up", "0-down")]
table = digits.write_media_folder(sys.argv[1], few)  # a CSV beside the videos
run = jaxret.recipes.train(
    "mean-frames", data=str(table), out=sys.argv[2], backbone="tiny-vit", weights="none",
    loss="arcface", frames=2, image_size=32, batch_size=16, epochs=1,
)
query = sorted(table.parent.rglob("*.mp4"))[0]
hits = run.retriever.search(query, k=3, options=VectorSearch("clip", metric="manhattan"))
print(json.dumps([[hit.metric, hit.distance] for hit in hits]))
"""


def test_backbone_loss_metric_and_recipe_of_ones_own(tmp_path: Path) -> None:
    site = tmp_path / "site"
    shutil.copytree(EXTENDING, site, ignore=shutil.ignore_patterns("*.md", "__pycache__"))
    package = site / "my_package-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text(ENTRY_POINTS)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), *sys.path])}

    def run(*words: str) -> str:
        command = [sys.executable, *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "mean-frames" in run("-m", "jaxret", "train", "--help")
    out = tmp_path / "run"
    found = json.loads(run("-c", USE, str(tmp_path / "media"), str(out)).splitlines()[-1])
    metrics, distances = zip(*found, strict=True)
    assert set(metrics) == {"manhattan"}
    assert list(distances) == sorted(distances)
    settings = json.loads((out / "config.json").read_text())
    assert (settings["recipe"], settings["backbone"], settings["loss"]["name"]) == (
        "mean-frames",
        "tiny-vit",
        "arcface",
    )
    logged = json.loads((out / "metrics.jsonl").read_text().splitlines()[-1])
    assert {"loss", "train_accuracy"} <= set(logged)
