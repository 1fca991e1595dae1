"""What stands after ± is the standard deviation of a sample, everywhere."""

from __future__ import annotations

import re
import statistics
from pathlib import Path

import pytest
import render_tables
from common.spread import spread
from render_tables import cell


def test_it_is_that_of_a_sample() -> None:
    values = [0.41, 0.44, 0.5]
    assert spread(values) == pytest.approx(statistics.stdev(values))
    assert spread([0.3]) == 0.0
    assert cell(values) == "0.450 ± 0.046"
    assert cell([0.3]) == "0.300"


def test_what_rounds_to_zero_has_no_sign() -> None:
    assert cell([-0.0001]) == "0.000"
    assert cell([-0.0001, 0.0]) == "0.000 ± 0.000"
    assert cell([-0.0123]) == "-0.012"


def test_no_program_has_one_of_its_own() -> None:
    programs = [path for path in Path(render_tables.__file__).parent.rglob("*.py") if path.name != "spread.py"]
    assert len(programs) > 50
    assert [path.name for path in programs if re.search(r"np\.std\((?!.*ddof)", path.read_text("utf-8"))] == []
