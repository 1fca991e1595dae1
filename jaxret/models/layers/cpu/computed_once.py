"""Values that several operations read, computed once: XLA's CPU backend would compute them anew in each."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

__all__ = ["computed_once"]


def computed_once(function: Callable[..., jax.Array], *arrays: jax.Array) -> jax.Array:
    """`function(*arrays)`, which lies in memory before anything reads it.

    XLA copies sums and products into all operations that read them, and has dropped barriers by then. It copies nothing
    out of a branch: so this is one, whose other side is never taken, and of which a barrier hides that it is not.

    Example:
      >>> computed_once(lambda a, b: a * b, jnp.arange(3), jnp.arange(3))
      Array([0, 1, 4], dtype=int32)
    """
    values = jax.eval_shape(function, *arrays)
    always = lax.optimization_barrier(jnp.bool_(True))
    return lax.cond(always, function, lambda *_: jnp.zeros(values.shape, values.dtype), *arrays)
