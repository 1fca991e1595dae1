"""Where a class and a split are read off the folders that media lie in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

__all__ = ["labels_by_folder"]


def labels_by_folder(paths: Sequence[Path]) -> list[tuple[str | None, str | None]]:
    """Label and split of each medium, by its path ROOT/<class>/..., relative to the root.

    The label is the first folder; what lies in the root itself has none. Where every class folder lies in `train`,
    `validation`, `val` or `test`, these are splits and the label is the next folder.

    Example:
      >>> labels_by_folder([Path("cat/a.png"), Path("b.png")])
      [('cat', None), (None, None)]
      >>> labels_by_folder([Path("train/cat/a.png"), Path("val/dog/b.png")])
      [('cat', 'train'), ('dog', 'validation')]
    """
    splits = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}
    has_splits = all(len(path.parts) > 2 and path.parts[0] in splits for path in paths)
    placed: list[tuple[str | None, str | None]] = []
    for path in paths:
        folders = path.parts[1:-1] if has_splits else path.parts[:-1]
        placed.append((folders[0] if folders else None, splits[path.parts[0]] if has_splits else None))
    return placed
