"""The options of `jaxret evaluate`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from jaxret.cli.region_options import region_options
from jaxret.cli.run import given
from jaxret.evaluation import Relevant
from jaxret.metrics import Denominator
from jaxret.rank import METRICS
from jaxret.rank.sequence_ranking import SequenceMeasure, Subsequence

__all__ = ["parse_evaluate"]

DESCRIPTION = """Let the labelled items of an index ask for each other (leave-one-out), or let other labelled media
ask (--queries). Relevant is what carries the query's label; items of the query's own source are left out.
Videos are compared in the clip space, or by their binary codes where the encoder makes them, pictures in the frame
space (--space). Equal distances are ordered by id; of codes each mAP is also given averaged over the orders of ties."""


_OF_REGIONS = ("regions", "query_folder", "without_query", "whole_pictures")


def parse_evaluate(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments; `of_instances` names the options given that belong to an index of regions alone."""
    parser = argparse.ArgumentParser(
        "jaxret evaluate", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("index", type=Path, help="index folder, or a run folder that holds one")
    parser.add_argument(
        "--queries",
        help="folder, CSV or tfds:NAME of labelled media that ask (default: the index's own items)",
    )
    parser.add_argument(
        "--photographs",
        type=Path,
        metavar="CSV",
        help="of an encoder of shots: photographs of films with the times that they show; columns path, start and, if "
        "need be, end and film",
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        metavar="SECONDS",
        help="with --photographs: by how much a shot or moment may miss the time (default 1)",
    )
    parser.add_argument("--split", help="only indexed items of this split take part, as queries and as gallery")
    parser.add_argument(
        "--space",
        choices=("frame", "clip", "code"),
        help="default: frame if the index holds no videos, else code where there are codes and neither --par nor "
        "--metric asks for vectors, else clip",
    )
    parser.add_argument(
        "--metric", choices=tuple(METRICS),
        help="distance (default: hamming in the code space, else euclidean)",
    )  # fmt: skip
    parser.add_argument(
        "--par", type=float, metavar="MIN_COSINE",
        help="proximal-affinity re-ranking of the --depth nearest with this threshold",
    )  # fmt: skip
    of_sequences = "compare videos as sequences of their clip vectors, as `jaxret search` does"
    parser.add_argument("--sequence", choices=get_args(SequenceMeasure), help=of_sequences)
    parser.add_argument("--subsequence", nargs="?", const="query", choices=get_args(Subsequence), help="likewise")
    parser.add_argument("--length-normalised", action="store_true", default=None, help="likewise")
    parser.add_argument(
        "--relevant", choices=get_args(Relevant),
        help="label (the default), or source: what --queries that are parts of indexed videos were cut from",
    )  # fmt: skip
    parser.add_argument("--depth", type=int, help="results kept a query (default: the whole gallery, which mAP needs)")
    parser.add_argument("-k", type=int, nargs="+", help="cut-offs (default 1 5 10)")
    parser.add_argument(
        "--denominator",
        choices=get_args(Denominator),
        help="what mAP@k divides by: min(n_relevant,k), all relevant items, or those retrieved among the first k "
        "(default min(n_relevant,k))",
    )
    parser.add_argument("--by-class", action="store_true", default=None, help="a line for each class, too")
    regions = parser.add_argument_group("of regions of pictures (the recipes instance-search and faster-rcnn)")
    regions.add_argument(
        "--regions",
        metavar="KIND:PATH",
        help="queries with boxes and what is right: oxford:FOLDER of ground truth (Oxford5k, Paris6k, Sculptures), "
        "revisited:FILE.mat, instre:ROOT, or boxes:CSV (path,left,top,right,bottom,label,split; pictures of the split "
        "test ask)",
    )
    regions.add_argument("--query-folder", type=Path, help="where the pictures that ask of the revisited sets lie")
    regions.add_argument(
        "--without-query", action="store_true", default=None, help="the picture that asks does not count as found"
    )
    regions.add_argument(
        "--whole-pictures", action="store_true", default=None, help="ask with whole pictures, without their boxes"
    )
    settings = region_options(regions)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to FILE")
    parser.add_argument("--threads", type=int, metavar="N", help="files decoded at once (default 2)")
    args = parser.parse_args(argv)
    args.of_instances = given(args, parser, [*_OF_REGIONS, *(action.dest for action in settings)])
    return args
