"""Ten thousand shots without films: photographs that a camera moves over, and short clips.

A scene is a photograph of Corel-5k or a clip of JHMDB. Of every photograph two shots are made, as news do that show one
picture twice: a window of 65 to 95 % of its sides wanders and zooms, 3 to 6 samples long. A clip is one shot of 10
samples, what 3 a second take of it in films of 10 frames a second (`films.py`). Everything follows from the number of
the shot, so that vectors are the same for every deal of scenes to films, and are made once.

Two groups of scenes in five have screen photos (`jaxret.data.sampling.screen_photos`) of moments between the samples;
they train, validate and query. The others are there to be told apart from them. One group in ten is in the training
part of every deal: the whitening is fitted on it, as the paper fits its own on one film of the training collection.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from PIL import Image
from tqdm import tqdm

from jaxret.data.dataset import MediaDataset
from jaxret.data.sampling.screen_photos import photograph
from jaxret.data.sampling.transforms import centre_geometry, resize_frame
from jaxret.files import write_atomically
from jaxret.models import PooledBackbone
from jaxret.preprocessing import Preprocessing

__all__ = ["Collection", "ShotVectors", "shot_vectors"]

TAKES = 2  # shots of a photograph
TRAINING_PHOTOS = 2  # screen photos of a shot that trainings see; one more is a query
_CLIP_SAMPLES = 10
_SHOTS_A_PIECE = 512
_BATCH = 64

Pixels = npt.NDArray[np.uint8]


@dataclasses.dataclass(frozen=True)
class Collection:
    """Scenes and the shots that are made of them.

    Attributes:
      photographs: of which moving pictures are made.
      clips: short videos.
      seed: of windows and screen photos.
    """

    photographs: MediaDataset
    clips: MediaDataset
    seed: int = 0

    @cached_property
    def scenes(self) -> npt.NDArray[np.int64]:
        """The scene of each shot, (N,): photographs first, then clips."""
        photographs = np.repeat(np.arange(len(self.photographs)), TAKES)
        return np.concatenate([photographs, len(self.photographs) + np.arange(len(self.clips))])

    @cached_property
    def groups(self) -> list[str]:
        """Of each scene what it must not be parted from: clips of one source look alike."""
        alone = [f"photograph {item.key}" for item in self.photographs.items]
        return alone + [f"clip {item.source}" for item in self.clips.items]

    @cached_property
    def group_numbers(self) -> npt.NDArray[np.int64]:
        """The group of each scene, (scenes,), from 0 in the order of their first scenes."""
        numbers: dict[str, int] = {}
        return np.array([numbers.setdefault(name, len(numbers)) for name in self.groups])

    @property
    def for_whitening(self) -> npt.NDArray[np.bool_]:
        """Which scenes are in the training part of every deal, (scenes,)."""
        return self.group_numbers % 10 == 0

    @property
    def with_photos(self) -> npt.NDArray[np.bool_]:
        """Of which scenes there are screen photos, (scenes,)."""
        return self.group_numbers % 5 < 2

    def __len__(self) -> int:
        return len(self.scenes)

    def shot(self, number: int) -> tuple[Pixels, Pixels]:
        """A shot and screen photos of it.

        Returns:
          uint8 (T, H, W, 3), the samples; and of a scene with photos (TRAINING_PHOTOS + 1, H, W, 3), of moments
          between them, else (0, H, W, 3).
        """
        scene = int(self.scenes[number])
        rng = np.random.default_rng([self.seed, number, 41])
        if scene < len(self.photographs):
            with self.photographs.open(scene) as reader:
                moved = moving_picture(reader.read()[0], int(rng.integers(3, 7)), rng)
        else:
            with self.clips.open(scene - len(self.photographs)) as reader:
                moved = reader.read()
                # Samples stand at even places, moments between them at odd ones.
                moved = moved[np.linspace(0, len(moved) - 1, 2 * _CLIP_SAMPLES - 1).round().astype(int)]
        if not self.with_photos[scene]:
            return moved[::2], moved[:0]
        between = rng.choice(np.arange(1, len(moved), 2), TRAINING_PHOTOS + 1)
        return moved[::2], np.stack([photograph(moved[place], rng) for place in between])


def moving_picture(image: Pixels, samples: int, rng: np.random.Generator) -> Pixels:
    """A window that wanders over an image and zooms: uint8 (2 samples - 1, H, W, 3), steady in time."""
    height, width = image.shape[:2]
    sizes = rng.uniform(0.65, 0.95, 2)
    corners = rng.uniform(0, 1, (2, 2)) * (1 - sizes[:, None])  # left and top, in parts of the sides
    picture, frames = Image.fromarray(image), []
    for at in np.linspace(0, 1, 2 * samples - 1):
        size, (left, top) = sizes[0] + at * (sizes[1] - sizes[0]), corners[0] + at * (corners[1] - corners[0])
        box = (left * width, top * height, min(left + size, 1) * width, min(top + size, 1) * height)
        frames.append(np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC, box=box)))
    return np.stack(frames)


@dataclasses.dataclass(frozen=True)
class ShotVectors:
    """Vectors of all shots of a collection.

    Attributes:
      frames: a float32 (T_i, D) array a shot.
      photos: float32 (N, TRAINING_PHOTOS + 1, D), of screen photos, the last one the query; zeros where there are none.
      plain_frames, plain_photos: the same, of the map averaged over its places.
    """

    frames: Sequence[npt.NDArray[np.float32]]
    photos: npt.NDArray[np.float32]
    plain_frames: Sequence[npt.NDArray[np.float32]]
    plain_photos: npt.NDArray[np.float32]


def whitening_frames(collection: Collection) -> Iterator[Pixels]:
    """The first and the last sample of each shot that the whitening is fitted on."""
    for number in np.flatnonzero(collection.for_whitening[collection.scenes]).tolist():
        yield resized(collection.shot(number)[0][[0, -1]])


def shot_vectors(collection: Collection, backbone: PooledBackbone, folder: Path) -> ShotVectors:
    """The vectors of all shots, made piece by piece under `folder`; pieces that are there are read.

    Args:
      collection: shots.
      backbone: its whitening is fitted.
      folder: of this collection and backbone alone.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pieces = []
    for first in tqdm(range(0, len(collection), _SHOTS_A_PIECE), desc=folder.name):
        path = folder / f"{first:06}.npz"
        if not path.exists():
            made = _piece(collection, backbone, range(first, min(first + _SHOTS_A_PIECE, len(collection))))
            with write_atomically(path) as partial, partial.open("wb") as file:
                np.savez(file, **made)
        with np.load(path, allow_pickle=False) as stored:
            pieces.append(dict(stored))
    joined = {name: np.concatenate([piece[name] for piece in pieces]).astype(np.float32) for name in pieces[0]}
    lengths = joined["lengths"].astype(np.int64)
    with_photos = collection.with_photos[collection.scenes]
    photos = []
    for name in ("photos", "plain_photos"):
        placed = np.zeros((len(collection), TRAINING_PHOTOS + 1, joined[name].shape[1]), np.float32)
        placed[with_photos] = joined[name].reshape(-1, TRAINING_PHOTOS + 1, placed.shape[2])
        photos.append(placed)
    frames, plain = (np.split(joined[name], np.cumsum(lengths)[:-1]) for name in ("frames", "plain_frames"))
    return ShotVectors(frames, photos[0], plain, photos[1])


def _piece(collection: Collection, backbone: PooledBackbone, numbers: Sequence[int]) -> dict[str, npt.NDArray]:
    """Of some shots: numbers of samples, and the vectors of all samples and photos."""
    shots = [collection.shot(number) for number in numbers]
    lengths = np.array([len(samples) for samples, _ in shots])
    images = [image for samples, _ in shots for image in resized(samples)]
    images += [image for _, photos in shots if len(photos) for image in resized(photos)]
    vectors, plain = encoded(backbone, images)
    of_frames = int(lengths.sum())
    return {
        "lengths": lengths,
        "frames": vectors[:of_frames],
        "photos": vectors[of_frames:],
        "plain_frames": plain[:of_frames].astype(np.float16),
        "plain_photos": plain[of_frames:].astype(np.float16),
    }


def resized(frames: Pixels) -> Pixels:
    """Frames in the size that an encoder of shots sees."""
    settings = Preprocessing(height=1024, width=1024, resize="limit")
    geometry = centre_geometry(frames.shape[1], frames.shape[2], settings)
    return np.stack([resize_frame(frame, geometry) for frame in frames])


def encoded(backbone: PooledBackbone, images: Sequence[Pixels]) -> tuple[npt.NDArray[np.float32], ...]:
    """Vectors (N, D), and the averaged map (N, C), of images of several sizes."""
    found: dict[int, tuple[npt.NDArray[np.float32], ...]] = {}
    sizes = np.array([image.shape[:2] for image in images])
    for size in np.unique(sizes, axis=0):
        own = np.flatnonzero((sizes == size).all(axis=1))
        for start in range(0, len(own), _BATCH):
            chosen = own[start : start + _BATCH]
            batch = np.zeros((_BATCH, *images[chosen[0]].shape), np.uint8)
            batch[: len(chosen)] = [images[place] for place in chosen]
            vectors, plain = (np.asarray(part) for part in _encode(backbone, jnp.asarray(batch)))
            found |= {int(place): (vectors[row], plain[row]) for row, place in enumerate(chosen)}
    return tuple(np.stack([found[place][part] for place in range(len(images))]) for part in (0, 1))


@jax.jit
def _encode(backbone: PooledBackbone, images: jax.Array) -> tuple[jax.Array, jax.Array]:
    encoding = backbone(images)
    return encoding.embedding, encoding.stages[backbone.stage].mean(axis=(1, 2))
