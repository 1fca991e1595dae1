"""What the rows of accuracy_convlstm.py say together: differences that are paired by seed, and curves of strengths."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from common.differences import Comparison, Place

if TYPE_CHECKING:
    from studies.convlstm.plots import Curves

__all__ = [
    "CHOICES",
    "DEFAULT_CHOICE",
    "DIGIT_CHOICES",
    "FOUR_STEPS_THUMBNAIL",
    "JHMDB_CHOICES",
    "NO_STEP",
    "PAPER_CHOICE",
    "SECOND_PASS",
    "SHORT_WARM_UP",
    "THREE_STEPS",
    "THREE_STEPS_THUMBNAIL",
    "THUMBNAIL",
    "THUMBNAIL_ALONE",
    "TWO_STEPS",
    "UNTRAINED",
    "UNTRAINED_SETTINGS",
    "UNTRAINED_THUMBNAIL",
    "compared",
    "strength_curves",
]

UNTRAINED = "untrained"
UNTRAINED_THUMBNAIL = "untrained, and a thumbnail beside"
THUMBNAIL_ALONE = "thumbnail alone"
TWO_STEPS = "pre-training, triplet loss"
THUMBNAIL = "pre-training, triplet loss, thumbnail"
THREE_STEPS = "pre-training, triplet loss, plain second pass"
THREE_STEPS_THUMBNAIL = "three steps, and a thumbnail beside"
SECOND_PASS = "pre-training, triplet loss, challenging second pass"
FOUR_STEPS_THUMBNAIL = "four steps, and a thumbnail beside"
"""Settings of the rows of ablations."""
DIGIT_CHOICES = "moving digits, 16 x 16: choices of the triplet step"
JHMDB_CHOICES = "JHMDB, 6 classes, training videos, 32 x 32: choices of the triplet step"
DEFAULT_CHOICE = "as by default"
NO_STEP = "no training"
SHORT_WARM_UP = "warm-up of an eighth of the updates"
PAPER_CHOICE = "conv-lstm-paper"
CHOICES = (
    "rate 3e-4",
    "rate 1e-3",
    "rate 1e-2",
    "no warm-up",
    SHORT_WARM_UP,
    "semi-hard triplets",
    "hardest triplets",
    "pixels by each clip",
    "pixels by all clips",
    PAPER_CHOICE,
)
"""What is tried in the place of a default of the triplet step."""
UNTRAINED_SETTINGS = (UNTRAINED, UNTRAINED_THUMBNAIL, THUMBNAIL_ALONE)

Row = Mapping[str, Any]
_VIDEOS, _ABLATIONS, _COPIES, _WALK = "JHMDB, 6 classes", "JHMDB, 6 classes: ablations", "near duplicates", "RGB-D walk"
_MODELS = ("M1", "M2", "M3")


def compared() -> Iterator[Comparison]:
    """What is taken from what."""
    for data, rows in ((_VIDEOS, _ABLATIONS), (_COPIES, f"{_COPIES}: two steps")):
        for method in _MODELS:
            two, four = (rows, method, THUMBNAIL), (data, method, "four steps, Bi-DTW")
            if method == "M3" and data == _VIDEOS:
                four = (rows, method, FOUR_STEPS_THUMBNAIL)
            else:
                yield Comparison(data, method, "four steps, less two, both with a thumbnail", four, two)
            for steps, ours in (("two steps", two), ("four steps", four)):
                for plain in (UNTRAINED, UNTRAINED_THUMBNAIL, THUMBNAIL_ALONE):
                    theirs = (data, method, f"{plain}, Bi-DTW")
                    yield Comparison(data, method, f"{steps} and a thumbnail, less {plain}", ours, theirs)
                for other, setting in (("SIFT words", "cosine"), ("NDVR-DML", "mean vector, cosine")):
                    theirs = (data, other, setting)
                    yield Comparison(data, method, f"{steps} and a thumbnail, less {other}", ours, theirs)
    for method in _MODELS:
        ours = (_WALK, method, "four steps, Bi-DTW")
        for plain in (UNTRAINED, UNTRAINED_THUMBNAIL, THUMBNAIL_ALONE):
            yield Comparison(_WALK, method, f"four steps, less {plain}", ours, (_WALK, method, f"{plain}, Bi-DTW"))
        yield Comparison(_WALK, method, "four steps, less SIFT words", ours, (_WALK, "SIFT words", "cosine"))
        on_six = (_WALK, method, "four steps on 6 places, Bi-DTW")
        yield Comparison(_WALK, method, "four steps on 6 places, less on 4", on_six, ours)
        yield Comparison(
            _WALK, method, "four steps on 6 places, less SIFT words", on_six, (_WALK, "SIFT words", "cosine")
        )
    before = (_VIDEOS, "M3", f"{UNTRAINED}, Bi-DTW")
    yield Comparison(_VIDEOS, "M3", "two steps, less untrained", (_ABLATIONS, "M3", TWO_STEPS), before)
    for beside, steps in (
        ("", (TWO_STEPS, THREE_STEPS, SECOND_PASS)),
        (", both with a thumbnail", (THUMBNAIL, THREE_STEPS_THUMBNAIL, FOUR_STEPS_THUMBNAIL)),
    ):
        two, three, four = ((_ABLATIONS, "M3", setting) for setting in steps)
        yield Comparison(_VIDEOS, "M3", f"three steps, less two{beside}", three, two)
        yield Comparison(_VIDEOS, "M3", f"four steps, less three{beside}", four, three)
        yield Comparison(_VIDEOS, "M3", f"four steps, less two{beside}", four, two)
    step = "triplet step"
    for data in (DIGIT_CHOICES, JHMDB_CHOICES):
        default = (data, step, DEFAULT_CHOICE)
        for choice in CHOICES:
            yield Comparison(data, step, f"{choice}, less the default", (data, step, choice), default)
        for plain in UNTRAINED_SETTINGS:
            yield Comparison(data, step, f"the default, less {plain}", default, (data, NO_STEP, plain))


def strength_curves(rows: Iterable[Row]) -> dict[str, Curves]:
    """By data set and method mAP by clip against the strength of changes, of what was measured at several."""
    shown: dict[Place, tuple[str, str]] = {}
    for data, ablations in ((_VIDEOS, _ABLATIONS), (_COPIES, f"{_COPIES}: two steps")):
        shown |= {(ablations, m, THUMBNAIL): (data, f"{m}, two steps and a thumbnail") for m in _MODELS}
        shown[ablations, "M3", TWO_STEPS] = (data, "M3, two steps")
        shown[ablations, "M3", FOUR_STEPS_THUMBNAIL] = (data, "M3, four steps and a thumbnail")
    shown |= {(_WALK, m, "four steps, Bi-DTW"): (_WALK, f"{m}, four steps and a thumbnail") for m in _MODELS}
    for data in (_VIDEOS, _COPIES, _WALK):
        for plain in (UNTRAINED, UNTRAINED_THUMBNAIL, THUMBNAIL_ALONE):
            shown[data, "M3", f"{plain}, Bi-DTW"] = (data, plain)
        shown[data, "SIFT words", "cosine"] = (data, "SIFT words")
        shown[data, "NDVR-DML", "mean vector, cosine"] = (data, "NDVR-DML, from ImageNet")
    curves: dict[str, dict[str, dict[float, list[float]]]] = {data: {} for data in (_VIDEOS, _COPIES, _WALK)}
    for row in rows:
        change, _, metric = row["metric"].rpartition(": ")
        place = (row["data"], row["method"], row.get("setting", ""))
        if place in shown and metric == "mAP by clip" and (not change or change.startswith("strength ")):
            data, method = shown[place]
            curve = curves[data].setdefault(method, {})
            curve.setdefault(float(change.removeprefix("strength ") or 0), []).append(row["value"])
    changed = {data: {m: curve for m, curve in methods.items() if len(curve) > 1} for data, methods in curves.items()}
    return {data: methods for data, methods in changed.items() if methods}
