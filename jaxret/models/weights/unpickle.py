"""The pickle streams inside PyTorch weight files, interpreted without executing anything.

A pickle stream is a program for a small stack machine that may call any function it names. Here the stream is
never given to `pickle`. Its opcodes are split by `pickletools.genops`, which only parses, and interpreted by
`StackMachine`, which knows the few opcodes that state dicts consist of, treats every function and class as a mere
name, and accepts the names in `_BUILDERS` and `_STORAGES` alone, and in a TorchScript archive those of its own modules,
of which it keeps the attributes and nothing else. Anything else is an error that names it. This is the only place of
the library where a pickle stream is looked at; none is ever written.
"""

from __future__ import annotations

import dataclasses
import pickletools
import warnings
from collections.abc import Callable
from typing import IO, Any

import ml_dtypes
import numpy as np

__all__ = ["Name", "Refused", "ScriptModule", "StackMachine", "Storage", "Tensor"]

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


class Refused(Exception):
    """The stream requests something that a state dict does not need."""


@dataclasses.dataclass(frozen=True)
class Name:
    """A function or class as the stream names it; never looked up."""

    path: str


@dataclasses.dataclass(frozen=True)
class Storage:
    """A reference to raw numbers kept outside the pickle stream."""

    key: str
    dtype: np.dtype[Any]
    count: int


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A strided view of a storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclasses.dataclass
class ScriptModule:
    """A module of a TorchScript archive: its attributes by name, tensors and further modules among them."""

    attributes: dict[Any, Any] = dataclasses.field(default_factory=dict)


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Tensor:
    # What follows (requires_grad, hooks) matters to training in PyTorch only.
    if not (isinstance(storage, Storage) and isinstance(shape, tuple) and isinstance(strides, tuple)):
        raise Refused("a tensor without storage, shape and strides")
    return Tensor(storage, offset, shape, strides)


def _rebuild_parameter(tensor: Any, *_: Any) -> Tensor:
    if not isinstance(tensor, Tensor):
        raise Refused("a parameter without its tensor")
    return tensor


def _ordered_dict(*arguments: Any) -> dict[Any, Any]:
    if arguments:
        raise Refused("an OrderedDict made from arguments")
    return {}


def _list_of(values: Any) -> list[Any]:
    # Of numbers or tensors, in the settings of a module of TorchScript.
    if not isinstance(values, list):
        raise Refused("a list made of something else")
    return values


# All that a stream may call: names, and what they mean here.
_BUILDERS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _ordered_dict,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    **{f"torch.jit._pickle.build_{kind}list": _list_of for kind in ("bool", "double", "int", "tensor")},
}

_SCRIPT = "__torch__."
"""What the names of the modules of a TorchScript archive begin with."""

_MARK = object()
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_LITERALS = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE"}
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class StackMachine:
    """Interprets the pickle opcodes of state dicts; see https://docs.python.org/3/library/pickletools.html."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.storages: dict[str, Storage] = {}

    def run(self, stream: IO[bytes]) -> Any:
        """The object that the stream builds; the stream then stands behind its STOP."""
        with warnings.catch_warnings():
            # Names are unescaped by `codecs.escape_decode`, which warns of escapes that no pickler writes: such a
            # name is not a known one and is refused as that.
            warnings.simplefilter("ignore", DeprecationWarning)
            return self._run(stream)

    def _run(self, stream: IO[bytes]) -> Any:
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
                    raise Refused(f"pickle opcode {name} is not part of a state dict")
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
        if path not in _BUILDERS and path not in _STORAGES and not path.startswith(_SCRIPT):
            raise Refused(f"it names {path!r}, which is no part of a state dict; nothing was executed")
        self.stack.append(Name(path))

    def _reduce(self, _: None) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, Name) or function.path not in _BUILDERS or not isinstance(arguments, tuple):
            raise Refused("it calls something that is not a builder of tensors")
        self.stack.append(_BUILDERS[function.path](*arguments))

    def _newobj(self, _: None) -> None:
        arguments, made = self.stack.pop(), self.stack.pop()
        if not isinstance(made, Name) or not made.path.startswith(_SCRIPT) or arguments != ():
            raise Refused("pickle opcode NEWOBJ is not part of a state dict")
        self.stack.append(ScriptModule())

    def _build(self, _: None) -> None:
        # `_metadata`, which PyTorch hangs on a state dict, holds version numbers of its modules; not needed.
        state = self.stack.pop()
        if self.stack and isinstance(self.stack[-1], ScriptModule) and isinstance(state, dict):
            self.stack[-1].attributes = state
            return
        if not isinstance(state, dict) or set(state) != {"_metadata"}:
            raise Refused("it sets attributes of an object")
        self._top(dict)

    def _binpersid(self, _: None) -> None:
        match self.stack.pop():
            case ("storage", Name(path=path), str(key), str(), int(count), *rest) if rest in ([], [None]):
                if path not in _STORAGES or count < 0:
                    raise Refused(f"storage {key!r} has type {path!r} and {count} elements")
                storage = Storage(key, _STORAGES[path], count)
                if self.storages.setdefault(key, storage) != storage:
                    raise Refused(f"storage {key!r} is described in two ways")
                self.stack.append(storage)
            case other:
                raise Refused(f"an unknown kind of reference to a storage: {type(other).__name__}")

    def _top(self, kind: type) -> Any:
        if not isinstance(self.stack[-1], kind) or isinstance(self.stack[-1], Name):
            raise TypeError(f"the pickle stack holds no {kind.__name__} where one is needed")
        return self.stack[-1]
