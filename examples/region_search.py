"""Mark a thing on an image: find the images that show it, each with its box."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import jaxret
from jaxret import Region, RegionSearch

folder = Path(tempfile.mkdtemp())
(folder / "images").mkdir()
rng = np.random.default_rng(0)
colours = [((120, 0, 0), (255, 255, 60)), ((0, 0, 120), (60, 255, 255)), ((0, 60, 0), (120, 255, 60))]
things = [rng.integers(*pair, (12, 12, 3)).astype(np.uint8).repeat(4, axis=0).repeat(4, axis=1) for pair in colours]
for number in range(24):  # each image shows one of three mosaics of 48 x 48 pixels on grey noise
    image = rng.integers(90, 150, (128, 160, 1), np.uint8).repeat(3, axis=2)
    top, left = int(rng.integers(0, 80)), int(rng.integers(0, 112))
    image[top : top + 48, left : left + 48] = things[number % 3]
    Image.fromarray(image).save(folder / "images" / f"{number % 3}-{number:02}.png")
    query = (folder / "images" / f"{number % 3}-{number:02}.png", Region(left, top, 48, 48))

# Whitened patches of a feature map; nothing is trained by gradients. The default is a network with ImageNet weights.
settings = {"backbone": "small-convnet", "weights": "none", "image_size": 160}
run = jaxret.recipes.train("instance-search", data=str(folder / "images"), out=folder / "run", **settings)
path, region = query
print("the thing marked on", path.name)
# All images show their mosaic at one size, so that the region is looked for at its own alone.
hits = run.retriever.search(path, k=6, options=RegionSearch(region, candidates=12, scales=1))
for hit in hits:
    print(f"  {hit.distance:6.3f}  {hit.item.key}  box {tuple(round(side) for side in hit.box)}")
shown = sum(hit.item.key.startswith(path.name[0]) for hit in hits)
print(f"{shown} of {len(hits)} results show it")
