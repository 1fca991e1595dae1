"""How well an autoencoder reconstructs clips: its error, and a figure of clips beside their reconstructions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from jaxret.data.dataset import MediaDataset
from jaxret.data.sampling.depth_planes import frames_of_volumes
from jaxret.models.conv_lstm.autoencoder import ConvLstmAutoencoder
from jaxret.preprocessing import Preprocessing
from jaxret.recipes.conv_lstm.clip_table import ClipTable, batches_of_clips
from jaxret.reporting import draw_reconstructions
from jaxret.training import ReconstructionObjective

__all__ = [
    "draw_clips_and_reconstructions",
    "frames_of_output",
    "mean_frame_error",
    "reconstruct",
    "reconstruction_error",
]


def reconstruction_error(
    model: ConvLstmAutoencoder,
    dataset: MediaDataset,
    table: ClipTable,
    preprocessing: Preprocessing,
    *,
    batch_size: int,
    threads: int,
) -> float:
    """The mean over clips of what `ReconstructionObjective` minimises; NaN where none reads.

    Args:
      model: in evaluation mode.
      dataset, table: the clips, taken as they are indexed.
      preprocessing: as the model's backbone expects.
      batch_size: clips at once.
      threads: files decoded at once.
    """
    losses: list[float] = []
    for _, clips, readable in batches_of_clips(dataset, table, preprocessing, batch_size=batch_size, threads=threads):
        losses += np.asarray(_losses(model, clips), np.float64)[readable].tolist()
    return math.fsum(losses) / len(losses) if losses else math.nan


def mean_frame_error(
    dataset: MediaDataset,
    training: ClipTable,
    held_out: ClipTable,
    preprocessing: Preprocessing,
    *,
    standardise: Callable[[jax.Array], jax.Array],
    batch_size: int,
    threads: int,
) -> float:
    """What a decoder is to beat: the mean squared error of held-out clips by the mean frame of training clips.

    Args:
      dataset: the media.
      training: clips, whose mean frame is taken.
      held_out: clips that are measured; both are taken as they are indexed.
      preprocessing: of colours, without depth.
      standardise: makes of clips what `reconstruction_error` measures, such as `ConvLstmEncoder.standardise`.
      batch_size: clips at once.
      threads: files decoded at once.

    Returns:
      The mean over clips; NaN where none reads.
    """

    def clips_of(table: ClipTable) -> Iterator[npt.NDArray[np.float64]]:
        for _, clips, readable in batches_of_clips(
            dataset, table, preprocessing, batch_size=batch_size, threads=threads
        ):
            yield from np.asarray(standardise(jnp.asarray(clips)), np.float64)[readable]

    means = [clip.mean(axis=0) for clip in clips_of(training)]  # (H, W, C) each
    if not means:
        return math.nan
    frame = np.mean(means, axis=0)
    errors = [float(((clip - frame) ** 2).mean()) for clip in clips_of(held_out)]
    return math.fsum(errors) / len(errors) if errors else math.nan


@jax.jit
def _losses(model: ConvLstmAutoencoder, clips: jax.Array) -> jax.Array:
    """(B, T, H, W, C) to (B,)."""
    objective = ReconstructionObjective()
    outputs = model.reconstruct(clips).output
    return jax.vmap(lambda output, clip: objective.loss(model, output[None], clip[None])[0])(outputs, clips)


def reconstruct(model: ConvLstmAutoencoder, clips: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Clips (B, T, H, W, C) as the model gives them back, of the same shape and meaning."""
    return frames_of_output(model, np.asarray(_output(model, jnp.asarray(clips))), clips)


@jax.jit
def _output(model: ConvLstmAutoencoder, clips: jax.Array) -> jax.Array:
    return model.reconstruct(clips).output


def draw_clips_and_reconstructions(
    path: Path,
    model: ConvLstmAutoencoder,
    dataset: MediaDataset,
    table: ClipTable,
    preprocessing: Preprocessing,
    *,
    threads: int,
) -> None:
    """Draw clips beside what comes back of them, as a PNG; nothing where none of them reads.

    Args:
      path: the file to write.
      model: in evaluation mode.
      dataset, table: the clips, taken as they are indexed.
      preprocessing: as the model's backbone expects.
      threads: files decoded at once.
    """
    if not len(table):
        return
    ((_, clips, readable),) = batches_of_clips(dataset, table, preprocessing, batch_size=len(table), threads=threads)
    if readable.any():
        items = [dataset.items[index] for index in table.items[readable].tolist()]
        draw_reconstructions(
            path,
            clips[readable],
            reconstruct(model, clips)[readable],
            [item.key if item.label is None else f"{item.label}: {item.key}" for item in items],
            planes=model.backbone.depth_planes,
        )


def frames_of_output(
    model: ConvLstmAutoencoder, output: npt.NDArray[np.float32], clips: npt.NDArray[np.uint8]
) -> npt.NDArray[np.uint8]:
    """A decoder's output (B, T, *spatial, C) as pixels: uint8 (B, T, H, W, colours), or with depth planes
    (B, T, H, W, 4), the last channel the number of the plane.

    Where a clip is standardised by its own mean and deviation, vectors do not hold them, and they are taken from
    `clips` (B, T, H, W, C), those that were encoded.

    Of bins each pixel is the mean of its intensity. With depth a pixel is its fullest plane's. Occupancies are learned
    as the probabilities of the planes, so where all of a pixel's make less than a half it is black, in plane 0.
    """
    backbone = model.backbone
    planes = bool(backbone.depth_planes)
    colours, occupancy = (output[..., :-1], output[..., -1:]) if planes else (output, None)
    if model.bins:
        logits = colours.reshape(*colours.shape[:-1], -1, model.bins)
        weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
        middles = (np.arange(model.bins) + 0.5) * (256 / model.bins) - 0.5
        pixels = (weights * middles).sum(axis=-1) / weights.sum(axis=-1)
    else:
        given = jnp.asarray(clips[..., : colours.shape[-1]], jnp.float32)
        mean, deviation = (np.asarray(number) for number in backbone.pixel_scale(given))
        if planes and deviation.ndim:
            mean, deviation = mean[..., None], deviation[..., None]  # of cells (H, W, Z)
        pixels = colours * deviation + mean
    if occupancy is None:
        return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
    taken = 1 / (1 + np.exp(-occupancy)) if model.bins else np.clip(occupancy, 0, 1)  # of bins it is a logit
    frames = frames_of_volumes(np.concatenate([pixels, taken], axis=-1), threshold=0.0)
    return np.where(taken[..., 0].sum(axis=-1)[..., None] >= 0.5, frames, 0).astype(np.uint8)
