"""The parts of a server, put together."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from jaxret.serve.indexing import Jobs
from jaxret.serve.library import Library
from jaxret.serve.limits import Limits
from jaxret.serve.media.places import MediaRoot
from jaxret.serve.media.previews import Previews
from jaxret.serve.media.scratch import ScratchFiles
from jaxret.serve.media.source import Sources
from jaxret.serve.media.uploads import Uploads
from jaxret.serve.queries import QueryMedia
from jaxret.serve.searches import Searches
from jaxret.serve.workers import Workers

__all__ = ["Parts", "open_parts"]


@dataclasses.dataclass(frozen=True)
class Parts:
    """What requests are answered with.

    Attributes:
      library: the open indexes.
      limits: of requests.
      root: below which requests may name files; None for none.
      folder: for temporary files, which `close` deletes.
      sources, uploads, previews: media.
      media: finds the media of queries.
      searches: the line of searches.
      jobs: the line of additions.
      cuts: clips that were cut out.
      looking: threads for what is quick: lists, and what was uploaded.
      drawing: threads for thumbnails and the like.
    """

    library: Library
    limits: Limits
    root: MediaRoot | None
    folder: Path
    sources: Sources
    uploads: Uploads
    previews: Previews
    media: QueryMedia
    searches: Searches
    jobs: Jobs
    cuts: ScratchFiles
    looking: Workers
    drawing: Workers

    def close(self) -> None:
        """Delete the temporary files."""
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def busy(self) -> bool:
        """Whether a thread works on something."""
        return any(workers.busy for workers in (self.searches.workers, self.jobs.workers, self.looking, self.drawing))


def open_parts(indexes: Sequence[Path], media_root: Path | None, limits: Limits, programs: Path | None = None) -> Parts:
    """Open the indexes, and make everything else.

    Args:
      indexes: their folders.
      media_root: the folder that media may be taken from; None: none may.
      limits: of what requests may cost.
      programs: where programs of encoders are kept, see `jaxret.retrieval.Retriever.open`.

    Raises:
      ConfigError, IndexFormatError, WeightsError, EncoderMismatchError: as `jaxret.retrieval.Retriever.open`.
    """
    library = Library(indexes, programs)
    root = None if media_root is None else MediaRoot(media_root)
    folder = Path(tempfile.mkdtemp(prefix="jaxret-serve-"))
    sources = Sources(root, folder, limits)
    uploads = Uploads(folder, limits, sources)
    media = QueryMedia(uploads, sources, root)
    searches = Searches(media, limits)
    return Parts(
        library,
        limits,
        root,
        folder,
        sources,
        uploads,
        Previews(limits.preview_bytes),
        media,
        searches,
        Jobs(root, searches.workers),
        ScratchFiles(folder, limits.cuts),
        Workers("look", 2, limits.previews_waiting),
        Workers("draw", 2, limits.previews_waiting),
    )
