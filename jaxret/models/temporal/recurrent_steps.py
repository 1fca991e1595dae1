"""The steps of a recurrent cell through time, with a gradient of their own.

JAX's gradient of a loop keeps every intermediate value of a step as an array of its own and adds up the gradient of the
weights in every step. Here a step keeps its slopes (`jaxret.models.temporal.recurrent_cells`), in the place of the
products of the inputs, a step back puts the gradient there, and that of each weight is one matrix product in the end.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax import lax

from jaxret.models.temporal.recurrent_cells import Carry, Cell, Values

__all__ = ["scan_over_time"]

Kept = tuple[jax.Array, jax.Array]
"""The slopes of all time steps, (B, T, gates * units) and (B, T, 2 units)."""


def scan_over_time(
    cell: Cell, inputs: jax.Array, valid: jax.Array, *, reverse: bool = False
) -> tuple[Carry, jax.Array]:
    """Run a cell over a batch of sequences; reverse-mode differentiable.

    Args:
      cell: the cell.
      inputs: (B, T, D).
      valid: (B, T) bool; at other time steps the carry stands still and the output is zero.
      reverse: from the last time step to the first.

    Returns:
      The carry after the last step taken, and the outputs (B, T, units), in the order of the inputs.
    """
    weights = cell.weights()
    carry, hidden = _layer(type(cell), reverse, inputs.astype(weights[0].dtype), weights, valid)
    return carry, jnp.where(valid[:, :, None], hidden, 0)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _layer(
    cell: type[Cell], reverse: bool, inputs: jax.Array, weights: Values, valid: jax.Array
) -> tuple[Carry, jax.Array]:
    """The carry after the last step, and h after every one, (B, T, units)."""
    carry, hidden, _ = _steps(cell, reverse, False, inputs, weights, valid)
    return carry, hidden


_Saved = tuple[jax.Array, Values, jax.Array, jax.Array, Kept]


def _forward(
    cell: type[Cell], reverse: bool, inputs: jax.Array, weights: Values, valid: jax.Array
) -> tuple[tuple[Carry, jax.Array], _Saved]:
    carry, hidden, slopes = _steps(cell, reverse, True, inputs, weights, valid)
    assert slopes is not None
    return (carry, hidden), (inputs, weights, valid, hidden, slopes)


def _steps(
    cell: type[Cell], reverse: bool, keep: bool, inputs: jax.Array, weights: Values, valid: jax.Array
) -> tuple[Carry, jax.Array, Kept | None]:
    """And the slopes, if they are kept."""
    kernel, recurrent, *biases = weights
    batch, count, _ = inputs.shape
    units = len(recurrent)
    State = tuple[Carry, jax.Array, jax.Array, jax.Array | None]

    def step(number: jax.Array, state: State) -> State:
        carry, hidden, gates, of_carry = state
        time = count - 1 - number if reverse else number
        valid_now = _at(valid, time)
        advanced, values = cell.advance(carry, _at(gates, time), (recurrent, *biases))
        if of_carry is not None:
            now = cell.slopes(values)
            gates, of_carry = (
                _put(every, jnp.where(valid_now[:, None], one, 0), time)
                for every, one in zip((gates, of_carry), now, strict=True)
            )
        carry = _where(valid_now, advanced, carry)
        return carry, _put(hidden, carry[0], time), gates, of_carry

    start = (
        (jnp.zeros((batch, units), inputs.dtype),) * cell.states,
        jnp.zeros((batch, count, units), inputs.dtype),
        inputs @ kernel,
        jnp.zeros((batch, count, 2 * units), inputs.dtype) if keep else None,
    )
    # A loop is traced also where it has no step.
    carry, hidden, of_gates, of_carry = lax.fori_loop(0, count, step, start) if count else start
    return carry, hidden, None if of_carry is None else (of_gates, of_carry)


def _backward(
    cell: type[Cell], reverse: bool, saved: _Saved, gradient: tuple[Carry, jax.Array]
) -> tuple[jax.Array, Values, None]:
    inputs, weights, valid, hidden, (of_gates, of_carry) = saved
    kernel, recurrent = weights[:2]
    count, upstream = inputs.shape[1], gradient[1]
    # A product with a matrix that lies transposed in memory is slower, and this one is in every step.
    transposed = lax.optimization_barrier(recurrent.T)

    def step(number: jax.Array, state: tuple[Carry, jax.Array]) -> tuple[Carry, jax.Array]:
        d_carry, gates = state
        time = number if reverse else count - 1 - number
        d_carry = (d_carry[0] + _at(upstream, time), *d_carry[1:])
        of_carry_now = _at(of_carry, time)
        d_gates, past = cell.pull(d_carry, _at(gates, time), of_carry_now)
        past = _where(_at(valid, time), past, d_carry)
        by_product = cell.of_recurrent(d_gates, of_carry_now) @ transposed
        return (past[0] + by_product, *past[1:]), _put(gates, d_gates, time)

    _, d_projected = lax.fori_loop(0, count, step, (gradient[0], of_gates)) if count else (gradient[0], of_gates)
    d_recurrent = cell.of_recurrent(d_projected, of_carry)
    start = jnp.zeros_like(hidden[:, :1])
    before = jnp.concatenate([hidden[:, 1:], start] if reverse else [start, hidden[:, :-1]], axis=1)
    d_weights = (
        _over_steps(inputs, d_projected),
        _over_steps(before, d_recurrent),
        *(jnp.sum(each, axis=(0, 1), dtype=jnp.float32) for each in (d_projected, d_recurrent)),
    )
    # An LSTM has one bias.
    d_weights = tuple(each.astype(weight.dtype) for each, weight in zip(d_weights, weights, strict=False))
    return d_projected @ kernel.T, d_weights, None


_layer.defvjp(_forward, _backward)


def _over_steps(left: jax.Array, right: jax.Array) -> jax.Array:
    """The product summed over clips and time steps: (B, T, n) and (B, T, m) to (n, m), float32."""
    left, right = (each.reshape(-1, each.shape[-1]) for each in (left, right))
    # XLA's product that sums over the first axis of both sides is slower than the usual one and a copy before it.
    return jnp.matmul(lax.optimization_barrier(left.T), right, preferred_element_type=jnp.float32)


def _where(condition: jax.Array, chosen: Values, others: Values) -> Values:
    """Rows of one or the other; condition (B,)."""
    return tuple(jnp.where(condition[:, None], a, b) for a, b in zip(chosen, others, strict=True))


def _at(steps: jax.Array, time: jax.Array) -> jax.Array:
    return lax.dynamic_index_in_dim(steps, time, axis=1, keepdims=False)


def _put(steps: jax.Array, now: jax.Array, time: jax.Array) -> jax.Array:
    return lax.dynamic_update_index_in_dim(steps, now, time, axis=1)
