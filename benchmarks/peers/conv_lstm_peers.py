"""One training step of two ConvLSTM layers: ours, Keras 3 on JAX and PyTorch, from the same weights.

The model goes from clips (B, T, H, W, 3) through two ConvLSTMs of one width and a 1 x 1 convolution to images of 3
channels; the loss is the mean squared error, the optimiser SGD with momentum 0.9.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import torch
from common.own_step import own_step
from flax import nnx

from jaxret.losses import mean_squared_error
from jaxret.models.conv_lstm.blocks import Pointwise
from jaxret.models.conv_lstm.cell import ConvLSTM
from jaxret.training import OptimiserConfig

RATE, MOMENTUM = 0.1, 0.9

Step = Callable[[], float]
"""Does one training step and returns the loss before it."""


class Model(nnx.Module):
    """The model in jaxret's layers."""

    def __init__(self, channels: int) -> None:
        rngs = nnx.Rngs(0)
        self.first = ConvLSTM(3, channels, rngs=rngs)
        self.second = ConvLSTM(channels, channels, rngs=rngs)
        self.last = Pointwise(channels, 3, rngs=rngs)

    def __call__(self, clips: jax.Array) -> jax.Array:
        """Clips (B, T, H, W, 3) to (B, T, H, W, 3)."""
        return self.last(self.second(self.first(clips)))


def jaxret_step(model: Model, clips: np.ndarray, targets: np.ndarray) -> Step:
    """The step that `jaxret.training.fit` runs, its batch shared among all devices."""
    config = OptimiserConfig(
        algorithm="sgd", learning_rate=RATE, momentum=MOMENTUM, schedule="constant", weight_decay=0.0, clip_norm=None
    )

    def objective(model: Any, batch: dict[str, jax.Array]) -> tuple[jax.Array, dict[str, jax.Array]]:
        return mean_squared_error(model(batch["inputs"]), batch["targets"]), {}

    return own_step(model, objective, config, {"inputs": clips, "targets": targets})


def keras_step(model: Model, clips: np.ndarray, targets: np.ndarray, *, unroll: bool) -> Step:
    """`train_on_batch` of a compiled Keras model; `unroll` is the layers' own option."""
    import keras

    def layer() -> Any:
        return keras.layers.ConvLSTM2D(
            model.first.channels,
            3,
            padding="same",
            recurrent_activation="sigmoid",
            return_sequences=True,
            unroll=unroll,
        )

    peer = keras.Sequential([keras.Input(clips.shape[1:]), layer(), layer(), keras.layers.Dense(3)])
    for into, ours in zip(peer.layers, (model.first, model.second, model.last), strict=True):
        names = ("kernel", "recurrent_kernel", "bias")
        into.set_weights([np.asarray(getattr(ours, name)[...]) for name in names if hasattr(ours, name)])
    peer.compile(keras.optimizers.SGD(RATE, momentum=MOMENTUM), "mse", jit_compile=True)
    return lambda: float(peer.train_on_batch(clips, targets))


class TorchConvLstm(torch.nn.Module):
    """The cell as it is usually written: one convolution of inputs and state, in a loop over time."""

    def __init__(self, layer: ConvLSTM) -> None:
        super().__init__()
        self.channels = layer.channels
        self.conv = torch.nn.Conv2d(layer.in_channels + layer.channels, 4 * layer.channels, 3, padding=1)
        kernel = np.concatenate([layer.kernel[...], layer.recurrent_kernel[...]], axis=2)
        with torch.no_grad():
            self.conv.weight.copy_(torch.from_numpy(kernel).permute(3, 2, 0, 1))
            self.conv.bias.copy_(torch.from_numpy(np.array(layer.bias[...])))

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """(B, T, C_in, H, W) to (B, T, C, H, W)."""
        batch, steps, _, height, width = clips.shape
        hidden = cell = clips.new_zeros(batch, self.channels, height, width)
        outputs = []
        for step in range(steps):
            i, f, g, o = self.conv(torch.cat([clips[:, step], hidden], dim=1)).chunk(4, dim=1)
            cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
            hidden = torch.sigmoid(o) * torch.tanh(cell)
            outputs.append(hidden)
        return torch.stack(outputs, dim=1)


class TorchModel(torch.nn.Module):
    """The model in PyTorch's layers."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.first, self.second = TorchConvLstm(model.first), TorchConvLstm(model.second)
        self.last = torch.nn.Conv2d(model.first.channels, 3, 1)
        with torch.no_grad():
            self.last.weight.copy_(torch.from_numpy(np.array(model.last.kernel[...])).T[..., None, None])
            self.last.bias.copy_(torch.from_numpy(np.array(model.last.bias[...])))

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """(B, T, 3, H, W) to (B, T, 3, H, W)."""
        hidden = self.second(self.first(clips))
        return self.last(hidden.flatten(0, 1)).unflatten(0, hidden.shape[:2])


def torch_step(model: Model, clips: np.ndarray, targets: np.ndarray, *, channels_last: bool = False) -> Step:
    """A step of eager PyTorch; channels first or last in memory."""
    peer: Any = TorchModel(model)
    images, wanted = (torch.from_numpy(array).permute(0, 1, 4, 2, 3) for array in (clips, targets))
    if channels_last:
        peer = peer.to(memory_format=torch.channels_last)
    else:
        images, wanted = images.contiguous(), wanted.contiguous()
    optimiser = torch.optim.SGD(peer.parameters(), RATE, momentum=MOMENTUM)

    def run() -> float:
        optimiser.zero_grad()
        loss = torch.nn.functional.mse_loss(peer(images), wanted)
        loss.backward()
        optimiser.step()
        return loss.item()

    return run
