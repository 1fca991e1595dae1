"""Pretrained weights: find them, read them, and put them into a backbone."""

from __future__ import annotations

import zipfile
import zlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from flax import nnx

from jaxret.errors import WeightsError, first_of
from jaxret.files import is_there
from jaxret.models.base import Backbone
from jaxret.models.registry import backbone_info, known_backbones
from jaxret.models.weights.keras import read_keras_file
from jaxret.models.weights.limits import most_bytes
from jaxret.models.weights.names import Slot, WeightTable, own_table, variables_by_path
from jaxret.models.weights.safe import read_safetensors
from jaxret.models.weights.torch import read_torch_file

__all__ = ["fill_module", "find_imagenet_weights", "load_arrays", "load_pretrained", "read_weights", "shape_in_file"]

Arrays = dict[str, npt.NDArray[Any]]

_INSTEAD = {
    b"version https://git-lfs": "a pointer of Git LFS, not the file itself: fetch that by `git lfs pull`",
    b"<!doctype": "a web page, not a weights file",
    b"<html": "a web page, not a weights file",
}
"""What is found in the place of weights files, by how it begins."""


def load_pretrained(backbone: Backbone, spec: str | Path) -> None:
    """Replace the weights of `backbone` by pretrained ones.

    Args:
      backbone: changed in place, all or nothing. A backbone without classification head takes files with and
        without one. A grey one (`channels=1`) takes colour weights: their first kernel summed over R, G and
        B, which equals showing it the grey image as all three.
      spec: "imagenet", or the path of a weights file, see `read_weights`.

    Raises:
      WeightsError: the package of ImageNet weights is not installed; the file cannot be read; or arrays are
        missing, extra or of another shape, and the message lists them all.
      FileNotFoundError: there is no such file.

    Example:
      >>> from jaxret.models import create_backbone
      >>> backbone = create_backbone("efficientnet-lite0", rngs=nnx.Rngs(0))
      >>> load_pretrained(backbone, "imagenet")  # doctest: +SKIP
    """
    path = find_imagenet_weights(backbone.name) if spec == "imagenet" else Path(spec)
    load_arrays(backbone, read_weights(path), source=str(path))


def find_imagenet_weights(name: str) -> Path:
    """The file of ImageNet weights that an installed package brings for a backbone; nothing is imported.

    Raises:
      WeightsError: the package is not installed (the message says how to), or no package has such weights.
    """
    packaged = backbone_info(name).imagenet
    if packaged is None:
        available = ", ".join(name for name, info in known_backbones().items() if info.imagenet is not None)
        raise WeightsError(
            f"no package brings ImageNet weights for {name} (there is one for {available}); "
            "give the path of a weights file"
        )
    spec = find_spec(packaged.package)
    if spec is None or not spec.submodule_search_locations:
        raise WeightsError(
            f"ImageNet weights for {name} are not installed: {packaged.install} or give the path of a weights file"
        )
    path = Path(spec.submodule_search_locations[0]) / packaged.file
    if not path.is_file():
        raise WeightsError(f"the package {packaged.package} is installed but lacks {path}")
    return path


def read_weights(path: str | Path) -> Arrays:
    """All arrays of a weights file by name, after its kind: Keras HDF5, safetensors, or PyTorch.

    Kinds are told by suffix: `.h5` and `.hdf5` (see `read_keras_file`), `.safetensors`, NumPy's `.npz` (without
    pickled objects), and `.pth`, `.pt`, `.bin` (see `read_torch_file`, which executes nothing).

    Raises:
      WeightsError: the suffix is unknown, or the file is damaged.
      FileNotFoundError: there is no such file.
      PermissionError: it may not be read.
    """
    path = Path(path)
    if is_there(path) and not path.is_file():
        raise WeightsError(f"{path}: is no regular file")
    try:
        with open(path, "rb") as file:  # what may not be read says so, whatever reads it then
            start = file.read(32)
    except FileNotFoundError:
        raise FileNotFoundError(f"no weights file {path}") from None
    for words, what in _INSTEAD.items():
        if start.lower().startswith(words):
            raise WeightsError(f"{path} is {what}")
    match path.suffix.lower():
        case ".h5" | ".hdf5":
            return read_keras_file(path)
        case ".safetensors":
            return read_safetensors(path)
        case ".npz":
            return _read_npz(path)
        case ".pth" | ".pt" | ".bin":
            return read_torch_file(path)
        case ".keras":
            raise WeightsError(f"{path} is an archive: unzip it, and give the model.weights.h5 that is in it")
        case suffix:
            known = ".h5, .hdf5, .safetensors, .npz, .pth, .pt and .bin"
            raise WeightsError(f"{path}: weights are read from {known} files, not {suffix!r}")


def _read_npz(path: Path) -> Arrays:
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            # Compressed members, and headers of arrays, may claim any size.
            if sum(member.file_size for member in archive.zip.infolist()) > most_bytes(path):
                raise ValueError("its members claim more data than the file holds")
            return {name: archive[name] for name in archive.files}
    except (
        OSError,
        AttributeError,  # a file of one array has no members
        EOFError,
        LookupError,
        MemoryError,
        NotImplementedError,
        RuntimeError,
        TypeError,
        ValueError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise WeightsError(f"{path} is damaged or not a file of NumPy arrays: {error}") from error


def load_arrays(backbone: Backbone, arrays: Arrays, *, source: str) -> None:
    """Replace the weights of `backbone` by `arrays`, named as in a file of its family or as in the module.

    Raises:
      WeightsError: arrays are missing, extra, of another shape or not floating; all are listed, after `source`.
    """
    table = max(
        [*backbone.weight_tables(), own_table(backbone)], key=lambda table: len(table.slots.keys() & arrays.keys())
    )
    variables = variables_by_path(backbone)
    first = table.first_kernel
    if first in arrays and variables[table.slots[first].path].shape[-2] == 1:
        arrays = {**arrays, first: _grey(arrays[first], table)}
    fill_module(backbone, table, arrays, source=source, name=backbone.name)


def fill_module(module: nnx.Module, table: WeightTable, arrays: Arrays, *, source: str, name: str) -> None:
    """Replace the weights of a module by arrays, all or nothing; its own may be shapes alone.

    Args:
      module: changed in place.
      table: what the arrays are called.
      arrays: by name.
      source: where they come from, for messages.
      name: of the module, for messages.

    Raises:
      WeightsError: arrays are missing, extra, of another shape or not floating; the first are named.
    """
    variables = variables_by_path(module)
    problems = [f"missing {wanted}" for wanted in table.slots if wanted not in arrays]
    problems += [f"extra {found}" for found in arrays if found not in table.slots and not table.unused(found)]
    values: dict[Any, npt.NDArray[np.float32]] = {}
    for wanted, slot in table.slots.items():
        if wanted not in arrays:
            continue
        array = arrays[wanted]
        expected = shape_in_file(slot, variables[slot.path].shape)
        if array.shape != expected:
            problems.append(f"{wanted} has shape {array.shape}, not {expected}")
        elif not jnp.issubdtype(array.dtype, jnp.floating):
            problems.append(f"{wanted} has element type {array.dtype}, not floating")
        else:
            values[slot.path] = np.ascontiguousarray(slot.change(array), np.float32)
    if problems:
        raise WeightsError(f"{source} does not fit {name} with {table.family} names: {first_of(problems)}")
    placed = jax.device_put(list(values.values()))  # `jnp.asarray` would compile a program for every shape
    loaded = [(path, variables[path].replace(array)) for path, array in zip(values, placed, strict=True)]
    nnx.update(module, nnx.from_flat_state(loaded))


def shape_in_file(slot: Slot, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that a file's array has for a variable of this shape."""
    # Broadcasting one number gives an array of any shape that takes no memory.
    return slot.change_back(np.broadcast_to(np.float32(0), shape)).shape


def _grey(kernel: npt.NDArray[Any], table: WeightTable) -> npt.NDArray[Any]:
    """A first kernel for RGB, summed over its input channels; any other is returned as it is."""
    axis = 1 if table.family == "PyTorch" else -2
    if kernel.ndim > 3 and kernel.shape[axis] == 3:
        return kernel.astype(np.float32).sum(axis=axis, keepdims=True)
    return kernel
