"""Functions whose programs are kept: the bits of `jax.jit`, and no trace of the model the second time."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxret.models import create_backbone
from jaxret.models.kept_function import KeptFunction, keep_programs_in
from jaxret.models.layers import feature_map as feature_maps
from jaxret.models.layers import feature_map_shape

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)


@pytest.fixture
def folder(tmp_path):
    with keep_programs_in(tmp_path):
        yield tmp_path


def net(seed: int = 0):
    return create_backbone("small-convnet", widths=[2, 3], rngs=nnx.Rngs(seed))


class Traced:
    """The map of a stage, times a number a place or not, and how often it was traced."""

    def __init__(self):
        self.times = 0
        self.kept = KeptFunction(self.map_of, ["stage"])

    def map_of(self, backbone, images, weights, *, stage):
        self.times += 1
        maps = backbone(images).stages[stage]
        return maps if weights is None else maps * weights


def test_what_is_kept_is_run_without_a_trace(folder):
    weights = np.float32(2) * np.ones((2, 8, 8, 1), np.float32)
    calls = [(None, "conv_1"), (None, "conv_2"), (weights, "conv_1")]
    plain = jax.jit(Traced().map_of, static_argnames="stage")
    for process in range(2):
        function = Traced()
        for given, stage in calls:
            expected = plain(net(), IMAGES, given, stage=stage)
            for _ in range(2):
                np.testing.assert_array_equal(function.kept(net(), IMAGES, given, stage=stage), expected)
        assert function.times == (len(calls) if process == 0 else 0)
    assert len(list(folder.iterdir())) == len(calls)
    # Weights are no part of a program.
    np.testing.assert_array_equal(
        function.kept(net(1), IMAGES, None, stage="conv_1"), plain(net(1), IMAGES, None, stage="conv_1")
    )
    assert function.times == 0


def test_each_folder_gets_what_one_process_runs(tmp_path):
    """Else what a command keeps would depend on what ran before it in its process."""
    function = Traced()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        with keep_programs_in(tmp_path / name):
            function.kept(net(), IMAGES, None, stage="conv_1")
    first, second = (sorted(path.name for path in (tmp_path / name).iterdir()) for name in ("a", "b"))
    assert len(first) == 1
    assert first == second


def test_other_modules_are_traced_as_ever(folder):
    training = net()
    training.train()
    foreign = net()
    foreign.more = type("Foreign", (nnx.Module,), {"__module__": "elsewhere"})()
    for module in (training, foreign):
        function = Traced()
        function.kept(module, IMAGES, None, stage="conv_1")
        assert function.times == 1
    function = Traced()
    module = net()
    traced = jax.jit(lambda images: function.kept(module, images, None, stage="conv_1"))(jnp.asarray(IMAGES))
    np.testing.assert_allclose(traced, Traced().kept(net(), IMAGES, None, stage="conv_1"), rtol=1e-6)
    with keep_programs_in(None):
        function = Traced()
        function.kept(net(), IMAGES, None, stage="conv_1")
        assert function.times == 1
    assert len(list(folder.iterdir())) == 1


def test_shapes_of_maps_are_kept(folder, monkeypatch):
    shape = feature_map_shape(net(), "conv_2")
    monkeypatch.setattr(feature_maps, "_traced_shapes", None)
    assert feature_map_shape(net(), "conv_2") == shape
    with pytest.raises(TypeError, match="NoneType"):
        feature_map_shape(net(), "conv_1")
