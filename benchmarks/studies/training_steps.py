"""The training steps of the recipes: model, objective, optimiser and a batch, as the recipe's defaults have them.

Dropout is 0 here, so that losses can be compared with a peer's. Batches hold random numbers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from common.own_step import own_step
from flax import nnx
from peers import torch_training as peers

from jaxret.models import (
    DenseEmbedding,
    HashLayer,
    MaxPooledLayers,
    TemporalEncoder,
    WeightedAverage,
    create_backbone,
)
from jaxret.recipes.clips import c3d, cnn_lstm, deep_hash, moving_digits, ndvr_dml
from jaxret.recipes.clips.fit import EmbeddingClassifier
from jaxret.recipes.conv_lstm import recipe as conv_lstm
from jaxret.recipes.image_to_video.recipe import ImageToVideoConfig
from jaxret.recipes.image_to_video.shot_encoders import shot_encoder
from jaxret.training import CosineMarginObjective, OptimiserConfig, ReconstructionObjective

__all__ = ["STEPS", "TrainingStep"]

Arrays = dict[str, np.ndarray]
_CLASSES, _VECTOR = 20, 1280  # of a labelled corpus; numbers of a frame vector of EfficientNet-Lite0
_SMALL_RATE = 1e-5  # of networks in which large updates would make rounding grow, so that losses could not be compared
_SMALL_STEPS = dataclasses.replace(cnn_lstm.CnnLstmConfig().optimiser, learning_rate=_SMALL_RATE)


@dataclasses.dataclass(frozen=True)
class TrainingStep:
    """What one step trains, ours and the peer.

    Attributes:
      what: the sizes, in words.
      model: ours.
      objective: ours, of the model and a batch.
      optimiser: settings.
      batch: arrays.
      peer: gives the loss of a batch, with the same weights.
    """

    what: str
    model: nnx.Module
    objective: Any
    optimiser: OptimiserConfig
    batch: Arrays
    peer: Callable[[], torch.nn.Module]

    def ours(self) -> Callable[[], float]:
        """The step that `jaxret train` runs, its batch shared among all devices; returns the loss before it."""
        return own_step(self.model, self.objective, self._constant, self.batch)

    def in_torch(self, *, channels_last: bool = False) -> Callable[[], float]:
        """The same in PyTorch."""
        batch = {name: torch.from_numpy(array) for name, array in self.batch.items()}
        return peers.torch_step(self.peer(), batch, self._constant, channels_last=channels_last)

    @property
    def _constant(self) -> OptimiserConfig:
        return dataclasses.replace(self.optimiser, schedule="constant", warmup_steps=0)


def _vectors(batch: int, frames: int, size: int = _VECTOR) -> np.ndarray:
    return np.abs(np.random.default_rng(0).standard_normal((batch, frames, size), np.float32))


def _pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def _classes(
    what: str, config: Any, inputs: np.ndarray, encode: Any, size: int, peer: Callable[[], peers.VectorEncoder]
) -> TrainingStep:
    """Of the recipes of classes: an encoder whose embedding has this size, a softmax head, four items a class."""
    model = EmbeddingClassifier(encode, size, _CLASSES, dropout=0.0, rngs=nnx.Rngs(1))
    batch = {"inputs": inputs, "labels": (np.arange(len(inputs)) // 4 % _CLASSES).astype(np.int32)}
    objective = config.objective()
    return TrainingStep(
        what, model, objective, config.optimiser, batch, lambda: peers.VectorClasses(model, objective, peer())
    )


def lstm_of_frame_vectors() -> TrainingStep:
    """cnn-lstm with a frozen backbone."""
    config = cnn_lstm.CnnLstmConfig(fusion="lstm", dropout=0.0)
    inputs = _vectors(config.batch_size, config.frames)
    encode = TemporalEncoder(_VECTOR, config.units, dropout=0.0, rngs=nnx.Rngs(0))
    what = f"{config.batch_size} clips of {config.frames} vectors of {_VECTOR}, {config.units} units"
    return _classes(what, config, inputs, encode, config.units, lambda: peers.LastState(encode))


def digits_end_to_end() -> TrainingStep:
    """moving-digits, which trains the frames' network as well."""
    side = 32
    config = dataclasses.replace(
        moving_digits.MOVING_DIGITS,
        dropout=0.0,
        image_size=side,
        backbone="small-convnet",
        weights="none",
        freeze=False,
        fusion="lstm",
    )
    inputs = _pixels(config.batch_size, config.frames, side, side, 1)
    encode = cnn_lstm.make_encoder(config)
    what = f"{config.batch_size} clips of {config.frames} x {side} x {side}"
    return _classes(what, config, inputs, encode, config.units, lambda: peers.DigitEncoder(encode, side))


def mobilenet_of_images() -> TrainingStep:
    """cnn-lstm on images of CIFAR-10's size, `--backbone mobilenet-v1 --weights none`."""
    config = cnn_lstm.CnnLstmConfig(dropout=0.0, optimiser=_SMALL_STEPS)
    inputs = _pixels(config.batch_size, 32, 32, 3)
    encode = create_backbone("mobilenet-v1", rngs=nnx.Rngs(0))
    what = f"{config.batch_size} images of 32 x 32, MobileNet V1 trained along"
    size = encode.embedding_size
    return _classes(what, config, inputs, encode, size, lambda: peers.MobileNetEncoder(encode, 32))


def mobilenet_of_clips() -> TrainingStep:
    """cnn-lstm with its backbone trained along, `--backbone mobilenet-v1 --freeze False`; smaller and fewer clips."""
    side = 96
    config = cnn_lstm.CnnLstmConfig(
        dropout=0.0,
        fusion="lstm",
        backbone="mobilenet-v1",
        weights="none",
        freeze=False,
        image_size=side,
        batch_size=8,
        optimiser=_SMALL_STEPS,
    )
    inputs = _pixels(config.batch_size, 4, side, side, 3)
    encode = cnn_lstm.make_encoder(config)
    what = f"{config.batch_size} clips of 4 x {side} x {side}, MobileNet V1 trained along"
    return _classes(what, config, inputs, encode, config.units, lambda: peers.MobileNetLstm(encode, side))


def hash_of_frame_vectors() -> TrainingStep:
    """deep-hash with a frozen backbone: the paper's weighted average and hash layer."""
    config = deep_hash.DeepHashConfig(fusion="weighted-average", dropout=0.0)
    inputs = _vectors(config.batch_size, config.frames)
    encode = HashLayer(WeightedAverage(_VECTOR, rngs=nnx.Rngs(0)), config.bits, rngs=nnx.Rngs(0))
    what = f"{config.batch_size} clips of {config.frames} vectors of {_VECTOR}, {config.bits} bits"
    return _classes(what, config, inputs, encode, config.bits, lambda: peers.HashedAverage(encode))


def dense_layers_of_videos() -> TrainingStep:
    """ndvr-dml with a frozen backbone."""
    config = ndvr_dml.NdvrDmlConfig(dropout=0.0)
    network = nnx.eval_shape(lambda: create_backbone("efficientnet-lite0", rngs=nnx.Rngs(0)))
    size = MaxPooledLayers(network, ndvr_dml.default_layers(network)).embedding_size
    inputs = _vectors(config.batch_size, config.frames, size)
    encode = DenseEmbedding(size, config.widths, rngs=nnx.Rngs(0))
    what = f"{config.batch_size} videos of {config.frames} vectors of {size}"
    return _classes(what, config, inputs, encode, config.widths[-1], lambda: peers.DenseOnMean(encode))


def c3d_end_to_end() -> TrainingStep:
    """c3d, at full width, whose batch has 4 clips; 2 here."""
    config = c3d.C3dConfig(dropout=0.0, batch_size=2, fusion="mean")
    side = config.image_size
    inputs = _pixels(config.batch_size, config.frames, side, side, 3)
    encode = c3d.make_encoder(config)
    what = f"{config.batch_size} clips of {config.frames} x {side} x {side}"
    return _classes(what, config, inputs, encode, config.embedding_size, lambda: peers.C3dEncoder(encode.backbone))


def lstm_of_shots() -> TrainingStep:
    """image-to-video with an LSTM, over shots of as many frames as count at most."""
    config = ImageToVideoConfig()
    size, frames, rng = 128, config.max_frames, np.random.default_rng(0)
    shots = shot_encoder("lstm", size, config)
    vectors = rng.standard_normal((config.batch_size, frames, size), np.float32)
    batch = {
        "shots": vectors / np.linalg.norm(vectors, axis=2, keepdims=True),
        "images": rng.standard_normal((config.batch_size, size), np.float32),
        "lengths": rng.integers(frames // 2, frames + 1, config.batch_size).astype(np.int32),
        "positive": np.arange(config.batch_size) % 5 == 0,
    }
    return TrainingStep(
        f"{config.batch_size} shots of {frames} vectors of {size}, {config.units} units",
        shots,
        CosineMarginObjective(config.margin),
        config.optimiser,
        batch,
        lambda: peers.ShotPairs(shots, config.margin),
    )


def _conv_lstm(side: int, frames: int, clips: int, **sizes: int) -> tuple[Any, Any, Arrays, str]:
    config = conv_lstm.ConvLstmConfig(
        image_size=side,
        frames=frames,
        batch_size=clips,
        samples_per_class=2,
        pixel_mean=100.0,
        pixel_deviation=60.0,
        **sizes,
    )
    batch = {"inputs": _pixels(clips, frames, side, side, 3), "labels": (np.arange(clips) // 2).astype(np.int32)}
    return config, conv_lstm.make_autoencoder(config), batch, f"{clips} clips of {frames} x {side} x {side}"


_DIGITS = {"map_channels": 8, "recurrent_channels": 16, "residual_channels": 8, "embedding_size": 128}
_WHOLE = {"map_channels": 16, "recurrent_channels": 64, "residual_channels": 32, "embedding_size": 256}


def _pretraining(model: Any, batch: Arrays, what: str, optimiser: OptimiserConfig) -> TrainingStep:
    """Of the autoencoder M1, whose loss takes no labels."""
    objective, inputs = ReconstructionObjective(), {"inputs": batch["inputs"]}
    return TrainingStep(what, model, objective, optimiser, inputs, lambda: peers.ConvLstmPretraining(model))


def _triplets(config: Any, model: Any, batch: Arrays, what: str, optimiser: OptimiserConfig) -> TrainingStep:
    """Of its encoder alone."""
    objective, network = config.objective(1.0), model.backbone
    return TrainingStep(what, network, objective, optimiser, batch, lambda: peers.ConvLstmTriplets(network, objective))


def autoencoder_of_digits() -> TrainingStep:
    """conv-lstm on moving digits, its first step: the autoencoder M1."""
    config, *rest = _conv_lstm(16, 4, 32, **_DIGITS)
    return _pretraining(*rest, config.optimiser)


def triplets_of_digits() -> TrainingStep:
    """And its second: the triplet loss."""
    config, *rest = _conv_lstm(16, 4, 32, **_DIGITS)
    return _triplets(config, *rest, config.optimiser)


def autoencoder_of_videos() -> TrainingStep:
    """The first step on videos, where a batch has 32 clips; 4 here, and small steps."""
    config, *rest = _conv_lstm(64, 8, 4, **_WHOLE)
    return _pretraining(*rest, dataclasses.replace(config.optimiser, learning_rate=_SMALL_RATE))


def triplets_of_videos() -> TrainingStep:
    """And the second."""
    config, *rest = _conv_lstm(64, 8, 4, **_WHOLE)
    return _triplets(config, *rest, dataclasses.replace(config.optimiser, learning_rate=_SMALL_RATE))


STEPS: dict[str, Callable[[], TrainingStep]] = {
    "cnn-lstm": lstm_of_frame_vectors,
    "cnn-lstm on images": mobilenet_of_images,
    "cnn-lstm, end to end": mobilenet_of_clips,
    "moving-digits": digits_end_to_end,
    "deep-hash": hash_of_frame_vectors,
    "ndvr-dml": dense_layers_of_videos,
    "c3d": c3d_end_to_end,
    "image-to-video": lstm_of_shots,
    "conv-lstm on digits, pretrain": autoencoder_of_digits,
    "conv-lstm on digits, triplet": triplets_of_digits,
    "conv-lstm, pretrain": autoencoder_of_videos,
    "conv-lstm, triplet": triplets_of_videos,
}
"""What makes the step of each recipe that trains by gradients."""
