"""Fitting an encoder with a softmax head on whatever it takes: frame vectors, clips or pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import jax
from flax import nnx

from jaxret.data.batches.plans import BatchPlan, ClassBatches, ShuffledBatches
from jaxret.errors import ConfigError
from jaxret.models import SoftmaxHead
from jaxret.recipes.base import ClipTrainingConfig
from jaxret.training import FitResult, RunFolder
from jaxret.training.fit import Read, fit_model

__all__ = ["EmbeddingClassifier", "Read", "fit_classifier"]


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


def fit_classifier(
    encode: nnx.Module,
    embedding_size: int,
    read: Read,
    labels: Sequence[int],
    config: ClipTrainingConfig,
    run: RunFolder,
    *,
    evaluate: Callable[[], dict[str, float]],
    head: SoftmaxHead | None = None,
    decoding: bool = False,
    name_of: Callable[[int], str] = str,
    stop_after: int | None = None,
    say: Callable[[str], None] = print,
    show_progress: bool = True,
) -> FitResult:
    """Fit from the run's last checkpoint, or from the start, and leave the best weights in `encode` and `head`.

    Args:
      encode: what is trained.
      embedding_size: of its encodings.
      read: `read(row, rng)` gives the inputs of training item `row` and its class as `inputs` and `labels`.
      labels: the class of each training item, 0 .. K - 1.
      config: objective, batches, optimiser and schedule.
      run: its checkpoints and its log are written.
      evaluate: validation figures of `encode` as it is; "validation mAP" is the one that picks the best.
      head: the softmax head to train, (embedding_size, K), for those who want to classify with it; none: a new one.
      decoding: reading takes time, so `config.threads` threads read ahead.
      name_of: what to call training item `row` in a message.
      stop_after: stop and save after this many steps of this call.
      say: gets one line at a time of what is going on.
      show_progress: draw a bar.

    Raises:
      ConfigError: the triplet loss is asked for, and no class has two items; or the devices cannot share a batch.
    """
    classes = max(labels) + 1
    rngs = nnx.Rngs(config.seed + 1)
    return fit_model(
        EmbeddingClassifier(encode, embedding_size, classes, dropout=config.dropout, rngs=rngs, head=head),
        config.objective(),
        read,
        _batch_plan(labels, config),
        config,
        run,
        evaluate=evaluate,
        rate_scales=config.rate_scales,
        decoding=decoding,
        name_of=name_of,
        stop_after=stop_after,
        say=say,
        show_progress=show_progress,
    )


def _batch_plan(labels: Sequence[int], config: ClipTrainingConfig) -> BatchPlan:
    if config.triplet_weight:
        if max(Counter(labels).values()) < 2:
            raise ConfigError(
                f"the triplet loss needs positives, and each of the {len(labels)} training classes has one item: add "
                "items, or set triplet_weight to 0"
            )
        classes = min(config.batch_size // config.samples_per_class, len(set(labels)))
        return ClassBatches(labels, classes, config.samples_per_class)
    return ShuffledBatches(len(labels), min(config.batch_size, len(labels)))
