"""What an autoencoder gives back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from jaxret.losses import binary_cross_entropy, intensity_cross_entropy, mean_squared_error

__all__ = ["ReconstructionObjective"]


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
