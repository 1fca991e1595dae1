"""The seven autoencoders of system 2, as configurations of one class.

Paper: Ma and Klabjan, "Semi-supervised 3D Video Information Retrieval with Deep Neural Network and Bi-directional
Dynamic-time Warping Algorithm", table 1:

    m1     RGB    3 LRBP    3 URB                     baseline
    m2     RGB    3 LRBP    3 UQB                     convolutions over time and space in the decoder
    m3     RGB    3 LRBP    UTB, 3 URB                a transformer over the vectors of the frames
    m1-3d  RGB-D  3 L3RBP   3 R3BP                    the same over height, width and depth
    m2-3d  RGB-D  3 L3RBP   3 U4DB
    m3-3d  RGB-D  3 L3RBP   UTB, 3 R3BP
    cnn-3d RGB-D  convolutions over height, width and depth for all of them, which m1-3d to m3-3d are compared with

An encoder's dense layer gives one vector a frame (4,000 numbers in the paper), a decoder's goes back to the maps. No
connection leads around the vectors. Decision: "3D CNN layers as opposed to the 3D ConvLSTM cell" convolve where the
cell does, over the three axes of space, so that `cnn-3d` knows nothing of time.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
from flax import nnx

from jaxret.errors import ConfigError, unknown_name_message
from jaxret.models.conv_lstm.blocks import SequenceLayer
from jaxret.models.conv_lstm.decoder import ConvLstmDecoder
from jaxret.models.conv_lstm.encoder import ConvLstmEncoder
from jaxret.models.registry import create_backbone

__all__ = ["AUTOENCODERS", "ConvLstmAutoencoder", "Reconstruction", "create_autoencoder"]

TRANSFORMER = {"layers": 5, "heads": 3, "units": 512, "feed_forward": 2048}
"""The paper's sizes of UTB."""


@dataclasses.dataclass(frozen=True)
class _Form:
    """What the autoencoders differ in."""

    encoder: SequenceLayer
    decoder: SequenceLayer
    last: SequenceLayer
    transformer: bool
    depth: bool


AUTOENCODERS = {
    "m1": _Form("conv-lstm", "conv-lstm", "conv-lstm", transformer=False, depth=False),
    "m2": _Form("conv-lstm", "convolution", "conv-lstm", transformer=False, depth=False),
    "m3": _Form("conv-lstm", "conv-lstm", "conv-lstm", transformer=True, depth=False),
    "m1-3d": _Form("conv-lstm", "conv-lstm", "conv-lstm", transformer=False, depth=True),
    "m2-3d": _Form("conv-lstm", "convolution", "conv-lstm", transformer=False, depth=True),
    "m3-3d": _Form("conv-lstm", "conv-lstm", "conv-lstm", transformer=True, depth=True),
    "cnn-3d": _Form("frame-convolution", "frame-convolution", "frame-convolution", transformer=False, depth=True),
}
"""The autoencoders by name."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Reconstruction:
    """What an autoencoder makes of clips; a JAX pytree.

    Attributes:
      frame_embeddings: (B, T, E) float32.
      clip_embedding: (B, E) float32, their mean over time.
      output: (B, T, *spatial, C) float32: standardised pixels and, with depth planes, occupancy; where the decoder
        gives intensity bins, the logits, see `ConvLstmAutoencoder`.
    """

    frame_embeddings: jax.Array
    clip_embedding: jax.Array
    output: jax.Array


class ConvLstmAutoencoder(nnx.Module):
    """An encoder and the decoder that gives its clips back; `create_autoencoder` makes one by name.

    Args:
      backbone: which indexing and searching take alone.
      decoder: takes its vectors of frames.
      bins: 0: the output is standardised pixels. Above: logits of `bins` equal bins of the intensities 0..255, those
        of the first colour first: the last axis is colours times bins and, with depth planes, one of occupancy.

    Example:
      >>> sizes = {"height": 16, "width": 16, "embedding_size": 8, "recurrent_channels": 4, "residual_channels": 2}
      >>> model = create_autoencoder("m1", **sizes, rngs=nnx.Rngs(0))
      >>> import jax.numpy as jnp
      >>> jax.eval_shape(model, jnp.zeros((2, 3, 16, 16, 3), jnp.uint8)).output.shape
      (2, 3, 16, 16, 3)
    """

    def __init__(self, backbone: ConvLstmEncoder, decoder: ConvLstmDecoder, *, bins: int = 0):
        self.backbone = backbone
        self.decoder = decoder
        self.bins = bins

    def __call__(self, clips: jax.Array) -> Reconstruction:
        """See `reconstruct`."""
        return self.reconstruct(clips)

    def reconstruct(self, clips: jax.Array) -> Reconstruction:
        """Encode clips (B, T, H, W, C), uint8 or floating in 0..255, and decode the frames' vectors.

        Raises:
          ValueError: the clips have another shape, or no frames.
        """
        encoding = self.backbone(clips)
        vectors = encoding.stages["frame_embeddings"]
        return Reconstruction(vectors, encoding.embedding, self.decoder(vectors))


def create_autoencoder(
    name: str,
    *,
    depth_planes: int | None = None,
    transformer: dict[str, int] | None = None,
    bins: int = 0,
    rngs: nnx.Rngs,
    **settings: Any,
) -> ConvLstmAutoencoder:
    """The autoencoder of that name with random weights, in evaluation mode.

    Args:
      name: one of `AUTOENCODERS`.
      depth_planes: Z; None: 16 for the models of RGB-D, none for those of RGB.
      transformer: sizes of UTB that differ from the paper's: `layers`, `heads`, `units`, `feed_forward`.
      bins: of intensities, see `ConvLstmAutoencoder`.
      rngs: source of the initial weights.
      settings: of `ConvLstmEncoder`; the decoder has the same blocks, dtype and remat, and its blocks the encoder's
        `residual_channels`.

    Raises:
      ConfigError: a name or setting is unknown, or a value is bad or does not go with the model.
    """
    if name not in AUTOENCODERS:
        raise ConfigError(unknown_name_message("autoencoder", name, AUTOENCODERS))
    form = AUTOENCODERS[name]
    planes = (16 if form.depth else 0) if depth_planes is None else depth_planes
    if form.depth != bool(planes):
        fitting = "needs at least 1" if form.depth else "takes none"
        raise ConfigError(f"{name} {fitting} of depth_planes, got {planes}")
    if transformer is not None and not form.transformer:
        raise ConfigError(f"{name} has no transformer, got sizes of one: {transformer}")
    for size in transformer or {}:
        if size not in TRANSFORMER:
            raise ConfigError(unknown_name_message("size of the transformer", size, TRANSFORMER))
    if bins < 0 or bins == 1 or bins > 256:
        raise ConfigError(f"bins must be 0 (pixels, no bins) or 2 to 256, got {bins}")
    if "layer" in settings:
        raise ConfigError(f"{name} has layers of its own: there is no setting layer")
    backbone = create_backbone("conv-lstm", layer=form.encoder, depth_planes=planes, rngs=rngs, **settings)
    assert isinstance(backbone, ConvLstmEncoder)
    colours = 3 if planes else backbone.channels
    decoder = ConvLstmDecoder(
        backbone.embedding_size,
        backbone.map_shape,
        colours * max(1, bins) + bool(planes),
        blocks=len(backbone.blocks),
        channels=backbone.residual_channels,
        layer=form.decoder,
        last_layer=form.last,
        transformer={**TRANSFORMER, **(transformer or {})} if form.transformer else None,
        remat=backbone.remat,
        dtype=backbone.dtype.name,
        rngs=rngs,
    )
    model = ConvLstmAutoencoder(backbone, decoder, bins=bins)
    model.eval()
    return model
