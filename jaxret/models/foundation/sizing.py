"""How an image is sized and normalised for a published encoder, as its `preprocessor_config.json` says."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from jaxret.errors import ConfigError, WeightsError
from jaxret.preprocessing import SIDE_STEP, Preprocessing, Resampling, Resize

__all__ = ["Sizing", "read_sizing"]

_RESAMPLING: dict[int, Resampling] = {2: "bilinear", 3: "bicubic"}  # Pillow's numbers


@dataclasses.dataclass(frozen=True)
class Sizing:
    """From an image of any size to the encoder's pixels.

    Attributes:
      height, width: pixels that the encoder sees.
      resize: "crop", "squash" or, where images keep their shape and height and width are those of a square of as many
        patches, "patches"; see `Preprocessing`.
      shortest: with "crop" pixels of the shorter side before the window is cut; None: the window's.
      resampling: how pixels are scaled.
      mean, deviation: of R, G and B in 0..1.
      patch_size: side of a patch in pixels; with "patches" alone.
    """

    height: int
    width: int
    resize: Resize
    shortest: int | None
    resampling: Resampling
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    patch_size: int | None = None

    def preprocessing(
        self, *, image_size: int | None = None, frames: int = 16, chunk_seconds: float = 10.0, channels: int = 3
    ) -> Preprocessing:
        """How media are prepared.

        Args:
          image_size: another height and width; what is cut off stays the same share of the image. None: the files' own.
          frames, chunk_seconds, channels: see `Preprocessing`.

        Raises:
          ConfigError: a value is out of range.
        """
        if image_size is not None and image_size < 1:
            raise ConfigError(f"image_size must be at least 1 pixel, got {image_size}")
        height, width = (self.height, self.width) if image_size is None else (image_size, image_size)
        shortest = self.shortest
        if shortest is not None and image_size is not None:
            shortest = round(shortest * image_size / max(self.height, self.width))
        return Preprocessing(
            height=height,
            width=width,
            channels=channels,
            frames=frames,
            chunk_seconds=chunk_seconds,
            resize=self.resize,
            shortest=shortest,
            resampling=self.resampling,
            side_step=self.patch_size or SIDE_STEP,
        )


def read_sizing(settings: Mapping[str, Any], source: str) -> Sizing:
    """What the settings of an image processor of Hugging Face say.

    Args:
      settings: of `preprocessor_config.json`.
      source: that file, for messages.

    Raises:
      WeightsError: a setting is missing or of a kind that is not known; the message names it.
    """
    try:
        mean, deviation = (tuple(float(v) for v in settings[key]) for key in ("image_mean", "image_std"))
        if not settings.get("do_normalize", True):
            mean, deviation = (0.0,) * 3, (1.0,) * 3
        resampling = _RESAMPLING[int(settings.get("resample", 2))]
        if "max_num_patches" in settings:
            patch_size = int(settings["patch_size"])
            height, width = (patch_size * count for count in _rectangle(int(settings["max_num_patches"])))
            return Sizing(height, width, "patches", None, resampling, mean, deviation, patch_size)
        size, crops = settings["size"], bool(settings.get("do_center_crop", False))
        size = {"shortest_edge": size} if isinstance(size, int) and crops else size
        size = {"height": size, "width": size} if isinstance(size, int) else size
        crop = settings.get("crop_size", size.get("shortest_edge", size))
        crop = {"height": crop, "width": crop} if isinstance(crop, int) else crop
        if "shortest_edge" in size:
            if not crops:
                raise WeightsError(
                    f"{source}: images keep their shape there (size {size}, no do_center_crop), and an index needs one "
                    "size: set do_center_crop and crop_size"
                )
            height, width, shortest = int(crop["height"]), int(crop["width"]), int(size["shortest_edge"])
            return Sizing(height, width, "crop", shortest, resampling, mean, deviation)
        height, width = int(size["height"]), int(size["width"])
        if crops and (crop["height"], crop["width"]) != (height, width):
            raise WeightsError(
                f"{source}: a window {crop} is cut there from images that were squashed to {size}, which is not done "
                "here: give size a shortest_edge, or leave out do_center_crop"
            )
        return Sizing(height, width, "squash", None, resampling, mean, deviation)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WeightsError(f"{source}: a setting is missing or of no known kind: {error!r}") from error


def _rectangle(patches: int) -> tuple[int, int]:
    """The rows and columns of so many patches that are most like a square.

    Raises:
      ValueError: there is none.
    """
    if patches < 1:
        raise ValueError(f"max_num_patches must be at least 1, got {patches}")
    rows = next(rows for rows in range(int(patches**0.5), 0, -1) if patches % rows == 0)
    return rows, patches // rows
