"""Where things are, and which: the losses of Faster R-CNN."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx

from jaxret.errors import ConfigError
from jaxret.losses import objectness_loss, region_box_loss, region_class_loss
from jaxret.models.detection.faster_rcnn import FasterRCNN
from jaxret.models.detection.targets import anchor_targets, region_targets

__all__ = ["DetectionObjective", "TrainedDetector"]

_PROPOSER_BETA = 1 / 9  # where smooth L1 turns linear for anchors, as in the authors' program; 1 for the head


class TrainedDetector(nnx.Module):
    """A detector, and the random stream that its training draws samples from; a step reseeds it."""

    def __init__(self, detector: FasterRCNN):
        self.detector = detector
        self.rngs = nnx.Rngs(0)


@dataclasses.dataclass(frozen=True)
class DetectionObjective:
    """Losses of the region proposal network and of the head, each of classes and boxes, summed with weight 1.

    The model is a `TrainedDetector`. Of a batch, `images` (B, H, W, 3) are images whose upper left `sizes` (B, 2)
    (height, width) are no padding, `boxes` (B, G, 4) the true boxes, and `labels` (B, G) their classes 1 .. K, 0 for
    padding. `jaxret.data.ground_truth.boxes.BoxReader` gives such batches.

    Proposals are taken as given: no gradient flows through their coordinates.

    Attributes:
      proposals: of an image that the head's sample is drawn from, beside the true boxes.
      anchors: sampled of an image.
      regions: sampled of an image.
      batch_statistics: batch norms of the backbone normalise by the batch, and learn. Off, they keep what they learnt
        before, as detectors do whose batches are small.
    """

    curves: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "loss": ("loss",),
        "its parts": ("objectness", "proposal_boxes", "classes", "boxes"),
    }

    proposals: int = 300
    anchors: int = 256
    regions: int = 128
    batch_statistics: bool = False

    def __post_init__(self) -> None:
        for name in ("proposals", "anchors", "regions"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)!r}")

    def __call__(self, model: Any, batch: dict[str, jax.Array]) -> tuple[jax.Array, dict[str, jax.Array]]:
        """The sum, and its parts `objectness`, `proposal_boxes`, `classes` and `boxes`."""
        detector: FasterRCNN = model.detector
        if not self.batch_statistics:
            detector.backbone.eval()
        images, boxes, labels, sizes = (batch[name] for name in ("images", "boxes", "labels", "sizes"))
        maps = detector.feature_map(images)
        # ---- proposals
        keys = jax.random.split(model.rngs(), (2, len(images)))
        anchors = detector.anchors(maps)
        logits, offsets = detector.propose(maps)
        wanted = jax.vmap(partial(anchor_targets, count=self.anchors), in_axes=(None, 0, 0, 0, 0))(
            anchors, boxes, labels, sizes, keys[0]
        )
        figures = {
            "objectness": objectness_loss(logits, wanted.labels),
            "proposal_boxes": region_box_loss(offsets, wanted.offsets, wanted.labels, beta=_PROPOSER_BETA),
        }
        # ---- head
        seen = jax.lax.stop_gradient((logits, offsets))
        found = detector.proposals(seen[0], seen[1], anchors, sizes, count=self.proposals)
        sample = jax.vmap(partial(region_targets, count=self.regions))(found.boxes, found.valid, boxes, labels, keys[1])
        class_logits, class_offsets = detector.classify(maps, sample.boxes)
        own = jnp.maximum(sample.labels - 1, 0)[..., None, None]  # the class that a region is of
        of_class = jnp.take_along_axis(class_offsets, own, axis=2)[:, :, 0]
        figures |= {
            "classes": region_class_loss(class_logits, sample.labels),
            "boxes": region_box_loss(of_class, sample.offsets, sample.labels),
        }
        return sum(figures.values(), jnp.zeros((), jnp.float32)), figures
