"""What can make one vector of a shot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from flax import nnx

from jaxret.models import Maximum, SequenceEncoder, Sum, SumResidual, TanhHead, TemporalEncoder, UnitLength

if TYPE_CHECKING:
    from jaxret.recipes.image_to_video.recipe import ImageToVideoConfig

__all__ = ["FIXED", "LEARNED", "NAMES", "Temporal", "shot_encoder"]

Temporal = Literal["sum", "max", "lstm", "gru", "residual"]
FIXED: tuple[Temporal, ...] = ("sum", "max")
"""Those that need no training."""
LEARNED: tuple[Temporal, ...] = ("residual", "lstm", "gru")
NAMES: dict[Temporal, str] = {"sum": "sum", "max": "max", "lstm": "LSTM", "gru": "GRU", "residual": "residual"}
"""What reports call them."""


def shot_encoder(kind: Temporal, size: int, config: ImageToVideoConfig) -> SequenceEncoder:
    """One of them, with its initial weights, which follow from the seed.

    Args:
      kind: which.
      size: D, of a frame vector and of the shot's.
      config: of the recurrent layer units and dropout; seed and precision.
    """
    rngs = nnx.Rngs(config.seed)
    if kind == "sum":
        return UnitLength(Sum(size, rngs=rngs))
    if kind == "max":
        return UnitLength(Maximum(size, rngs=rngs))
    if kind == "residual":
        return SumResidual(UnitLength(Sum(size, rngs=rngs)), rngs=rngs)
    cell: Any = kind
    recurrent = TemporalEncoder(
        size, config.units, cell=cell, dropout=config.dropout, dtype=config.precision, rngs=rngs
    )
    return TanhHead(recurrent, size, rngs=rngs)
