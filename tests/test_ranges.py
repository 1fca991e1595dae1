"""Ranges of settings: every numeric option states one, its help tells it, and what lies outside is refused."""

from __future__ import annotations

import dataclasses
import math
import typing
from typing import Annotated

import pytest

from jaxret import evaluate, search, train
from jaxret.build_index import BuildIndex
from jaxret.errors import ConfigError
from jaxret.ranges import Count, Range, above, at_least, check_ranges, ranges_of
from jaxret.recipes import RECIPES
from jaxret.retrieval.evaluate.settings import LabelEvaluation
from jaxret.retrieval.options import RegionSearch

ANY_NUMBER = {"pixel_mean", "at", "min_cosine"}  # signs and sizes of these are the user's matter


@pytest.mark.parametrize(
    ("stated", "inside", "outside"),
    [
        (Range(1), (1, 7, math.inf), (0, -math.inf, math.nan)),
        (Range(0, without_low=True), (1e-9, 5), (0, -1)),
        (Range(0, 1), (0, 1, 0.5), (-0.1, 1.1)),
        (Range(0, 1, without_high=True), (0, 0.99), (1, -1)),
    ],
)
def test_what_is_inside(stated, inside, outside):
    assert all(value in stated for value in inside)
    assert not any(value in stated for value in outside)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Some."""

    count: Count = 3
    """How many."""
    rate: Annotated[float | None, above(0, most=2)] = None
    """How fast."""
    widths: Annotated[tuple[int, ...], at_least(2, below=9)] = (4, 8)
    """How wide."""
    free: float = -1.0
    """Any."""


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"count": 0}, "count must be at least 1, got 0"),
        ({"count": 2**31}, "count must be at most 2147483647, got 2147483648"),
        ({"rate": 3.0}, "rate must be above 0 and at most 2 or none, got 3.0"),
        ({"widths": (4, 1)}, "widths must be at least 2 and below 9, got 1"),
    ],
)
def test_what_is_outside_is_refused(changes, message):
    check_ranges(Settings())
    check_ranges(Settings(rate=2.0, widths=(2,)))
    with pytest.raises(ConfigError, match=message):
        check_ranges(Settings(**changes))


def numeric_fields(kind):
    """(class, field) of all that are numbers, of nested dataclasses too."""
    for name, hint in typing.get_type_hints(kind).items():
        parts = {hint, *typing.get_args(hint)}
        if parts & {int, float}:
            yield kind, name
        for part in parts:
            if dataclasses.is_dataclass(part):
                yield from numeric_fields(part)


@pytest.mark.parametrize("name", RECIPES)
def test_every_numeric_setting_of_a_recipe_states_its_range(name):
    fields = list(numeric_fields(type(RECIPES[name].config)))
    assert len(fields) >= 10
    bare = {field for kind, field in fields if field not in ranges_of(kind)} - ANY_NUMBER
    assert not bare
    for kind, field in set(fields):
        stated = ranges_of(kind).get(field)
        default = {f.name: f.default for f in dataclasses.fields(kind)}[field]
        for value in default if isinstance(default, tuple) else (default,):
            assert stated is None or value is None or value in stated


@pytest.mark.parametrize("kind", [search.Search, BuildIndex, evaluate.Evaluate, RegionSearch, LabelEvaluation])
def test_every_numeric_flag_of_a_command_states_its_range(kind):
    assert (
        not {field for owner, field in numeric_fields(kind) if owner is kind and field not in ranges_of(kind)}
        - ANY_NUMBER
    )


def test_help_tells_ranges(capsys):
    for main, words in ((train.main, ["cnn-lstm", "--help"]), (search.main, ["--help"])):
        with pytest.raises(SystemExit):
            main(words)
    told = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for text in (
        "Media files decoded at once. (1 to 1024; default: 2)",
        "(at least 0 and below 1; default: 0.25)",  # dropout
        "Peak learning rate. (above 0; default: 0.001)",
        "of the ranking kernels (default: all cores). (1 to 1024)",
        "(at least 1; default: 10)",  # k
    ):
        assert text in told
