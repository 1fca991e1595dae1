"""What `jaxret index --cells N` does, and what it tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jaxret.cli.tables import print_table
from jaxret.errors import ConfigError
from jaxret.plain_text import print_text

if TYPE_CHECKING:
    from jaxret.index import MediaIndex

__all__ = ["make_cells_and_tell"]


def make_cells_and_tell(index: MediaIndex, cells: int) -> None:
    """Keep cells of every space of vectors that has enough, or with 0 none, and tell what searches of them find.

    Raises:
      ConfigError: no space of vectors has as many rows.
    """
    spaces = [name for name, space in index.spaces.items() if space.representation == "vector"]
    sizes = {name: index.count_rows(name) for name in spaces}
    if not cells:
        for name in index.cells:
            index.drop_cells(name)
        print_text(f"{index.folder} keeps no cells")
        return
    if cells > max(sizes.values(), default=0):
        held = ", ".join(f"{name} {size}" for name, size in sizes.items()) or "none"
        raise ConfigError(f"--cells {cells}: no space of {index.folder} has as many vectors ({held})")
    for name in spaces:
        if sizes[name] < cells:
            print_text(f"space {name} has {sizes[name]} vectors, fewer than cells: it is searched as it is")
            continue
        index.make_cells(name, cells)
        print_text(f"space {name}: {sizes[name]} vectors in {cells} cells; what searches with its own vectors find:")
        probes = [count for count in (1, 2, 4, 8, 16, 32, 64) if count < cells]
        rows = [
            (
                "none" if found.probes is None else str(found.probes),
                f"{found.recall:.3f}",
                f"{found.share:.2%}",
                f"{1e3 * found.seconds:.2f}",
            )
            for found in index.cell_recall(name, probes)
        ]
        print_table(["--probes", "recall@10", "vectors compared", "ms a query"], rows, ["right"] * 4)
