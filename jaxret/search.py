"""`python -m jaxret.search INDEX QUERY`: find what looks like a picture or a video, or shows a part of it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from jaxret.cli.region_options import search_of
from jaxret.cli.run import index_folder, refuse, run_command
from jaxret.cli.search_options import parse_search
from jaxret.cli.tables import print_instances, print_matches


def main(argv: Sequence[str]) -> int:
    """Parse, search, print."""
    args = parse_search(argv)
    folder = index_folder(args.index)

    from jaxret.index import read_manifest
    from jaxret.retrieval import is_instance_index

    if is_instance_index(read_manifest(folder)):
        refuse(args.of_wholes, folder, "an index of whole pictures and clips")
        return _search_instances(args, folder)
    refuse(args.of_instances, folder, "an index of regions")
    return _search_wholes(args, folder)


def _search_wholes(args: argparse.Namespace, folder: Path) -> int:
    from jaxret.retrieval import Retriever

    matches = Retriever.open(folder).search(
        args.query,
        args.k,
        metric=args.metric,
        min_cosine=args.par,
        rerank=args.rerank,
        probes=args.probes,
        space=args.space,
        every_clip=args.every_clip,
        sequence=args.sequence,
        subsequence=args.subsequence,
        length_normalised=args.length_normalised,
        kinds=None if args.kind is None else (args.kind,),
        threads=args.threads,
    )
    nothing = "nothing found" + (f" with a cosine similarity above {args.par}" if args.par is not None else "")
    print_matches(matches, nothing, json_lines=args.json, in_query=args.subsequence == "item")
    return 0


def _search_instances(args: argparse.Namespace, folder: Path) -> int:
    from jaxret.retrieval import InstanceRetriever, Region, draw_matches, single_file

    region = None if args.region is None else Region.parse(args.region)
    query = single_file(args.query)
    kinds = None if args.kind is None else (args.kind,)
    matches = InstanceRetriever.open(folder).search(
        query, args.k, region=region, at=args.at, how=search_of(args), kinds=kinds
    )
    print_instances(matches, json_lines=args.json)
    if args.picture is not None:
        draw_matches(args.picture, query, region, args.at, matches)
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
