"""PyTorch weight files (`.pth`, `.pt`, `.bin`) read without PyTorch and without executing anything.

Both layouts of `torch.save` are read: the zip archive (PyTorch 1.6 and later) and, before it, the legacy
sequence: magic number, protocol version, system description, state dict, storage keys, raw storages. So are
the archives of `torch.jit.save`, without their code. Their pickle streams go through `StackMachine`, which executes
nothing. Every size and offset is checked against what the file really holds before memory is taken for it.
"""

from __future__ import annotations

import io
import mmap
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt

from jaxret.errors import WeightsError
from jaxret.models.weights.unpickle import Refused, ScriptModule, StackMachine, Storage, Tensor

__all__ = ["read_torch_file"]

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
_MOST_MODULES, _LONGEST_NAME = 10_000, 1_000


def read_torch_file(path: str | Path) -> dict[str, npt.NDArray[Any]]:
    """The tensors of a state dict by name, as read-only arrays; bfloat16 tensors have `ml_dtypes.bfloat16`.

    A checkpoint that holds its state dict under the key "state_dict" is read too, and a prefix "module."
    that all names share (from `DataParallel`) is taken off. Of a TorchScript archive the names are those that
    the state dict of its module would have.

    Raises:
      WeightsError: the file is truncated, damaged, no state dict, or names anything but tensors; the message
        says what.
    """
    try:
        # The file stays on disk: a foreign one of any size is refused at its first bytes.
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if zipfile.is_zipfile(file):
                return _state_dict(*_read_zip(file, len(data)))
            if data[: len(_ARCHIVE)] == _ARCHIVE:
                raise Refused("the file is truncated: the end of its archive is missing; copy or download it again")
            if data[:1] != _PICKLE:
                raise ValueError("it begins like neither kind of them")
            return _state_dict(*_read_legacy(data, cast(IO[bytes], data)))  # a mapping reads as a file does
    except (FileNotFoundError, PermissionError):
        raise
    except Refused as error:
        raise WeightsError(f"{path}: {error}") from None
    except (
        ArithmeticError,
        EOFError,
        AttributeError,
        LookupError,
        OSError,  # zipfile, about a place before the beginning of the file
        NotImplementedError,  # zipfile, about an unknown compression method
        RuntimeError,  # zipfile, about an encrypted member
        TypeError,
        ValueError,
        struct.error,
        zipfile.BadZipFile,
    ) as error:
        # Whatever a damaged stream makes the parsers stumble over.
        raise WeightsError(f"{path} is damaged or not a PyTorch weight file: {error}") from error


_ARCHIVE, _PICKLE = b"PK\x03\x04", b"\x80"  # what files of today begin with, and those before PyTorch 1.6
_StorageReader = Callable[[Storage], npt.NDArray[Any]]


def _read_zip(file: BinaryIO, size: int) -> tuple[Any, _StorageReader]:
    archive = zipfile.ZipFile(file)
    members = {info.filename: info for info in archive.infolist()}
    # What is read of a weight file is stored as it is. Compressed or overlapping members could unpack to any size. The
    # code of TorchScript is compressed, and is not looked at.
    members = {name: info for name, info in members.items() if name.split("/")[1:2] != ["code"]}
    if any(info.compress_type != zipfile.ZIP_STORED for info in members.values()):
        raise Refused("an archive with compressed members is not a PyTorch weight file")
    if sum(info.file_size for info in members.values()) > size:
        raise Refused("the archive claims to hold more than it does")
    pickles = [name for name in members if name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise Refused(f"the archive has {len(pickles)} members data.pkl, not 1: not a PyTorch weight file")
    root = pickles[0].removesuffix("data.pkl")
    if f"{root}byteorder" in members and archive.read(f"{root}byteorder") != b"little":
        raise Refused("big-endian files are not supported")

    def storage_of(storage: Storage) -> npt.NDArray[Any]:
        name = f"{root}data/{storage.key}"
        if name not in members:
            raise Refused(f"storage {storage.key!r} is missing")
        expected = storage.count * storage.dtype.itemsize
        if members[name].file_size != expected:
            raise Refused(
                f"storage {storage.key!r} has {members[name].file_size} bytes, but its tensors need {expected}"
            )
        return np.frombuffer(archive.read(name), storage.dtype)

    return StackMachine().run(io.BytesIO(archive.read(pickles[0]))), storage_of


def _read_legacy(data: mmap.mmap, stream: IO[bytes]) -> tuple[Any, _StorageReader]:
    if StackMachine().run(stream) != _LEGACY_MAGIC:
        raise Refused("this is not a PyTorch weight file: its magic number is missing")
    protocol = StackMachine().run(stream)
    if protocol != _LEGACY_PROTOCOL:
        raise Refused(f"legacy protocol {protocol!r} is not supported, only {_LEGACY_PROTOCOL}")
    system = StackMachine().run(stream)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise Refused("big-endian files are not supported")
    machine = StackMachine()
    top = machine.run(stream)
    keys = StackMachine().run(stream)
    if not isinstance(keys, list) or len(set(keys)) != len(keys):
        raise Refused("the list of storage keys is malformed")

    contents: dict[str, npt.NDArray[Any]] = {}
    position = stream.tell()
    for key in keys:
        storage = machine.storages.get(key)
        if storage is None:
            raise Refused(f"storage {key!r} belongs to no tensor")
        (count,) = struct.unpack_from("<q", data, position)
        size = storage.count * storage.dtype.itemsize
        position += 8
        if count != storage.count or position + size > len(data):
            raise Refused(f"the file is truncated or altered: storage {key!r} should have {storage.count} elements")
        contents[key] = np.frombuffer(data[position : position + size], storage.dtype)
        position += size
    if position != len(data):
        raise Refused(f"{len(data) - position} bytes follow the last storage")

    def storage_of(storage: Storage) -> npt.NDArray[Any]:
        if storage.key not in contents:
            raise Refused(f"storage {storage.key!r} is missing")
        return contents[storage.key]

    return top, storage_of


def _state_dict(top: Any, storage_of: _StorageReader) -> dict[str, npt.NDArray[Any]]:
    if isinstance(top, ScriptModule):
        top = _tensors_of(top)
    if isinstance(top, dict) and isinstance(top.get("state_dict"), dict):
        top = top["state_dict"]
    if not isinstance(top, dict) or not top:
        raise Refused("it holds no state dict")
    strangers = [str(name) for name, value in top.items() if not isinstance(value, Tensor)]
    if strangers:
        raise Refused(f"these entries of the state dict are no tensors: {', '.join(strangers)}")
    if any(not isinstance(name, str) for name in top):
        raise Refused("a name in the state dict is not a string")
    prefix = "module." if all(name.startswith("module.") for name in top) else ""
    read: dict[str, npt.NDArray[Any]] = {}  # each storage once
    arrays = {}
    for name, tensor in top.items():
        key = tensor.storage.key
        if key not in read:
            read[key] = storage_of(tensor.storage)
        arrays[name.removeprefix(prefix)] = _view(name, tensor, read[key])
    return arrays


def _tensors_of(top: ScriptModule) -> dict[str, Tensor]:
    """The tensors of a module and of the modules in it, by dotted names; other attributes are settings of its code."""
    tensors: dict[str, Tensor] = {}
    waiting, seen = [("", top)], 0
    while waiting:
        prefix, module = waiting.pop()
        seen += 1
        if seen > _MOST_MODULES or len(prefix) > _LONGEST_NAME:
            raise Refused("its modules hold each other without end")
        for name, value in module.attributes.items():
            if isinstance(value, Tensor):
                tensors[f"{prefix}{name}"] = value
            elif isinstance(value, ScriptModule):
                waiting.append((f"{prefix}{name}.", value))
    return tensors


def _view(name: str, tensor: Tensor, storage: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The tensor as a view of its storage, which it may not leave, nor see any element of twice."""
    shape, strides, offset = tensor.shape, tensor.strides, tensor.offset
    numbers = (offset, *shape, *strides)
    if len(shape) != len(strides) or any(type(number) is not int or number < 0 for number in numbers):
        raise Refused(f"tensor {name!r} has a malformed shape {shape}, strides {strides} or offset {offset}")
    elements = 1
    for size in shape:
        elements *= size
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if elements > len(storage) or (elements and last >= len(storage)):
        raise Refused(f"tensor {name!r} of shape {shape} leaves its storage of {len(storage)} elements")
    if not elements:
        return np.empty(shape, storage.dtype)
    steps = [stride * storage.itemsize for stride in strides]
    return np.lib.stride_tricks.as_strided(storage[offset:], shape, steps, writeable=False)
