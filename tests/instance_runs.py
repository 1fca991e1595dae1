"""Small trainings of the recipe instance-search, one for each kind of features, and what their searches print."""

from __future__ import annotations

import json

import pytest

from jaxret.__main__ import dispatch

SMALL = ["--backbone", "small-convnet", "--weights", "none", "--image-size", "64", "--frames", "2", "--quiet"]
FEATURES = {
    "blcf": [*SMALL, "--features", "blcf", "--words", "60"],
    "grid": [*SMALL, "--whitened-size", "8"],
    "rmac": [*SMALL, "--features", "rmac", "--whitened-size", "8"],
    "sift": [
        "--features",
        "sift",
        "--image-size",
        "64",
        "--frames",
        "2",
        "--words",
        "12",
        "--max-features",
        "50",
        "--quiet",
    ],
}


def found(capsys: pytest.CaptureFixture[str], *words: object) -> list[dict]:
    """What a search prints as JSON."""
    capsys.readouterr()
    assert dispatch(["search", *map(str, words), "--json"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]
