"""`python -m jaxret.export INDEX OUT --to FORMAT`: the rows of an index, as other programs read them."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from jaxret.cli.flags import parse
from jaxret.cli.option_names import as_typed
from jaxret.cli.run import run_command
from jaxret.plain_text import print_text


@dataclasses.dataclass(frozen=True)
class Export:
    """Write the vectors or codes of an index, with their spans and the columns of their items, for other programs.

    Attributes:
      index: index folder, or a run folder that holds one.
      out: the new file (parquet) or folder.
      to: parquet: one file; lance: a Lance data set (package pylance); faiss: vectors.faiss, a flat index (package
        faiss-cpu), and rows.parquet; npy: vectors.npy and rows.parquet.
      space: which of the spaces of the index; needed where it has several.
      where: export only items whose columns pass this filter, as in "label = 'cat'" (docs/filters).
    """

    index: Path
    out: Path
    to: Literal["parquet", "lance", "faiss", "npy"] = "parquet"
    space: str | None = None
    where: str | None = None


@as_typed([Export])
def main(argv: Sequence[str]) -> int:
    """Parse, write, print."""
    args, _ = parse(argv, Export, prog="jaxret export")

    from jaxret.index import MediaIndex
    from jaxret.index.exports.formats import export_rows
    from jaxret.retrieval.store import index_folder

    index = MediaIndex.open(index_folder(args.index))
    count = export_rows(index, args.out, args.to, space=args.space, where=args.where)
    print_text(f"wrote {count} rows to {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
