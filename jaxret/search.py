"""`python -m jaxret.search INDEX QUERY`: find what looks like an image or a video, or shows a region of it."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from jaxret.cli.compilation_cache import programs_folder
from jaxret.cli.flags import chosen_options, parse
from jaxret.cli.option_names import as_typed
from jaxret.cli.run import check_writable, run_command
from jaxret.cli.tables import print_hits, print_json
from jaxret.data.items import Kind
from jaxret.errors import ConfigError
from jaxret.ranges import MOST_THREADS, Count, at_least, check_ranges
from jaxret.retrieval.options import OPTION_CLASSES, RegionSearch, SequenceSearch, VectorSearch


@dataclasses.dataclass(frozen=True)
class Search:
    """Search an index with a media file, or with words.

    A video is compared chunk by chunk with the indexed videos; an image with indexed images and with single frames of
    the videos. Each result names the place in the video. Where the encoder is one of shots, an image is compared with
    the shots of videos, and the best frame is named too. Where the encoder makes binary codes, videos are compared by
    them: the distance is the number of bits that differ.

    In an index of the recipes instance-search and faster-rcnn the query is a region of an image, or of a frame of a
    video: results are images and videos that show the same thing, each with the box where it was found.

    An index of an encoder that knows words (CLIP, SigLIP) is searched with --text: each result names the frame that
    fits them best, or with --space clip the chunk.

    Attributes:
      index: index folder, or a run folder that holds one.
      query: an image or a video.
      text: words to search with, in the place of a query.
      k: results wanted; more than the index has are all.
      kind: find only images, or only videos.
      where: find only items whose columns pass this filter, as in "label = 'cat' and duration > 10 and key like 'a/%'"
        (docs/filters).
      json: print JSON, one object a result.
      figure: draw the query and the results with their boxes (PNG), with an index of regions.
      threads: of the ranking kernels (default: all cores).
    """

    index: Path
    query: str | None = dataclasses.field(default=None, metadata={"positional": True})
    text: str | None = None
    k: Count = 10
    kind: Kind | None = None
    where: str | None = None
    json: bool = False
    figure: Path | None = None
    threads: Annotated[int | None, at_least(1, most=MOST_THREADS)] = None

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.query is not None and self.text is not None:
            raise ConfigError(f"--text takes the place of the query {self.query}: give one of them")
        if self.query is None and self.text is None:
            raise ConfigError("name what to search with: an image or a video, or words with --text")
        if self.text is not None and self.figure is not None:
            raise ConfigError("--figure draws the image that was searched with, and --text has none: leave it out")


@as_typed((Search, *OPTION_CLASSES))
def main(argv: Sequence[str]) -> int:
    """Parse, search, print."""
    args, given = parse(argv, Search, OPTION_CLASSES, prog="jaxret search")

    from jaxret.models.kept_function import keep_programs_in
    from jaxret.retrieval import Retriever, single_file

    programs = programs_folder()
    retriever = Retriever.open(args.index, programs=programs)
    system = f"{args.index} is an index of {retriever.system.title}"
    options = chosen_options(given, retriever.system.options, system)
    if isinstance(options, VectorSearch) and options.probes is not None and not retriever.index.cells:
        raise ConfigError(f"--probes looks into cells, and {args.index} keeps none: make them with --cells of index")
    if args.figure is not None and RegionSearch not in retriever.system.options:
        raise ConfigError(f"--figure draws boxes, and {system}: leave it out")
    if args.figure is not None:
        check_writable(args.figure)
    kinds = None if args.kind is None else (args.kind,)
    chosen = {"options": options, "kinds": kinds, "where": args.where, "threads": args.threads}
    if args.text is not None:
        hits = retriever.search_text(args.text, args.k, **chosen)
    else:
        query = single_file(args.query or "")
        for error in query.damaged:
            print(f"jaxret: the query is damaged: {error}", file=sys.stderr)
        with keep_programs_in(programs):
            hits = retriever.search(query, args.k, **chosen)
    if isinstance(options, VectorSearch) and options.probes is not None and options.min_cosine is None:
        in_some = options.probes < max(retriever.index.cells.values())
        if in_some and len(hits) < min(args.k, len(retriever.index)):
            told = f"{len(hits)} of {args.k} results lie in the cells looked into: a larger --probes may find more"
            print(f"jaxret: {told}", file=sys.stderr)
    if args.json:
        print_json(hits)
    else:
        above = options.min_cosine if isinstance(options, VectorSearch) else None
        nothing = "nothing found" + (f" with a cosine similarity above {above}" if above is not None else "")
        in_query = isinstance(options, SequenceSearch) and options.part == "item"
        print_hits(hits, nothing, in_query=in_query)
    if args.figure is not None:
        from jaxret.retrieval import draw_hits

        draw_hits(args.figure, query, hits, options or RegionSearch())
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
