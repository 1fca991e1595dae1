"""Results of a search as lines of text or of JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from jaxret.rank import METRICS

if TYPE_CHECKING:
    from jaxret.index import Hit
    from jaxret.retrieval import InstanceMatch, Match

__all__ = ["as_json", "print_instances", "print_matches"]


def as_json(match: Hit) -> dict[str, object]:
    """A result as JSON values."""
    return {**match.item.to_json(), **{name: value for name, value in vars(match).items() if name != "item"}}


def print_matches(matches: Sequence[Match], nothing: str, *, json_lines: bool, in_query: bool) -> None:
    """Print matches of whole pictures and clips, a line each; `nothing` where there is none."""
    if json_lines:
        _print_json(matches)
        return
    if not matches:
        print(nothing)
        return
    metric = METRICS.get(matches[0].metric)
    label, digits = ("distance", 4) if metric is None else (metric.label, 0 if metric.whole else 4)
    moments = any(match.moment is not None for match in matches)
    at = f"{'best frame':<11} " if moments else ""
    place_name = "in query" if in_query else "where"
    print(f"{'':>4} {label:>9} {'cosine':>7}  {place_name:<15} {at}{'label':<20} item")
    for place, match in enumerate(matches, start=1):
        cosine = "" if match.cosine is None else f"{match.cosine:.4f}"
        span = (match.query_start, match.query_end) if in_query else (match.start, match.end)
        where = f"{span[0]:.1f} s" if span[0] == span[1] else f"{span[0]:.1f}-{span[1]:.1f} s"
        where += " back" if match.backwards else ""
        distance = f"{match.distance:.{digits}f}"
        columns = f"{distance:>9} {cosine:>7}  {where if match.item.kind == 'video' else '':<15}"
        if moments:
            columns += f" {'' if match.moment is None else f'{match.moment:.1f} s':<11}"
        print(f"{place:>4} {columns} {match.item.label or '':<20} {match.item.path or match.item.key}")


def print_instances(matches: Sequence[InstanceMatch], *, json_lines: bool) -> None:
    """Print matches of a region, a line each, with the box as x, y, width and height in pixels."""
    if json_lines:
        _print_json(matches)
        return
    if not matches:
        print("nothing found")
        return
    verified = any(match.inliers is not None for match in matches)
    points = f"{'points':>6} " if verified else ""
    print(f"{'':>4} {'distance':>9} {points} {'box (x,y,width,height)':<24} {'at':<9} item")
    for place, match in enumerate(matches, start=1):
        box = "-"
        if match.box is not None:
            left, top, right, bottom = (round(side) for side in match.box)
            box = f"{left},{top},{right - left},{bottom - top}"
        agreeing = f"{'' if match.inliers is None else match.inliers:>6} " if verified else ""
        at = f"{match.start:.1f} s" if match.item.kind == "video" else ""
        print(f"{place:>4} {match.distance:>9.4f} {agreeing} {box:<24} {at:<9} {match.item.path or match.item.key}")


def _print_json(matches: Sequence[Hit]) -> None:
    for match in matches:
        print(json.dumps(as_json(match)))
