"""Images of several sizes in one batch have the maps that each has alone."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxret.models import create_backbone
from jaxret.models.layers.padded import Inside

SMALL = {
    "small-convnet": {"widths": [4, 8, 8]},
    "mobilenet-v1": {"width": 0.125},
    "efficientnet-lite0": {},
    "vgg16": {},
    "resnet50": {},
}
SIZES = [(32, 64), (64, 32)]


@pytest.mark.parametrize(
    "name",
    [
        "small-convnet",
        "mobilenet-v1",
        "efficientnet-lite0",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("vgg16", "resnet50")),
    ],
)
def test_maps_are_those_of_each_image_alone(name: str) -> None:
    backbone = create_backbone(name, **SMALL[name], rngs=nnx.Rngs(0))
    assert backbone.takes_sizes
    rng = np.random.default_rng(0)
    # What stands in the padding must not matter.
    batch = rng.integers(0, 256, (len(SIZES), 64, 64, 3), np.uint8)
    padded = jax.jit(lambda net, images, sizes: net.padded_maps(images, sizes))
    found = padded(backbone, jnp.asarray(batch), jnp.asarray(SIZES))
    alone = jax.jit(lambda net, images: net(images).stages)
    for number, (height, width) in enumerate(SIZES):
        expected = alone(backbone, batch[number : number + 1, :height, :width])
        for stage, maps in found.items():
            rows, columns = expected[stage].shape[1:3]
            own = np.asarray(expected[stage][0])
            scale = np.abs(own).max()
            np.testing.assert_allclose(maps[number, :rows, :columns], own, atol=1e-5 * scale, err_msg=stage)


def test_a_backbone_that_takes_one_size_says_so() -> None:
    backbone = create_backbone("vision-transformer", units=12, heads=3, depth=1, patch_size=8, rngs=nnx.Rngs(0))
    assert not backbone.takes_sizes
    with pytest.raises(NotImplementedError, match="vision-transformer takes images of one size"):
        backbone.padded_maps(jnp.zeros((1, 32, 32, 3), jnp.uint8), jnp.array([[32, 32]]))


def test_inside_follows_the_stride_of_the_map() -> None:
    inside = Inside(jnp.array([[64, 32], [32, 96]]), (64, 96))
    cells = np.asarray(inside.cells(jnp.zeros((2, 4, 6, 1))))[..., 0]
    expected = np.zeros((2, 4, 6), bool)
    expected[0, :, :2] = expected[1, :2] = True
    np.testing.assert_array_equal(cells, expected)


def test_without_the_mask_the_padding_shows() -> None:
    backbone = create_backbone("small-convnet", **SMALL["small-convnet"], rngs=nnx.Rngs(0))
    batch = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), np.uint8)
    alone, naive = backbone(batch[:, :32]).stages["conv_3"], backbone(batch).stages["conv_3"]
    assert float(np.abs(naive[:, :8] - alone).max() / np.abs(alone).max()) > 0.05
