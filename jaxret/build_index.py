"""`python -m jaxret.build_index MEDIA INDEX --weights FOLDER`: put images and videos into an index."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from jaxret.cli.compilation_cache import programs_folder
from jaxret.cli.flags import parse
from jaxret.cli.index_arguments import BuildIndex
from jaxret.cli.index_changes import (
    add_and_tell,
    describe_media,
    keep_up,
    prune_media,
    remove_media,
    tell_changes,
)
from jaxret.cli.index_encoder import open_or_create
from jaxret.cli.option_names import as_typed
from jaxret.cli.run import run_command
from jaxret.errors import ConfigError, NoMediaError
from jaxret.plain_text import print_text
from jaxret.remote import url_of

if TYPE_CHECKING:
    from jaxret.index import MediaIndex


@as_typed([BuildIndex])
def main(argv: Sequence[str]) -> int:
    """Parse, encode, add, print."""
    args, _ = parse(argv, BuildIndex, prog="jaxret index")

    if args.index is None:
        index = _index(args)
        keep_up(index, upgrade=args.upgrade, media=args.relocate)
    elif args.remove:
        index = _index(args)
        remove_media(index, args.media, dry_run=args.dry_run)
    else:
        index = _renew(args)
    if args.compact and not args.dry_run:
        index.compact()
    if args.cells is not None:
        from jaxret.cli.index_cells import make_cells_and_tell

        make_cells_and_tell(index, args.cells)
    return 0


def _renew(args: BuildIndex) -> MediaIndex:
    """Add what is new, renew what changed, and drop what is gone if that is wanted."""
    from jaxret.data.open import open_dataset, place_of
    from jaxret.models.kept_function import keep_programs_in

    if args.prune and not (url_of(place := place_of(args.media)) or os.path.isdir(place)):
        raise ConfigError(f"--prune drops what is gone from a folder, and {place} is none: leave it out")
    try:
        dataset = open_dataset(args.media)
    except NoMediaError as error:
        if not args.prune:
            raise
        print_text(f"note: {error}")
        dataset = None  # all media are gone
    if dataset is not None and args.columns is not None:
        dataset = describe_media(dataset, args.columns)
    unread = () if dataset is None else dataset.skipped
    if args.dry_run:
        index = _index(args)
        if dataset is not None:
            tell_changes(index, dataset)
    else:
        retriever = open_or_create(args.folder, args.new_index(), dataset)
        index = retriever.index
        if args.media_root is not None:
            index.set_media_root(args.media_root)
        if dataset is not None:
            with keep_programs_in(programs_folder()):
                unread = add_and_tell(retriever, dataset, threads=args.threads, quiet=args.quiet, ray=args.cluster)
    if args.prune:
        prune_media(index, args.media, unread, dry_run=args.dry_run)
    return index


def _index(args: BuildIndex) -> MediaIndex:
    """The index that exists, without its encoder."""
    from jaxret.index import MediaIndex
    from jaxret.retrieval.store import index_folder

    return MediaIndex.open(index_folder(args.folder))


if __name__ == "__main__":
    sys.exit(run_command(main))
