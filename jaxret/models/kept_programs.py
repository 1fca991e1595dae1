"""Programs as they were lowered, kept on disk: a later process runs one without Flax, and without tracing a model.

JAX keeps what XLA compiled; to look that up it must have the program, which takes longer to make than to run.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import importlib.util
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jaxlib
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import mlir
from jax.typing import ArrayLike

from jaxret.files import write_atomically

__all__ = ["KeptPrograms", "Program", "lower"]

_MOST_FILES = 256
"""Files that are kept; those that were used least recently make room."""
_SOURCES = Path(__file__).parent


@dataclasses.dataclass(frozen=True)
class Program:
    """A function of arrays by name and of further arrays, lowered to StableHLO for arrays of certain shapes.

    Attributes:
      code: MLIR bytecode of a module whose `main` takes the arrays in order of their names, then the others.
      shape, dtype: of the one array that it gives.
    """

    code: bytes
    shape: tuple[int, ...]
    dtype: str

    def __call__(self, arrays: Mapping[str, ArrayLike], *arguments: ArrayLike) -> jax.Array:
        """Run it, compiled at the first call for these shapes."""
        return _run(self, dict(arrays), *arguments)


def lower(function: Callable[..., Any], arrays: Mapping[str, ArrayLike], *arguments: ArrayLike) -> Program | None:
    """The program of `function(arrays, *arguments)`; None where it calls what a later process might not have loaded.

    Args:
      function: gives one array.
      arrays: by name.
      arguments: further arrays.
    """
    lowered = jax.jit(function, keep_unused=True).lower(dict(arrays), *arguments)
    module = lowered.compiler_ir("stablehlo")
    if module is None or "custom_call" in str(module):
        return None
    out = lowered.out_info
    return Program(mlir.module_to_bytecode(module), tuple(out.shape), np.dtype(out.dtype).name)


_program = Primitive("kept_program")


@_program.def_abstract_eval
def _shape_of_result(*_: Any, program: Program) -> Any:
    return jax.core.ShapedArray(program.shape, np.dtype(program.dtype))


def _call(context: mlir.LoweringRuleContext, *arguments: Any, program: Program) -> Any:
    """Copy the program's module into the one that is being made, and call it there."""
    from jaxlib.mlir.dialects import func

    here = context.module_context
    with here.module.context:
        module = mlir.ir.Module.parse(program.code)
    name = mlir.merge_mlir_modules(here.module, "kept_program", module, dst_symtab=here.symbol_table)
    main: Any = here.symbol_table[name]
    return func.CallOp(main, list(arguments)).results  # type: ignore[call-arg, arg-type]


mlir.register_lowering(_program, _call)


@functools.partial(jax.jit, static_argnums=0)
def _run(program: Program, arrays: dict[str, ArrayLike], *arguments: ArrayLike) -> jax.Array:
    result: jax.Array = _program.bind(*(arrays[name] for name in sorted(arrays)), *arguments, program=program)
    return result


class KeptPrograms:
    """A folder of programs and facts by key; a key made of other sources, versions or settings finds nothing.

    Args:
      folder: the user's own, as programs in it are run; it exists.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    @functools.cached_property
    def _origin(self) -> dict[str, Any]:
        """Found when it is first needed, which in many commands is never."""
        return _origin()

    def program(self, key: Any) -> Program | None:
        """What was kept under a key, of JSON values; None where nothing was, or it is damaged."""
        if (found := self._read(key)) is None:
            return None
        facts, code = found
        return Program(code, tuple(facts["shape"]), facts["dtype"]) if set(facts) == {"shape", "dtype"} else None

    def keep_program(self, key: Any, program: Program) -> None:
        """Keep a program; where the folder cannot be written, or is full, nothing is kept."""
        self._write(key, {"shape": program.shape, "dtype": program.dtype}, program.code)

    def program_or(self, key: Any, make: Callable[[], Program | None]) -> Program | None:
        """What was kept under a key, or else what is made now, kept; None where none can be made (`lower`)."""
        if (found := self.program(key)) is None and (found := make()) is not None:
            self.keep_program(key, found)
        return found

    def facts(self, key: Any) -> dict[str, Any] | None:
        """As `program`, of a mapping to JSON values."""
        found = self._read(key)
        return None if found is None else found[0]

    def keep_facts(self, key: Any, facts: Mapping[str, Any]) -> None:
        """As `keep_program`."""
        self._write(key, facts, b"")

    def _path(self, key: Any) -> Path:
        text = json.dumps([self._origin, key], sort_keys=True)
        return self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.program"

    def _read(self, key: Any) -> tuple[dict[str, Any], bytes] | None:
        """A file is the SHA-256 of what follows, a line of JSON, and code."""
        path = self._path(key)
        try:
            digest, rest = (content := path.read_bytes())[:32], content[32:]
        except OSError:
            return None
        if hashlib.sha256(rest).digest() != digest:
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # it was used
        line, code = rest.split(b"\n", 1)
        return json.loads(line), code

    def _write(self, key: Any, facts: Mapping[str, Any], code: bytes) -> None:
        path = self._path(key)
        rest = json.dumps(facts).encode() + b"\n" + code
        try:
            own = path.with_name(f"partial-{os.getpid()}-{path.name}")
            with write_atomically(path, partial=own, sync=False) as partial:
                partial.write_bytes(hashlib.sha256(rest).digest() + rest)
            files = sorted(self.folder.glob("*.program"), key=lambda file: file.stat().st_mtime)
            for old in files[:-_MOST_FILES]:
                old.unlink(missing_ok=True)
        except OSError:
            return


def _origin() -> dict[str, Any]:
    """What a program depends on beside the function and its arguments."""
    sources = hashlib.sha256()
    for path in sorted(_SOURCES.rglob("*.py")):
        found = path.stat()
        sources.update(f"{path.relative_to(_SOURCES)} {found.st_size} {found.st_mtime_ns}\n".encode())
    flax = importlib.util.find_spec("flax")
    assert flax is not None
    assert flax.origin is not None
    # Read, for to import it takes long, and so does looking its version up among all packages.
    sources.update(Path(flax.origin).with_name("version.py").read_bytes())
    versions = [jax.__version__, jaxlib.__version__]
    settings = {
        name: str(value)
        for name, value in sorted(jax.config.values.items())
        if name in ("jax_default_matmul_precision", "jax_enable_x64", "jax_default_prng_impl", "jax_disable_jit")
    }
    return {"sources": sources.hexdigest(), "versions": versions, "settings": settings}
