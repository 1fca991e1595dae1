"""What detectors of regions share: what search keeps of images, vectors of boxes that somebody drew, and detections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import ArrayLike

from jaxret.errors import ConfigError
from jaxret.models.base import Backbone
from jaxret.models.descriptors.rmac import Regions
from jaxret.models.detection.head import Detections, best_detections
from jaxret.models.detection.proposals import Proposals
from jaxret.models.detection.settings import DetectorSettings, window_shares
from jaxret.models.layers.l2_norm import l2_normalise
from jaxret.preprocessing import Preprocessing

__all__ = ["RegionDetector", "check_classes", "max_pooled"]


def check_classes(classes: Sequence[str]) -> None:
    """ConfigError unless these are one or more different names."""
    if not classes or len(set(classes)) < len(classes):
        raise ConfigError(f"classes must be one or more different names, got {list(classes)!r}")


class RegionDetector(nnx.Module):
    """Base of the detectors. Images have any size whose sides are multiples of the backbone's `side_step`; each size is
    compiled once.

    Attributes:
      backbone: of frames.
      classes: names of what is detected, without the background.
      preprocessing: how images are scaled.
      settings: anchors, proposals and sizes of layers.
      vector_size: C, numbers of a vector.
    """

    backbone: Backbone
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    settings: DetectorSettings
    vector_size: int

    # ---- parts, for use inside a jitted function; `maps` is whatever `maps_of` gives

    def maps_of(self, images: jax.Array, sizes: jax.Array) -> Any:
        """What all the rest reads of images (B, H, W, 3) of sizes (B, 2) within the batch."""
        raise NotImplementedError

    def proposals_of(self, maps: Any, sizes: jax.Array) -> Proposals:
        """The regions of each image that most likely hold an object."""
        raise NotImplementedError

    def classify(self, maps: Any, boxes: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Scores and boxes of regions (B, R, 4) by the head: logits (B, R, 1 + K) and offsets (B, R, K, 4)."""
        raise NotImplementedError

    def image_vectors(self, maps: Any, sizes: jax.Array) -> jax.Array:
        """The vector of each whole image, (B, C) of length 1."""
        raise NotImplementedError

    def vectors_of(self, maps: Any, boxes: jax.Array) -> jax.Array:
        """The vectors of boxes (B, R, 4), (B, R, C) of length 1."""
        raise NotImplementedError

    # ---- whole, jitted

    def regions(self, images: ArrayLike, sizes: ArrayLike | None = None) -> Regions:
        """What instance search keeps of images (B, H, W, 3), uint8 or 0..255; jitted.

        Args:
          images: as above.
          sizes: (B, 2), see `detect`.
        """
        return _regions(self, *_batch(images, sizes))

    def region_vectors(self, images: ArrayLike, boxes: ArrayLike, sizes: ArrayLike | None = None) -> jax.Array:
        """Vectors of boxes that somebody chose, such as one drawn around a query's object; jitted.

        Args:
          images: (B, H, W, 3), uint8 or 0..255.
          boxes: (B, R, 4) left, top, right, bottom in pixels of these images.
          sizes: (B, 2), see `detect`.

        Returns:
          (B, R, C) float32 of length 1, comparable with `Regions.vectors`.

        Raises:
          ValueError: the shapes do not fit.
        """
        batch, regions = jnp.asarray(images), jnp.asarray(boxes, jnp.float32)
        if regions.ndim != 3 or regions.shape[-1] != 4 or len(regions) != len(batch):
            raise ValueError(f"boxes must be (B, R, 4) for {len(batch)} images, got {regions.shape}")
        return _region_vectors(self, *_batch(images, sizes), regions)

    def detect(
        self,
        images: ArrayLike,
        sizes: ArrayLike | None = None,
        *,
        count: int = 50,
        threshold: float = 0.5,
        least_score: float = 0.05,
    ) -> tuple[Detections, Proposals]:
        """Objects in images, and the proposals that were looked at; jitted.

        Args:
          images: (B, H, W, 3), uint8 or 0..255.
          sizes: (B, 2), height and width of the image in the upper left corner of each, where the rest is padding;
            None: there is none.
          count: D, detections of an image.
          threshold: IoU above which a box is suppressed by a better one of its class.
          least_score: probability below which nothing is detected.

        Raises:
          ValueError: a side is no multiple of the backbone's step.
        """
        return _detect(self, *_batch(images, sizes), count, threshold, least_score)

    def check_images(self, images: jax.Array) -> None:
        """ValueError where images are no batch whose sides are multiples of the backbone's step."""
        step = self.backbone.side_step
        if images.ndim != 4 or images.shape[1] % step or images.shape[2] % step:
            raise ValueError(f"images must have shape (B, H, W, C), H and W multiples of {step}, got {images.shape}")


def _batch(images: ArrayLike, sizes: ArrayLike | None) -> tuple[jax.Array, jax.Array]:
    """The images, and the size of each."""
    batch = jnp.asarray(images)
    full = jnp.broadcast_to(jnp.array(batch.shape[1:3], jnp.int32), (len(batch), 2))
    return batch, full if sizes is None else jnp.asarray(sizes, jnp.int32)


# A module is a pytree, and these change nothing in it: `jax.jit` dispatches in a fraction of `nnx.jit`'s time.
@jax.jit
def _regions(model: RegionDetector, images: jax.Array, sizes: jax.Array) -> Regions:
    maps = model.maps_of(images, sizes)
    own = model.image_vectors(maps, sizes)
    if model.settings.windows:
        # Slid over the images in place of proposals, as A. Shrimal et al. re-rank; all count alike.
        sides = jnp.tile(sizes[:, ::-1], 2).astype(jnp.float32)  # (B, 4)
        boxes = sides[:, None] * jnp.array(window_shares(), jnp.float32)[None]
        ones = jnp.ones(boxes.shape[:2], jnp.float32)
        return Regions(own, boxes, ones, model.vectors_of(maps, boxes), ones > 0)
    found = model.proposals_of(maps, sizes)
    vectors = jnp.where(found.valid[..., None], model.vectors_of(maps, found.boxes), 0)
    return Regions(own, found.boxes, jax.nn.sigmoid(found.logits), vectors, found.valid)  # of -inf 0


@jax.jit
def _region_vectors(model: RegionDetector, images: jax.Array, sizes: jax.Array, boxes: jax.Array) -> jax.Array:
    return model.vectors_of(model.maps_of(images, sizes), boxes)


def _detect_jitted(
    model: RegionDetector, images: jax.Array, sizes: jax.Array, count: int, threshold: float, least_score: float
) -> tuple[Detections, Proposals]:
    maps = model.maps_of(images, sizes)
    proposals = model.proposals_of(maps, sizes)
    logits, offsets = model.classify(maps, proposals.boxes)

    def of_one(*arrays: jax.Array) -> Detections:
        return best_detections(*arrays, count=count, threshold=threshold, least_score=least_score)

    return jax.vmap(of_one)(logits, offsets, proposals.boxes, proposals.valid, sizes), proposals


_detect = jax.jit(_detect_jitted, static_argnums=(3, 4, 5))


def max_pooled(pooled: jax.Array) -> jax.Array:
    """Pooled regions (B, R, rows, columns, C) to vectors (B, R, C) of length 1, float32."""
    return l2_normalise(pooled.max(axis=(2, 3)))
