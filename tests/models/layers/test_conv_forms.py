"""The forms of a convolution against a window-by-window twin, and against each other."""

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
from jaxret.models.layers.cpu import conv2d, depthwise

FEW = settings(max_examples=25, deadline=None)


@st.composite
def convolutions(draw):
    axes = draw(st.sampled_from([1, 2, 2, 3]))
    spatial = draw(st.tuples(*[st.integers(3, 9)] * axes))
    window = draw(st.tuples(*[st.integers(1, 5 - axes // 2)] * axes))
    strides = draw(st.tuples(*[st.integers(1, 3)] * axes))
    pairs = tuple(draw(st.tuples(st.integers(0, 3), st.integers(0, 3))) for _ in range(axes))
    padding = draw(st.sampled_from(["SAME", pairs]))
    fits = all(s + sum(p) >= w for s, p, w in zip(spatial, pairs, window, strict=True))
    return spatial, window, strides, padding if fits else "SAME", draw(st.integers(0, 2**31))


@pytest.fixture(params=[True, False], ids=["cpu-form", "library-form"])
def _form(request, monkeypatch):
    monkeypatch.setattr(conv_forms, "runs_on_cpu", lambda: request.param)


@pytest.mark.usefixtures("_form")
def test_dense_convolution_equals_the_twin():
    @FEW
    @given(case=convolutions(), channels=st.integers(1, 6))
    def check(case, channels):
        spatial, window, strides, padding, seed = case
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(2, *spatial, channels)).astype(np.float32)
        kernel = rng.normal(size=(*window, channels, 3)).astype(np.float32)
        pads = conv_forms.output_padding(padding, spatial, window, strides)
        ours = jax.jit(lambda x, k: conv_forms.convolve(x, k, strides=strides, padding=padding))(x, kernel)
        np.testing.assert_allclose(ours, twin.convolve(x, kernel, strides, pads), atol=1e-4)

    check()


@pytest.mark.usefixtures("_form")
def test_depthwise_convolution_equals_the_twin():
    @FEW
    @given(case=convolutions())
    def check(case):
        spatial, window, strides, padding, seed = case
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(2, *spatial, 5)).astype(np.float32)
        kernel = rng.normal(size=(*window, 5)).astype(np.float32)
        pads = conv_forms.output_padding(padding, spatial, window, strides)
        ours = jax.jit(lambda x, k: conv_forms.depthwise_convolve(x, k, strides=strides, padding=padding))(x, kernel)
        np.testing.assert_allclose(ours, twin.depthwise(x, kernel, strides, pads), atol=1e-4)

    check()


@pytest.mark.parametrize(("window", "channels"), [((5, 5), 500), ((3, 3), 1000), ((7,), 2000), ((2, 3, 3), 401)])
@pytest.mark.parametrize("stride", [1, 2])
def test_channels_of_a_large_kernel_in_blocks_are_those_of_the_twin(window, channels, stride):
    rng = np.random.default_rng(channels)
    kernel = rng.normal(size=(*window, channels)).astype(np.float32)
    blocks = depthwise._blocks(kernel)
    assert len(blocks) > 1
    assert [channel for block in blocks for channel in range(channels)[block]] == list(range(channels))
    assert all(kernel[..., block].nbytes <= depthwise._BYTES_OF_KERNEL for block in blocks)
    x = rng.normal(size=(2, *(6,) * len(window), channels)).astype(np.float32)
    strides = (stride,) * len(window)
    pads = conv_forms.output_padding("SAME", x.shape[1:-1], window, strides)
    ours = jax.jit(lambda x, k: conv_forms.depthwise_convolve(x, k, strides=strides))(x, kernel)
    np.testing.assert_allclose(ours, twin.depthwise(x, kernel, strides, pads), atol=1e-4)
    upstream = rng.normal(size=ours.shape).astype(np.float32)

    def library(x, k):
        return conv_forms._library_convolution(x, k[..., None, :], strides, pads, groups=channels)

    forms = (lambda x, k: conv_forms.depthwise_convolve(x, k, strides=strides)), library
    found, expected = (jax.jit(lambda x, k, form=form: jax.vjp(form, x, k)[1](upstream))(x, kernel) for form in forms)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_small_kernels_stay_whole():
    assert depthwise._blocks(np.zeros((3, 3, 512), np.float32)) == [slice(0, 512)]
    assert depthwise._blocks(np.zeros((5, 5, 240), np.float32)) == [slice(0, 240)]
    assert depthwise._blocks(np.zeros((3, 3, 0), np.float32)) == [slice(0, 0)]


@pytest.mark.parametrize("wide", [1, 2, 3, 4, 5])
def test_pairs_of_columns_give_the_same_sums_for_every_kernel_width_and_padding(wide):
    rng = np.random.default_rng(wide)
    x = rng.normal(size=(2, 3, 8, 3)).astype(np.float32)
    kernel = rng.normal(size=(2, wide, 3, 4)).astype(np.float32)
    for pair in [(0, 0), (0, 1), (1, 0), (1, 1), (2, 1), (3, 2)]:
        pads = ((0, 1), pair)
        ours = jax.jit(lambda x, k, pads=pads: conv_forms._paired_columns_convolution(x, k, (1, 2), pads))(x, kernel)
        np.testing.assert_allclose(ours, twin.convolve(x, kernel, (1, 2), pads), atol=1e-5, err_msg=str(pair))


@given(size=st.integers(1, 40), window=st.integers(1, 7), stride=st.integers(1, 4))
def test_same_padding_is_tensorflows(size, window, stride):
    expected = twin.same(np.empty((1, size, 1)), window, stride)
    assert conv_forms.output_padding("SAME", (size,), (window,), (stride,)) == tuple(expected)


def check_gradients(case, kernel_shape, form, library):
    """Of inputs with three channels and a kernel of that shape, a form's gradients are those of the library's."""
    spatial, window, strides, padding, seed = case
    rng = np.random.default_rng(seed)
    x = jnp.asarray(rng.normal(size=(2, *spatial, 3)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=kernel_shape), jnp.float32)
    pads = conv_forms.output_padding(padding, spatial, window, strides)
    forms = [functools.partial(each, pads=pads) for each in (form, library)]
    upstream = rng.normal(size=jax.eval_shape(forms[1], x, kernel).shape).astype(np.float32)
    pulled_back = [jax.jit(lambda x, k, u, f=f: jax.vjp(f, x, k)[1](u))(x, kernel, upstream) for f in forms]
    for ours, expected in zip(*pulled_back, strict=True):
        np.testing.assert_allclose(ours, expected, atol=1e-3)


@settings(max_examples=8, deadline=None)
@given(case=convolutions())
def test_gradients_of_the_shifted_form_are_those_of_the_library_form(case):
    _, window, strides, _, _ = case

    def library(x, kernel, pads):
        return conv_forms._library_convolution(x, kernel[..., None, :], strides, pads, groups=3)

    def shifted(x, kernel, pads):
        return conv_forms.shifted_convolution(x, kernel, strides, pads)

    check_gradients(case, (*window, 3), shifted, library)


@pytest.mark.parametrize(("channels", "strides"), [(3, (2, 2)), (6, (1, 1)), (6, (2, 1))])
def test_gradients_of_paired_columns_and_narrow_maps_are_those_of_the_library_form(channels, strides, monkeypatch):
    monkeypatch.setattr(conv2d, "_BYTES_OF_WINDOWS", 30_000)  # two of four images at a time, or all
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(4, 8, 8, channels)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(3, 3, channels, 4)), jnp.float32)

    def loss(x, kernel):
        return jnp.sum(jnp.sin(conv_forms.convolve(x, kernel, strides=strides)))

    on_cpu = jax.jit(jax.grad(loss, (0, 1)))(x, kernel)
    monkeypatch.setattr(conv_forms, "runs_on_cpu", lambda: False)
    for ours, expected in zip(on_cpu, jax.jit(jax.grad(loss, (0, 1)))(x, kernel), strict=True):
        np.testing.assert_allclose(ours, expected, atol=1e-4)


@settings(max_examples=8, deadline=None)
@given(case=convolutions())
def test_gradients_of_narrow_maps_are_those_of_the_library_form(case):
    _, window, strides, _, _ = case

    def library(x, kernel, pads):
        return conv_forms._library_convolution(x, kernel, strides, pads)

    def narrow(x, kernel, pads):
        return conv_forms.narrow_convolution(conv_forms._library_convolution, x, kernel, tuple(strides), pads)

    check_gradients(case, (*window, 3, 4), narrow, library)


@pytest.mark.parametrize("shape", [(2, 2, 2, 8), (0, 6, 6, 8)], ids=["smaller than the window", "no image"])
def test_narrow_maps_without_an_output_have_gradients_of_zeros(shape):
    def loss(x, kernel):
        return conv_forms.convolve(x, kernel, strides=(1, 1), padding="VALID").sum()

    of_inputs, of_kernel = jax.grad(loss, (0, 1))(jnp.ones(shape), jnp.ones((3, 3, 8, 4)))
    np.testing.assert_array_equal(of_inputs, np.zeros(shape))
    np.testing.assert_array_equal(of_kernel, np.zeros((3, 3, 8, 4)))


@pytest.mark.usefixtures("_form")
@pytest.mark.parametrize("side", [1, 2, 3, 4])
def test_images_smaller_than_the_window_have_gradients_of_zeros(side):
    images, dense, depthwise = jnp.ones((2, side, side, 8)), jnp.ones((5, 5, 8, 4)), jnp.ones((5, 5, 8))
    for convolve, kernel in ((conv_forms.convolve, dense), (conv_forms.depthwise_convolve, depthwise)):

        def loss(x, kernel, convolve=convolve):
            return convolve(x, kernel, strides=(2, 2), padding="VALID").sum()

        for found, of in zip(jax.grad(loss, (0, 1))(images, kernel), (images, kernel), strict=True):
            np.testing.assert_array_equal(found, np.zeros(of.shape))


@pytest.mark.parametrize("rows", [0, 1, 3, 4, 5, 8, 9])
def test_groups_change_nothing_and_are_no_larger_than_asked(rows):
    seen = []

    def function(x):
        seen.append(x.shape[0])
        return {"sum": x.sum(axis=1), "twice": 2 * x}

    x = np.arange(rows * 3, dtype=np.float32).reshape(rows, 3)
    outputs = conv_forms.map_groups(function, jnp.asarray(x), 4)
    np.testing.assert_array_equal(outputs["sum"], x.sum(axis=1))
    np.testing.assert_array_equal(outputs["twice"], 2 * x)
    assert set(seen) == {{0: 0, 1: 1, 3: 3, 4: 4, 5: 1, 8: 4, 9: 3}[rows]}


@pytest.mark.parametrize("channels", [5, 300])  # without and with a transposed copy
def test_gradients_of_pointwise_convolutions_are_those_of_the_library_form(channels, monkeypatch):
    rng = np.random.default_rng(channels)
    x = jnp.asarray(rng.normal(size=(3, 4, 2, channels)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(1, 1, channels, 7)) / channels**0.5, jnp.float32)

    def loss(x, kernel):
        return jnp.sum(jnp.sin(conv_forms.convolve(x, kernel, strides=(1, 1))))

    def twice(x, kernel):
        return jnp.sum(jnp.cos(jax.grad(loss, 1)(x, kernel)))

    on_cpu = [jax.jit(jax.grad(f, (0, 1)))(x, kernel) for f in (loss, twice)]
    monkeypatch.setattr(conv_forms, "runs_on_cpu", lambda: False)
    expected = [jax.jit(jax.grad(f, (0, 1)))(x, kernel) for f in (loss, twice)]
    for ours, theirs in zip(jax.tree.leaves(on_cpu), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
