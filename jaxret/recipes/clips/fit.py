"""Fitting an encoder with a softmax head on whatever it takes: frame vectors, clips or images."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence

import jax
from flax import nnx

from jaxret.data.batches.plans import BatchPlan, ClassBatches, ShuffledBatches
from jaxret.errors import ConfigError
from jaxret.models import SoftmaxHead
from jaxret.recipes.clip_settings import ClipTrainingConfig
from jaxret.training import FitResult, FitTask, Read, RunContext, Validation, fit_model

__all__ = ["ClassifierTask", "EmbeddingClassifier", "Read", "fit_classifier"]


class EmbeddingClassifier(nnx.Module):
    """What a training changes: an encoder, and a softmax head that exists only to train.

    Args:
      encode: inputs to an `Encoding`.
      embedding_size: E of that encoding.
      classes: K.
      dropout: before the head.
      rngs: for the head's weights.
      head: one that is there already, (embedding_size, classes); none: a new one.
    """

    def __init__(
        self,
        encode: nnx.Module,
        embedding_size: int,
        classes: int,
        *,
        dropout: float,
        rngs: nnx.Rngs,
        head: SoftmaxHead | None = None,
    ):
        self.encode = encode
        self.head = SoftmaxHead(embedding_size, classes, dropout=dropout, rngs=rngs) if head is None else head

    def __call__(self, inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Inputs to (embedding (B, E), logits (B, K))."""
        embedding = self.encode(inputs).embedding
        return embedding, self.head(embedding)


@dataclasses.dataclass(frozen=True)
class ClassifierTask:
    """An encoder to train on labelled inputs.

    Attributes:
      encode: what is trained.
      embedding_size: of its encodings.
      read: `read(row, rng)` gives the inputs of training item `row` and its class as `inputs` and `labels`.
      labels: the class of each training item, 0 .. K - 1.
      validation: measures `encode` as it is.
      head: the softmax head to train, (embedding_size, K), to classify with it afterwards; None: a new one.
      decoding: reading takes time, so the settings' `threads` threads read ahead.
      name_of: what to call training item `row` in a message.
    """

    encode: nnx.Module
    embedding_size: int
    read: Read
    labels: Sequence[int]
    validation: Validation
    head: SoftmaxHead | None = None
    decoding: bool = False
    name_of: Callable[[int], str] = str


def fit_classifier(task: ClassifierTask, config: ClipTrainingConfig, context: RunContext) -> FitResult:
    """Fit from the run's last checkpoint, or from the start, and leave the best weights in the encoder and its head.

    Args:
      task: what is trained, and on what.
      config: objective, batches, optimiser and schedule.
      context: checkpoints and log are written into its run folder.

    Raises:
      ConfigError: the loss needs positives, and no class has two items; or the devices cannot share a batch.
    """
    model = EmbeddingClassifier(
        task.encode,
        task.embedding_size,
        max(task.labels) + 1,
        dropout=config.dropout,
        rngs=nnx.Rngs(config.seed + 1),
        head=task.head,
    )
    fit = FitTask(
        model,
        config.objective(),
        task.read,
        _batch_plan(task.labels, config),
        task.validation,
        rate_scales=config.rate_scales,
        decoding=task.decoding,
        name_of=task.name_of,
    )
    return fit_model(fit, config, context)


def _batch_plan(labels: Sequence[int], config: ClipTrainingConfig) -> BatchPlan:
    if config.needs_positives and max(Counter(labels).values()) < 2:
        raise ConfigError(
            f"the loss needs positives, and each of the {len(labels)} training classes has one item: add "
            "items, or take one that does not (triplet_weight 0)"
        )
    if config.batches_of_classes:
        classes = min(config.batch_size // config.samples_per_class, len(set(labels)))
        return ClassBatches(labels, classes, config.samples_per_class)
    return ShuffledBatches(len(labels), min(config.batch_size, len(labels)))
