"""Keras weight files (HDF5) read without Keras."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from jaxret.errors import WeightsError
from jaxret.models.weights.hdf5_heap import check_heaps
from jaxret.models.weights.limits import most_bytes

__all__ = ["read_keras_file"]

_ROLES = {
    "kernel": "kernel",
    "depthwise_kernel": "kernel",
    "bias": "bias",
    "gamma": "gamma",
    "beta": "beta",
    "moving_mean": "moving_mean",
    "moving_variance": "moving_variance",
}
# Keras itself matches the arrays of a layer by their order; files older than Keras 2 have no better names.
_ROLES_BY_COUNT = {1: ["kernel"], 2: ["kernel", "bias"], 4: ["gamma", "beta", "moving_mean", "moving_variance"]}


def read_keras_file(path: str | Path) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a Keras weight file as "<layer>/<role>", such as "conv_dw_1/kernel".

    Three layouts are read: a group per layer with the attribute `weight_names` (Keras 1 and 2, and `.h5` of
    Keras 3), the same inside a saved model (group `model_weights`), and `.weights.h5` of Keras 3 (where each
    group `vars` names its layer). Roles: kernel (also of depthwise convolutions), bias, gamma, beta,
    moving_mean, moving_variance.

    Raises:
      WeightsError: the file is no HDF5 file, truncated, of another layout, or refers to data elsewhere.
    """
    path = Path(path)
    try:
        check_heaps(path)
        with h5py.File(path, "r") as file:
            root = _member(file, "model_weights") if "model_weights" in file else file
            layers = _legacy_layers(root) if "layer_names" in root.attrs else _keras3_layers(root)
            arrays: dict[str, npt.NDArray[Any]] = {}
            budget = most_bytes(path)
            for layer, names, datasets in layers:
                for role, dataset in zip(_roles(layer, names), datasets, strict=True):
                    # A chunk that is compressed is unpacked whole, whatever of it the array needs.
                    budget -= max(dataset.size, math.prod(dataset.chunks or ())) * dataset.dtype.itemsize
                    if budget < 0:
                        raise WeightsError(f"{path}: {layer}/{role} claims more data than the file holds")
                    if f"{layer}/{role}" in arrays:
                        raise WeightsError(f"{path}: {layer}/{role} is there twice")
                    arrays[f"{layer}/{role}"] = dataset[()]
    except FileNotFoundError:
        raise
    except (OSError, LookupError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        raise WeightsError(f"{path} is damaged or not a Keras weight file: {error}") from error
    if not arrays:
        raise WeightsError(f"{path} holds no weights in a layout of Keras")
    return arrays


_Layer = tuple[str, list[str], list[h5py.Dataset]]


def _legacy_layers(root: h5py.Group) -> Iterator[_Layer]:
    for layer in map(_text, _texts(root, "layer_names")):
        group = _member(root, layer)
        names = [_text(name) for name in _texts(group, "weight_names")]
        if names:
            yield layer, names, [_dataset(group, name) for name in names]


def _keras3_layers(root: h5py.Group) -> Iterator[_Layer]:
    layers = _member(root, "layers")
    for name in layers:
        variables = _member(layers, f"{name}/vars")
        if len(variables):
            if "name" not in variables.attrs:
                raise ValueError(
                    "its layers have no names, as the first versions of Keras 3 left them: load it there, and save it "
                    "by model.save_weights of a later version"
                )
            names = [str(number) for number in range(len(variables))]
            yield _text(_texts(variables, "name")), names, [_dataset(variables, name) for name in names]


def _roles(layer: str, names: list[str]) -> list[str]:
    tails = [name.split("/")[-1].split(":")[0] for name in names]
    if all(tail in _ROLES for tail in tails):
        return [_ROLES[tail] for tail in tails]
    if len(names) in _ROLES_BY_COUNT:
        return _ROLES_BY_COUNT[len(names)]
    raise ValueError(f"layer {layer} has unknown arrays {', '.join(names)}")


def _member(group: h5py.Group, name: str) -> Any:
    """A member of a group, but none behind a link, which may lead into another file, a soft one as well."""
    part = group
    for step in name.strip("/").split("/"):
        if isinstance(part.get(step, getlink=True), h5py.ExternalLink | h5py.SoftLink):
            raise ValueError(f"{part.name}/{step} is a link to another file or place")
        part = part[step]
    return part


def _dataset(group: h5py.Group, name: str) -> h5py.Dataset:
    dataset = _member(group, name)
    if not isinstance(dataset, h5py.Dataset) or dataset.is_virtual or dataset.external:
        raise ValueError(f"{group.name}/{name} is no array of this file")
    if not np.issubdtype(dataset.dtype, np.floating):
        raise ValueError(f"{dataset.name} has element type {dataset.dtype}, not floating")
    return dataset


def _texts(group: h5py.Group, name: str) -> Any:
    """An attribute that is one text or several; HDF5 ends the process when it reads some broken types."""
    attribute = group.attrs.get_id(name)
    if 0 in attribute.shape:
        return ()  # of any type
    if not isinstance(attribute.get_type(), h5py.h5t.TypeStringID):
        raise ValueError(f"{name} of {group.name} is no text")
    return group.attrs[name]


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)
