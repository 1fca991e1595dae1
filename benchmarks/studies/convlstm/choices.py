"""How the triplet step trains: rate, warm-up, mining, normalisation, one at a time, on validation videos alone.

Every training takes the triplet step and no other, with as many updates, in the library's own loop, and is judged once,
at its end: validation videos search the training videos by class with Bi-DTW. No published figure is of test videos. So
are the encoder that trainings begin with (`untrained`), with and without a thumbnail beside its vectors, and the
thumbnail alone.

- Moving digits as `jaxret train conv-lstm --data moving-digits` has them, 16 x 16 pixels.
- Training videos of six classes of JHMDB, 32 x 32 pixels, of each official split in turn: every third source of a class
  validates, which are more videos than the recipe would deal, and tell differences more finely.
"""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from common.item_table import write_table
from common.paths import JHMDB
from studies.convlstm.comparisons import (
    DEFAULT_CHOICE,
    DIGIT_CHOICES,
    JHMDB_CHOICES,
    NO_STEP,
    PAPER_CHOICE,
    SHORT_WARM_UP,
    UNTRAINED,
)
from studies.convlstm.data import CLASSES, ClipData, jhmdb_data
from studies.convlstm.protocol import share_factors
from studies.convlstm.runs import THUMBNAIL_SHARE, config_of
from studies.convlstm.study import UNTRAINED_SHARES, Study

from jaxret.recipes.conv_lstm import recipe as conv_lstm
from jaxret.recipes.conv_lstm.paper import PAPER
from jaxret.recipes.conv_lstm.steps import AutoencoderSteps
from jaxret.recipes.conv_lstm.thumbnail import with_thumbnail
from jaxret.recipes.conv_lstm.train import encoder_of
from jaxret.recipes.conv_lstm.validation import validation_figures, validation_videos
from jaxret.training import LoopConfig, RunContext, RunFolder

__all__ = ["CHANGED", "choices", "third_of_the_sources"]

VALIDATION_SHARE = 3  # every so manieth source of a class
EPOCHS = {DIGIT_CHOICES: 6, JHMDB_CHOICES: 6}

_PAPER: dict[str, Any] = {name: getattr(PAPER, name) for name in ("optimiser", "loss_unit", "zoom", "standardise_by")}
# What a choice changes: settings of the recipe, those of its optimiser by their own names.
CHANGED: Mapping[str, dict[str, Any]] = {
    DEFAULT_CHOICE: {},
    "rate 3e-4": {"learning_rate": 3e-4},
    "rate 1e-3": {"learning_rate": 1e-3},
    "rate 1e-2": {"learning_rate": 1e-2},
    "no warm-up": {"warmup_steps": 0},
    SHORT_WARM_UP: {"warmup_share": 0.125},
    "semi-hard triplets": {"mining": "semi-hard"},
    "hardest triplets": {"mining": "batch-hard"},
    "pixels by each clip": {"standardise_by": "clip"},
    "pixels by all clips": {"standardise_by": "data"},
    PAPER_CHOICE: _PAPER,
    UNTRAINED: {},
}
# What is as by default; of 450 updates of digits an eighth is more than 50.
_SAME = {
    DIGIT_CHOICES: ("pixels by all clips", SHORT_WARM_UP),
    JHMDB_CHOICES: ("pixels by each clip",),
}


def choices(study: Study) -> None:
    """Every choice with every seed on both data sets, or those of `--choices` and `--data`."""
    wanted = {"digits": DIGIT_CHOICES, "jhmdb": JHMDB_CHOICES}
    for seed in study.seeds("jhmdb"):
        for key, name in wanted.items():
            for choice in CHANGED if key in study.args.data else ():
                if choice in _SAME[name] or choice not in study.args.choices:
                    continue
                part = f"choices-{key}-{seed}-{choice}".replace(" ", "-")
                measure = untrained_on if choice == UNTRAINED else partial(choice_on, choice=choice)
                study.part(part, partial(measure, study, name, seed=seed))


def untrained_on(study: Study, name: str, *, seed: int) -> None:
    """The encoder that trainings begin with: alone, with a thumbnail beside its vectors, and the thumbnail alone."""
    run = run_of(study, name, UNTRAINED, seed)
    model, data, config, _ = conv_lstm.prepare(base_config(study, name, seed), RunContext(run, "conv-lstm", print))
    config = dataclasses.replace(config, thumbnail_share=THUMBNAIL_SHARE)
    encoder = with_thumbnail(encoder_of(model, config), data, config, print)
    videos = validation_videos(data.dataset, data.splits.splits, encoder, threads=config.threads)
    for setting, share in UNTRAINED_SHARES.items():
        factors = share_factors(encoder.backbone, share)
        queries, searched = (
            {number: dataclasses.replace(each, vectors=each.vectors * factors) for number, each in found.items()}
            for found in videos
        )
        found = validation_figures(data.dataset, queries, searched, encoder)
        study.add(name, NO_STEP, setting, seed, {"validation mAP by class": found["mAP"]})


def choice_on(study: Study, name: str, *, choice: str, seed: int) -> None:
    """A training with one choice on one data set."""
    config = config_with(choice, base_config(study, name, seed))
    context = RunContext(run_of(study, name, choice, seed), "conv-lstm", print)
    model, data, config, _ = conv_lstm.prepare(config, context)
    steps = AutoencoderSteps(data, model, encoder_of(model, config), config, context)
    if not steps.take("triplet"):
        raise SystemExit("the training was stopped: call again to go on")
    record = steps.records[0]
    found = {"validation mAP by class": record.figures["validation mAP"], "updates": float(record.updates)}
    study.add(name, "triplet step", choice, seed, found)


def run_of(study: Study, name: str, choice: str, seed: int) -> RunFolder:
    """Where a training is kept."""
    return RunFolder(study.args.work / "choices" / f"{name.split(',')[0]}-{choice}-{seed}".replace(" ", "-"))


def base_config(study: Study, name: str, seed: int) -> conv_lstm.ConvLstmConfig:
    """The recipe's own settings on a data set, with the triplet step alone and one evaluation, at its end."""
    epochs = EPOCHS[name]
    loop = LoopConfig(epochs=epochs, evaluate_every=epochs)  # no training is cut short
    if name == DIGIT_CHOICES:
        config = dataclasses.replace(
            conv_lstm.RECIPE.config, data="moving-digits", split_column="split", steps=("triplet",), seed=seed
        )
        return dataclasses.replace(config, loop=loop)
    data = third_of_the_sources(jhmdb_data(JHMDB, study.args.work, seed=seed), study.args.work)
    config = config_of(data, "m1", steps=("triplet",), epochs=epochs, seed=seed)
    return dataclasses.replace(config, loop=loop, pretrain_epochs=None)


def config_with(choice: str, config: conv_lstm.ConvLstmConfig) -> conv_lstm.ConvLstmConfig:
    """A training's settings with what a choice changes."""
    changed = dict(CHANGED[choice])
    of_optimiser = {field.name for field in dataclasses.fields(config.optimiser)}
    optimiser = {key: changed.pop(key) for key in list(changed) if key in of_optimiser}
    if optimiser:
        changed["optimiser"] = dataclasses.replace(config.optimiser, **optimiser)
    return dataclasses.replace(config, **changed)


def third_of_the_sources(data: ClipData, work: Path) -> ClipData:
    """The training videos alone, of which every third source of a class validates."""
    with open(data.spec, newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "train"]
    held_out = set()
    for label in CLASSES:
        sources = sorted({row["source"] for row in rows if row["label"] == label})
        held_out |= set(sources[::VALIDATION_SHARE])
    parts = [
        (row["path"], row["label"], row["source"], "validation" if row["source"] in held_out else "train")
        for row in rows
    ]
    spec = write_table(work / f"{Path(data.spec).stem}-choices.csv", parts)
    return dataclasses.replace(data, spec=spec, unlabelled=None)
