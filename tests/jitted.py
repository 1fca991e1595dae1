"""The call of a module as one program: outside `jax.jit` every operation of every shape is compiled on its own."""

from __future__ import annotations

from typing import Any

from flax import nnx


@nnx.jit
def apply(module: nnx.Module, *inputs: Any) -> Any:
    """What `module(*inputs)` gives; modules of the same sizes share a program."""
    return module(*inputs)
