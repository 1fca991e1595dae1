"""Small pictures and films of coloured things on noise, encoders that describe them, and where everything is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from flax import nnx
from PIL import Image

from jaxret.data.decode.write import write_video
from jaxret.models import PooledBackbone, create_backbone
from jaxret.models.descriptors.grid import GridEncoder
from jaxret.models.descriptors.rmac import RegionalEncoder
from jaxret.models.descriptors.visual_words import MapWordEncoder, SiftWordEncoder
from jaxret.preprocessing import Preprocessing
from jaxret.retrieval import RegionSearch, Retriever
from jaxret.retrieval.systems.gallery import RegionRanking
from jaxret.retrieval.systems.two_pass import TwoPassSystem

SIDE = 64
FITTED = Preprocessing(height=SIDE, width=SIDE, resize="fit", frames=3)
# The colours that each thing is made of lie between these two.
THINGS = {
    "flag": ((120, 0, 0), (255, 255, 60)),
    "sea": ((0, 0, 120), (60, 255, 255)),
    "wood": ((0, 60, 0), (120, 255, 60)),
}


def thing(name: str, height: int, width: int) -> np.ndarray:
    """A mosaic of squares of 4 pixels, the same each time, uint8 (height, width, 3)."""
    low, high = THINGS[name]
    rng = np.random.default_rng(list(THINGS).index(name))
    squares = rng.integers(low, high, (-(-height // 4), -(-width // 4), 3))
    return squares.astype(np.uint8).repeat(4, axis=0).repeat(4, axis=1)[:height, :width]


def scene(seed: int, size: tuple[int, int], parts: dict[str, tuple[int, int, int, int]]) -> np.ndarray:
    """Grey noise of (height, width) with things at left, top, right, bottom."""
    rng = np.random.default_rng([seed, 4])
    pixels = np.repeat(rng.integers(90, 150, (*size, 1)), 3, axis=2).astype(np.uint8)
    for name, (left, top, right, bottom) in parts.items():
        pixels[top:bottom, left:right] = thing(name, bottom - top, right - left)
    return pixels


PICTURES: dict[str, tuple[tuple[int, int], dict[str, tuple[int, int, int, int]]]] = {
    "a.png": ((64, 64), {"flag": (8, 8, 32, 32)}),
    "b.png": ((32, 64), {"flag": (36, 4, 60, 28)}),
    "c.png": ((64, 32), {"sea": (4, 24, 28, 48)}),
    "d.png": ((64, 64), {"sea": (36, 4, 60, 28)}),
    "e.png": ((32, 64), {"wood": (8, 4, 32, 28)}),
    "f.png": ((64, 32), {"wood": (4, 8, 28, 32)}),
    "g.png": ((64, 64), {}),
}
"""Size and things of each picture; every thing is in two."""


def make_pictures(folder: Path, names: list[str] | None = None) -> Path:
    """Write them; the folder."""
    folder.mkdir(exist_ok=True)
    for seed, (name, (size, parts)) in enumerate(PICTURES.items()):
        if names is None or name in names:
            Image.fromarray(scene(seed, size, parts)).save(folder / name)
    return folder


def make_film(path: Path, shown: list[str | None], *, seed: int = 0) -> None:
    """A film of 64 x 64 pixels, 10 frames of each thing (or of noise alone), one second each."""
    frames = []
    for number, name in enumerate(shown):
        parts = {} if name is None else {name: (16, 16, 40, 40)}
        frames += [scene(100 * seed + number, (64, 64), parts)] * 10
    write_video(path, np.stack(frames), fps=10, options={"crf": "10"})


def map_encoder(
    n_words: int = 12, *, descriptor_size: int | None = None, preprocessing: Preprocessing = FITTED, seed: int = 0
) -> MapWordEncoder:
    """Not fitted, with random weights."""
    net = create_backbone("small-convnet", widths=[8, 8, 16], rngs=nnx.Rngs(seed))
    net.eval()
    return MapWordEncoder(net, "conv_3", n_words, preprocessing, descriptor_size=descriptor_size)


def region_encoder(*, whitened_size: int | None = None, levels: int = 3, seed: int = 0) -> RegionalEncoder:
    """Not fitted, with random weights."""
    net = create_backbone("small-convnet", widths=[8, 8, 16], rngs=nnx.Rngs(seed))
    net.eval()
    return RegionalEncoder(PooledBackbone(net, "conv_3", whitened_size=whitened_size), FITTED, levels=levels)


def grid_encoder(*, whitened_size: int | None = None, levels: int = 4, seed: int = 0) -> GridEncoder:
    """Not fitted, with random weights."""
    net = create_backbone("small-convnet", widths=[8, 8, 16], rngs=nnx.Rngs(seed))
    net.eval()
    return GridEncoder(net, "conv_3", FITTED, levels=levels, whitened_size=whitened_size)


def sift_encoder(n_words: int = 8) -> SiftWordEncoder:
    """Not fitted."""
    return SiftWordEncoder(n_words, FITTED, max_features=60)


def ranked(retriever: Retriever, image: np.ndarray, size: tuple[int, int], options: RegionSearch) -> RegionRanking:
    """The ranking of the whole index by the region of the options."""
    system = retriever.system
    assert isinstance(system, TwoPassSystem)
    return system.rank(retriever.index, system.region_query(image, size, options), options)
