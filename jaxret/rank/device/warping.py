"""Dynamic time warping of many pairs of sequences at once, from their matrices of costs, on a device."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def warped(costs: jax.Array, query_length: jax.Array, lengths: jax.Array) -> jax.Array:
    """The cheapest sums of costs along paths of steps (1, 0), (0, 1) and (1, 1), from first to last frames.

    All cells (i, j) of one i + j depend on those of the two before alone, so that a step is taken in all matrices and
    along a whole anti-diagonal at once.

    Args:
        costs: float32 (N, A, B), at least 0; inf where no path may go. What lies behind the lengths is not looked at.
        query_length: int32 (), in [1, A].
        lengths: int32 (N,), in [1, B].

    Returns:
        float32 (N,).
    """
    count, rows, columns = costs.shape
    wide = jnp.pad(costs, ((0, 0), (0, 0), (0, rows)), constant_values=jnp.inf).reshape(count, -1)
    skewed = wide[:, :-rows].reshape(count, rows, rows + columns - 1)  # [n, i, i + j]
    last = query_length + lengths - 2

    def step(
        state: tuple[jax.Array, jax.Array, jax.Array], now: tuple[jax.Array, jax.Array]
    ) -> tuple[tuple[jax.Array, jax.Array, jax.Array], None]:
        before, before_that, found = state
        number, cost = now  # cost (N, A)
        corner = jnp.where(number == 0, 0.0, jnp.inf)
        least = jnp.minimum(jnp.minimum(before, _shifted(before, jnp.inf)), _shifted(before_that, corner))
        reached = cost + least
        found = jnp.where(number == last, jnp.take(reached, query_length - 1, axis=1), found)
        return (reached, before, found), None

    nowhere = jnp.full((count, rows), jnp.inf)
    numbers = jnp.arange(rows + columns - 1, dtype=jnp.int32)
    start = nowhere, nowhere, jnp.full(count, jnp.inf)
    (_, _, found), _ = jax.lax.scan(step, start, (numbers, jnp.moveaxis(skewed, 2, 0)))
    return found


def _shifted(row: jax.Array, first: jax.Array | float) -> jax.Array:
    """[n, i] of what was at [n, i - 1]."""
    return jnp.concatenate([jnp.full((len(row), 1), first), row[:, :-1]], axis=1)
