"""PyTorch weight files (`.pth`, `.pt`, `.bin`) read without PyTorch and without executing anything.

Such a file is a pickle stream: a program for a small stack machine that may call any function it names. Here
the stream is never given to `pickle`. Its opcodes are split by `pickletools.genops`, which only parses, and
interpreted by `_StackMachine`, which knows the few opcodes that state dicts consist of, treats every function
and class as a mere name, and accepts the names in `_BUILDERS` and `_STORAGES` alone. Anything else is an
error that names it. This is the only place of the library where a pickle stream is looked at; none is written.

Both layouts of `torch.save` are read: the zip archive (PyTorch 1.6 and later) and, before it, the legacy
sequence: magic number, protocol version, system description, state dict, storage keys, raw storages.
Every size and offset is checked against what the file really holds before memory is taken for it.
"""

from __future__ import annotations

import dataclasses
import io
import pickletools
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from jaxret.errors import WeightsError

__all__ = ["read_torch_file"]

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001

# Storage classes of PyTorch and the element type of each, little-endian.
_STORAGES: dict[str, np.dtype[Any]] = {
    "torch.DoubleStorage": np.dtype("<f8"),
    "torch.FloatStorage": np.dtype("<f4"),
    "torch.HalfStorage": np.dtype("<f2"),
    "torch.BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "torch.LongStorage": np.dtype("<i8"),
    "torch.IntStorage": np.dtype("<i4"),
    "torch.ShortStorage": np.dtype("<i2"),
    "torch.CharStorage": np.dtype("i1"),
    "torch.ByteStorage": np.dtype("u1"),
    "torch.BoolStorage": np.dtype("?"),
}


def read_torch_file(path: str | Path) -> dict[str, npt.NDArray[Any]]:
    """The tensors of a state dict by name, as read-only arrays; bfloat16 tensors have `ml_dtypes.bfloat16`.

    A checkpoint that holds its state dict under the key "state_dict" is read too, and a prefix "module."
    that all names share (from `DataParallel`) is taken off.

    Raises:
      WeightsError: the file is truncated, damaged, no state dict, or names anything but tensors; the message
        says what.
    """
    data = Path(path).read_bytes()
    try:
        if zipfile.is_zipfile(io.BytesIO(data)):
            top, storage_of = _read_zip(data)
        else:
            top, storage_of = _read_legacy(data)
        return _state_dict(top, storage_of)
    except _Refused as error:
        raise WeightsError(f"{path}: {error}") from None
    except (
        ArithmeticError,
        EOFError,
        AttributeError,
        LookupError,
        NotImplementedError,  # zipfile, about an unknown compression method
        RuntimeError,  # zipfile, about an encrypted member
        TypeError,
        ValueError,
        struct.error,
        zipfile.BadZipFile,
    ) as error:
        # Whatever a damaged stream makes the parsers stumble over.
        raise WeightsError(f"{path} is damaged or not a PyTorch weight file: {error}") from error


class _Refused(Exception):
    """The stream asks for something that a state dict does not need."""


@dataclasses.dataclass(frozen=True)
class _Name:
    """A function or class as the stream names it; never looked up."""

    path: str


@dataclasses.dataclass(frozen=True)
class _Storage:
    """A reference to raw numbers kept outside the pickle stream."""

    key: str
    dtype: np.dtype[Any]
    count: int


@dataclasses.dataclass(frozen=True)
class _Tensor:
    """A strided view of a storage."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


_StorageReader = Callable[[_Storage], npt.NDArray[Any]]


def _read_zip(data: bytes) -> tuple[Any, _StorageReader]:
    archive = zipfile.ZipFile(io.BytesIO(data))
    members = {info.filename: info for info in archive.infolist()}
    # Members of a weight file are stored as they are. Compressed or overlapping ones could unpack to any size.
    if any(info.compress_type != zipfile.ZIP_STORED for info in members.values()):
        raise _Refused("an archive with compressed members is not a PyTorch weight file")
    if sum(info.file_size for info in members.values()) > len(data):
        raise _Refused("the archive claims to hold more than it does")
    pickles = [name for name in members if name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise _Refused(f"the archive has {len(pickles)} members data.pkl, not 1: not a PyTorch weight file")
    root = pickles[0].removesuffix("data.pkl")
    if f"{root}byteorder" in members and archive.read(f"{root}byteorder") != b"little":
        raise _Refused("big-endian files are not supported")

    def storage_of(storage: _Storage) -> npt.NDArray[Any]:
        name = f"{root}data/{storage.key}"
        if name not in members:
            raise _Refused(f"storage {storage.key!r} is missing")
        expected = storage.count * storage.dtype.itemsize
        if members[name].file_size != expected:
            raise _Refused(
                f"storage {storage.key!r} has {members[name].file_size} bytes, but its tensors need {expected}"
            )
        return np.frombuffer(archive.read(name), storage.dtype)

    return _StackMachine().run(io.BytesIO(archive.read(pickles[0]))), storage_of


def _read_legacy(data: bytes) -> tuple[Any, _StorageReader]:
    stream = io.BytesIO(data)
    if _StackMachine().run(stream) != _LEGACY_MAGIC:
        raise _Refused("this is not a PyTorch weight file: its magic number is missing")
    protocol = _StackMachine().run(stream)
    if protocol != _LEGACY_PROTOCOL:
        raise _Refused(f"legacy protocol {protocol!r} is not supported, only {_LEGACY_PROTOCOL}")
    system = _StackMachine().run(stream)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise _Refused("big-endian files are not supported")
    machine = _StackMachine()
    top = machine.run(stream)
    keys = _StackMachine().run(stream)
    if not isinstance(keys, list) or len(set(keys)) != len(keys):
        raise _Refused("the list of storage keys is malformed")

    contents: dict[str, npt.NDArray[Any]] = {}
    position = stream.tell()
    for key in keys:
        storage = machine.storages.get(key)
        if storage is None:
            raise _Refused(f"storage {key!r} belongs to no tensor")
        (count,) = struct.unpack_from("<q", data, position)
        size = storage.count * storage.dtype.itemsize
        position += 8
        if count != storage.count or position + size > len(data):
            raise _Refused(f"the file is truncated or altered: storage {key!r} should have {storage.count} elements")
        contents[key] = np.frombuffer(data, storage.dtype, storage.count, position)
        position += size
    if position != len(data):
        raise _Refused(f"{len(data) - position} bytes follow the last storage")

    def storage_of(storage: _Storage) -> npt.NDArray[Any]:
        if storage.key not in contents:
            raise _Refused(f"storage {storage.key!r} is missing")
        return contents[storage.key]

    return top, storage_of


def _state_dict(top: Any, storage_of: _StorageReader) -> dict[str, npt.NDArray[Any]]:
    if isinstance(top, dict) and isinstance(top.get("state_dict"), dict):
        top = top["state_dict"]
    if not isinstance(top, dict) or not top:
        raise _Refused("it holds no state dict")
    strangers = [str(name) for name, value in top.items() if not isinstance(value, _Tensor)]
    if strangers:
        raise _Refused(f"these entries of the state dict are no tensors: {', '.join(strangers)}")
    if any(not isinstance(name, str) for name in top):
        raise _Refused("a name in the state dict is not a string")
    prefix = "module." if all(name.startswith("module.") for name in top) else ""
    read: dict[str, npt.NDArray[Any]] = {}  # each storage once
    arrays = {}
    for name, tensor in top.items():
        key = tensor.storage.key
        if key not in read:
            read[key] = storage_of(tensor.storage)
        arrays[name.removeprefix(prefix)] = _view(name, tensor, read[key])
    return arrays


def _view(name: str, tensor: _Tensor, storage: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The tensor as a view of its storage, which it may not leave, nor see any element of twice."""
    shape, strides, offset = tensor.shape, tensor.strides, tensor.offset
    numbers = (offset, *shape, *strides)
    if len(shape) != len(strides) or any(type(number) is not int or number < 0 for number in numbers):
        raise _Refused(f"tensor {name!r} has a malformed shape {shape}, strides {strides} or offset {offset}")
    elements = 1
    for size in shape:
        elements *= size
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if elements > len(storage) or (elements and last >= len(storage)):
        raise _Refused(f"tensor {name!r} of shape {shape} leaves its storage of {len(storage)} elements")
    if not elements:
        return np.empty(shape, storage.dtype)
    steps = [stride * storage.itemsize for stride in strides]
    return np.lib.stride_tricks.as_strided(storage[offset:], shape, steps, writeable=False)


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _Tensor:
    # What follows (requires_grad, hooks) matters to training in PyTorch only.
    if not (isinstance(storage, _Storage) and isinstance(shape, tuple) and isinstance(strides, tuple)):
        raise _Refused("a tensor without storage, shape and strides")
    return _Tensor(storage, offset, shape, strides)


def _rebuild_parameter(tensor: Any, *_: Any) -> _Tensor:
    if not isinstance(tensor, _Tensor):
        raise _Refused("a parameter without its tensor")
    return tensor


def _ordered_dict(*arguments: Any) -> dict[Any, Any]:
    if arguments:
        raise _Refused("an OrderedDict made from arguments")
    return {}


# All that a stream may call: names, and what they mean here.
_BUILDERS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _ordered_dict,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
}

_MARK = object()
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_LITERALS = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE"}
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _StackMachine:
    """Interprets the pickle opcodes of state dicts; see https://docs.python.org/3/library/pickletools.html."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.storages: dict[str, _Storage] = {}

    def run(self, stream: io.BytesIO) -> Any:
        """The object that the stream builds; the stream then stands behind its STOP."""
        for opcode, argument, _ in pickletools.genops(stream):
            name = opcode.name
            if name == "STOP":
                return self.stack.pop()
            if name in _LITERALS:
                self.stack.append(argument)
            elif name in _CONSTANTS:
                self.stack.append(_CONSTANTS[name])
            elif name in _TUPLES:
                self._pop_tuple(_TUPLES[name])
            else:
                handler = getattr(self, f"_{name.lower()}", None)
                if handler is None:
                    raise _Refused(f"pickle opcode {name} is not part of a state dict")
                handler(argument)
        raise ValueError("the pickle stream has no end")

    def _pop_tuple(self, length: int) -> None:
        if length > len(self.stack):
            raise IndexError("the pickle stack is empty")
        start = len(self.stack) - length
        self.stack[start:] = [tuple(self.stack[start:])]

    def _since_mark(self) -> list[Any]:
        place = max(place for place, value in enumerate(self.stack) if value is _MARK)
        values = self.stack[place + 1 :]
        del self.stack[place:]
        return values

    def _proto(self, version: int) -> None:
        pass  # every opcode is checked by its name

    def _frame(self, length: int) -> None:
        pass  # a hint for reading ahead

    def _mark(self, _: None) -> None:
        self.stack.append(_MARK)

    def _binput(self, place: int) -> None:
        self.memo[place] = self.stack[-1]

    _long_binput = _binput

    def _binget(self, place: int) -> None:
        self.stack.append(self.memo[place])

    _long_binget = _binget

    def _memoize(self, _: None) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def _empty_dict(self, _: None) -> None:
        self.stack.append({})

    def _empty_list(self, _: None) -> None:
        self.stack.append([])

    def _tuple(self, _: None) -> None:
        self.stack.append(tuple(self._since_mark()))

    def _append(self, _: None) -> None:
        value = self.stack.pop()
        self._top(list).append(value)

    def _appends(self, _: None) -> None:
        values = self._since_mark()
        self._top(list).extend(values)

    def _setitem(self, _: None) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._top(dict)[key] = value

    def _setitems(self, _: None) -> None:
        values = self._since_mark()
        self._top(dict).update(zip(values[::2], values[1::2], strict=True))

    def _global(self, path: str) -> None:
        self._push_name(path.replace(" ", ".", 1))

    def _stack_global(self, _: None) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self._push_name(f"{module}.{name}")

    def _push_name(self, path: str) -> None:
        if path not in _BUILDERS and path not in _STORAGES:
            raise _Refused(f"it names {path!r}, which is no part of a state dict; nothing was executed")
        self.stack.append(_Name(path))

    def _reduce(self, _: None) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, _Name) or function.path not in _BUILDERS or not isinstance(arguments, tuple):
            raise _Refused("it calls something that is not a builder of tensors")
        self.stack.append(_BUILDERS[function.path](*arguments))

    def _build(self, _: None) -> None:
        # `_metadata`, which PyTorch hangs on a state dict, holds version numbers of its modules; not needed.
        state = self.stack.pop()
        if not isinstance(state, dict) or set(state) != {"_metadata"}:
            raise _Refused("it sets attributes of an object")
        self._top(dict)

    def _binpersid(self, _: None) -> None:
        match self.stack.pop():
            case ("storage", _Name(path=path), str(key), str(), int(count), *rest) if rest in ([], [None]):
                if path not in _STORAGES or count < 0:
                    raise _Refused(f"storage {key!r} has type {path!r} and {count} elements")
                storage = _Storage(key, _STORAGES[path], count)
                if self.storages.setdefault(key, storage) != storage:
                    raise _Refused(f"storage {key!r} is described in two ways")
                self.stack.append(storage)
            case other:
                raise _Refused(f"an unknown kind of reference to a storage: {type(other).__name__}")

    def _top(self, kind: type) -> Any:
        if not isinstance(self.stack[-1], kind) or isinstance(self.stack[-1], _Name):
            raise TypeError(f"the pickle stack holds no {kind.__name__} where one is needed")
        return self.stack[-1]
