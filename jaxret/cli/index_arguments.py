"""What `jaxret index` is told."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from jaxret.cli.flags import refuse_others
from jaxret.cli.index_encoder import NewIndex
from jaxret.errors import ConfigError
from jaxret.ranges import CountOrZero, Threads, at_least, check_ranges

if TYPE_CHECKING:
    from jaxret.retrieval.on_ray.cluster import RayCluster

__all__ = ["BuildIndex"]


@dataclasses.dataclass(frozen=True)
class BuildIndex:
    """Encode a folder of images and videos (or a CSV, tfds:NAME, a single file) and add it to an index.

    An index that exists is extended: items that are in it already are left alone, so a stopped call can simply be
    repeated; those whose files changed since (size, time, content) are renewed. Files that cannot be read are skipped
    and listed.

    `jaxret index INDEX --cells N`, `--upgrade`, `--relocate FOLDER` and `--compact` change an index without media.

    Attributes:
      media: folder, CSV, tfds:NAME, moving-digits, or one media file; with --upgrade, --relocate, --cells or --compact
        alone the index.
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
      cells: keep the vectors of each space in so many cells, for searches with --probes, which look into a few of them;
        prints what these find. Later additions go into the same cells. 0: keep none any more.
      upgrade: rewrite what older versions wrote of items; rows and results stay the same.
      remove: remove the media's items from the index instead of adding them: what lies in the folder, a file, or one
        item by its key. Files are not read and need not be there any more.
      prune: also drop the items of the folder whose files are there no more, or changed and cannot be read.
      dry_run: tell what would be added, renewed, pruned or removed, and change nothing.
      compact: afterwards rewrite the index as one segment.
      without_frames: with an encoder of shots, for a new index: keep shots alone, a tenth of the size; an image then
        finds shots, but not the moment in them.
      threads: files decoded at once, by each worker.
      ray: encode in the workers of a Ray cluster: local (on this machine), auto (that which this machine is part of) or
        its address (extra `ray`). Every worker must find the media at the same paths or URLs.
      workers: with `ray`, processes that encode at once. Default: 2.
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
    cells: Annotated[int | None, at_least(0)] = None
    upgrade: bool = False
    remove: bool = False
    prune: bool = False
    dry_run: bool = False
    compact: bool = False
    without_frames: bool = False
    threads: Threads = 2
    ray: str | None = None
    workers: Annotated[int | None, at_least(1)] = None
    quiet: bool = False

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.remove and self.prune:
            raise ConfigError("--remove takes out what is named, --prune what is gone: give one")
        if self.index is None:
            if not (self.upgrade or self.compact) and self.relocate is None and self.cells is None:
                raise ConfigError("name the index: jaxret index MEDIA INDEX")
            alone = ("media", "relocate", "cells", "upgrade", "compact", "threads", "quiet")
            refuse_others(self, alone, "goes with media, and --upgrade, --relocate, --cells and --compact have none")
        elif self.upgrade or self.relocate is not None:
            raise ConfigError("--upgrade and --relocate take an index alone: jaxret index INDEX --upgrade")
        elif self.dry_run and self.cells is not None:
            raise ConfigError("--dry-run changes nothing, and --cells makes cells: leave one out")
        elif self.remove:
            removing = ("media", "index", "remove", "dry_run", "compact", "cells", "threads", "quiet")
            refuse_others(self, removing, "goes with media that are added, and --remove takes them out")
        if self.media_root is not None and not self.media_root.is_dir():
            raise ConfigError(f"--media-root {self.media_root}: there is no such folder")
        if self.workers is not None and self.ray is None:
            raise ConfigError("--workers are those of a cluster: name it with --ray, or leave --workers out")
        self.new_index()

    @property
    def cluster(self) -> RayCluster | None:
        """The cluster that encodes; None for this process."""
        if self.ray is None:
            return None
        from jaxret.retrieval.on_ray.cluster import RayCluster

        return RayCluster(self.ray, self.workers or 2)

    @property
    def folder(self) -> Path:
        """Of the index, or the run that holds it."""
        return Path(self.media) if self.index is None else self.index

    def new_index(self) -> NewIndex:
        """What a new index is made with; ConfigError where two encoders are named."""
        frames = not self.without_frames
        return NewIndex(self.encoder, self.weights, self.backbone, self.image_size, self.whiten, frames, self.threads)
