"""The ConvLSTM of the CPU, by either form of its convolution, against JAX's own scan and gradient of the equations."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxret.models.conv_lstm.cell import _scan
from jaxret.models.conv_lstm.step_forms import Direct, Form, Winograd, fitting_form
from jaxret.models.conv_lstm.steps import conv_lstm_steps
from jaxret.models.layers.cpu import winograd


def arrays_of(spatial, into=3, channels=4, batch=4, steps=3, window=3):
    rng = np.random.default_rng(2)
    shapes = (
        (batch, steps, *spatial, into),
        (*(window,) * len(spatial), into + channels, 4 * channels),
        (4 * channels,),
        (batch, steps, *spatial, channels),
    )
    inputs, kernel, bias, weights = (jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in shapes)
    return inputs, kernel / 4, bias, weights


@functools.partial(jax.jit, static_argnums=(0, 1))
def ours(settings, grad, inputs, kernel, bias, weights):
    def value(*arrays):
        outputs = conv_lstm_steps(*settings, *arrays)
        return (outputs.astype(jnp.float32) * weights).sum(), outputs

    function = jax.value_and_grad(value, argnums=(0, 1, 2), has_aux=True) if grad else value
    return function(inputs, kernel, bias)


@functools.partial(jax.jit, static_argnums=(0, 1))
def plain(reverse, keep_gates, inputs, kernel, bias, weights):
    def value(inputs, kernel, bias):
        parts = jnp.split(kernel, [inputs.shape[-1]], axis=-2)
        outputs = _scan(inputs, *parts, bias, reverse=reverse, keep_gates=keep_gates)
        return (outputs.astype(jnp.float32) * weights).sum(), outputs

    return jax.value_and_grad(value, argnums=(0, 1, 2), has_aux=True)(inputs, kernel, bias)


@pytest.mark.parametrize(
    ("form", "spatial", "reverse", "keep_gates"),
    [
        (Direct(), (5, 6), False, True),
        (Direct(), (5, 6), True, False),
        (Direct(), (7,), True, True),
        (Direct(), (3, 4, 5), False, True),
        (Winograd(2), (8, 12), False, True),
        (Winograd(1), (4, 8), True, False),
        (Winograd(4), (4, 4), True, True),
        (Winograd(4, parts=2), (4, 8), False, True),
    ],
)
def test_outputs_and_gradients_are_those_of_the_scan(form: Form, spatial, reverse, keep_gates):
    arrays = arrays_of(spatial)
    (_, outputs), gradients = ours((form, reverse, keep_gates), True, *arrays)
    (_, expected), expected_gradients = plain(reverse, keep_gates, *arrays)
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
    np.testing.assert_array_equal(ours((form, reverse, keep_gates), False, *arrays)[1], outputs)
    for found, known in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(found, known, atol=2e-5 * float(jnp.abs(known).max()))


@pytest.mark.parametrize(("form", "branches"), [(Direct(), 1), (Winograd(2), 0)])
def test_the_gradient_of_the_gates_is_computed_once_where_it_is_read_often(form: Form, branches: int):
    program = ours.lower((form, False, True), True, *arrays_of((8, 4))).as_text()
    assert program.count("stablehlo.case") == branches


def test_bfloat16_is_close_to_float32():
    inputs, kernel, bias, weights = arrays_of((5, 4))
    (_, outputs), gradients = ours((Direct(), False, True), True, inputs, kernel, bias, weights)
    half = [array.astype(jnp.bfloat16) for array in (inputs, kernel, bias)]
    (_, coarse), coarse_gradients = ours((Direct(), False, True), True, *half, weights)
    assert coarse.dtype == jnp.bfloat16
    np.testing.assert_allclose(coarse.astype(jnp.float32), outputs, atol=0.05)
    for found, known in zip(coarse_gradients, gradients, strict=True):
        assert found.dtype == jnp.bfloat16
        np.testing.assert_allclose(found.astype(jnp.float32), known, atol=0.05 * float(jnp.abs(known).max()))


def test_minimal_filtering_in_bfloat16_is_refused():
    half = [array.astype(jnp.bfloat16) for array in arrays_of((8, 4))]
    with pytest.raises(TypeError, match="minimal filtering is done in float32, got bfloat16: it amplifies rounding"):
        ours((Winograd(2), False, True), False, *half)


def test_the_form_fits_the_maps():
    def form(spatial=(8, 8), channels=16, batch=6, dtype=jnp.float32, window=3):
        inputs, kernel, _, _ = arrays_of(spatial, channels=channels, batch=batch, window=window)
        return fitting_form(inputs.astype(dtype), kernel)

    assert form() == Winograd(6)
    assert form((32, 32)) == Winograd(2)  # 2,048 places at a time
    assert form((32, 32), batch=5) == Winograd(1)
    assert form((64, 64), batch=2) == Winograd(1)
    for other in ({"spatial": (8, 6)}, {"channels": 8}, {"dtype": jnp.bfloat16}, {"window": 5}, {"spatial": (4, 4, 4)}):
        assert form(**other) == Direct()


def test_clips_on_four_devices_stay_where_they_are():
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=4"
    program = Path(__file__).parents[2] / "conv_lstm_on_devices.py"
    subprocess.run([sys.executable, str(program)], check=True, env={**os.environ, "XLA_FLAGS": flags})


def test_minimal_filtering_is_the_convolution_and_its_adjoint_is_the_adjoint():
    rng = np.random.default_rng(0)
    maps, kernel = rng.normal(size=(2, 8, 12, 5)), rng.normal(size=(3, 3, 5, 7))
    padded = np.pad(maps, [(0, 0), (1, 1), (1, 1), (0, 0)])
    direct = sum(padded[:, r : r + 8, c : c + 12] @ kernel[r, c] for r in range(3) for c in range(3))
    form = Winograd(2)
    tiles = form.enter(jnp.asarray(maps, jnp.float32))
    np.testing.assert_array_equal(form.leave(tiles), maps.astype(np.float32))
    outputs = form.leave(form.forward(tiles, form.prepare(jnp.asarray(kernel, jnp.float32))))
    np.testing.assert_allclose(outputs, direct, atol=2e-5 * np.abs(direct).max())
    points, pulled = winograd.points_seen(tiles), rng.normal(size=(36, 2 * 2 * 3, 5)).astype(np.float32)
    both_ways = (
        (points * pulled).sum(),
        (tiles * winograd.adjoint_of_seen(jnp.asarray(pulled), tiles.shape)).sum(),
    )
    assert float(both_ways[0]) == pytest.approx(float(both_ways[1]), rel=1e-4)
