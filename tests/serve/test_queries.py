"""What requests say, read into what a retriever takes; and decoding that is watched."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
import pytest

pytest.importorskip("starlette", reason="the extra serve is not installed")

from jaxret.data.datasets.moving_digits import MovingDigits
from jaxret.ranges import Count, at_least
from jaxret.retrieval import Region, RegionSearch
from jaxret.serve.api.typed import read, read_text, schema_of
from jaxret.serve.errors import ApiError
from jaxret.serve.queries import CancelledError, ObservedMedia, settled_by_query


@dataclasses.dataclass(frozen=True)
class Inner:
    """A part.

    Attributes:
      name: of it.
    """

    name: str


@dataclasses.dataclass(frozen=True)
class Outer:
    """A request.

    Attributes:
      count: of things.
      share: of them.
    """

    count: Count
    share: Annotated[float, at_least(0, most=1)] = 0.5
    kind: Literal["a", "b"] = "a"
    box: tuple[float, float] | None = None
    parts: tuple[str | Inner, ...] = ()
    wanted: bool = False
    rest: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def test_json_becomes_an_instance() -> None:
    data = {
        "count": 2,
        "box": [1, 2.5],
        "parts": ["x", {"name": "y"}],
        "wanted": True,
        "rest": {"z": 1},
        "kind": None,
    }
    assert read(Outer, data) == Outer(2, box=(1.0, 2.5), parts=("x", Inner("y")), wanted=True, rest={"z": 1})
    assert read_text(Outer, {"count": "3", "share": "0.25", "wanted": "1"}) == Outer(3, 0.25, wanted=True)


@pytest.mark.parametrize(
    ("data", "field", "message"),
    [
        ({}, "count", "count is missing"),
        ({"count": True}, "count", "count must be a whole number, got True"),
        ({"count": 1.5}, "count", "count must be a whole number, got 1.5"),
        ({"count": 0}, None, "count must be at least 1, got 0"),
        ({"count": 1, "share": float("inf")}, "share", "share must be a finite number"),
        ({"count": 1, "share": 2}, None, "share must be 0 to 1, got 2.0"),
        ({"count": 1, "kind": "c"}, "kind", "kind must be one of a, b, got 'c'"),
        ({"count": 1, "kind": ["a"]}, "kind", r"kind must be one of a, b, got \['a'\]"),
        ({"count": 1, "box": [1]}, "box", r"box must be a list of 2 values, got \[1\]"),
        ({"count": 1, "box": "ab"}, "box", "box must be a list of 2 values, got 'ab'"),
        ({"count": 1, "parts": [{"nam": "y"}]}, "parts.0.nam", "parts.0.nam is unknown, there are name"),
        ({"count": 1, "parts": [1]}, "parts.0", "parts.0 must be a text, got 1"),
        ({"count": 1, "wanted": 1}, "wanted", "wanted must be true or false, got 1"),
        ({"count": 1, "rest": []}, "rest", "rest must be an object"),
        ([], None, "the request must be an object"),
    ],
)
def test_the_field_that_is_wrong_is_named(data: Any, field: str | None, message: str) -> None:
    with pytest.raises(ApiError, match=message) as caught:
        read(Outer, data)
    assert (caught.value.status, caught.value.field) == (400, field)


def test_the_schema_says_what_is_checked() -> None:
    known: dict[str, Any] = {}
    assert schema_of(Outer, known) == {"$ref": "#/components/schemas/Outer"}
    properties = known["Outer"]["properties"]
    assert properties["count"] == {"type": "integer", "minimum": 1, "description": "of things."}
    assert properties["share"] == {"type": "number", "minimum": 0, "maximum": 1, "description": "of them."}
    assert properties["kind"] == {"type": "string", "enum": ["a", "b"]}
    assert properties["box"] == {
        "type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2, "nullable": True
    }  # fmt: skip
    assert properties["parts"]["items"] == {"oneOf": [{"type": "string"}, {"$ref": "#/components/schemas/Inner"}]}
    assert known["Outer"]["required"] == ["count"]


def test_decoding_is_timed_and_ends_when_it_is_not_wanted() -> None:
    digits = MovingDigits(train_clips=1, validation_clips=0, test_clips=0)
    cancelled = threading.Event()
    observed = ObservedMedia(digits, cancelled)
    np.testing.assert_array_equal(observed.read(7)[0], digits.read(7)[0])
    spent = observed.seconds
    assert spent > 0
    with observed.open(7) as reader:
        frames = reader.frames(range(12))
        next(frames)
        cancelled.set()
        with pytest.raises(CancelledError):
            next(frames)
    assert observed.seconds > spent


def test_what_settles_a_query_tells_queries_apart():
    given = [{}, {"first_pass": "image"}, {"surroundings": 0.5}, {"min_words": 2}, {"scales": 1}]
    options = [RegionSearch(Region(0, 0, 8, 8), **one) for one in given]
    assert len({tuple(settled_by_query(one).values()) for one in [*options, RegionSearch()]}) == 6
    assert settled_by_query(options[0]) == settled_by_query(dataclasses.replace(options[0], candidates=5, expand=2))
