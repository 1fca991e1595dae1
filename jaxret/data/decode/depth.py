"""Depth as files store it: 16-bit images in millimetres or 1/512 metre, and 24 bits in colour channels."""

from __future__ import annotations

import os
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from PIL import Image

from jaxret.data.decode.errors import OneLineErrors
from jaxret.errors import MediaError
from jaxret.files import require_regular

__all__ = ["DepthFormat", "read_depth", "write_depth"]

DepthFormat = Literal["millimetres", "512ths", "rgb24"]
"""How a depth image says metres; see `read_depth`."""

_STEPS_A_METRE = {"millimetres": 1000, "512ths": 512}
_NO_READING = 65535
_RGB24_METRES = 1000.0  # what 2^24 - 1 stands for


def read_depth(path: str | os.PathLike[str], kind: DepthFormat = "millimetres") -> npt.NDArray[np.float32]:
    """A depth image in metres.

    Args:
      path: a file that Pillow can read.
      kind: `millimetres`, 16-bit grey, as most RGB-D cameras give it (7-Scenes, ScanNet); `512ths`, 16-bit grey in
        steps of 1/512 m (2D-3D-S); `rgb24`, 1000 (R + 256 G + 256^2 B) / (256^3 - 1) m in the channels of a colour
        image (SYNTHIA-SF, CARLA): the sky is the farthest value, 1000 m.

    Returns:
      float32 (H, W), metres; 0 for no reading, which 16-bit images write as 0 or 65535.

    Raises:
      MediaError: the file cannot be read, or is no image of that kind.
    """
    if kind not in get_args(DepthFormat):
        raise ValueError(f"kind must be one of {', '.join(get_args(DepthFormat))}, got {kind!r}")
    name = os.fspath(path)
    require_regular(name)
    with OneLineErrors(name), Image.open(name) as image:
        if kind == "rgb24":
            if image.mode not in ("RGB", "RGBA"):
                raise MediaError(name, f"depth in 24 bits must be in the channels of a colour image, got {image.mode}")
            red, green, blue = np.moveaxis(np.asarray(image)[..., :3].astype(np.int64), -1, 0)
            return ((red + 256 * green + 65536 * blue) * (_RGB24_METRES / (2**24 - 1))).astype(np.float32)
        if not image.mode.startswith("I"):
            raise MediaError(name, f"depth must be a grey image of 16 bits, got one of mode {image.mode}")
        stored = np.asarray(image).astype(np.int64)
    return np.where((stored > 0) & (stored < _NO_READING), stored / _STEPS_A_METRE[kind], 0).astype(np.float32)


def write_depth(path: str | os.PathLike[str], metres: npt.ArrayLike) -> None:
    """Write depth (H, W) in metres as 16-bit millimetres, 0 for no reading; what `read_depth` reads.

    Raises:
      ValueError: no (H, W), or a depth that 16 bits of millimetres do not hold.
    """
    values = np.rint(np.nan_to_num(np.asarray(metres, np.float64), nan=0.0) * 1000)
    if values.ndim != 2 or (values.size and not 0 <= values.min() <= values.max() < _NO_READING):
        raise ValueError(f"metres must be (H, W) from 0 to {(_NO_READING - 1) / 1000}, got shape {values.shape}")
    Image.fromarray(values.astype(np.uint16)).save(path)
