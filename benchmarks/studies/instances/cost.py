"""What an image costs by different networks: processor time, and bytes in an index."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from jaxret.recipes.instances import recipe as instance_search
from jaxret.retrieval import single_file
from jaxret.retrieval.systems.base import system_of

__all__ = ["cost_rows"]


def cost_rows(paths: Sequence[Path], *, weights: str, side: int) -> Iterator[tuple[str, dict[str, float]]]:
    """The cost of an image by MobileNet V1 and by VGG16, and the figures of each.

    Args:
      paths: images of one size.
      weights: of MobileNet V1; VGG16 has random ones.
      side: longer side of an image as it is seen.
    """
    networks = ("MobileNet V1", "mobilenet-v1", weights), ("VGG16, random weights", "vgg16", "none")
    for name, backbone, file in networks:
        config = instance_search.InstanceSearchConfig(
            features="blcf", backbone=backbone, weights=file, words=200, image_size=side
        )
        encoder = instance_search.make_encoder(config)
        system = system_of(encoder)
        images = np.stack([system.image(single_file(path))[0] for path in paths])
        system.encode_frames(images)  # compiles
        start = time.process_time()
        system.encode_frames(images)
        spent = (time.process_time() - start) / len(images)
        kept = sum(space.row_length * np.dtype(space.dtype).itemsize for space in system.spaces())
        yield name, {"processor ms an image": spent * 1000, "kB an image": kept / 1000}
