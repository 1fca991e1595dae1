"""How much memory a weights file may take: a small one can claim arrays of any size."""

from __future__ import annotations

from pathlib import Path

__all__ = ["most_bytes"]


def most_bytes(path: Path) -> int:
    """Bytes that the arrays of a file may have together; compressed weights are not a tenth of their size.

    Example:
      >>> most_bytes(Path(__file__)) > 16 * 200
      True
    """
    return 16 * path.stat().st_size + 2**20
