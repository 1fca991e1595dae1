"""The options that say how a region is searched, of `jaxret search` and `jaxret evaluate`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxret.retrieval import Search

__all__ = ["region_options", "search_of"]


def region_options(group: argparse._ActionsContainer) -> list[argparse.Action]:
    """Add them to a parser, or a group of one; what was added."""
    return [
        group.add_argument(
            "--candidates",
            type=int,
            default=100,
            metavar="N",
            help="pictures of the first pass that the region is looked for in, default 100; 0: leave their order, "
            "without boxes",
        ),
        group.add_argument(
            "--weighted",
            action="store_true",
            help="weight words (or channels of region vectors) by how rare they are, instead of all alike",
        ),
        group.add_argument(
            "--centre",
            action="store_true",
            help="in the first pass let words near the centre of indexed pictures count more",
        ),
        group.add_argument(
            "--surroundings",
            type=float,
            default=0.0,
            metavar="SHARE",
            help="let words around the region ask too, less the further away: standard deviation as a share of its "
            "diagonal",
        ),
        group.add_argument(
            "--expand",
            type=int,
            default=0,
            metavar="N",
            help="ask once more with the mean of the region and of the N best places found",
        ),
        group.add_argument(
            "--verify",
            action="store_true",
            help="put the results in order by key points that agree on one transform (SIFT words, extra opencv)",
        ),
    ]


def search_of(args: argparse.Namespace) -> Search:
    """What the options say.

    Raises:
      ValueError: a setting is out of range.
    """
    from jaxret.retrieval import Search

    return Search(
        rerank=args.candidates,
        weighted=args.weighted,
        centre=args.centre,
        surroundings=args.surroundings,
        expand=args.expand,
        verify=args.verify,
    )
