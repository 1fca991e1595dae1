"""Pages of drawn images as files."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from jaxret.files import write_atomically

__all__ = ["save_page"]


def save_page(page: Image.Image, path: Path) -> None:
    """Write an image."""
    with write_atomically(path) as partial:
        page.save(partial)
