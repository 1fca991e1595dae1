"""Choices of the triplet step: each changes what it says, and videos of one source do not train and validate."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import pytest
from studies.convlstm.choices import CHANGED, config_with, third_of_the_sources
from studies.convlstm.comparisons import CHOICES, DEFAULT_CHOICE, PAPER_CHOICE, SHORT_WARM_UP, UNTRAINED
from studies.convlstm.data import CLASSES, ClipData

from jaxret.recipes.conv_lstm.paper import PAPER
from jaxret.recipes.conv_lstm.recipe import RECIPE
from jaxret.training import config_to_json

CONFIG = dataclasses.replace(RECIPE.config, steps=("triplet",))


def test_every_choice_is_compared_with_the_default() -> None:
    assert tuple(CHANGED) == (DEFAULT_CHOICE, *CHOICES, UNTRAINED)


@pytest.mark.parametrize("choice", [choice for choice in (DEFAULT_CHOICE, *CHOICES) if choice != PAPER_CHOICE])
def test_a_choice_changes_one_setting(choice: str) -> None:
    before, after = (config_to_json(config) for config in (CONFIG, config_with(choice, CONFIG)))
    for settings in (before, after):
        settings |= settings.pop("optimiser")
    changed = {name for name in before if before[name] != after[name]}
    assert len(changed) == (choice != DEFAULT_CHOICE)


def test_a_short_warm_up_is_that_of_the_default_where_updates_are_many() -> None:
    short, usual = (config_with(choice, CONFIG).optimiser for choice in (SHORT_WARM_UP, DEFAULT_CHOICE))
    assert (short.warmup_of(108), usual.warmup_of(108)) == (13, 50)
    assert short.warmup_of(450) == usual.warmup_of(450) == 50


def test_the_paper_s_choice_is_the_recipe_of_that_name() -> None:
    made = config_with(PAPER_CHOICE, CONFIG)
    others = {"steps", "loop", "thumbnail_share"}
    different = {
        field.name
        for field in dataclasses.fields(made)
        if getattr(made, field.name) != getattr(PAPER, field.name) and field.name not in others
    }
    assert not different


def test_a_third_of_the_sources_of_each_class_validates(tmp_path: Path) -> None:
    table = tmp_path / "clips.csv"
    rows = [
        (f"{label}-{film}-{cut}.mp4", label, f"{label}-{film}", "test" if film == 6 else "train")
        for label in CLASSES
        for film in range(7)
        for cut in range(2)
    ]
    with open(table, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "label", "source", "split"), *rows])
    data = ClipData("some", str(table), "split", {}, 1, 1, lambda dataset: [], unlabelled="others.csv")
    made = third_of_the_sources(data, tmp_path)
    assert made.unlabelled is None
    with open(made.spec, newline="", encoding="utf-8") as file:
        parts = list(csv.DictReader(file))
    films = {part: {row["source"] for row in parts if row["split"] == part} for part in ("train", "validation")}
    assert len(parts) == 12 * len(CLASSES)  # no test video
    assert not films["train"] & films["validation"]
    assert films["validation"] == {f"{label}-{film}" for label in CLASSES for film in (0, 3)}
