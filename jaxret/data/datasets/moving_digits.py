"""Moving digits: the embedded data set, real handwritten digits moving over textured backgrounds.

The digits are scikit-learn's `load_digits` (1,797 scans of 8x8 pixels by 43 writers). The class of a clip
is digit x motion, 10 x 8 = 80 classes such as "3-zoom-in". Motions come in pairs that are each other's
time reversal, and everything else (place, size, path, colours, texture, contrast) is drawn from the same
distribution for both, so that the frames of a clip, taken without their order, say nothing about which of
the two it is; and one frame or the motion alone never gives the whole class.

Ten digit x axis pairs, a quarter of the classes, are kept unseen: every digit and every motion still
occurs among the seen ones. The digit image is the clip's `source`, and sources are disjoint between splits.

The scans are UCI's "Optical Recognition of Handwritten Digits" (Alpaydin and Kaynak, 1998).
"""

from __future__ import annotations

import csv
import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from jaxret.data.dataset import MediaDataset, MediaSubset
from jaxret.data.decode.write import write_video
from jaxret.data.items import MediaItem
from jaxret.data.readers import ArrayReader, Indices, Pixels

__all__ = ["MOTIONS", "MovingDigits", "class_labels", "is_moving_digits", "unseen_labels"]

MOTIONS = (
    "left",
    "right",
    "up",
    "down",
    "zoom-in",
    "zoom-out",
    "rotate-clockwise",
    "rotate-counter-clockwise",
)
"""The motions; neighbours 2i and 2i + 1 are time reversals of each other."""

_RENDERING = 1  # raised when the same numbers would give other pixels, so that cached features expire
_SPLITS = ("train", "validation", "test")
_SOURCE_SHARES = (0.6, 0.8)  # up to 60 % of a digit's scans train, up to 80 % validate, the rest test
_GLYPH = 64  # side to which the 8x8 scans are enlarged once; fine enough to look up the nearest
_MARGIN = 1.25  # the glyph image spans this many digit sides, so that its border is background
_NOISE_GRIDS = ((4, 1.0), (9, 0.6))  # cells a side and weight of each octave of the background


@functools.cache
def _glyphs() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """All scans enlarged smoothly, float32 (1797, 64, 64) in 0..1, and their digits."""
    from sklearn.datasets import load_digits  # takes a second to import: only when clips are rendered

    digits = load_digits()
    inner = round(_GLYPH / _MARGIN)
    before = (_GLYPH - inner) // 2
    inside = slice(before, before + inner)
    glyphs = np.zeros((len(digits.images), _GLYPH, _GLYPH), np.float32)
    for glyph, scan in zip(glyphs, digits.images, strict=True):
        image = Image.fromarray((scan / 16.0).astype(np.float32))
        smooth = np.asarray(image.resize((inner, inner), Image.Resampling.BICUBIC))
        glyph[inside, inside] = np.clip(smooth, 0, 1)
    return glyphs, digits.target.astype(np.int64)


def class_labels() -> tuple[str, ...]:
    """All 80 class names, digit by digit in the order of `MOTIONS`.

    Example:
      >>> class_labels()[:3]
      ('0-left', '0-right', '0-up')
    """
    return tuple(f"{digit}-{motion}" for digit in range(10) for motion in MOTIONS)


def is_moving_digits(dataset: MediaDataset) -> bool:
    """Whether these are moving digits, or some of them."""
    return isinstance(dataset.parent if isinstance(dataset, MediaSubset) else dataset, MovingDigits)


def unseen_labels() -> tuple[str, ...]:
    """The 20 classes kept out of training and validation: for digit d both motions of pair d mod 4.

    Example:
      >>> unseen_labels()[:4]
      ('0-left', '0-right', '1-up', '1-down')
    """
    return tuple(f"{digit}-{MOTIONS[2 * (digit % 4) + way]}" for digit in range(10) for way in (0, 1))


class MovingDigits(MediaDataset):
    """Clips of moving digits, rendered when they are read, each a pure function of (seed, its number).

    Training and validation hold the 60 seen classes, the test split all 80, so that nothing about the
    unseen classes can leak into training or into the choice of a model.

    Args:
      train_clips, validation_clips, test_clips: clips of each class in each split; 0 leaves a split out.
      frames: frames of a clip, at least 2.
      size: height and width of a frame in pixels, at least 16.
      fps: frames a second.
      seed: everything random follows from it.

    Raises:
      ValueError: an argument is out of range.

    Example:
      >>> dataset = MovingDigits(train_clips=2, validation_clips=0, test_clips=1)
      >>> len(dataset), dataset.items[0].label, dataset.render([0, 1]).shape
      (200, '0-up', (2, 12, 32, 32, 3))
    """

    def __init__(
        self,
        train_clips: int = 40,
        validation_clips: int = 8,
        test_clips: int = 16,
        *,
        frames: int = 12,
        size: int = 32,
        fps: float = 12.0,
        seed: int = 0,
    ):
        counts = (train_clips, validation_clips, test_clips)
        for name, value, least in (
            *((f"{split}_clips", count, 0) for split, count in zip(_SPLITS, counts, strict=True)),
            ("frames", frames, 2),
            ("size", size, 16),
            ("seed", seed, 0),
        ):
            if value < least:
                raise ValueError(f"{name} must be at least {least}, got {value!r}")
        if not fps > 0:
            raise ValueError(f"fps must be above 0, got {fps!r}")
        self.frames, self.size, self.fps, self.seed = frames, size, fps, seed
        self._times = np.arange(frames) / fps

        digits = _glyphs()[1]
        rng = np.random.default_rng([seed, len(digits)])
        unseen = set(unseen_labels())
        items: list[MediaItem] = []
        glyph_numbers: list[int] = []
        sources = [_split_sources(np.flatnonzero(digits == digit), rng) for digit in range(10)]
        for part, (split, count) in enumerate(zip(_SPLITS, counts, strict=True)):
            for label in class_labels():
                if split != "test" and label in unseen:
                    continue
                scans = sources[int(label[0])][part]
                # Each class walks through the scans in its own order, so that few clips still vary in hand.
                order = rng.permutation(scans)
                for number in range(count):
                    glyph = int(order[number % len(order)])
                    glyph_numbers.append(glyph)
                    key = f"{split}/{label}/{number:04d}"
                    items.append(MediaItem(key, "video", label, source=f"scan-{glyph:04d}", split=split))
        self.items = tuple(items)
        self._glyph_numbers = np.array(glyph_numbers, np.int64)
        self._motions = [MOTIONS.index(item.label[2:]) for item in items if item.label]

    def open(self, index: int) -> ArrayReader:
        """A reader of clip `index`, rendered now."""
        return ArrayReader(self._render(index), self._times, self.frames / self.fps)

    def origin(self, index: int) -> str:
        """The name of the data set and the item's key."""
        return f"moving-digits/{self.items[index].key}"

    def content_hash(self, index: int) -> str:
        """A hash of what clip `index` follows from."""
        made_of = (_RENDERING, self.seed, self.frames, self.size, self.fps, index, self.items[index])
        return hashlib.blake2b(repr(made_of).encode(), digest_size=16).hexdigest()

    def render(self, indices: Indices) -> Pixels:
        """The clips at `indices` as one array: uint8 (n, frames, size, size, 3)."""
        chosen = np.asarray(indices, np.int64).reshape(-1)
        clips = np.empty((len(chosen), self.frames, self.size, self.size, 3), np.uint8)
        for position, index in enumerate(chosen):
            clips[position] = self._render(int(index))
        return clips

    def write_media_folder(self, path: str | Path, indices: Sequence[int] | None = None) -> Path:
        """Write clips as PATH/<class>/<split>-<number>.mp4 and PATH/clips.csv (path,label,source,split).

        Args:
          path: a folder, made if need be.
          indices: which clips; None writes all.

        Returns:
          The CSV, which `open_dataset` takes as it takes the folder.
        """
        folder = Path(path)
        rows = []
        for index in range(len(self)) if indices is None else indices:
            item = self.items[index]
            relative = f"{item.label}/{item.split}-{item.key.rsplit('/', 1)[1]}.mp4"
            (folder / relative).parent.mkdir(parents=True, exist_ok=True)
            write_video(folder / relative, self._render(index), self.fps)
            rows.append((relative, item.label, item.source, item.split))
        table = folder / "clips.csv"
        with table.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("path", "label", "source", "split"), *rows])
        return table

    def _render(self, index: int) -> Pixels:
        """One clip, uint8 (frames, size, size, 3)."""
        index = range(len(self))[index]  # an IndexError for a number that is not there
        rng = np.random.default_rng([self.seed, index])
        axis, reversed_in_time = divmod(self._motions[index], 2)
        y, x, scale, angle = _path(axis, self.frames, rng)
        if reversed_in_time:
            y, x, scale, angle = y[::-1], x[::-1], scale[::-1], angle[::-1]

        # Output pixel -> place in the glyph image: undo the shift, the turn and the scale.
        grid = (np.arange(self.size, dtype=np.float32) + 0.5) / self.size
        reach = (_GLYPH / _MARGIN) / scale
        cosine, sine = np.cos(angle) * reach, np.sin(angle) * reach
        down = grid - y[:, None]  # (T, H)
        across = grid - x[:, None]  # (T, W)
        centre = np.float32(_GLYPH / 2)
        row = (cosine[:, None] * down + centre)[:, :, None] - (sine[:, None] * across)[:, None, :]
        column = (sine[:, None] * down + centre)[:, :, None] + (cosine[:, None] * across)[:, None, :]
        np.clip(row, 0, _GLYPH - 1, out=row)
        np.clip(column, 0, _GLYPH - 1, out=column)
        place = row.astype(np.int32)
        place *= _GLYPH
        place += column.astype(np.int32)
        ink = _glyphs()[0][self._glyph_numbers[index]].ravel().take(place)  # (T, H, W)

        background, colour = _colours(self.size, rng)
        # background + ink * (colour - background), in place: this is most of the time of a clip.
        pixels = ink[..., None] * (colour - background)
        pixels += background
        return pixels.astype(np.uint8)


def _split_sources(scans: npt.NDArray[np.int64], rng: np.random.Generator) -> list[npt.NDArray[np.int64]]:
    """Shuffle one digit's scans and cut them into the three disjoint parts."""
    shuffled = rng.permutation(scans)
    return np.split(shuffled, [int(len(scans) * share) for share in _SOURCE_SHARES])


def _path(axis: int, frames: int, rng: np.random.Generator) -> tuple[npt.NDArray[np.float32], ...]:
    """Place, size and turn of the digit in each frame, for the first motion of pair `axis`.

    Returns:
      y, x (centre, as a share of the frame's side), scale (side of the digit, same unit) and angle
      (radians, clockwise), each float32 (frames,).
    """
    steps = np.linspace(0, 1, frames, dtype=np.float32)
    # Clips speed up or slow down as they like; the reversed motion then does the opposite, equally often.
    progress = steps ** np.float32(np.exp(rng.uniform(-0.4, 0.4)))
    if rng.random() < 0.5:
        progress = 1 - progress[::-1]
    still = np.zeros(frames, np.float32)
    scale = still + np.float32(rng.uniform(0.5, 0.75))
    angle = still + np.float32(rng.uniform(-0.25, 0.25))
    y, x = (still + np.float32(place) for place in rng.uniform(0.4, 0.6, 2))
    if axis < 2:
        middle, length = rng.uniform(0.42, 0.58), rng.uniform(0.25, 0.45)
        track = np.float32(middle) + np.float32(length) * (np.float32(0.5) - progress)  # leftwards or upwards
        if axis == 0:
            x = track
        else:
            y = track
    elif axis == 2:
        smallest, growth = rng.uniform(0.35, 0.5), rng.uniform(1.6, 2.2)
        scale = np.float32(smallest) * np.float32(growth) ** progress
    else:
        # Turns stay well under half a turn about upright, or a 6 would become a 9.
        sweep = np.float32(rng.uniform(0.9, 1.9))
        angle = angle + sweep * (progress - np.float32(0.5))
    return y, x, scale, angle


def _colours(size: int, rng: np.random.Generator) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """A textured background, float32 (size, size, 3) in 0..255, and a digit colour, (3,), that stands out."""
    base = rng.uniform(50, 205, 3)
    texture = np.zeros((size, size, 3), np.float32)
    for cells, weight in _NOISE_GRIDS:
        enlarge = _enlargement(cells, size)
        noise = rng.standard_normal((cells, cells, 3), np.float32) * np.float32(weight)
        rows = enlarge @ noise.reshape(cells, cells * 3)
        texture += (enlarge @ rows.reshape(size, cells, 3)).astype(np.float32)
    texture *= np.float32(rng.uniform(8, 30))
    contrast = rng.uniform(70, 140) * (1 if base.mean() < 128 else -1)
    colour = np.clip(base + contrast + rng.uniform(-35, 35, 3), 0, 255).astype(np.float32)
    background = np.clip(texture + base.astype(np.float32), 0, 255)
    return background, colour


@functools.cache
def _enlargement(cells: int, size: int) -> npt.NDArray[np.float32]:
    """Linear interpolation from `cells` to `size` samples as a matrix, float32 (size, cells)."""
    places = np.linspace(0, cells - 1, size)
    weights = np.maximum(0, 1 - np.abs(places[:, None] - np.arange(cells)))
    return weights.astype(np.float32)
