"""Codes of an open-set encoder: bits of the whole embedding, and a codeword where the class is sure.

Linear bits, the signs of a rotation, say of every item what it looks like and a little of its class. An item that is
surely of a known class needs no more than its class said, and loses by every bit that says anything else. So each known
class has a codeword, and the surer an item is of its class, the more of its bits are those of the codeword.

How sure is enough is a matter of how much a wrong codeword costs: an item of an unknown class that takes one is lost
among that class. The *doubt* d tells it. With the probability k that the class is known and the posterior p_c, an item
is sure of class c by

    s_c = p_c k / (k + d (1 - k)),

what k p_c would be if items of unknown classes were d times as frequent as they are.

What bits are the signs of is long where a class is sure and short elsewhere, so that an item which is half sure lies
far from those that are sure of the same class, though their bits agree. The embedding is therefore its direction: the
Euclidean distance of two ranks as their cosine does.
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
from jaxret.models.base import Encoding, stored_settings
from jaxret.models.layers.frozen import FixedArray
from jaxret.models.layers.l2_norm import l2_normalise
from jaxret.models.registry import create_sequence_encoder, register_sequence_encoder
from jaxret.models.temporal.heads import HashLayer
from jaxret.models.temporal.open_set import OpenSetEncoder

__all__ = ["OpenSetHash", "sure_and_linear", "sureness"]

Rows = TypeVar("Rows", jax.Array, NDArray[np.float64])

_DECIDING = 4.0  # what a codeword adds where the class is sure: the linear bits' root mean square is 1


def sureness(posterior: Rows, known: Rows, doubt: float) -> Rows:
    """How sure items are of each known class.

    Args:
      posterior: (B, K) of the known classes.
      known: (B,), the probability that the class is known.
      doubt: at least 1.

    Returns:
      (B, K) in 0..1.
    """
    return posterior * (known / (known + doubt * (1 - known)))[:, None]


def sure_and_linear(linear: Rows, sure: Rows, codewords: Rows) -> Rows:
    """What bits are the signs of: linear bits (B, bits), and codewords (K, bits) as far as items are sure, (B, K)."""
    return linear + _DECIDING * (sure @ codewords)


@register_sequence_encoder
class OpenSetHash(HashLayer):
    """A hash layer on an open-set encoder, with a codeword for each known class (see the module).

    Before `assign_codewords` it is a hash layer and nothing more.

    Args:
      encoder: what comes before.
      bits: of the code, a positive multiple of 8.
      doubt: d, at least 1.
      directions: whether the embedding is a direction, each number (1 + x / |x|) / 2 of what bits are the signs of, and
        not its sigmoid, as it was in encoders of before.
      rngs: source of the initial weights.

    Raises:
      ConfigError: `bits` is not a positive multiple of 8, the encoder is no open-set encoder, or the doubt is below 1.

    Example:
      >>> rngs = nnx.Rngs(0)
      >>> hashed = OpenSetHash(OpenSetEncoder(8, 3, rngs=rngs), 64, rngs=rngs)
      >>> hashed(jnp.ones((2, 16, 8))).embedding.shape, hashed.code_bits
      ((2, 64), 64)
    """

    kind: ClassVar[str] = "open-set-hash"

    def __init__(
        self, encoder: OpenSetEncoder, bits: int, *, doubt: float = 1.0, directions: bool = True, rngs: nnx.Rngs
    ):
        if not isinstance(encoder, OpenSetEncoder):
            raise ConfigError(f"codewords of known classes need an open-set encoder, got one of {encoder.kind!r}")
        super().__init__(encoder, bits, rngs=rngs)
        self.doubt, self.directions = _checked(doubt), directions
        self.codewords = FixedArray(jnp.zeros((encoder.classes, bits)))

    @property
    def config(self) -> dict[str, Any]:
        """JSON-able settings."""
        settings = {**super().config, "doubt": self.doubt, "directions": self.directions}
        return stored_settings(settings.items(), later={"directions": False})

    @classmethod
    def from_config(cls, config: Mapping[str, Any], rngs: nnx.Rngs) -> Self:
        """See `SequenceEncoder.from_config`."""
        encoder = create_sequence_encoder(**config["encoder"], rngs=rngs)
        assert isinstance(encoder, OpenSetEncoder)
        directions = config.get("directions", False)
        return cls(encoder, config["bits"], doubt=config["doubt"], directions=directions, rngs=rngs)

    def assign_codewords(self, codewords: ArrayLike, doubt: float) -> None:
        """Take the codeword of each known class.

        Args:
          codewords: (K, bits), each number -1 or 1, or all 0: then there are none.
          doubt: at least 1.

        Raises:
          ValueError: the shape does not fit, or a number is neither -1 nor 1 while others are not 0.
          ConfigError: the doubt is below 1.
        """
        given = np.asarray(codewords, np.float32)
        if given.shape != self.codewords.shape:
            raise ValueError(f"codewords must have shape {self.codewords.shape}, got {given.shape}")
        if given.any() and not (np.abs(given) == 1).all():
            raise ValueError("codewords must be of -1 and 1")
        self.doubt = _checked(doubt)
        self.codewords[...] = jnp.asarray(given)

    def __call__(self, vectors: jax.Array, lengths: jax.Array | None = None) -> Encoding:
        """Frame vectors (B, T, D) to vectors (B, bits) in 0..1, 0.5 or more where a bit is 1; see `SequenceEncoder`."""
        before = self.encoder(vectors, lengths)
        sure = sureness(before.stages["posterior"], before.stages["known"], self.doubt)
        bits = sure_and_linear(self.linear(before.embedding), sure, self.codewords[...])
        embedding = (1 + l2_normalise(bits)) / 2 if self.directions else nnx.sigmoid(bits)
        return Encoding(embedding, {**before.stages, "real_embedding": before.embedding})


def _checked(doubt: float) -> float:
    if not 1 <= doubt < float("inf"):
        raise ConfigError(f"doubt must be a finite number of at least 1, got {doubt!r}")
    return doubt
