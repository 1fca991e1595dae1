"""The options of `jaxret search`: those of every index, and those of one kind of index alone."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from jaxret.cli.region_options import region_options
from jaxret.cli.run import given
from jaxret.rank import METRICS
from jaxret.rank.sequence_ranking import SequenceMeasure

__all__ = ["parse_search"]

DESCRIPTION = """Search an index with a media file. A video is compared chunk by chunk with the indexed videos; a
picture with indexed pictures and with single frames of the videos. Each result names the place in the video.
Where the encoder is one of shots, a picture is compared with the shots of videos, and the best frame is named too.
Where the encoder makes binary codes, videos are compared by them: the distance is the number of bits that differ.

In an index of the recipes instance-search and faster-rcnn the query is a region of a picture, or of a frame of a video:
results are pictures and videos that show the same thing, each with the box where it was found."""


def parse_search(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments; `of_wholes` and `of_instances` name the options given that belong to one kind of index alone."""
    parser = argparse.ArgumentParser(
        "jaxret search", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("index", type=Path, help="index folder, or a run folder that holds one")
    parser.add_argument("query", type=Path, help="an image or a video")
    parser.add_argument("-k", type=int, default=10, help="results wanted (default 10)")
    parser.add_argument("--kind", choices=("image", "video"), help="find only pictures, or only videos")
    parser.add_argument("--json", action="store_true", help="print JSON, one object a result")
    wholes = _wholes(parser)
    instances = _instances(parser)
    args = parser.parse_args(argv)
    args.of_wholes = given(args, parser, wholes)
    args.of_instances = given(args, parser, instances)
    return args


def _wholes(parser: argparse.ArgumentParser) -> list[str]:
    group = parser.add_argument_group("of whole pictures and clips (the other recipes)")
    actions = [
        group.add_argument(
            "--metric",
            choices=tuple(METRICS),
            help="distance (default: hamming in the code space, else euclidean)",
        ),
        group.add_argument(
            "--par",
            type=float,
            metavar="MIN_COSINE",
            help="proximal-affinity re-ranking: of the k nearest, those whose cosine similarity exceeds this",
        ),
        group.add_argument(
            "--space",
            choices=("frame", "clip", "code"),
            help="frame: compare frame by frame, which finds edited copies; clip: compare what the encoder learned of "
            "whole chunks; code: compare their binary codes (default: frame for a picture; for a video code where "
            "there are codes and none of --par, --metric and --probes asks for vectors, else clip)",
        ),
        group.add_argument(
            "--rerank",
            type=int,
            metavar="N",
            help="in the code space: put the N nearest by Hamming distance in order by the Euclidean distance of their "
            "clip embeddings. Of an encoder of shots and a picture: put the N nearest shots in order by their best "
            "frames",
        ),
        group.add_argument(
            "--every-clip",
            action="store_true",
            help="in the clip space: chunks or shots are results of their own, several of one video among them",
        ),
        group.add_argument(
            "--probes",
            type=int,
            metavar="N",
            help="compare only with the vectors of the N cells (of about the root of all vectors) whose centroids are "
            "nearest, and miss some neighbours; in the clip space, or for a picture. Cells are made anew by each "
            "command, which takes longer than an exact search: this shows what would be missed; a program that keeps "
            "a Retriever open gains the time",
        ),
        group.add_argument(
            "--sequence",
            choices=get_args(SequenceMeasure),
            help="compare videos as sequences of their clip vectors: by dynamic time warping (dtw), also with one of "
            "the two backwards (bi-dtw; such results are marked back), or by the cosine of their mean vectors, which "
            "knows no order (mean-cosine); bi-dtw-printed, the formula as published, equals dtw",
        ),
        group.add_argument(
            "--subsequence",
            nargs="?",
            const="query",
            choices=("query", "item"),
            help="with --sequence: find where in each video the query lies (query, the default), or where in the query "
            "each video lies (item)",
        ),
        group.add_argument(
            "--length-normalised",
            action="store_true",
            help="with --sequence: divide distances, which grow with length, by the number of clips of both that are "
            "aligned",
        ),
        group.add_argument(
            "--threads", type=int, metavar="N", help="threads of the ranking kernels (default: all cores)"
        ),
    ]
    return [action.dest for action in actions]


def _instances(parser: argparse.ArgumentParser) -> list[str]:
    group = parser.add_argument_group("of regions of pictures (the recipes instance-search and faster-rcnn)")
    actions = [
        group.add_argument(
            "--region",
            metavar="X,Y,WIDTH,HEIGHT",
            help="the part of the picture that asks: upper left corner, width and height in pixels, or all four in "
            "shares of the picture's sides, up to 1 (default: the whole picture)",
        ),
        group.add_argument("--at", type=float, metavar="SECONDS", help="of a video: the frame that asks"),
        *region_options(group),
        group.add_argument(
            "--picture", type=Path, metavar="FILE.png", help="draw the query and the results with their boxes"
        ),
    ]
    return [action.dest for action in actions]
