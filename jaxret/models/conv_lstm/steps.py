"""The steps of a ConvLSTM through time on a CPU, with a gradient of their own.

JAX's gradient of a loop convolves for the gradient of the kernel in every step, in a form that XLA's CPU backend
computes some fifty times more slowly than the same sum outside of a loop. Here the backward loop is written out, and
both loops are made of matrix products:

    forward   a = [x, h] * K + b;  i, f, g, o = the gates of a;  c' = f c + i g;  h' = o tanh(c')
    backward  dc = dc' + dh' o (1 - tanh(c')^2)
              da = [dc g i (1 - i), dc c f (1 - f), dc i (1 - g^2), dh' tanh(c') o (1 - o)]
              [dx, dh] = da * K transposed;  dK += [x, h] by da;  db += da;  dc f goes on

Inputs and state share one convolution, so that nothing of the size of all gates at all steps is needed before the
loop. The gates' inputs are kept for the gradient, or computed again where memory matters more.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax import lax

from jaxret.models.conv_lstm.step_forms import Form
from jaxret.models.layers.cpu.computed_once import computed_once
from jaxret.models.layers.feature_map import per_channel

__all__ = ["conv_lstm_steps"]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def conv_lstm_steps(
    form: Form, reverse: bool, keep_gates: bool, inputs: jax.Array, kernel: jax.Array, bias: jax.Array
) -> jax.Array:
    """Outputs H of all steps of a ConvLSTM that begins at zero; reverse-mode differentiable.

    Args:
      form: of the convolution, see `jaxret.models.conv_lstm.step_forms.fitting_form`.
      reverse: go from the last step to the first.
      keep_gates: keep the gates' inputs for the gradient; else compute them again.
      inputs: (B, T, *spatial, C_in), of the compute dtype.
      kernel: (*window, C_in + C, 4 C) in that dtype, the inputs' channels first; windows are odd.
      bias: (4 C,), in that dtype.

    Returns:
      (B, T, *spatial, C) in the order of the inputs and in their dtype.
    """
    return _forward_loop(form, reverse, None, inputs, kernel, bias)[0]


_Saved = tuple[jax.Array, jax.Array, jax.Array, jax.Array, jax.Array, jax.Array | None]


def _forward(
    form: Form, reverse: bool, keep_gates: bool, inputs: jax.Array, kernel: jax.Array, bias: jax.Array
) -> tuple[jax.Array, _Saved]:
    outputs, cells, gates = _forward_loop(form, reverse, keep_gates, inputs, kernel, bias)
    assert cells is not None
    return outputs, (inputs, kernel, bias, outputs, cells, gates)


def _forward_loop(
    form: Form, reverse: bool, keep_gates: bool | None, inputs: jax.Array, kernel: jax.Array, bias: jax.Array
) -> tuple[jax.Array, jax.Array | None, jax.Array | None]:
    """Outputs of all steps and, unless `keep_gates` is None, cell states after them, and the gates' inputs if True.

    The latter two are one step after the other, as `form` lays them out: (G T, *layout, C), G groups of clips.
    """
    clips, count, channels = form.clips(len(inputs)), inputs.shape[1], kernel.shape[-1] // 4
    prepared = form.prepare(kernel)

    def step(number: jax.Array, state: tuple[jax.Array, ...]) -> tuple[jax.Array | None, ...]:
        hidden, cell, outputs, cells, all_gates = state
        group, time = number // count, _time_of(number, count, reverse)
        first = number % count == 0
        hidden, cell = jnp.where(first, 0, hidden), jnp.where(first, 0, cell)
        now = form.enter(_read(inputs, clips, group, time))
        gates = _gates(form, jnp.concatenate([now, hidden], axis=-1), prepared, bias)
        i, f, g, o = _activations(gates)
        cell = f * cell + i * g
        hidden = (o * jnp.tanh(cell)).astype(inputs.dtype)
        return (
            hidden,
            cell,
            _write(outputs, form.leave(hidden), group, time),
            None if cells is None else _put(cells, cell, group * count + time),
            None if all_gates is None else _put(all_gates, gates, group * count + time),
        )

    layout = jax.eval_shape(form.enter, inputs[:clips, 0]).shape[:-1]
    steps = len(inputs) // clips * count
    start = (
        jnp.zeros((*layout, channels), inputs.dtype),
        jnp.zeros((*layout, channels), jnp.float32),
        jnp.zeros((*inputs.shape[:-1], channels), inputs.dtype),
        None if keep_gates is None else jnp.zeros((steps, *layout, channels), jnp.float32),
        jnp.zeros((steps, *layout, 4 * channels), inputs.dtype) if keep_gates else None,
    )
    _, _, outputs, cells, gates = lax.fori_loop(0, steps, step, start)
    return outputs, cells, gates


def _backward(
    form: Form, reverse: bool, keep_gates: bool, saved: _Saved, gradient: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    inputs, kernel, bias, outputs, cells, all_gates = saved
    prepared = form.prepare(kernel)
    clips, count, into = form.clips(len(inputs)), inputs.shape[1], inputs.shape[-1]
    of_clip = tuple(axis for axis in range(cells.ndim - 2) if axis != form.clip_axis)  # of one step's maps

    def step(number: jax.Array, state: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        d_hidden, d_cell, d_kernel, d_bias, d_inputs = state
        group, time = number // count, _time_of(number, count, not reverse)
        last, first = number % count == 0, number % count == count - 1
        before = jnp.clip(time + 1 if reverse else time - 1, 0, count - 1)
        now, hidden, upstream = (
            form.enter(_read(every, clips, group, at))
            for every, at in ((inputs, time), (outputs, before), (gradient, time))
        )
        hidden = jnp.where(first, 0, hidden)
        cell = jnp.where(first, 0, _at(cells, group * count + before))
        both = jnp.concatenate([now, hidden], axis=-1)
        row = group * count + time
        gates = _gates(form, both, prepared, bias) if all_gates is None else _at(all_gates, row)
        i, f, g, o = _activations(gates)
        squashed = jnp.tanh(_at(cells, group * count + time))
        d_hidden = jnp.where(last, 0, d_hidden).astype(jnp.float32) + upstream.astype(jnp.float32)
        d_cell = jnp.where(last, 0, d_cell) + d_hidden * o * (1 - squashed**2)

        def gradient_of_gates(d_cell: jax.Array, d_hidden: jax.Array) -> jax.Array:
            parts = (
                d_cell * g * i * (1 - i),
                d_cell * cell * f * (1 - f),
                d_cell * i * (1 - g**2),
                d_hidden * squashed * o * (1 - o),
            )
            return jnp.concatenate([part.astype(inputs.dtype) for part in parts], axis=-1)

        compute = gradient_of_gates if form.reads_gradient_once else functools.partial(computed_once, gradient_of_gates)
        d_gates = compute(d_cell, d_hidden)
        d_both, more = form.backward(both, prepared, d_gates)
        return (
            d_both[..., into:],
            d_cell * f,
            d_kernel + more,
            d_bias + d_gates.astype(jnp.float32).sum(of_clip),
            _write(d_inputs, form.leave(d_both[..., :into]), group, time),
        )

    both, d_gates = (jax.ShapeDtypeStruct((*cells.shape[1:-1], size), inputs.dtype) for size in kernel.shape[-2:])
    summed = jax.eval_shape(form.backward, both, prepared, d_gates)[1]
    start = (
        jnp.zeros(cells.shape[1:], inputs.dtype),
        jnp.zeros(cells.shape[1:], jnp.float32),
        jnp.zeros(summed.shape, summed.dtype),
        jnp.zeros((clips, *bias.shape), jnp.float32),
        jnp.zeros_like(inputs),
    )
    _, _, d_kernel, d_bias, d_inputs = lax.fori_loop(0, len(cells), step, start)
    return d_inputs, form.of_kernel(d_kernel), d_bias.sum(axis=0).astype(bias.dtype)


conv_lstm_steps.defvjp(_forward, _backward)


def _time_of(number: jax.Array, count: int, reverse: bool) -> jax.Array:
    """The time step of step `number` of a loop over groups of `count` steps."""
    return count - 1 - number % count if reverse else number % count


def _read(maps: jax.Array, clips: int, group: jax.Array, time: jax.Array) -> jax.Array:
    """One time step of a group of clips: (B, T, *spatial, C) to (B', *spatial, C)."""
    groups = lax.dynamic_slice_in_dim(maps, group * clips, clips, axis=0)
    return lax.dynamic_index_in_dim(groups, time, axis=1, keepdims=False)


def _write(maps: jax.Array, step: jax.Array, group: jax.Array, time: jax.Array) -> jax.Array:
    """The inverse of `_read`."""
    start = [group * len(step), time, *[jnp.zeros((), time.dtype)] * (maps.ndim - 2)]
    return lax.dynamic_update_slice(maps, step[:, None], start)


def _at(steps: jax.Array, number: jax.Array) -> jax.Array:
    return lax.dynamic_index_in_dim(steps, number, keepdims=False)


def _put(steps: jax.Array, maps: jax.Array, number: jax.Array) -> jax.Array:
    return lax.dynamic_update_index_in_dim(steps, maps, number, 0)


def _gates(form: Form, maps: jax.Array, prepared: jax.Array, bias: jax.Array) -> jax.Array:
    """The gates' inputs, (*layout, 4 C)."""
    gates = form.forward(maps, prepared)
    return gates + per_channel(bias, gates)


def _activations(gates: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """i, f, g and o, float32."""
    i, f, g, o = jnp.split(gates.astype(jnp.float32), 4, axis=-1)
    return jax.nn.sigmoid(i), jax.nn.sigmoid(f), jnp.tanh(g), jax.nn.sigmoid(o)
