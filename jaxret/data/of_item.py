"""The medium of an item that an index holds, opened again."""

from __future__ import annotations

import functools

from jaxret.data.dataset import MediaDataset
from jaxret.data.datasets.folders import MediaFiles
from jaxret.data.datasets.moving_digits import MovingDigits
from jaxret.data.datasets.rgbd import open_rgbd, parse_rgbd_spec
from jaxret.data.items import MediaItem
from jaxret.errors import MediaError
from jaxret.remote import is_present

__all__ = ["medium_of"]

_DIGITS = "moving-digits/"


def medium_of(item: MediaItem) -> MediaDataset:
    """A data set whose one item is what `item` was made from: its file, its folder of frames, or a clip that is
    rendered. Nothing is read yet.

    Raises:
      MediaError: it is none of these, or not there any more.
    """
    if item.path is not None and (rgbd := parse_rgbd_spec(item.path)) is not None:
        return open_rgbd(rgbd, probe=False)
    if item.path is not None:
        if not is_present(item.path):
            raise MediaError(item.path, "no such file")
        return MediaFiles([item], probe=False)
    if (item.origin or "").startswith(_DIGITS):
        digits, numbers = _moving_digits()
        number = numbers.get((item.origin or "").removeprefix(_DIGITS))
        if number is not None:
            return digits.subset([number])
    raise MediaError(item.key, "it was not made from a file, and cannot be opened again")


@functools.cache
def _moving_digits() -> tuple[MediaDataset, dict[str, int]]:
    digits = MovingDigits()
    return digits, {item.key: number for number, item in enumerate(digits.items)}
