"""Objectives: what a training step minimises for a batch, one class a family.

An objective is called as `objective(model, batch)`, with the model in training mode, and returns the loss and
the other values to log (see `jaxret.training.step.Objective`). Those that are registered by name can be chosen in any
training on clips: `jaxret train cnn-lstm --loss NAME --loss.SETTING VALUE`.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import entry_points
from typing import Any, ClassVar, TypeVar

import jax
import jax.numpy as jnp
from flax import nnx

from jaxret.errors import ConfigError, unknown_name_message
from jaxret.losses import (
    Mining,
    binary_cross_entropy,
    bit_balance_loss,
    cosine_margin_loss,
    cross_entropy,
    intensity_cross_entropy,
    mean_squared_error,
    objectness_loss,
    pair_cosines,
    quantisation_loss,
    region_box_loss,
    region_class_loss,
    triplet_loss,
    triplet_order,
)
from jaxret.models.detection.faster_rcnn import FasterRCNN
from jaxret.models.detection.targets import anchor_targets, region_targets

__all__ = [
    "ClassificationTripletObjective",
    "CosineMarginObjective",
    "DetectionObjective",
    "HashingObjective",
    "ReconstructionObjective",
    "TrainedDetector",
    "TripletObjective",
    "objective_class",
    "objective_name",
    "objective_names",
    "register_objective",
]


Registered = TypeVar("Registered", bound=type[Any])
_REGISTERED: dict[str, type[Any]] = {}


def register_objective(name: str) -> Callable[[Registered], Registered]:
    """Make an objective of clips a choice of `--loss`: a decorator of frozen dataclasses, whose fields are settings.

    The model that it is called with maps `batch["inputs"]` to `(embedding (B, D), logits (B, K))`; the kernel (D, K) of
    its softmax head is `model.head.linear.kernel`. `batch["labels"]` is (B,) int. Where the class has an attribute
    `needs_positives` that is true, batches hold several items of each class (the recipe's `samples_per_class`).

    An objective of another package is known once its module is imported; a package that lists the module in the
    entry-point group `jaxret.objectives` spares its users that import.

    Args:
      name: on the command line and in `config.json`.

    Raises:
      ConfigError: the class is no frozen dataclass, a field has no default, its `curves` have no panel "loss", or
        another class has that name.

    Example:
      >>> @register_objective("smallest-norm")
      ... @dataclasses.dataclass(frozen=True)
      ... class SmallestNorm:
      ...     curves: ClassVar[Mapping[str, tuple[str, ...]]] = {"loss": ("loss",)}
      ...     power: float = 2.0
      ...
      ...     def __call__(self, model, batch):
      ...         return jnp.mean(jnp.abs(model(batch["inputs"])[0]) ** self.power), {}
      >>> objective_class("smallest-norm")().power
      2.0
    """

    def register(kind: Registered) -> Registered:
        if not dataclasses.is_dataclass(kind) or not kind.__dataclass_params__.frozen:  # type: ignore[attr-defined]
            raise ConfigError(f"the objective {name!r} must be a frozen dataclass")
        for field in dataclasses.fields(kind):
            if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
                raise ConfigError(f"the objective {name!r} gives its setting {field.name} no default")
        if "loss" not in getattr(kind, "curves", {}):
            raise ConfigError(f"the objective {name!r} names no learning curves: its `curves` need a panel 'loss'")
        other = _REGISTERED.get(name, kind)
        if (other.__module__, other.__qualname__) != (kind.__module__, kind.__qualname__):
            raise ConfigError(f"the objective {name!r} of {kind.__module__} has the name of one of {other.__module__}")
        _REGISTERED[name] = kind
        return kind

    return register


@functools.cache
def _import_extensions() -> None:
    for point in entry_points(group="jaxret.objectives"):
        point.load()


def objective_names() -> tuple[str, ...]:
    """Names of the registered objectives."""
    _import_extensions()
    return tuple(sorted(_REGISTERED))


def objective_class(name: str) -> type[Any]:
    """The registered objective of that name; ConfigError, with the nearest name, where there is none."""
    if name not in _REGISTERED and name not in objective_names():
        raise ConfigError(unknown_name_message("loss", name, objective_names()))
    return _REGISTERED[name]


def objective_name(objective: Any) -> str | None:
    """The name that an objective is registered by; None where it is not."""
    return next((name for name, kind in _REGISTERED.items() if type(objective) is kind), None)


@dataclasses.dataclass(frozen=True)
class ClassificationTripletObjective:
    """`cross_entropy_weight` * cross-entropy of a softmax head + `triplet_weight` * triplet loss of the embedding.

    The model maps `batch["inputs"]` to `(embedding (B, D), logits (B, K))`; `batch["labels"]` is (B,) int.
    The triplet loss sees embeddings scaled to length 1, so that `margin` means the same for every model.
    """

    curves: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "loss": ("loss", "cross_entropy", "triplet"),
        "training accuracy": ("train_accuracy",),
    }

    cross_entropy_weight: float = 1.0
    triplet_weight: float = 0.0
    margin: float = 0.2
    mining: Mining = "batch-hard"

    def __post_init__(self) -> None:
        weights = (self.cross_entropy_weight, self.triplet_weight)
        if min(weights) < 0 or max(weights) == 0:
            raise ConfigError(
                "cross_entropy_weight and triplet_weight must be at least 0 and not both 0, "
                f"got {weights[0]} and {weights[1]}"
            )

    def __call__(self, model: Any, batch: dict[str, jax.Array]) -> tuple[jax.Array, dict[str, jax.Array]]:
        """The weighted loss, and `cross_entropy`, `triplet` (those that count) and `train_accuracy`."""
        embedding, logits = model(batch["inputs"])
        labels = batch["labels"]
        figures = {"train_accuracy": jnp.mean(jnp.argmax(logits, axis=-1) == labels)}
        loss = jnp.zeros((), jnp.float32)
        if self.cross_entropy_weight:
            figures["cross_entropy"] = cross_entropy(logits, labels)
            loss += self.cross_entropy_weight * figures["cross_entropy"]
        if self.triplet_weight:
            points = self.triplet_points(embedding.astype(jnp.float32))
            figures["triplet"] = triplet_loss(points, labels, margin=self.margin, mining=self.mining)
            loss += self.triplet_weight * figures["triplet"]
        for name, weight, term in self.embedding_terms():
            if weight:
                figures[name] = term(embedding)
                loss += weight * figures[name]
        return loss, figures

    def triplet_points(self, embedding: jax.Array) -> jax.Array:
        """What the triplet loss compares, (B, D) float32."""
        return embedding / jnp.sqrt(jnp.sum(embedding**2, axis=-1, keepdims=True) + 1e-12)

    def embedding_terms(self) -> tuple[tuple[str, float, Callable[[jax.Array], jax.Array]], ...]:
        """Further terms of the embedding alone: name, weight, function."""
        return ()


@dataclasses.dataclass(frozen=True)
class HashingObjective(ClassificationTripletObjective):
    """The same for the activations of a hash layer, and terms that make them good codes (Dong and Li 2017).

    The paper's alpha is `cross_entropy_weight`, its beta `triplet_weight`. The triplet loss sees activations
    divided by the square root of their number: the squared distance of two codes is then the share of bits that
    differ, and `margin` means the same at every length.
    """

    curves: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "loss": ("loss", "cross_entropy", "triplet", "quantisation", "bit_balance"),
        "training accuracy": ("train_accuracy",),
    }

    quantisation_weight: float = 0.0
    balance_weight: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("quantisation_weight", "balance_weight"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must be at least 0, got {getattr(self, name)}")

    def triplet_points(self, embedding: jax.Array) -> jax.Array:
        """Activations (B, bits), their squared distances being shares of the bits."""
        return embedding / math.sqrt(embedding.shape[-1])

    def embedding_terms(self) -> tuple[tuple[str, float, Callable[[jax.Array], jax.Array]], ...]:
        """Quantisation and bit balance."""
        return (
            ("quantisation", self.quantisation_weight, quantisation_loss),
            ("bit_balance", self.balance_weight, bit_balance_loss),
        )


@dataclasses.dataclass(frozen=True)
class TripletObjective:
    """The triplet loss alone, of embeddings as they are ranked: by squared Euclidean distance, not scaled to length 1.

    The model maps `batch["inputs"]` to an `Encoding`; `batch["labels"]` is (B,) int. `unit` is the squared distance
    that counts as 1, so that a margin of 1 can mean the same for embeddings of any size: with one that is far below
    their distances, shrinking all of them to a point costs least. The loss is in that unit, too, or times `scale`: with
    the unit as scale it is in squared distances, as the publications write it, and so are its gradients.
    """

    curves: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "loss": ("loss", "loss_of_all"),
        "triplets in order": ("in_order",),
        "spread of the embeddings": ("spread",),
    }

    margin: float = 1.0
    mining: Mining = "all"
    unit: float = 1.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.margin < math.inf:
            raise ConfigError(f"margin must be a number of at least 0, got {self.margin}")
        for name in ("unit", "scale"):
            if not 0 < getattr(self, name) < math.inf:
                raise ConfigError(f"{name} must be a squared distance above 0, got {getattr(self, name)}")

    def __call__(self, model: Any, batch: dict[str, jax.Array]) -> tuple[jax.Array, dict[str, jax.Array]]:
        """The loss, and of the batch, in the margin's unit: `in_order` and `loss_of_all` (see
        `jaxret.losses.triplet_order`), and `spread`, the mean squared distance of the embeddings from their mean: 0 if
        they are all one."""
        points = model(batch["inputs"]).embedding.astype(jnp.float32) / math.sqrt(self.unit)
        loss = triplet_loss(points, batch["labels"], margin=self.margin, mining=self.mining)
        order = triplet_order(points, batch["labels"], margin=self.margin)
        return self.scale * loss, {
            "in_order": order.in_order,
            "loss_of_all": order.mean_loss,
            "spread": jnp.mean(jnp.sum((points - points.mean(axis=0, keepdims=True)) ** 2, axis=-1)),
        }


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


@dataclasses.dataclass(frozen=True)
class ReconstructionObjective:
    """The difference between clips and what a `ConvLstmAutoencoder` gives back for them; there are no labels.

    Decision, for the paper's "softmax loss" of standardised pixels: the mean squared error, or, where the decoder
    gives intensity bins, the cross-entropy of each pixel's bin. With depth planes colours count where a cell is
    taken, and the loss of the occupancy, of the same kind, is added.
    """

    curves: ClassVar[Mapping[str, tuple[str, ...]]] = {"loss": ("loss", "colour", "occupancy")}

    def __call__(self, model: Any, batch: dict[str, jax.Array]) -> tuple[jax.Array, dict[str, jax.Array]]:
        """The loss of `batch["inputs"]`, clips as the backbone takes them; with depth also its two terms."""
        return self.loss(model, model.reconstruct(batch["inputs"]).output, batch["inputs"])

    def loss(self, model: Any, output: jax.Array, clips: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
        """The same of what the model gave back for clips, `model.reconstruct(clips).output`."""
        target = model.backbone.standardise(clips)
        if not model.backbone.depth_planes:
            return _colour_loss(model, output, target, None), {}
        occupancy = target[..., -1:]
        colour = _colour_loss(model, output[..., :-1], target[..., :-1], occupancy)
        loss_of_occupancy = binary_cross_entropy if model.bins else mean_squared_error
        taken = loss_of_occupancy(output[..., -1:], occupancy)
        return colour + taken, {"colour": colour, "occupancy": taken}


def _colour_loss(model: Any, output: jax.Array, target: jax.Array, weights: jax.Array | None) -> jax.Array:
    if not model.bins:
        return mean_squared_error(output, target, weights)
    known = model.backbone.normalisation
    # Rounding of the standardisation would put an intensity at the edge of two bins into the wrong one.
    intensities = jnp.round(target / known["scale"] + known["mean"], 2)
    return intensity_cross_entropy(output.reshape(*target.shape, model.bins), intensities, weights)
