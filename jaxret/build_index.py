"""`python -m jaxret.build_index MEDIA INDEX --weights FOLDER`: put images and videos into an index."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from jaxret.cli.flags import parse, refuse_others
from jaxret.cli.index_changes import add_and_tell, describe_media, keep_up, prune_media, remove_media, tell_changes
from jaxret.cli.index_encoder import NewIndex, open_or_create
from jaxret.cli.run import run_command
from jaxret.errors import ConfigError
from jaxret.ranges import CountOrZero, Threads, at_least, check_ranges

if TYPE_CHECKING:
    from jaxret.index import MediaIndex


@dataclasses.dataclass(frozen=True)
class BuildIndex:
    """Encode a folder of images and videos (or a CSV, tfds:NAME, a single file) and add it to an index.

    An index that exists is extended: items that are in it already are left alone, so a stopped call can simply be
    repeated; those whose files changed since (size, time, content) are renewed. Files that cannot be read are skipped
    and listed.

    `jaxret index INDEX --upgrade` and `--relocate FOLDER` change an index without media.

    Attributes:
      media: folder, CSV, tfds:NAME, moving-digits, or one media file; with --upgrade and --relocate the index.
      index: index folder, made if it does not exist, or a run folder that holds one.
      encoder: a run folder, an encoder folder or another index: whose encoder a new index gets.
      weights: of an encoder that a new index uses as it is, without training: a folder as Hugging Face lays it out or a
        file of a published encoder (`jaxret weights` lists them), imagenet (extra `weights`), or with `backbone` a file
        of its weights. A frame's vector has length 1, a chunk's is the direction of their mean.
      backbone: with `weights`, what they are of, where the files do not tell it: mobilenet-v1, vgg16 ...
      image_size: with `weights`, side of the images that the encoder sees, in pixels. Default: its own.
      whiten: with `weights`, whiten the frame vectors to so many components, fitted on the media; 0: as they are.
      columns: a CSV with columns of your own for --where, and a column key or path that says whose they are.
      media_root: keep paths of media below this folder relative to it, for --relocate.
      relocate: the media moved: what was below the media root, or else the folder that holds them all, is here now.
      upgrade: rewrite what older versions wrote of items; rows and results stay the same.
      remove: remove the media's items from the index instead of adding them: what lies in the folder, a file, or one
        item by its key. Files are not read and need not be there any more.
      prune: also drop the items of the folder whose files are there no more, or changed and cannot be read.
      dry_run: tell what would be added, renewed, pruned or removed, and change nothing.
      compact: afterwards rewrite the index as one segment.
      without_frames: with an encoder of shots, for a new index: keep shots alone, a tenth of the size; an image then
        finds shots, but not the moment in them.
      threads: files decoded at once.
      quiet: no progress bar.
    """

    media: str
    index: Path | None = dataclasses.field(default=None, metadata={"positional": True})
    encoder: Path | None = None
    weights: str | None = None
    backbone: str = "auto"
    image_size: Annotated[int | None, at_least(1)] = None
    whiten: CountOrZero = 0
    columns: Path | None = None
    media_root: Path | None = None
    relocate: Path | None = None
    upgrade: bool = False
    remove: bool = False
    prune: bool = False
    dry_run: bool = False
    compact: bool = False
    without_frames: bool = False
    threads: Threads = 2
    quiet: bool = False

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.remove and self.prune:
            raise ConfigError("--remove takes out what is named, --prune what is gone: give one")
        if (self.upgrade or self.relocate is not None) != (self.index is None):
            raise ConfigError(
                "name the index: jaxret index MEDIA INDEX"
                if self.index is None
                else "--upgrade and --relocate take an index alone: jaxret index INDEX --upgrade"
            )
        if self.index is None:
            own = ("media", "relocate", "upgrade", "compact", "threads", "quiet")
            refuse_others(self, own, "goes with media, and --upgrade and --relocate have none")
        self.new_index()

    @property
    def folder(self) -> Path:
        """Of the index, or the run that holds it."""
        return Path(self.media) if self.index is None else self.index

    def new_index(self) -> NewIndex:
        """What a new index is made with; ConfigError where two encoders are named."""
        frames = not self.without_frames
        return NewIndex(self.encoder, self.weights, self.backbone, self.image_size, self.whiten, frames, self.threads)


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
    return 0


def _renew(args: BuildIndex) -> MediaIndex:
    """Add what is new, renew what changed, and drop what is gone if that is wanted."""
    from jaxret.data.open import open_dataset, place_of

    if args.prune and not os.path.isdir(place := place_of(args.media)):
        raise ConfigError(f"--prune drops what is gone from a folder, and {place} is none: leave it out")
    try:
        dataset = open_dataset(args.media)
    except ConfigError:
        if not args.prune:
            raise
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
            unread = add_and_tell(retriever, dataset, threads=args.threads, quiet=args.quiet)
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
