"""Losses of distances alone: triplets, and pairs of images and shots."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from jaxret.errors import ConfigError
from jaxret.losses import Mining, cosine_margin_loss, pair_cosines, triplet_loss, triplet_order

__all__ = ["CosineMarginObjective", "TripletObjective"]


@dataclasses.dataclass(frozen=True)
class TripletObjective:
    """The triplet loss alone, of embeddings as they are ranked: by squared Euclidean distance, not scaled to length 1.

    The model maps `batch["inputs"]` to an `Encoding`; `batch["labels"]` is (B,) int. `unit` is the squared distance
    that counts as 1, so that a margin of 1 can mean the same for embeddings of any size: with one that is far below
    their distances, shrinking all of them to a point costs least. The loss is in that unit, too, or times `scale`: with
    the unit as scale it is in squared distances, as the publications write it, and so are its gradients.

    With a `copy_weight` a batch also holds `batch["items"]` (B,) int, of which video each clip is, and that share of
    the loss is of triplets whose positive is of the anchor's own video and whose negative is of any other, of its class
    as well: copies of a video are to be nearer than its look-alikes.
    """

    curves: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "loss": ("loss", "loss_of_all"),
        "triplets in order": ("in_order", "copies_in_order"),
        "spread of the embeddings": ("spread",),
    }

    margin: float = 1.0
    mining: Mining = "all"
    unit: float = 1.0
    scale: float = 1.0
    copy_weight: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.copy_weight <= 1:
            raise ConfigError(f"copy_weight must lie in 0..1, got {self.copy_weight}")
        if not 0 <= self.margin < math.inf:
            raise ConfigError(f"margin must be a number of at least 0, got {self.margin}")
        for name in ("unit", "scale"):
            if not 0 < getattr(self, name) < math.inf:
                raise ConfigError(f"{name} must be a squared distance above 0, got {getattr(self, name)}")

    def __call__(self, model: Any, batch: dict[str, jax.Array]) -> tuple[jax.Array, dict[str, jax.Array]]:
        """The loss, and of the batch, in the margin's unit: `in_order` and `loss_of_all` (see
        `jaxret.losses.triplet_order`), and `spread`, the mean squared distance of the embeddings from their mean: 0 if
        they are all one; with a `copy_weight` also `copies_in_order`, of triplets of copies."""
        points = model(batch["inputs"]).embedding.astype(jnp.float32) / math.sqrt(self.unit)
        loss = triplet_loss(points, batch["labels"], margin=self.margin, mining=self.mining)
        order = triplet_order(points, batch["labels"], margin=self.margin)
        figures = {
            "in_order": order.in_order,
            "loss_of_all": order.mean_loss,
            "spread": jnp.mean(jnp.sum((points - points.mean(axis=0, keepdims=True)) ** 2, axis=-1)),
        }
        if self.copy_weight:
            of_copies = triplet_loss(points, batch["items"], margin=self.margin, mining=self.mining)
            loss = (1 - self.copy_weight) * loss + self.copy_weight * of_copies
            figures["copies_in_order"] = triplet_order(points, batch["items"], margin=self.margin).in_order
        return self.scale * loss, figures


@dataclasses.dataclass(frozen=True)
class CosineMarginObjective:
    """The cosine loss with a margin, of images and shots (`jaxret.losses.cosine_margin_loss`).

    The model is an encoder of sequences: it maps `batch["shots"]` (B, T, D), of which `batch["lengths"]` (B,) frames
    count, to embeddings (B, E). They are compared with `batch["images"]` (B, E), which nothing changes: the encoder
    of images is frozen. `batch["positive"]` (B,) tells which pairs belong together. `ShotPairs` gives such batches.
    """

    curves: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "loss": ("loss",),
        "cosine of pairs": ("positive_cosine", "negative_cosine"),
    }

    margin: float = 0.1

    def __post_init__(self) -> None:
        if not -1 <= self.margin <= 1:
            raise ConfigError(f"margin must be a cosine in -1..1, got {self.margin}")

    def __call__(self, model: Any, batch: dict[str, jax.Array]) -> tuple[jax.Array, dict[str, jax.Array]]:
        """The loss, and the mean cosine of the pairs of either kind (0 where a batch has none)."""
        images, positive = batch["images"], batch["positive"].astype(bool)
        shots = model(batch["shots"], batch["lengths"]).embedding
        cosines = pair_cosines(images, shots)
        figures = {}
        for name, chosen in (("positive_cosine", positive), ("negative_cosine", ~positive)):
            count = jnp.maximum(jnp.sum(chosen), 1).astype(cosines.dtype)
            figures[name] = jnp.sum(jnp.where(chosen, cosines, 0)) / count
        return cosine_margin_loss(images, shots, positive, margin=self.margin), figures
