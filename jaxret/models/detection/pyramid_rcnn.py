"""Faster R-CNN on a feature pyramid (Lin et al. 2017, arXiv:1612.03144), in the form of torchvision's detectors."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
from flax import nnx

from jaxret.errors import ConfigError
from jaxret.models.base import Backbone
from jaxret.models.detection.boxes import corner_anchors
from jaxret.models.detection.head import RegionHead
from jaxret.models.detection.proposals import Proposals, RegionProposalNetwork, best_of_levels
from jaxret.models.detection.pyramid import FeaturePyramid, pooled_from_levels
from jaxret.models.detection.region_detector import RegionDetector, check_classes, max_pooled
from jaxret.models.detection.settings import DetectorSettings
from jaxret.models.layers.feature_map import strides_and_channels
from jaxret.models.layers.padded import Inside
from jaxret.models.on_backbone import config_on_backbone, parts_on_backbone
from jaxret.models.origin import WeightsOrigin
from jaxret.models.registry import register_encoder
from jaxret.preprocessing import Preprocessing

__all__ = ["PyramidMaps", "PyramidRCNN"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class PyramidMaps:
    """What a detector reads of a batch; a JAX pytree.

    Attributes:
      levels: maps (B, H, W, C) of the pyramid, finest first, the last of which proposes alone.
      sizes: (B, 2), of each image within the batch.
      canvas: height and width of the batch in pixels.
    """

    levels: tuple[jax.Array, ...]
    sizes: jax.Array
    canvas: tuple[int, int] = dataclasses.field(metadata={"static": True})

    @property
    def inside(self) -> Inside:
        """Where the images are."""
        return Inside(self.sizes, self.canvas)


@register_encoder
class PyramidRCNN(RegionDetector):
    """A region proposal network and a head of detection on a pyramid of a frame backbone's maps; see `RegionDetector`.

    Images of several sizes may share a batch, padded: each gives what it gives alone, up to rounding. Anchors are those
    of torchvision: one size a map, about the corners of cells, whose distance is the batch's side divided by the map's.

    A box's vector is the largest of its 7 x 7 parts, channel by channel, of the map that the head reads; that of an
    image is the vector of the whole image as a box.

    Args:
      backbone: of frames.
      stages: names of its maps, finest first, each half as fine as the one before.
      classes: names of the classes that are detected, without the background.
      preprocessing: how images are scaled.
      settings: with one anchor size for each map, and one for the coarsest once more.
      origin: of the weights, where it is known.
      rngs: source of the initial weights.

    Raises:
      ConfigError: the stages are unknown or do not halve, the backbone's images may not be padded, there is no class or
        one twice, or the settings do not fit.
    """

    kind: ClassVar[str] = "faster-rcnn-pyramid"

    def __init__(
        self,
        backbone: Backbone,
        stages: Sequence[str],
        classes: Sequence[str],
        preprocessing: Preprocessing,
        settings: DetectorSettings,
        *,
        origin: WeightsOrigin | None = None,
        rngs: nnx.Rngs,
    ):
        if not backbone.takes_sizes:
            raise ConfigError(f"{backbone.name} takes images of one size in a batch, and a pyramid's are padded")
        strides, sizes = zip(*strides_and_channels(backbone, stages), strict=True)
        if any(2 * fine != coarse for fine, coarse in itertools.pairwise(strides)):
            raise ConfigError(f"the maps of a pyramid must halve from one to the next, got strides {strides!r}")
        check_classes(classes)
        if len(settings.anchor_sizes) != len(stages) + 1:
            raise ConfigError(
                f"anchor_sizes must be one for each of {len(stages)} maps and one more, got {settings.anchor_sizes!r}"
            )
        self.backbone, self.origin = backbone, origin
        self.stages, self.strides = tuple(stages), strides
        self.classes = tuple(classes)
        self.preprocessing, self.settings = preprocessing, settings
        self.vector_size = channels = settings.proposer_channels
        dtype = backbone.dtype
        self.pyramid = FeaturePyramid(sizes, channels, dtype=dtype, rngs=rngs)
        self.proposer = RegionProposalNetwork(channels, channels, len(settings.anchor_aspects), dtype=dtype, rngs=rngs)
        pooled = settings.region_grid**2 * channels
        self.head = RegionHead(pooled, settings.head_units, len(classes), dtype=dtype, rngs=rngs)

    @property
    def summary(self) -> str:
        """One line for people."""
        size, number = self.preprocessing, len(self.classes)
        return (
            f"Faster R-CNN on a pyramid of {self.backbone.summary}, images of at most {size.height} x {size.width} "
            f"pixels, {number} class{'' if number == 1 else 'es'}"
        )

    @property
    def config(self) -> dict[str, Any]:
        """JSON-able settings; `create_encoder(config)` makes a model of the same shape."""
        own = {"stages": list(self.stages), "classes": list(self.classes), "settings": self.settings.to_json()}
        return config_on_backbone(self, **own)

    @classmethod
    def from_config(cls, config: Mapping[str, Any], rngs: nnx.Rngs) -> Self:
        """A model of the shape that `config` describes, with random weights."""
        return cls(
            **parts_on_backbone(config, rngs),
            stages=config["stages"],
            classes=config["classes"],
            settings=DetectorSettings.from_json(config["settings"]),
            rngs=rngs,
        )

    # ---- see `RegionDetector`

    def maps_of(self, images: jax.Array, sizes: jax.Array) -> PyramidMaps:
        """The pyramid.

        Raises:
          ValueError: a side is no multiple of the backbone's step.
        """
        self.check_images(images)
        maps = self.backbone.padded_maps(images, sizes)
        canvas = images.shape[1], images.shape[2]
        levels = self.pyramid([maps[stage] for stage in self.stages], Inside(sizes, canvas))
        return PyramidMaps(levels, sizes, canvas)

    def propose(self, maps: PyramidMaps) -> list[tuple[jax.Array, jax.Array, jax.Array]]:
        """Of each map logits (B, N) and offsets (B, N, 4) of anchors (N, 4); no padding is likely an object."""
        settings, found = self.settings, []
        for level, size in zip(maps.levels, settings.anchor_sizes, strict=True):
            rows, columns = level.shape[1:3]
            strides = maps.canvas[0] // rows, maps.canvas[1] // columns
            anchors = corner_anchors((rows, columns), strides, size, settings.anchor_aspects)
            logits, offsets = self.proposer(level, maps.inside)
            there = jnp.repeat(maps.inside.cells(level).reshape(len(level), -1), len(settings.anchor_aspects), axis=1)
            found.append((jnp.where(there, logits, -jnp.inf), offsets, anchors))
        return found

    def proposals_of(self, maps: PyramidMaps, sizes: jax.Array) -> Proposals:
        """See `RegionDetector.proposals_of`."""
        settings, levels = self.settings, self.propose(maps)
        anchors = [of_level for _, _, of_level in levels]

        def of_one(found: list[tuple[jax.Array, jax.Array]], size: jax.Array) -> Proposals:
            return best_of_levels(
                [(*level, of_level) for level, of_level in zip(found, anchors, strict=True)],
                size,
                count=settings.proposals,
                before=settings.proposals_before,
                threshold=settings.proposal_overlap,
                least_side=settings.least_side,
            )

        return jax.vmap(of_one)([(logits, offsets) for logits, offsets, _ in levels], sizes)

    def pooled_regions(self, maps: PyramidMaps, boxes: jax.Array) -> jax.Array:
        """RoIAlign of boxes (B, R, 4), each on the map that fits its size: (B, R, grid, grid, C)."""
        levels, grid = maps.levels[:-1], self.settings.region_grid
        return pooled_from_levels(levels, boxes, maps.sizes, strides=self.strides, grid=grid)

    def classify(self, maps: PyramidMaps, boxes: jax.Array) -> tuple[jax.Array, jax.Array]:
        """See `RegionDetector.classify`."""
        return self.head(self.pooled_regions(maps, boxes))

    def image_vectors(self, maps: PyramidMaps, sizes: jax.Array) -> jax.Array:
        """The vectors of the whole images as boxes."""
        ends = sizes[:, ::-1].astype(jnp.float32)
        return self.vectors_of(maps, jnp.concatenate([jnp.zeros_like(ends), ends], axis=1)[:, None])[:, 0]

    def vectors_of(self, maps: PyramidMaps, boxes: jax.Array) -> jax.Array:
        """See `RegionDetector.vectors_of`."""
        return max_pooled(self.pooled_regions(maps, boxes))
