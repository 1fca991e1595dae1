"""Tables of weights from patterns: of a file with numbered blocks, one line names the arrays of them all.

A table of patterns maps where variables stand in the module to what the file calls them; a `*` stands for a number. A
pattern of a layer names all its arrays: `"blocks.*.mlp.widen": "encoder.layer.*.mlp.fc1"` is for kernel and bias.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from flax import nnx

from jaxret.models.weights.names import TORCH_DENSE, Slot, variables_by_path

__all__ = [
    "Named",
    "Patterns",
    "flax_heads",
    "leading_axes",
    "plus_one",
    "slots_by_pattern",
    "torch_patches",
    "video_patches",
]

_Change = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]


@dataclasses.dataclass(frozen=True)
class Named:
    """The name of one array, and how it becomes the variable, and back.

    Attributes:
      name: in the file.
      change, change_back: of its layout.
    """

    name: str
    change: _Change = lambda array: array
    change_back: _Change = lambda array: array


Patterns = Mapping[str, str | Named]

_TORCH = {"kernel": ("weight", *TORCH_DENSE), "scale": ("weight",), "bias": ("bias",), "embedding": ("weight",)}
_FLAX: dict[str, Any] = {name: (name,) for name in ("kernel", "scale", "bias", "embedding")}


def slots_by_pattern(module: nnx.Module, patterns: Patterns, *, torch: bool = True) -> dict[str, Slot]:
    """The slot of every variable of a module, by the name of its array in a file.

    Args:
      module: the variables decide which patterns are needed.
      patterns: by the dotted path of a variable, or of its layer; the former wins.
      torch: whether arrays of layers are called weight and bias, and dense kernels lie as in PyTorch; else as in Flax.

    Raises:
      KeyError: no pattern is for a variable.
    """
    roles: dict[str, Any] = _TORCH if torch else _FLAX
    slots = {}
    for path in variables_by_path(module):
        numbers = [str(part) for part in path if isinstance(part, int)]
        parts = ["*" if isinstance(part, int) else part for part in path]
        own, layer = ".".join(parts), ".".join(parts[:-1])
        found = patterns[own] if own in patterns else patterns[layer]
        if own not in patterns:
            role, *changes = roles[parts[-1]]
            separator = "." if torch else "/"
            found = Named(f"{found}{separator}{role}", *changes) if isinstance(found, str) else found
        named = found if isinstance(found, Named) else Named(found)
        slots[_numbered(named.name, numbers)] = Slot(path, named.change, named.change_back)
    return slots


def _numbered(name: str, numbers: list[str]) -> str:
    for number in numbers:
        name = name.replace("*", number, 1)
    return name


def leading_axes(name: str, count: int) -> Named:
    """An array with so many leading axes of length 1 that the variable lacks."""
    return Named(name, lambda a: a.reshape(a.shape[count:]), lambda a: a.reshape((1,) * count + a.shape))


def torch_patches(name: str, size: int) -> Named:
    """A convolution (D, C, p, p) of PyTorch over patches, as the dense kernel (p * p * C, D) of a patch's pixels."""
    return Named(
        name,
        lambda a: a.transpose(2, 3, 1, 0).reshape(-1, a.shape[0]),
        lambda a: a.reshape(size, size, -1, a.shape[-1]).transpose(3, 2, 0, 1),
    )


def video_patches(name: str, size: int) -> Named:
    """As `torch_patches`, of a convolution (D, C, 1, p, p) over single frames of a video."""
    flat = torch_patches(name, size)
    return Named(name, lambda a: flat.change(a[:, :, 0]), lambda a: flat.change_back(a)[:, :, None])


def flax_heads(name: str, heads: int, *, out: bool = False) -> Named:
    """A projection (D, heads, d) to heads, its bias (heads, d), or one back (heads, d, D), as dense kernel or bias."""

    def back(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if out:
            return array.reshape(heads, -1, array.shape[-1])
        return array.reshape(*array.shape[:-1], heads, -1)

    return Named(name, lambda a: a.reshape(-1, a.shape[-1]) if out else a.reshape(*a.shape[:-2], -1), back)


def plus_one(name: str) -> Named:
    """The gain of a norm that is stored as its distance from 1."""
    return Named(name, lambda a: np.asarray(a, np.float32) + 1, lambda a: a)
