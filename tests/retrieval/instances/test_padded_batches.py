"""Images of many sizes in few shapes: what is kept of each is what it gives alone, for every system."""

from __future__ import annotations

import numpy as np
import pytest
from instance_making import FITTED, grid_encoder, map_encoder, region_encoder, scene

from jaxret.preprocessing import Preprocessing
from jaxret.retrieval.encode import canvas_for
from jaxret.retrieval.systems.base import system_of

SIZES = [(64, 64), (32, 64), (64, 32), (32, 32)]


@pytest.mark.parametrize("make", [map_encoder, grid_encoder, region_encoder, lambda: region_encoder(whitened_size=6)])
def test_a_padded_image_is_described_as_alone(make) -> None:
    system = system_of(make())
    images = [scene(seed, size, {"flag": (4, 4, 28, 28)}) for seed, size in enumerate(SIZES)]
    batch = np.full((len(images), 64, 64, 3), 77, np.uint8)
    for number, image in enumerate(images):
        batch[number, : image.shape[0], : image.shape[1]] = image
    together = system.describe(batch, np.array(SIZES, np.int32))
    for image, found in zip(images, together, strict=True):
        (alone,) = system.describe(image[None])
        assert found.size == alone.size == image.shape[:2]
        np.testing.assert_allclose(found.local, alone.local, atol=1e-5)
        np.testing.assert_allclose(system.described(image).local, alone.local, atol=1e-5)


def test_every_size_has_a_canvas_and_there_are_few() -> None:
    """The slow twin: of all canvases that hold the image the smallest."""
    for preprocessing in (
        FITTED,
        Preprocessing(height=512, width=512, resize="fit"),
        Preprocessing(height=336, width=504, resize="limit", side_step=28),
    ):
        canvas, step = canvas_for(preprocessing), preprocessing.side_step
        sides = [range(step, limit + 1, step) for limit in (preprocessing.height, preprocessing.width)]
        found = {(height, width): canvas(height, width) for height in sides[0] for width in sides[1]}
        for (height, width), (down, across) in found.items():
            assert down >= height
            assert across >= width
            assert down % step == across % step == 0
            assert (down, across) == (
                min(d for d, _ in found.values() if d >= height),
                min(a for _, a in found.values() if a >= width),
            )
        assert len({down for down, _ in found.values()}) <= 5
        assert len({across for _, across in found.values()}) <= 5
