"""An embedding for classes trained on and for others: the mean vector beside an open-set posterior.

A classifier of K known classes maps whatever it is shown onto those K, so an embedding made by it alone loses what it
was not trained on. Here the mean of the frame vectors stays in the embedding, and the classifier adds K + 1
coordinates: the square roots of the probability that the class is known times the posterior of each known class, and
of the probability that it is not known. The inner product of two embeddings is

    cos(m, m') + w (sum_c sqrt(k p_c k' p'_c) + sqrt((1 - k) (1 - k')))

with the mean vectors m, the posteriors p over known classes, the probabilities k of a known class, and the weight w:
the cosine of the means plus w times the Bhattacharyya coefficient of the two (K + 1)-way posteriors. Items of a known
class find each other by the posterior. Items of unknown classes share the last coordinate, which sets them apart from
the known ones, and are ranked among each other by their means. Every embedding has the length sqrt(1 + w), so that
Euclidean distance, cosine and inner product rank alike.

With *nuisances* the mean vectors m are not those of the frames as they are, but centred, and made shorter along the
directions in which clips of one class differ most. What varies within classes that are known (camera, place, light)
varies within others as well, so that this helps both (within-class covariance normalisation: Hatch, Kajarekar and
Stolcke, "Within-class covariance normalization for SVM-based speaker recognition", Interspeech 2006).

Where a part of every vector was itself learned from the classes, such as a network that was trained on them, it is no
part of the means: only the classifier sees it. A network maps others onto what it knows before any classifier does.

The probability of a known class is a logistic function of statistics that tell how sure the classifier is, the usual
scores of open-set recognition (Hendrycks and Gimpel 2017, arXiv:1610.02136; Liu et al. 2020, arXiv:2010.03759, energy).
`jaxret.training.open_set.fit_open_set` fits it on training classes that the classifier was made without.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import ArrayLike
from numpy.typing import NDArray

from jaxret.errors import ConfigError
from jaxret.models.base import Encoding, SequenceEncoder, check_sizes, stored_settings, valid_steps
from jaxret.models.layers.frozen import FixedArray
from jaxret.models.layers.l2_norm import l2_normalise
from jaxret.models.registry import register_sequence_encoder

__all__ = ["OpenSetEncoder", "confidence_statistics", "moments", "without_nuisances"]

Rows = TypeVar("Rows", jax.Array, NDArray[np.float64])

_TINY = 1e-6  # probabilities are kept this far from 0 in logarithms
STATISTICS = 8
_NUISANCES = 64  # more of them change nothing that was measured


def moments(vectors: jax.Array, valid: jax.Array, learned: int = 0) -> tuple[jax.Array, jax.Array]:
    """What is compared of a sequence, and what the classifier sees of it.

    Args:
      vectors: (B, T, D) floating.
      valid: (B, T) bool, the time steps that count; a sequence without any has moments 0.
      learned: L, numbers at the beginning of every vector that were learned from the classes.

    Returns:
      The mean over time of the others, scaled to length 1, (B, D - L) float32; and it beside the maximum and the
      standard deviation over time, each scaled to length 1, before these the same three of the learned numbers,
      (B, 3 D) float32.
    """
    mean, seen = _moments(vectors[..., learned:], valid)
    if learned:
        seen = jnp.concatenate([_moments(vectors[..., :learned], valid)[1], seen], axis=-1)
    return mean, seen


def _moments(vectors: jax.Array, valid: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Of the vectors (B, T, D) as a whole: (B, D) and (B, 3 D)."""
    x, counted = vectors.astype(jnp.float32), valid[..., None]
    count = jnp.maximum(valid.sum(axis=1, keepdims=True), 1).astype(jnp.float32)  # (B, 1)
    mean = jnp.where(counted, x, 0).sum(axis=1) / count
    largest = jnp.where(counted, x, -jnp.inf).max(axis=1)
    largest = jnp.where(jnp.isfinite(largest), largest, 0)
    variance = jnp.where(counted, (x - mean[:, None]) ** 2, 0).sum(axis=1) / count
    # The root's slope at 0 is infinite: where nothing varies, the deviation is 0 and does not learn.
    deviation = jnp.where(variance > 0, jnp.sqrt(jnp.where(variance > 0, variance, 1)), 0)
    unit = l2_normalise(mean)
    return unit, jnp.concatenate([unit, l2_normalise(largest), l2_normalise(deviation)], axis=-1)


def without_nuisances(means: Rows, centre: Rows, directions: Rows, shares: Rows) -> Rows:
    """Mean vectors less their centre, shorter along the directions in which items of one class differ most.

    Args:
      means: (B, D).
      centre: (D,).
      directions: (D, R), orthonormal columns, or zeros.
      shares: (R,) of their length that they keep along each, in 0..1.

    Returns:
      (B, D), not scaled.
    """
    x = means - centre[None]
    return x - ((x @ directions) * (1 - shares)[None]) @ directions.T


def confidence_statistics(logits: jax.Array, mean: jax.Array, prototypes: jax.Array) -> jax.Array:
    """How sure a classifier is of its answers: what tells known classes from others.

    Args:
      logits: (B, K) float32, K at least 2.
      mean: (B, D) float32, of length 1.
      prototypes: (K, D) float32, the mean of each known class, of length 1.

    Returns:
      (B, 8) float32: the logarithms of the largest probability and of what is left of it, the entropy, the largest
      logit, the log-sum-exp of the logits, the largest cosine with a prototype, by how much it exceeds the second, and
      the cosine with the prototype of the likeliest class.
    """
    posterior = jax.nn.softmax(logits, axis=-1)
    likeliest = posterior.max(axis=-1)
    cosines = mean @ prototypes.T  # (B, K)
    nearest = jax.lax.top_k(cosines, 2)[0]
    own = jnp.take_along_axis(cosines, logits.argmax(axis=-1, keepdims=True), axis=-1)[:, 0]
    return jnp.stack(
        [
            jnp.log(likeliest + _TINY),
            jnp.log(1 - likeliest + _TINY),
            -jnp.sum(posterior * jnp.log(posterior + _TINY), axis=-1),
            logits.max(axis=-1),
            jax.nn.logsumexp(logits, axis=-1),
            nearest[:, 0],
            nearest[:, 0] - nearest[:, 1],
            own,
        ],
        axis=-1,
    )


@register_sequence_encoder
class OpenSetEncoder(SequenceEncoder):
    """The mean of the frame vectors, beside the square roots of an open-set posterior (see the module).

    Before `assign` every class is unknown: the embedding ranks as the mean vector does.

    Args:
      input_size: D, length of a frame vector.
      classes: K, known classes, at least 2.
      weight: w, of the posterior against the cosine of the means, at least 0.
      nuisances: R, the most directions along which mean vectors are made shorter, up to D - L; 0 leaves them as they
        are.
      learned: L, numbers at the beginning of every vector that were learned from the classes: the classifier alone
        sees them. Below D.
      rngs: not drawn from; there so that all encoders of sequences are made alike.

    Attributes:
      embedding_size: D - L + K + 1.
      stage_names: `mean` (B, D - L) of length 1, `logits` (B, K), `posterior` (B, K), `known` (B,), the probability
        that the class is known.

    Raises:
      ConfigError: a size or the weight is out of range.

    Example:
      >>> encoder = OpenSetEncoder(8, 3, rngs=nnx.Rngs(0))
      >>> encoding = encoder(jnp.ones((2, 5, 8)))
      >>> encoding.embedding.shape, encoding.stages["known"].tolist()
      ((2, 12), [0.0, 0.0])
    """

    kind: ClassVar[str] = "open-set"
    stage_names = ("mean", "logits", "posterior", "known")

    def __init__(
        self,
        input_size: int,
        classes: int,
        *,
        weight: float = 1.0,
        nuisances: int = 0,
        learned: int = 0,
        rngs: nnx.Rngs,
    ):
        check_sizes(input_size=input_size, classes=classes)
        if classes < 2:
            raise ConfigError(f"classes must be at least 2, got {classes}")
        if not 0 <= weight < float("inf"):
            raise ConfigError(f"weight must be a finite number of at least 0, got {weight!r}")
        if not 0 <= learned < input_size:
            raise ConfigError(f"learned must be 0 to {input_size - 1}, numbers of a frame vector, got {learned}")
        compared = input_size - learned
        if not 0 <= nuisances <= compared:
            raise ConfigError(f"nuisances must be 0 to {compared}, the length of a mean vector, got {nuisances}")
        self.input_size, self.classes, self.weight, self.nuisances = input_size, classes, weight, nuisances
        self.learned, self.embedding_size = learned, compared + classes + 1
        self.kernel = FixedArray(jnp.zeros((3 * input_size, classes)))
        self.bias = FixedArray(jnp.zeros(classes))
        self.prototypes = FixedArray(jnp.zeros((classes, compared)))
        self.known_kernel = FixedArray(jnp.zeros(STATISTICS))
        self.known_bias = FixedArray(jnp.full(1, -jnp.inf))
        if nuisances:
            self.centre = FixedArray(jnp.zeros(compared))
            self.directions = FixedArray(jnp.zeros((compared, nuisances)))
            self.shares = FixedArray(jnp.ones(nuisances))

    @classmethod
    def to_fit(cls, input_size: int, classes: int, *, learned: int = 0, rngs: nnx.Rngs) -> Self:
        """One with as many nuisances as are worth fitting; arguments as above."""
        nuisances = min(_NUISANCES, input_size - learned)
        return cls(input_size, classes, nuisances=nuisances, learned=learned, rngs=rngs)

    @property
    def config(self) -> dict[str, Any]:
        """JSON-able settings."""
        names = ("kind", "input_size", "classes", "weight", "nuisances", "learned")
        return stored_settings(((name, getattr(self, name)) for name in names), later={"learned": 0})

    @property
    def summary(self) -> str:
        """A few words for people."""
        compared = "the mean of what was not learned" if self.learned else "their mean"
        return f"{compared} and an open-set posterior of {self.classes} classes"

    def assign(self, arrays: Mapping[str, ArrayLike]) -> None:
        """Take what `fit_open_set` has found.

        Args:
          arrays: `kernel` (3 D, K) and `bias` (K,) of the classifier of `moments`, `prototypes` (K, D - L), and
            `known_kernel` (8,) and `known_bias` (1,) of the logistic function of `confidence_statistics`; with
            nuisances also `centre` (D - L,), `directions` (D - L, R) and `shares` (R,) of `without_nuisances`.

        Raises:
          ValueError: an array is missing or unknown, its shape does not fit, or a number is not finite in float32.
        """
        names = ["kernel", "bias", "prototypes", "known_kernel", "known_bias"]
        names += ["centre", "directions", "shares"] if self.nuisances else []
        if set(arrays) != set(names):
            raise ValueError(f"arrays must be {', '.join(names)}, got {', '.join(sorted(arrays))}")
        for name in names:
            variable, array = getattr(self, name), np.asarray(arrays[name], np.float32)
            if array.shape != variable.shape:
                raise ValueError(f"{name} must have shape {variable.shape}, got {array.shape}")
            if not np.isfinite(array).all():
                raise ValueError(f"{name} must be finite in float32")
            variable[...] = jnp.asarray(array)

    def __call__(self, vectors: jax.Array, lengths: jax.Array | None = None) -> Encoding:
        """Frame vectors (B, T, D) to embeddings (B, D - L + K + 1) of length sqrt(1 + w); see `SequenceEncoder`."""
        mean, seen = moments(vectors, valid_steps(self, vectors, lengths), self.learned)
        logits = seen @ self.kernel[...] + self.bias[...][None]  # (B, K)
        posterior = jax.nn.softmax(logits, axis=-1)
        statistics = confidence_statistics(logits, mean, self.prototypes[...])  # (B, 8)
        known = jax.nn.sigmoid(statistics @ self.known_kernel[...] + self.known_bias[...])  # (B,)
        joint = jnp.concatenate([known[:, None] * posterior, 1 - known[:, None]], axis=-1)  # (B, K + 1), sums to 1
        compared = mean
        if self.nuisances:
            left = without_nuisances(mean, self.centre[...], self.directions[...], self.shares[...])
            compared = l2_normalise(left)
        embedding = jnp.concatenate([compared, jnp.sqrt(self.weight * joint)], axis=-1)
        stages = {"mean": mean, "logits": logits, "posterior": posterior, "known": known}
        return Encoding(embedding, stages)
