"""A training of system 2 on eleven videos of 16 x 16 pixels, which takes seconds."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from flax import nnx
from PIL import Image

from jaxret.data.datasets.folders import MediaFiles
from jaxret.data.datasets.moving_digits import MovingDigits
from jaxret.models import Mean
from jaxret.models.encoder import VideoEncoder
from jaxret.recipes.conv_lstm.recipe import RECIPE, ConvLstmConfig, make_autoencoder, resolve
from jaxret.training import RunFolder, config_from_json, replace_settings

SEEN = ("0-up", "1-left")
TINY = {
    "image_size": 16,
    "frames": 4,
    "chunk_seconds": 1.0,
    "blocks": 1,
    "map_channels": 2,
    "recurrent_channels": 4,
    "residual_channels": 2,
    "embedding_size": 6,
    "batch_size": 8,
    "epochs": 2,
    "evaluate_every": 1,
    "warmup_steps": 0,
    "learning_rate": 0.01,
    "changes": 0.5,
    "copy_weight": 0.5,
    "thumbnail_share": 0.25,
    "schedule": "constant",  # which does not depend on the number of clips: steps of one shape are compiled once
}


def options(**changes: object) -> list[str]:
    """Words of a command."""
    flags = {f"--{name.replace('_', '-')}": value for name, value in {**TINY, **changes}.items()}
    return ["--quiet", *(word for flag, value in flags.items() for word in (flag, *str(value).split()))]


def write_tiny_media(root: Path) -> None:
    """Two classes of videos of two clips each, with splits: 5 to train on, 3 for validation and 3 for test; 3 videos
    without a label, one of them of a test video's source; and a picture."""
    digits = MovingDigits(5, 3, 3, frames=16, size=16, fps=8.0)
    numbers = [n for n, item in enumerate(digits.items) if item.label in SEEN]
    numbers += [n for n, item in enumerate(digits.items) if item.label == "7-up" and item.split == "train"][:3]
    table = digits.write_media_folder(root, numbers)
    Image.fromarray(digits.render([0])[0, 0]).save(root / "picture.png")
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    held_out = next(row["source"] for row in rows if row["split"] == "test")
    for number, row in enumerate(row for row in rows if row["label"] == "7-up"):
        row |= {"label": "", "split": "", "source": held_out if number == 2 else row["source"]}
    rows.append({"path": "picture.png", "label": "0-up", "source": "picture", "split": "test"})
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["path", "label", "source", "split"])
        writer.writeheader()
        writer.writerows(rows)


def tiny_config(**changes: Any) -> ConvLstmConfig:
    """The settings, resolved."""
    config = replace_settings(RECIPE.config, {**TINY, **changes}, owner=RECIPE.name)
    return resolve(config, MediaFiles([]))


def encoder_of(config: ConvLstmConfig) -> VideoEncoder:
    """The encoder of such a training, with random weights."""
    backbone = make_autoencoder(config).backbone
    return VideoEncoder(backbone, Mean(backbone.embedding_size, rngs=nnx.Rngs(0)), config.preprocessing())


def config_of(run: Path) -> ConvLstmConfig:
    """The settings of a run."""
    return config_from_json(ConvLstmConfig, RunFolder(run).read_config()[1])
