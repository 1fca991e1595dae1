"""Faster R-CNN (Ren et al. 2015, arXiv:1506.01497), as a detector and as what instance search compares.

For search (Salvador et al. 2016, "Faster R-CNN features for instance search", arXiv:1604.08893) an image has one
vector, its map pooled image-wise, which finds candidates, and one vector of each of its proposals, pooled region-wise,
which ranks them anew and locates the object.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
from flax import nnx

from jaxret.errors import ConfigError
from jaxret.models.base import Backbone
from jaxret.models.descriptors.spatial_pooling import mac
from jaxret.models.detection.boxes import anchor_boxes
from jaxret.models.detection.head import RegionHead
from jaxret.models.detection.proposals import Proposals, RegionProposalNetwork, best_proposals
from jaxret.models.detection.region_detector import RegionDetector, check_classes, max_pooled
from jaxret.models.detection.roi_align import roi_align
from jaxret.models.detection.settings import DetectorSettings
from jaxret.models.layers.feature_map import feature_map_shape, feature_map_stride
from jaxret.models.layers.frozen import FixedArray
from jaxret.models.layers.l2_norm import l2_normalise
from jaxret.models.on_backbone import config_on_backbone, parts_on_backbone
from jaxret.models.origin import WeightsOrigin
from jaxret.models.registry import register_encoder
from jaxret.preprocessing import Preprocessing

__all__ = ["FasterRCNN"]


@register_encoder
class FasterRCNN(RegionDetector):
    """A region proposal network and a head of detection on one map of a frame backbone; see `RegionDetector`.

    Args:
      backbone: of frames; its layers up to the map are shared by both halves.
      stage: the name of the map, such as "conv_pw_11" of mobilenet-v1 (16 pixels to a cell).
      classes: names of the classes that are detected, without the background.
      preprocessing: how images are scaled.
      settings: anchors, proposals and sizes of layers; None: the default ones.
      origin: of the backbone's weights, where it is known.
      rngs: source of the initial weights.

    Attributes:
      map_scale: (1,), what the map is multiplied by for the proposer and the head, whose initial weights expect numbers
        of about 1: trunks differ tenfold. 1 before it is fitted (`jaxret.recipes.instances.train.fit_map_scale`);
        stored with the weights, left alone by training, and without effect on vectors, which have length 1.
      stride: pixels to a cell of the map, learnt from shapes.
      vector_size: C, channels of the map and numbers of a vector.

    Raises:
      ConfigError: the stage is unknown, no map or of odd cells; there is no class, or one twice; or the preprocessing
        gives images that do not fit.

    Example:
      >>> from jaxret.models.registry import create_backbone
      >>> from jaxret.preprocessing import Preprocessing
      >>> net = create_backbone("small-convnet", rngs=nnx.Rngs(0))
      >>> size = Preprocessing(height=64, width=64, resize="fit")
      >>> settings = DetectorSettings(anchor_sizes=(16, 32), proposals=5)
      >>> model = FasterRCNN(net, "conv_3", ["square"], size, settings, rngs=nnx.Rngs(0))
      >>> found = model.regions(jnp.zeros((2, 64, 32, 3), jnp.uint8))
      >>> found.image_vector.shape, found.boxes.shape, found.vectors.shape
      ((2, 32), (2, 5, 4), (2, 5, 32))
    """

    kind: ClassVar[str] = "faster-rcnn"

    def __init__(
        self,
        backbone: Backbone,
        stage: str,
        classes: Sequence[str],
        preprocessing: Preprocessing,
        settings: DetectorSettings | None = None,
        *,
        origin: WeightsOrigin | None = None,
        rngs: nnx.Rngs,
    ):
        stride, (_, _, channels) = feature_map_stride(backbone, stage), feature_map_shape(backbone, stage)
        check_classes(classes)
        if backbone.channels != preprocessing.pixel_channels:
            raise ConfigError(
                f"{backbone.name} takes {backbone.channels} channels, the preprocessing gives "
                f"{preprocessing.pixel_channels}"
            )
        step = backbone.side_step
        if preprocessing.height % step or preprocessing.width % step:
            raise ConfigError(
                f"sides of images must be multiples of {step} pixels, got {preprocessing.height} x "
                f"{preprocessing.width}"
            )
        self.backbone, self.origin = backbone, origin
        self.stage, self.stride, self.vector_size = stage, stride, channels
        self.classes = tuple(classes)
        self.preprocessing = preprocessing
        self.settings = settings = DetectorSettings() if settings is None else settings
        self.map_scale = FixedArray(jnp.ones(1, jnp.float32))
        dtype = backbone.dtype
        self.proposer = RegionProposalNetwork(
            channels, settings.proposer_channels, settings.anchors_at_a_cell, dtype=dtype, rngs=rngs
        )
        grid = settings.region_grid
        self.head = RegionHead(grid * grid * channels, settings.head_units, len(classes), dtype=dtype, rngs=rngs)

    @property
    def summary(self) -> str:
        """One line for people."""
        size, number = self.preprocessing, len(self.classes)
        return (
            f"Faster R-CNN on {self.stage} of {self.backbone.summary} ({self.stride} pixels to a cell), images of at "
            f"most {size.height} x {size.width} pixels, {number} class{'' if number == 1 else 'es'}"
        )

    @property
    def config(self) -> dict[str, Any]:
        """JSON-able settings; `create_encoder(config)` makes a model of the same shape."""
        own = {"stage": self.stage, "classes": list(self.classes), "settings": self.settings.to_json()}
        return config_on_backbone(self, **own)

    @classmethod
    def from_config(cls, config: Mapping[str, Any], rngs: nnx.Rngs) -> Self:
        """A model of the shape that `config` describes, with random weights."""
        return cls(
            **parts_on_backbone(config, rngs),
            stage=config["stage"],
            classes=config["classes"],
            settings=DetectorSettings.from_json(config["settings"]),
            rngs=rngs,
        )

    # ---- parts, for use inside a jitted function

    def feature_map(self, images: jax.Array) -> jax.Array:
        """The backbone up to the map: images (B, H, W, 3), uint8 or 0..255, to the map (B, H / stride, W / stride, C).

        Raises:
          ValueError: a side is no multiple of the backbone's step.
        """
        self.check_images(images)
        return self.backbone(images).stages[self.stage]

    def anchors(self, maps: jax.Array) -> jax.Array:
        """The anchors (N, 4) of maps of this shape, in pixels."""
        settings = self.settings
        return anchor_boxes((maps.shape[1], maps.shape[2]), self.stride, settings.anchor_sizes, settings.anchor_aspects)

    def propose(self, maps: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Scores and boxes of the anchors by the region proposal network: logits (B, N) and offsets (B, N, 4)."""
        return self.proposer(self._scaled(maps))

    def classify(self, maps: jax.Array, boxes: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Scores and boxes of regions (B, R, 4) by the head: logits (B, R, 1 + K) and offsets (B, R, K, 4)."""
        return self.head(self.pooled_regions(self._scaled(maps), boxes))

    def _scaled(self, maps: jax.Array) -> jax.Array:
        return maps * self.map_scale[0].astype(maps.dtype)

    def proposals(
        self, logits: jax.Array, offsets: jax.Array, anchors: jax.Array, sizes: jax.Array, *, count: int
    ) -> Proposals:
        """The `count` best regions of each image, from the region proposal network's outputs for all anchors.

        Args:
          logits: (B, N). offsets: (B, N, 4). anchors: (N, 4).
          sizes: (B, 2), height and width of each image within the batch.
        """

        def of_one(logits: jax.Array, offsets: jax.Array, size: jax.Array) -> Proposals:
            return best_proposals(
                logits,
                offsets,
                anchors,
                size,
                count=count,
                before=self.settings.proposals_before,
                threshold=self.settings.proposal_overlap,
                least_side=self.settings.least_side,
            )

        return jax.vmap(of_one)(logits, offsets, sizes)

    def pooled_regions(self, maps: jax.Array, boxes: jax.Array) -> jax.Array:
        """RoIAlign of boxes (B, R, 4) on maps (B, H, W, C): (B, R, grid, grid, C)."""
        batch, count = boxes.shape[:2]
        grid = (self.settings.region_grid, self.settings.region_grid)
        images = jnp.repeat(jnp.arange(batch), count)
        pooled = roi_align(maps, boxes.reshape(-1, 4), images, stride=self.stride, size=grid)
        return pooled.reshape(batch, count, *pooled.shape[1:])

    # ---- see `RegionDetector`

    def maps_of(self, images: jax.Array, sizes: jax.Array) -> jax.Array:
        """The map; the padding is seen as a part of the images."""
        return self.feature_map(images)

    def proposals_of(self, maps: jax.Array, sizes: jax.Array) -> Proposals:
        """See `RegionDetector.proposals_of`."""
        logits, offsets = self.propose(maps)
        return self.proposals(logits, offsets, self.anchors(maps), sizes, count=self.settings.proposals)

    def image_vectors(self, maps: jax.Array, sizes: jax.Array) -> jax.Array:
        """The map, max-pooled."""
        return l2_normalise(mac(maps))

    def vectors_of(self, maps: jax.Array, boxes: jax.Array) -> jax.Array:
        """The map, pooled to a grid and max-pooled."""
        return max_pooled(self.pooled_regions(maps, boxes))
