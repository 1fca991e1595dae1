"""A clip encoder that is made in no time: a network of two layers and an LSTM with random weights."""

from __future__ import annotations

from flax import nnx

from jaxret.models import TemporalEncoder, create_backbone
from jaxret.models.encoder import VideoEncoder
from jaxret.preprocessing import Preprocessing


def make_encoder(seed: int = 0, units: int = 16) -> VideoEncoder:
    """Of 4 frames of 32 x 32 pixels a second; a clip's vector has `units` numbers."""
    rngs = nnx.Rngs(seed)
    return VideoEncoder(
        create_backbone("small-convnet", widths=[8, 8], embedding_size=32, rngs=rngs),
        TemporalEncoder(32, units, rngs=rngs),
        Preprocessing(height=32, width=32, frames=4, chunk_seconds=1.0),
    )
