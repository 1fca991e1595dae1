"""Figures that tell nothing, because any ranking would have them."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["undecided"]


def undecided(chance: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Which groups of queries find only what is relevant, whatever the ranking, in words.

    Args:
      chance: what a random ranking scores (`chance_figures`), by group of queries and metric. Where that is 1, every
        item that the queries can find is relevant, as in a gallery of one class.

    Returns:
      A sentence a group and metric; where `all` is one of the groups, of that group alone.

    Example:
      >>> undecided({"all": {"mAP": 0.4}, "cat": {"mAP": 1.0}})
      ['cat: nothing can be told apart: all that a query can find is relevant, and a random ranking has mAP 1, too']
    """
    found = [
        (group, name)
        for group, row in chance.items()
        for name, value in row.items()
        if (name == "mAP" or name.startswith("mAP by ")) and value > 1 - 1e-9
    ]
    whole = [(group, name) for group, name in found if group == "all"]
    return [
        ("" if group == "all" else f"{group}: ")
        + f"nothing can be told apart: all that a query can find is relevant, and a random ranking has {name} 1, too"
        for group, name in whole or found
    ]
