"""Convolutions over three axes and more: the sum over offsets against window-by-window sums and XLA's gradients."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import image_networks as twin

from jaxret.models.layers import dispatch as conv_forms
from jaxret.models.layers.cpu import conv3d


@pytest.fixture(params=[0, 100], ids=["sum", "joined"])
def _channels_to_join(request, monkeypatch):
    """Both forms of the sum, whatever the channels."""
    monkeypatch.setattr(conv3d, "_CHANNELS_TO_JOIN", request.param)


@st.composite
def convolutions(draw, axes=3):
    spatial = draw(st.tuples(*[st.integers(1, 6)] * axes))
    window = draw(st.tuples(*[st.integers(1, 4)] * axes))
    strides = draw(st.tuples(*[st.integers(1, 3)] * axes))
    pairs = tuple(draw(st.tuples(st.integers(0, 4), st.integers(0, 4))) for _ in range(axes))
    fits = all(s + sum(p) >= w for s, p, w in zip(spatial, pairs, window, strict=True))
    return spatial, window, strides, draw(st.sampled_from(["SAME", pairs])) if fits else "SAME"


def operands(spatial, window, *, batch=2, channels=3, out_channels=4):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, *spatial, channels)).astype(np.float32)
    kernel = rng.normal(size=(*window, channels, out_channels)).astype(np.float32)
    return jnp.asarray(x), jnp.asarray(kernel)


@pytest.mark.usefixtures("_channels_to_join")
@pytest.mark.parametrize(("axes", "examples"), [(3, 12), (4, 4)])
def test_outputs_equal_the_twin(axes, examples, monkeypatch):
    monkeypatch.setattr(conv_forms, "runs_on_cpu", lambda: True)

    @settings(max_examples=examples, deadline=None)
    @given(case=convolutions(axes))
    def check(case):
        spatial, window, strides, padding = case
        x, kernel = operands(spatial, window)
        pads = conv_forms.output_padding(padding, spatial, window, strides)
        ours = jax.jit(lambda x, k: conv_forms.convolve(x, k, strides=strides, padding=padding))(x, kernel)
        np.testing.assert_allclose(ours, twin.convolve(x, kernel, strides, pads), atol=1e-4)

    check()


def test_four_axes_off_the_cpu_are_sums_of_the_library_form(monkeypatch):
    monkeypatch.setattr(conv_forms, "runs_on_cpu", lambda: False)
    x, kernel = operands((4, 5, 3, 6), (3, 2, 3, 3))
    ours = conv_forms.convolve(x, kernel, strides=(2, 1, 1, 1))
    pads = conv_forms.output_padding("SAME", (4, 5, 3, 6), (3, 2, 3, 3), (2, 1, 1, 1))
    np.testing.assert_allclose(ours, twin.convolve(x, kernel, (2, 1, 1, 1), pads), atol=1e-4)


CASES = {
    "C3D": ((4, 6, 5), (3, 3, 3), (1, 1, 1), "SAME"),
    "strides": ((5, 7, 6), (3, 2, 3), (2, 3, 2), "SAME"),
    "longer steps than the window": ((7, 4, 4), (2, 3, 3), (3, 1, 1), "VALID"),
    "one frame": ((1, 4, 4), (3, 3, 3), (1, 1, 1), "SAME"),
    "wide and unequal zeros": ((3, 4, 5), (2, 3, 1), (1, 1, 2), ((3, 4), (0, 2), (1, 0))),
    "all frames unseen by one offset": ((2, 3, 3), (4, 1, 1), (4, 1, 1), ((3, 0), (0, 0), (0, 0))),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize(
    ("channels_to_join", "bytes_of_windows"), [(0, 1), (100, 2**30)], ids=["sum, frame by frame", "joined, at once"]
)
def test_gradients_are_those_of_the_library_form(case, channels_to_join, bytes_of_windows, monkeypatch):
    monkeypatch.setattr(conv3d, "_CHANNELS_TO_JOIN", channels_to_join)
    monkeypatch.setattr(conv_forms, "runs_on_cpu", lambda: True)
    monkeypatch.setattr(conv3d, "_BYTES_OF_WINDOWS", bytes_of_windows)
    spatial, window, strides, padding = case
    x, kernel = operands(spatial, window)
    pads = conv_forms.output_padding(padding, spatial, window, strides)
    upstream = twin.convolve(x, kernel, strides, pads).astype(np.float32)

    def library(x, kernel):
        return conv_forms._library_convolution(x, kernel, strides, pads)

    def ours(x, kernel):
        return conv_forms.convolve(x, kernel, strides=strides, padding=padding)

    @functools.partial(jax.jit, static_argnums=0)
    def gradients(function, x, kernel):
        return jax.vjp(function, x, kernel)[1](upstream)

    for gradient, expected in zip(gradients(ours, x, kernel), gradients(library, x, kernel), strict=True):
        np.testing.assert_allclose(gradient, expected, atol=1e-5 * np.abs(expected).max())


def test_gradient_over_four_axes_is_that_of_differences():
    x, kernel = operands((2, 3, 3, 2), (2, 2, 2, 2), batch=1, channels=2, out_channels=2)

    @jax.jit
    def loss(kernel):
        return jnp.sum(conv_forms.convolve(x, kernel, strides=(1, 1, 1, 1)) ** 2)

    direction = jnp.asarray(np.random.default_rng(2).normal(size=kernel.shape), jnp.float32)
    step = 1e-2
    differences = (loss(kernel + step * direction) - loss(kernel - step * direction)) / (2 * step)
    np.testing.assert_allclose(jnp.vdot(jax.grad(loss)(kernel), direction), differences, rtol=1e-3)


@pytest.mark.parametrize(
    ("clips", "frames", "most", "block"),
    [(4, 16, 1, (1, 1)), (4, 16, 15, (1, 8)), (4, 16, 16, (1, 16)), (6, 2, 9, (3, 2)), (1, 7, 6, (1, 1))],
)
def test_blocks_divide_the_batch_and_are_no_larger_than_asked(clips, frames, most, block):
    assert conv3d.block_of_frames(clips, frames, most) == block


def test_bfloat16_keeps_its_type_and_its_precision():
    x, kernel = operands((4, 6, 6), (3, 3, 3), channels=40)
    half = x.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16)
    ours = jax.jit(lambda x, k: conv_forms.convolve(x, k, strides=(1, 1, 1)))(*half)
    assert ours.dtype == jnp.bfloat16
    expected = twin.convolve(x, kernel, (1, 1, 1), [(1, 1)] * 3)
    np.testing.assert_allclose(ours, expected, atol=0.02 * np.abs(expected).max())


@pytest.mark.parametrize("channels", [3, 64])
def test_the_cpu_has_convolutions_over_two_axes_only_and_other_platforms_one_over_three(channels, monkeypatch):
    x, kernel = operands((4, 6, 6), (3, 3, 3), channels=channels)

    def ranks_of_convolutions():
        made = jax.make_jaxpr(lambda x, k: conv_forms.convolve(x, k, strides=(1, 1, 1)))(x, kernel)
        return list(_ranks(made.jaxpr))

    monkeypatch.setattr(conv_forms, "runs_on_cpu", lambda: True)
    assert ranks_of_convolutions() == [2] * (1 if channels == 3 else 3)
    monkeypatch.setattr(conv_forms, "runs_on_cpu", lambda: False)
    assert ranks_of_convolutions() == [3]


def _ranks(jaxpr):
    """Spatial axes of every convolution in a program."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "conv_general_dilated":
            yield equation.invars[0].aval.ndim - 2
        for value in equation.params.values():
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                yield from _ranks(inner)
