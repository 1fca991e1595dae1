"""`python -m jaxret.build_index MEDIA INDEX --weights FOLDER`: put images and videos into an index."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jaxret.cli.flags import parse
from jaxret.cli.index_changes import prune_media, remove_media, tell_added, tell_changes
from jaxret.cli.index_encoder import NewIndex, open_or_create
from jaxret.cli.run import check_threads, run_command
from jaxret.errors import ConfigError, MediaError
from jaxret.plain_text import print_text

if TYPE_CHECKING:
    from jaxret.data.dataset import MediaDataset
    from jaxret.index import MediaIndex
    from jaxret.retrieval import Retriever


@dataclasses.dataclass(frozen=True)
class BuildIndex:
    """Encode a folder of images and videos (or a CSV, tfds:NAME, a single file) and add it to an index.

    An index that exists is extended: items that are in it already are left alone, so a stopped call can simply be
    repeated; those whose files changed since (size, time, content) are renewed. Files that cannot be read are skipped
    and listed.

    Attributes:
      media: folder, CSV, tfds:NAME, moving-digits, or one media file.
      index: index folder, made if it does not exist, or a run folder that holds one.
      encoder: a run folder, an encoder folder or another index: whose encoder a new index gets.
      weights: of an encoder that a new index uses as it is, without training: a folder as Hugging Face lays it out or a
        file of a published encoder (`jaxret weights` lists them), imagenet (extra `weights`), or with `backbone` a file
        of its weights. A frame's vector has length 1, a chunk's is the direction of their mean.
      backbone: with `weights`, what they are of, where the files do not tell it: mobilenet-v1, vgg16 ...
      image_size: with `weights`, side of the images that the encoder sees, in pixels. Default: its own.
      whiten: with `weights`, whiten the frame vectors to so many components, fitted on the media; 0: as they are.
      remove: remove the media's items from the index instead of adding them: what lies in the folder, a file, or one
        item by its key. Files are not read and need not be there any more.
      prune: also drop the items of the folder whose files are there no more, or changed and cannot be read.
      dry_run: tell what would be added, renewed, pruned or removed, and change nothing.
      compact: afterwards rewrite the index as one segment.
      without_frames: with an encoder of shots, for a new index: keep shots alone, a tenth of the size; an image then
        finds shots, but not the moment in them.
      threads: files decoded at once, 1 to 1024.
      quiet: no progress bar.
    """

    media: str
    index: Path
    encoder: Path | None = None
    weights: str | None = None
    backbone: str = "auto"
    image_size: int | None = None
    whiten: int = 0
    remove: bool = False
    prune: bool = False
    dry_run: bool = False
    compact: bool = False
    without_frames: bool = False
    threads: int = 2
    quiet: bool = False

    def __post_init__(self) -> None:
        check_threads(self.threads)
        if self.remove and self.prune:
            raise ConfigError("--remove takes out what is named, --prune what is gone: give one")
        self.new_index()

    def new_index(self) -> NewIndex:
        """What a new index is made with; ConfigError where two encoders are named."""
        frames = not self.without_frames
        return NewIndex(self.encoder, self.weights, self.backbone, self.image_size, self.whiten, frames, self.threads)


def main(argv: Sequence[str]) -> int:
    """Parse, encode, add, print."""
    args, _ = parse(argv, BuildIndex, prog="jaxret index")

    if args.remove:
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
    unread = () if dataset is None else dataset.skipped
    if args.dry_run:
        index = _index(args)
        if dataset is not None:
            tell_changes(index, dataset)
    else:
        retriever = open_or_create(args.index, args.new_index(), dataset)
        index = retriever.index
        if dataset is not None:
            unread = _add(retriever, dataset, args)
    if args.prune:
        prune_media(index, args.media, unread, dry_run=args.dry_run)
    return index


def _index(args: BuildIndex) -> MediaIndex:
    """The index that exists, without its encoder."""
    from jaxret.index import MediaIndex
    from jaxret.retrieval.store import index_folder

    return MediaIndex.open(index_folder(args.index))


def _add(retriever: Retriever, dataset: MediaDataset, args: BuildIndex) -> tuple[MediaError, ...]:
    """Add, and tell what came of it; what could not be read."""
    from tqdm import tqdm

    with tqdm(total=len(dataset), unit="item", disable=args.quiet, dynamic_ncols=True) as bar:
        report = retriever.add(dataset, threads=args.threads, on_item=lambda _: bar.update())
    tell_added(report, dataset, retriever.index)
    for line in retriever.system.sizes(retriever.index):
        print_text(line)
    return (*dataset.skipped, *report.skipped)


if __name__ == "__main__":
    sys.exit(run_command(main))
