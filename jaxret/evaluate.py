"""`python -m jaxret.evaluate INDEX`: measure retrieval on labelled media."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from jaxret.cli.compilation_cache import programs_folder
from jaxret.cli.evaluation_queries import evaluation_queries
from jaxret.cli.flags import chosen_options, parse
from jaxret.cli.option_names import as_typed
from jaxret.cli.run import check_writable, run_command
from jaxret.cli.tables import print_report
from jaxret.files import write_atomically
from jaxret.ranges import Threads, at_least, check_ranges
from jaxret.retrieval.evaluate.settings import (
    CroppedEvaluation,
    FilmEvaluation,
    LabelEvaluation,
    RegionEvaluation,
    SceneEvaluation,
)
from jaxret.retrieval.options import OPTION_CLASSES

_NO_PART = ("every_clip", "probes", "device", "region", "at")
"""Options of a search that have no part in an evaluation."""
_SETTINGS = (LabelEvaluation, CroppedEvaluation, FilmEvaluation, SceneEvaluation, RegionEvaluation)


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Measure how well an index finds what it should.

    The labelled items of the index are queries for each other (leave-one-out), or other labelled media are (--queries).
    Relevant is what carries the query's label; items of the query's own source are left out. Videos are compared in the
    clip space, or by their binary codes where the encoder makes them, images in the frame space (--space). Equal
    distances are ordered by id; of codes each mAP is also given averaged over the orders of ties.

    Beside each line stands what a random ranking scores (chance), and of videos the mean of their frame vectors, which
    does not see order. Classes that the index holds training items of are also told apart from the others.

    Attributes:
      index: index folder, or a run folder that holds one.
      queries: folder, CSV or tfds:NAME of labelled media to search with (default: the index's own items).
      cropped: queries are parts of so many of the index's videos, cropped with gaps and changed more and more
        (--strengths): does each find its video (by clip), and others of its class? They are read from the files that
        were indexed, or from --queries.
      photographs: with an encoder of shots: a CSV of screen photos of films with the times that they show; columns
        path, start and, if need be, end and film.
      stanford_i2v: with an encoder of shots: a ground-truth file of Stanford I2V, such as light_dataset_public.txt,
        whose videos are in the index under their names.
      regions: with an index of regions: queries with boxes and ground truth, KIND:PATH. oxford:FOLDER (Oxford5k,
        Paris6k, Sculptures), revisited:FILE.mat, instre:ROOT, holidays:FOLDER or ukbench:FOLDER of their images, or
        boxes:CSV (path,left,top,right,bottom,label,split; the boxes of the split test are the queries).
      query_folder: with --regions, where the query images of the revisited sets lie; with --stanford-i2v, where the
        query images lie, named by their numbers (default: beside the file).
      without_query: with --regions, the query image itself does not count as found.
      k: cut-offs (default 1 5 10).
      json: also write the figures to this file.
      failures: with --sequence bi-dtw and the index's own items: also write this HTML page, to look at: look-alikes of
        another class, and what reading backwards helped and harmed.
      threads: query files decoded at once.
    """

    index: Path
    queries: str | None = None
    cropped: Annotated[int | None, at_least(1)] = None
    photographs: Path | None = None
    stanford_i2v: Path | None = None
    regions: str | None = None
    query_folder: Path | None = None
    without_query: bool = False
    k: Annotated[tuple[int, ...] | None, at_least(1)] = None
    json: Path | None = None
    failures: Path | None = None
    threads: Threads = 2

    def __post_init__(self) -> None:
        check_ranges(self)


@as_typed((Evaluate, *OPTION_CLASSES, *_SETTINGS))
def main(argv: Sequence[str]) -> int:
    """Parse, rank, print."""
    args, given = parse(argv, Evaluate, (*OPTION_CLASSES, *_SETTINGS), prog="jaxret evaluate", without=_NO_PART)

    from jaxret.models.kept_function import keep_programs_in
    from jaxret.retrieval import Retriever

    for written in (args.json, args.failures):
        if written is not None:
            check_writable(written)
    retriever = Retriever.open(args.index)
    system = retriever.system
    title = f"{args.index} is an index of {system.title}"
    options = chosen_options({kind: given[kind] for kind in OPTION_CLASSES}, system.options, title)
    queries, fitting, what = evaluation_queries(args, retriever)
    settings = chosen_options({kind: given[kind] for kind in _SETTINGS}, [fitting], what)
    from jaxret.progress import progress_bar
    from jaxret.retrieval.evaluate.failures.answers import check_both_readings, sequence_failures

    if args.failures is not None:
        check_both_readings(options)
    count = len(queries.queries) if fitting is RegionEvaluation else None
    progress = progress_bar(None, "query", total=count, shown=count is not None)
    with keep_programs_in(programs_folder()), progress as bar:
        report = retriever.evaluate(
            queries,
            options=options,
            settings=settings,
            ks=args.k,
            threads=args.threads,
            on_query=lambda _: bar.update(),
        )
    print_report(report)
    if args.json is not None:
        with write_atomically(args.json) as partial:
            partial.write_text(json.dumps(report.to_json(), indent=2) + "\n", encoding="utf-8")
    if args.failures is not None:
        from jaxret.retrieval.evaluate.failures.page import write_failures

        split = None if settings is None else settings.split
        failures = sequence_failures(retriever.index, options, split=split)
        write_failures(args.failures, failures, f"Failures of {args.index}")
        print(f"failures: {args.failures}")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
