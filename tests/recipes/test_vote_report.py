"""The report's part on PAR: a curve, and a table whose thresholds come from the validation items."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
from PIL import Image

from jaxret.data.items import MediaItem
from jaxret.data.rows import Rows
from jaxret.evaluation import nearest_answers
from jaxret.recipes.vote_report import vote_parts
from jaxret.retrieval.evaluate.labelled_part import LabelledPart


def part(seed: int, count: int) -> LabelledPart:
    rng = np.random.default_rng(seed)
    items = [MediaItem(f"{n}", "video", "abc"[n % 3]) for n in range(count)]
    centres = np.array([["abc".find(str(item.label)) == axis for axis in range(4)] for item in items], float)
    return LabelledPart.of(
        Rows((centres + rng.normal(size=centres.shape) / 2).astype(np.float32), np.arange(count)), items, lambda _: True
    )


def test_the_part_shows_what_the_votes_are(tmp_path: Path) -> None:
    test, held = part(0, 30), part(1, 12)
    held = dataclasses.replace(held, numbers=held.numbers + 30)  # of one data set
    figure, table, text = vote_parts(tmp_path / "votes.png", test, held, {"seen": ("a", "b"), "unseen": ("c",)})
    assert "data:image/png" in figure
    with Image.open(tmp_path / "votes.png") as image:
        assert image.size[0] > 100
    assert table.count("<tr>") == 1 + 9 * 3  # all answered, and four shares by two rules; for all, seen and unseen
    answers = nearest_answers(test.rows, test.items, test.rows, test.items, 5)
    threshold = nearest_answers(held.rows, held.items, held.rows, held.items, 5).threshold_for(0.5)
    accuracy = answers.of(["c"]).votes(threshold, empty="skip").accuracy
    row = re.search(r"<tr><td[^>]*>answering 50%, rest left out</td><td[^>]*>unseen</td>(.*?)</tr>", table)
    assert row is not None
    assert f">{accuracy:.3f}<" in row[1]
    assert "chosen on 12 validation items" in text


def test_items_without_classes_have_no_part(tmp_path: Path) -> None:
    empty = LabelledPart.of(Rows(np.zeros((0, 4), np.float32), []), [], lambda _: True)
    assert vote_parts(tmp_path / "votes.png", empty, empty, {}) == []
    assert not (tmp_path / "votes.png").exists()
