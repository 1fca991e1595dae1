"""`python -m jaxret.evaluate INDEX`: measure retrieval on labelled media."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jaxret.cli.evaluate_options import parse_evaluate
from jaxret.cli.region_options import search_of
from jaxret.cli.run import index_folder, refuse, run_command
from jaxret.errors import ConfigError
from jaxret.evaluation import Ranking, Relevant
from jaxret.metrics import Denominator
from jaxret.rank.sequence_ranking import SequenceRanking

if TYPE_CHECKING:
    from jaxret.retrieval import SpaceName

_OF_VECTORS = ("space", "metric", "par", "depth")
"""Options that `--sequence` has no use for."""
_OF_LABELS = ("queries", "split", *_OF_VECTORS, "sequence", "relevant", "k", "denominator", "by_class")
"""Options that `--photographs` has no use for."""
_OF_WHOLES = (*_OF_LABELS, "subsequence", "length_normalised", "photographs", "tolerance", "threads")
"""Options that an index of regions has no use for."""


def main(argv: Sequence[str]) -> int:
    """Parse, rank, print."""
    args = parse_evaluate(argv)

    from jaxret.index import read_manifest
    from jaxret.retrieval import is_instance_index

    folder = index_folder(args.index)
    if is_instance_index(read_manifest(folder)):
        _refuse(args, _OF_WHOLES, f"{folder} is an index of regions")
        return _evaluate_regions(args, folder)
    refuse(args.of_instances, folder, "an index of regions")
    args.threads = 2 if args.threads is None else args.threads

    from jaxret.retrieval import Retriever
    from jaxret.retrieval.evaluate.labels import default_space, evaluate_index

    if args.par is not None and args.metric not in (None, "euclidean"):
        raise ConfigError("--par ranks by Euclidean distance: leave --metric out")
    distance: str | None = "euclidean" if args.par is not None else args.metric
    retriever = Retriever.open(folder)
    if args.photographs is not None:
        _refuse(args, _OF_LABELS, "--photographs rank films by their best shots")
        from jaxret.data.ground_truth.films import read_film_queries
        from jaxret.retrieval.evaluate.photographs import evaluate_photographs

        tolerance = 1.0 if args.tolerance is None else args.tolerance
        found = evaluate_photographs(
            retriever, read_film_queries(args.photographs), tolerance=tolerance, threads=args.threads
        )
        print("  ".join(f"{name} {value:.{0 if name == 'queries' else 4}f}" for name, value in found.items()))
        if args.json is not None:
            args.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        return 0
    if args.tolerance is not None:
        raise ConfigError("--tolerance is for the times of --photographs: leave it out, or name the photographs")
    from jaxret.data.open import open_dataset

    queries = None if args.queries is None else open_dataset(args.queries)
    ranking: Ranking | None = None
    sequence: SequenceRanking | None = None
    space: SpaceName = "clip"
    if args.sequence is not None:
        _refuse(args, _OF_VECTORS, "--sequence compares videos as sequences of clip vectors")
        sequence = SequenceRanking(args.sequence, args.subsequence, bool(args.length_normalised))
    elif args.subsequence is not None or args.length_normalised:
        raise ConfigError("--subsequence and --length-normalised are for videos compared as sequences: name --sequence")
    else:
        space = args.space or default_space(retriever, distance)
        ranking = Ranking(distance or ("hamming" if space == "code" else "euclidean"), args.par, args.depth)
    denominator: Denominator = args.denominator or "min(n_relevant,k)"
    relevant: Relevant = args.relevant or "label"
    figures = evaluate_index(
        retriever, queries, ranking=ranking, sequence=sequence, space=space, split=args.split, ks=args.k or [1, 5, 10],
        by_class=bool(args.by_class), relevant=relevant, denominator=denominator, threads=args.threads,
    )  # fmt: skip
    if not figures:
        other = " of another source" if relevant == "label" else ""
        raise ConfigError(f"nothing to measure: no query has a relevant item{other} in the gallery")
    names = [name for name in next(iter(figures.values())) if name != "queries_excluded"]
    width = max(map(len, figures))
    measure = args.sequence if ranking is None else ranking.distance
    print(f"{space} space by {measure}; mAP@k divides by {denominator}; equal distances in order of id")
    columns = {name: max(13, len(name) + 2) for name in names}
    print(" " * width + "".join(f"{name:>{columns[name]}}" for name in names))
    for group, row in figures.items():
        cells = "".join(f"{row[n]:>{columns[n]}.{0 if n == 'queries' else 4}f}" for n in names)
        print(f"{group:<{width}}{cells}")
    if args.json is not None:
        args.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0


def _evaluate_regions(args: argparse.Namespace, folder: Path) -> int:
    from tqdm import tqdm

    from jaxret.retrieval import InstanceRetriever, evaluate_regions, read_judged_queries

    if args.regions is None:
        raise ConfigError(f"{folder} is an index of regions: name queries with boxes by --regions KIND:PATH")
    retriever = InstanceRetriever.open(folder)
    judged = read_judged_queries(
        args.regions,
        retriever.index.items,
        query_folder=args.query_folder,
        without_query=bool(args.without_query),
    )
    with tqdm(total=len(judged.queries), unit="query", dynamic_ncols=True) as bar:
        figures = evaluate_regions(
            retriever, judged, how=search_of(args), whole=bool(args.whole_pictures), on_query=lambda _: bar.update()
        )
    for group, row in figures.items():
        cells = "  ".join(f"{name} {value:.{0 if name == 'queries' else 4}f}" for name, value in row.items())
        print(f"{group}: {cells}")
    if args.json is not None:
        args.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0


def _refuse(args: argparse.Namespace, names: Sequence[str], reason: str) -> None:
    """ConfigError where any of these options is given."""
    given = [name for name in names if getattr(args, name) is not None]
    if given:
        named = ", ".join(f"-{name}" if name == "k" else f"--{name.replace('_', '-')}" for name in given)
        raise ConfigError(f"{reason}: leave {named} out")


if __name__ == "__main__":
    sys.exit(run_command(main))
