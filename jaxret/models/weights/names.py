"""How arrays of a weights file get into a module: tables of names, and changes of layout.

A `WeightTable` maps a name in the file to a `Slot`: the path of the variable in the module, and how the file's array
becomes it. A backbone gives its tables by `Backbone.weight_tables`. Files that were written from the modules themselves
use their own paths, joined by dots (`own_table`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from flax import nnx

from jaxret.models.base import Backbone

__all__ = [
    "KERAS_DEPTHWISE",
    "KERAS_POINTWISE",
    "TORCH_CONVOLUTION",
    "TORCH_DENSE",
    "TORCH_DEPTHWISE",
    "Path",
    "Slot",
    "WeightTable",
    "own_table",
    "variables_by_path",
]

Path = tuple[str | int, ...]
_Change = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]


def _unchanged(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array itself: file and module have one layout."""
    return array


@dataclasses.dataclass(frozen=True)
class Slot:
    """Where an array of a weights file goes.

    Attributes:
      path: of the variable in the module.
      change: the file's array to the variable's layout.
      change_back: and back.
    """

    path: Path
    change: _Change = _unchanged
    change_back: _Change = _unchanged


@dataclasses.dataclass(frozen=True)
class WeightTable:
    """The arrays that a file must hold, by name, and those it may hold that are not used.

    Attributes:
      family: who writes such files, for messages.
      slots: every array that is needed.
      unused: whether an array of this name may be there and is left out: the classification head of a
        backbone made without one, and counters of training steps.
      first_kernel: the name of the first convolution's kernel.
    """

    family: str
    slots: dict[str, Slot]
    unused: Callable[[str], bool]
    first_kernel: str


def variables_by_path(module: nnx.Module) -> dict[Path, nnx.Variable[Any]]:
    """Parameters and running statistics of a module by path; random streams are left out."""
    parts: Any = nnx.split(module, nnx.RngState, ...)
    flat: Any = nnx.to_flat_state(parts[-1])
    return dict(flat)


def own_table(backbone: Backbone) -> WeightTable:
    """Names as in the module: `convolutions.0.kernel`."""
    variables = {".".join(map(str, path)): (path, variable) for path, variable in variables_by_path(backbone).items()}
    # Of the dense convolutions the one that takes as many channels as an image has; later ones take many more.
    takers = (name for name, (_, v) in variables.items() if v.ndim > 3 and v.shape[-2] == backbone.channels)
    slots = {name: Slot(path) for name, (path, _) in variables.items()}
    return WeightTable("jaxret", slots, lambda name: False, next(takers, ""))


def _axes(*order: int) -> tuple[_Change, _Change]:
    inverse = tuple(int(axis) for axis in np.argsort(order))
    return (lambda array: array.transpose(order)), (lambda array: array.transpose(inverse))


KERAS_DEPTHWISE: tuple[_Change, _Change] = (lambda k: k[..., 0]), (lambda k: k[..., None])
"""A depthwise kernel (h, w, C, 1) of Keras to (h, w, C), and back."""
KERAS_POINTWISE: tuple[_Change, _Change] = (lambda k: k[0, 0]), (lambda k: k[None, None])
"""A 1 x 1 convolution (1, 1, I, O) of Keras to a dense kernel (I, O), and back."""
TORCH_DENSE = _axes(1, 0)
"""A dense kernel (O, I) of PyTorch to (I, O), and back."""
TORCH_CONVOLUTION = _axes(2, 3, 1, 0)
"""A convolution (O, I, h, w) of PyTorch to (h, w, I, O), and back."""
TORCH_DEPTHWISE: tuple[_Change, _Change] = (
    (lambda k: k[:, 0].transpose(1, 2, 0)),
    (lambda k: k.transpose(2, 0, 1)[:, None]),
)
"""A depthwise convolution (C, 1, h, w) of PyTorch to (h, w, C), and back."""
