"""Functions of a module whose programs are kept from one process to the next, where a command named a folder for them.

JAX's own folder of compiled programs is the process's, too (`jaxret.cli.compilation_cache`).
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax

from jaxret.models.kept_programs import KeptPrograms, Program, lower

if TYPE_CHECKING:
    from flax import nnx

__all__ = ["KeptFunction", "keep_programs_in", "keeps_programs", "parts_are_ours", "programs_in_use"]

_IN_USE: list[KeptPrograms] = []  # one, or none


@contextlib.contextmanager
def keep_programs_in(folder: Path | None) -> Iterator[None]:
    """Within the block programs of this process are kept, and those are run that were kept before.

    Args:
      folder: see `KeptPrograms`; None: none are kept.
    """
    before = list(_IN_USE)
    _IN_USE[:] = [] if folder is None else [KeptPrograms(folder)]
    try:
        yield
    finally:
        _IN_USE[:] = before


def programs_in_use() -> KeptPrograms | None:
    """Where programs of this process are kept; None: they are not."""
    return _IN_USE[0] if _IN_USE else None


class KeptFunction:
    """A function as `jax.jit` compiles it; on a CPU its programs are kept, see `keep_programs_in`. The results are the
    same.

    Modules with parts of other packages, whose sources are no part of a program's key, are compiled as ever, and so are
    those in training mode.

    Args:
      function: takes a module with a `config`, arrays or None, and settings by name; it gives one array, and changes
        nothing in the module.
      settings: names of the settings, whose values are JSON.
    """

    def __init__(self, function: Callable[..., jax.Array], settings: Sequence[str]):
        self._function = function
        self._jitted = jax.jit(function, static_argnames=tuple(settings))
        self._found: dict[Any, Program | None] = {}
        functools.update_wrapper(self, function)

    def __call__(self, module: Any, *arguments: Any, **settings: Any) -> jax.Array:
        """The function's result."""
        programs = programs_in_use()
        if programs is None or jax.default_backend() != "cpu" or _is_traced(arguments):
            return self._jitted(module, *arguments, **settings)
        leaves, tree = jax.tree.flatten(module)
        given = [argument for argument in arguments if argument is not None]
        absent = tuple(argument is None for argument in arguments)
        shapes = tuple((str(array.dtype), array.shape) for array in (*leaves, *given))
        known = programs.folder, tree, shapes, absent, tuple(settings.items())  # each folder gets its own copy
        arrays = {f"{number:06}": leaf for number, leaf in enumerate(leaves)}
        if known not in self._found:
            self._found[known] = None
            if _can_be_kept(module):

                def apply(arrays: dict[str, Any], *given: Any) -> jax.Array:
                    left = iter(given)
                    placed = [None if skipped else next(left) for skipped in absent]
                    whole = jax.tree.unflatten(tree, [arrays[name] for name in sorted(arrays)])
                    return self._function(whole, *placed, **settings)

                name = f"{self._function.__module__}.{self._function.__qualname__}"
                key = [name, module.config, shapes, absent, settings]
                self._found[known] = programs.program_or(key, lambda: lower(apply, arrays, *given))
        program = self._found[known]
        return self._jitted(module, *arguments, **settings) if program is None else program(arrays, *given)


def keeps_programs(*settings: str) -> Callable[[Callable[..., jax.Array]], KeptFunction]:
    """Makes a `KeptFunction` of a function, which has these settings."""
    return lambda function: KeptFunction(function, settings)


def parts_are_ours(module: nnx.Module) -> bool:
    """Whether all parts of a module are of this package or Flax, whose sources are part of every program's key."""
    from flax import nnx

    return all(
        type(part).__module__.split(".")[0] in ("jaxret", "flax")
        for _, part in nnx.iter_graph(module)
        if isinstance(part, nnx.Module)
    )


def _can_be_kept(module: nnx.Module) -> bool:
    """Whether all parts are ours and none behaves as in training, nor draws at random."""
    from flax import nnx

    drawn = jax.tree.leaves(nnx.state(module, nnx.RngState))
    parts = [part for _, part in nnx.iter_graph(module) if isinstance(part, nnx.Module)]
    evaluates = all(getattr(part, flag, True) for part in parts for flag in ("use_running_average", "deterministic"))
    return not drawn and evaluates and parts_are_ours(module)


def _is_traced(arguments: Sequence[Any]) -> bool:
    return any(isinstance(argument, jax.core.Tracer) for argument in arguments)
