"""Weight files of PyTorch and Keras, made without either, for tests of what reads them."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections import OrderedDict

import h5py
import numpy as np

# A writer of PyTorch's two layouts, from their specification, so that the tests need no PyTorch. The stream is
# made by pickle from stand-ins whose __reduce__ names PyTorch's functions.


class Global:
    """Pickled as a bare reference `module name`."""

    def __init__(self, path: str):
        self.path = path


class Storage:
    def __init__(self, kind: str, key: str, array: np.ndarray):
        self.kind, self.key, self.array = kind, key, array


class Call:
    """Pickled as a call of a global with arguments."""

    def __init__(self, path: str, *arguments):
        self.path, self.arguments = path, arguments


class Script:
    """Pickled as a module of TorchScript with attributes."""

    def __init__(self, path: str, **attributes):
        self.path, self.attributes = path, attributes


class TorchPickler(pickle._Pickler):  # the Python one: its opcodes can be written by hand
    def __init__(self, file, *, legacy: bool):
        super().__init__(file, protocol=2)
        self.legacy = legacy

    def persistent_id(self, value):
        if isinstance(value, Storage):
            count = value.array.size
            location = ("storage", Global(f"torch {value.kind}"), value.key, "cpu", count)
            return (*location, None) if self.legacy else location
        return None

    def save(self, value, save_persistent_id=True):
        if isinstance(value, Script) and id(value) in self.memo:
            self.write(self.get(self.memo[id(value)][0]))
        elif isinstance(value, Global):
            self.write(b"c" + value.path.replace(" ", "\n").encode() + b"\n")
        elif isinstance(value, Call):
            self.save(Global(value.path))
            self.save(value.arguments)
            self.write(pickle.REDUCE)
        elif isinstance(value, Script):
            self.save(Global(value.path))
            self.write(pickle.EMPTY_TUPLE + pickle.NEWOBJ)
            self.memoize(value)
            self.save(value.attributes)
            self.write(pickle.BUILD)
        else:
            super().save(value, save_persistent_id)


def pickled(value, *, legacy: bool) -> bytes:
    file = io.BytesIO()
    TorchPickler(file, legacy=legacy).dump(value)
    return file.getvalue()


def tensor(storage: Storage, shape=None, strides=None, offset: int = 0) -> Call:
    shape = storage.array.shape if shape is None else shape
    strides = tuple(int(np.prod(shape[axis + 1 :])) for axis in range(len(shape))) if strides is None else strides
    return Call("torch._utils _rebuild_tensor_v2", storage, offset, shape, strides, False, OrderedDict())


def legacy_file(state, storages) -> bytes:
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    parts = [pickled(part, legacy=True) for part in (0x1950A86A20F9469CFC6C, 1001, system, state)]
    parts.append(pickled([storage.key for storage in storages], legacy=True))
    parts += [struct.pack("<q", storage.array.size) + storage.array.tobytes() for storage in storages]
    return b"".join(parts)


def zip_file(state, storages, *, compression=zipfile.ZIP_STORED, code: str | None = None) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        if code is not None:
            archive.writestr("model/code/__torch__.py", code, zipfile.ZIP_DEFLATED)
        archive.writestr("model/data.pkl", pickled(state, legacy=False))
        archive.writestr("model/byteorder", "little")
        for storage in storages:
            archive.writestr(f"model/data/{storage.key}", storage.array.tobytes())
        archive.writestr("model/version", "3\n")
    return file.getvalue()


def keras_file(path, arrays, *, suffix: str = ":0", name=lambda layer, role: f"{layer}/{role}") -> None:
    """Keras 2's layout: a group a layer, `weight_names` on it, `layer_names` on the root."""
    layers: dict[str, list[str]] = {"input_1": []}
    for key in arrays:
        layer, role = key.split("/")
        layers.setdefault(layer, []).append(role)
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.encode() for layer in layers]
        for layer, roles in layers.items():
            group = file.create_group(layer)
            names = [name(layer, role) + suffix for role in roles]
            group.attrs["weight_names"] = [text.encode() for text in names]
            for role, text in zip(roles, names, strict=True):
                group[text] = arrays[f"{layer}/{role}"]
