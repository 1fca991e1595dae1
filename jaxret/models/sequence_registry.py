"""Encoders of frame-vector sequences by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flax import nnx

from jaxret.errors import ConfigError, unknown_name_message
from jaxret.models.base import SequenceEncoder
from jaxret.models.multi_stream import StreamFusion
from jaxret.models.projection import ProjectedEncoder
from jaxret.models.temporal.attention import AttentionFusion
from jaxret.models.temporal.fusion import ConvolutionFusion, WeightedAverage
from jaxret.models.temporal.heads import DenseEmbedding, HashLayer, TanhHead
from jaxret.models.temporal.pooling import Maximum, Mean, Sum, UnitLength
from jaxret.models.temporal.recurrent import TemporalEncoder

__all__ = ["create_sequence_encoder"]

_Kinds = dict[str, Callable[..., SequenceEncoder]]

_LEAVES: _Kinds = {
    encoder.kind: encoder
    for encoder in (
        TemporalEncoder,
        Mean,
        Sum,
        Maximum,
        WeightedAverage,
        ConvolutionFusion,
        AttentionFusion,
        DenseEmbedding,
    )
}
# Those that come after another encoder, with weights of their own and without.
_HEADS: _Kinds = {encoder.kind: encoder for encoder in (HashLayer, TanhHead)}
_FIXED_HEADS: _Kinds = {encoder.kind: encoder for encoder in (ProjectedEncoder, UnitLength)}


def create_sequence_encoder(kind: str, *, rngs: nnx.Rngs, **settings: Any) -> SequenceEncoder:
    """An encoder of frame-vector sequences of the shape that its `config` describes, with random weights.

    Raises:
      ConfigError: the kind is unknown, or a value is bad.
      TypeError, KeyError: a setting is missing or unknown.

    Example:
      >>> from flax import nnx
      >>> create_sequence_encoder("weighted-average", input_size=8, rngs=nnx.Rngs(0)).embedding_size
      8
    """
    if kind in _HEADS:
        return _HEADS[kind](create_sequence_encoder(**settings.pop("encoder"), rngs=rngs), **settings, rngs=rngs)
    if kind in _FIXED_HEADS:
        return _FIXED_HEADS[kind](create_sequence_encoder(**settings.pop("encoder"), rngs=rngs), **settings)
    if kind == StreamFusion.kind:
        return StreamFusion([create_sequence_encoder(**stream, rngs=rngs) for stream in settings["streams"]])
    if kind not in _LEAVES:
        known = (*_LEAVES, *_HEADS, *_FIXED_HEADS, StreamFusion.kind)
        raise ConfigError(unknown_name_message("encoder of sequences", kind, known))
    return _LEAVES[kind](**settings, rngs=rngs)
