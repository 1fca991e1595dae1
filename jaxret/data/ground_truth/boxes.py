"""Images whose objects are marked by boxes: a CSV of them, and the padded images that detectors train on."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from jaxret.data.dataset import MediaDataset
from jaxret.data.datasets.csv_lines import read_csv_lines
from jaxret.data.datasets.folders import IMAGE_EXTENSIONS, MediaFiles
from jaxret.data.ground_truth.instances import Box, checked_box
from jaxret.data.items import MediaItem
from jaxret.data.sampling.transforms import centre_geometry
from jaxret.errors import ConfigError, unknown_name_message
from jaxret.preprocessing import Preprocessing

__all__ = ["BoxAnnotations", "BoxReader", "read_box_annotations"]

_SIDES = ("left", "top", "right", "bottom")
_COLUMNS = ("path", *_SIDES, "label", "split")


@dataclasses.dataclass(frozen=True)
class BoxAnnotations:
    """Images and the objects in them.

    Attributes:
      images: N of them; an image's `label` is that of its objects where all have the same one.
      boxes: of each image float64 (G, 4) left, top, right, bottom in its pixels, as in
        `jaxret.metrics.localisation.boxes`.
      labels: of each image the class number of each box, int64 (G,), 0 .. K - 1.
      classes: the K names, sorted.
    """

    images: MediaFiles
    boxes: tuple[npt.NDArray[np.float64], ...]
    labels: tuple[npt.NDArray[np.int64], ...]
    classes: tuple[str, ...]

    @property
    def most_boxes(self) -> int:
        """Boxes of the image that has most, at least 1."""
        return max(1, *(len(boxes) for boxes in self.boxes))


def read_box_annotations(table: str | os.PathLike[str], root: str | os.PathLike[str] | None = None) -> BoxAnnotations:
    """The images and boxes listed in a CSV with the columns path, left, top, right, bottom, label and maybe split.

    An image has a row for each of its objects, in any order; a row whose four sides and label are empty says that
    there is none. Sides are in pixels of the image as shown, from its upper left corner, so that a whole image is
    0, 0, width, height. `split` is train, validation, test or unused, and the same in all rows of an image.

    Args:
      table: the CSV (UTF-8).
      root: what relative paths are relative to; None is the folder of the CSV.

    Returns:
      The images that can be read; the others are in its `images.skipped`.

    Raises:
      ConfigError: no such file; a column is missing, unknown or there twice; no rows, or none with a box; a row with
        too many or too few cells, an empty path or label, sides that are no box or reach outside the image, or a
        split that is not that of the rows before; or images that do not exist. The message names file and line.
    """
    source = Path(table)
    base = source.parent if root is None else Path(root)
    found: dict[str, _Image] = {}
    for line, cells in _rows(source):
        place = f"{source}, line {line}"
        key = Path(cells["path"]).as_posix()
        if not cells["path"]:
            raise ConfigError(f"{place}: the path is empty")
        if Path(key).suffix.lower() not in IMAGE_EXTENSIONS:
            raise ConfigError(f"{place}: {key!r} has no extension of an image")
        split = cells.get("split") or None
        image = found.setdefault(key, _Image(split, line))
        if image.split != split:
            raise ConfigError(
                f"{place}: {key!r} is in the split {split!r} here and in {image.split!r} in line {image.line}"
            )
        sides = [cells[name] for name in _SIDES]
        if not any(sides) and not cells["label"]:
            continue
        box = checked_box(sides, place)
        if not cells["label"]:
            raise ConfigError(f"{place}: the box {box} has no label")
        image.objects.append((box, cells["label"], line))
    return _checked(source, base, found)


@dataclasses.dataclass
class _Image:
    """What the rows of one image say: its split, its first line, and box, label and line of each object."""

    split: str | None
    line: int
    objects: list[tuple[Box, str, int]] = dataclasses.field(default_factory=list)


def _rows(source: Path) -> list[tuple[int, dict[str, str]]]:
    """Line number and cells by column of every row."""
    lines = read_csv_lines(source)
    header = [name.strip() for name in lines[0][1]] if lines else []
    if repeated := sorted({name for name in header if header.count(name) > 1}):
        raise ConfigError(f"{source}: column {repeated[0]!r} is there twice")
    if missing := [name for name in _COLUMNS[:-1] if name not in header]:
        raise ConfigError(f"{source}: no column {missing[0]!r}; the header is {', '.join(header) or 'empty'}")
    if unknown := [name for name in header if name not in _COLUMNS]:
        raise ConfigError(f"{source}: {unknown_name_message('column', unknown[0], _COLUMNS)}")
    rows = []
    for line, row in lines[1:]:
        if len(row) != len(header) and row:
            raise ConfigError(f"{source}, line {line}: {len(row)} cells, but the header names {len(header)}")
        if row:
            rows.append((line, {name: cell.strip() for name, cell in zip(header, row, strict=True)}))
    return rows


def _checked(source: Path, base: Path, found: dict[str, _Image]) -> BoxAnnotations:
    if not any(image.objects for image in found.values()):
        raise ConfigError(f"{source} lists no box")
    if missing := [key for key in found if not (base / key).is_file()]:
        shown = ", ".join(missing[:5]) + (" ..." if len(missing) > 5 else "")
        raise ConfigError(f"{source} lists {len(missing)} images that are not in {base}: {shown}")
    items = []
    for key, image in found.items():
        names = {label for _, label, _ in image.objects}
        only = names.pop() if len(names) == 1 else None
        items.append(MediaItem(key, "image", label=only, split=image.split, path=str(base / key)))
    images = MediaFiles(items)
    classes = tuple(sorted({label for image in found.values() for _, label, _ in image.objects}))
    number = {name: n for n, name in enumerate(classes)}
    boxes, labels = [], []
    for index, item in enumerate(images.items):
        objects, info = found[item.key].objects, images.info(index)
        for (left, top, right, bottom), _, line in objects:
            if min(left, top) < 0 or right > info.width or bottom > info.height:
                raise ConfigError(
                    f"{source}, line {line}: the box {(left, top, right, bottom)} reaches outside {item.key!r}, which "
                    f"is {info.width} pixels wide and {info.height} high"
                )
        boxes.append(np.array([box for box, _, _ in objects], np.float64).reshape(-1, 4))
        labels.append(np.array([number[label] for _, label, _ in objects], np.int64))
    return BoxAnnotations(images, tuple(boxes), tuple(labels), classes)


class BoxReader:
    """Reads images of one size with their boxes, for `jaxret.data.batches.loader.TrainingInput`.

    An image is scaled as the encoder would scale it, and stands in the upper left corner of one of the largest size;
    the rest is black. Boxes go with it.

    Args:
      images: images.
      boxes: of each, (G, 4) in its pixels.
      labels: of each, the class number of each box, 0 .. K - 1.
      preprocessing: size and resizing, which must be `fit` or `limit`.
      places: for boxes, at least as many as an image has at most.
      mirror: probability of flipping an image left to right.

    Raises:
      ValueError: lists disagree in length, an image has more boxes than places, or a number is out of range.
      ConfigError: images are resized in another way.
    """

    def __init__(
        self,
        images: MediaDataset,
        boxes: Sequence[npt.NDArray[np.float64]],
        labels: Sequence[npt.NDArray[np.int64]],
        preprocessing: Preprocessing,
        *,
        places: int,
        mirror: float = 0.5,
    ):
        if not len(images) == len(boxes) == len(labels):
            raise ValueError(
                f"images, boxes and labels must be of one length, got {len(images)}, {len(boxes)} and {len(labels)}"
            )
        if (most := max(map(len, boxes), default=0)) > places:
            raise ValueError(f"places must be at least {most}, the boxes of one image, got {places!r}")
        if not 0 <= mirror <= 1:
            raise ValueError(f"mirror must be a probability in 0..1, got {mirror!r}")
        if preprocessing.resize not in ("fit", "limit"):
            raise ConfigError(
                f"boxes go with images that are shown whole: resize must be fit or limit, got {preprocessing.resize!r}"
            )
        self._images, self._boxes, self._labels = images, boxes, labels
        self._preprocessing, self._places, self._mirror = preprocessing, places, mirror

    def __len__(self) -> int:
        return len(self._images)

    def __call__(self, row: int, rng: np.random.Generator) -> dict[str, Any]:
        """One image.

        Returns:
          `images` uint8 (height, width, C); `sizes` int32 (2,), the height and width of what is not padding; `boxes`
          float32 (places, 4) in pixels of the result; `labels` int32 (places,), class number + 1, 0 for no box.

        Raises:
          MediaError: the image cannot be read.
        """
        pre = self._preprocessing
        with self._images.open(row) as reader:
            info = reader.info
            geometry = centre_geometry(info.height, info.width, pre)
            geometry = dataclasses.replace(geometry, mirror=bool(rng.random() < self._mirror))
            pixels = reader.read([0], geometry, pre.channels)[0]
        image = np.zeros((pre.height, pre.width, pixels.shape[-1]), np.uint8)
        image[: geometry.height, : geometry.width] = pixels
        scale = np.array([geometry.width / info.width, geometry.height / info.height] * 2)
        moved = self._boxes[row] * scale
        if geometry.mirror:
            moved = np.stack([geometry.width - moved[:, 2], moved[:, 1], geometry.width - moved[:, 0], moved[:, 3]], 1)
        boxes, labels = np.zeros((self._places, 4), np.float32), np.zeros(self._places, np.int32)
        boxes[: len(moved)], labels[: len(moved)] = moved, self._labels[row] + 1
        return {
            "images": image,
            "sizes": np.array([geometry.height, geometry.width], np.int32),
            "boxes": boxes,
            "labels": labels,
        }
