"""The backbones and the two encoders of system 1 in plain PyTorch, with the weights of ours.

Inputs are pixels that were normalised beforehand, channels first. Modules are in evaluation mode.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from jaxret.models.layers.conv import ConvBatchNorm
from jaxret.models.layers.dispatch import output_padding


class CnnLstm(nn.Module):
    """Frames (T, C, H, W) of one clip to the last hidden state, (1, units)."""

    def __init__(self, encoder: Any, size: int) -> None:
        super().__init__()
        self.backbone = mobilenet_of(encoder.backbone, size)
        self.lstm = lstm_of(encoder.temporal)
        self.eval()

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """See the class."""
        _, (hidden, _) = self.lstm(self.backbone(frames)[:, None])
        return hidden[0]


class C3d(nn.Module):
    """Clips (B, C, T, H, W) to features (B, D)."""

    def __init__(self, net: Any) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for name in net.trunk_names:
            if name in net.convolutions:
                layers += [*convolution_of(net.convolutions[name], padding=1), nn.ReLU(inplace=True)]
            else:
                layers.append(nn.MaxPool3d((1 if name == "pool1" else 2, 2, 2), ceil_mode=True))
        self.trunk = nn.Sequential(*layers)
        self.dense = nn.Sequential()
        for layer in (net.fc6, net.fc7, net.feature):
            self.dense.append(linear_of(layer)).append(nn.ReLU(inplace=True))
        self.eval()

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """See the class."""
        maps = self.trunk(clips).mean(dim=2)  # (B, C, H, W)
        size = maps.shape[-1]
        # The average over a grid of 4 x 4 places that need not be whole pixels: pixels cut into four, then whole.
        if size != 4:
            maps = nn.functional.avg_pool2d(maps.repeat_interleave(4, 2).repeat_interleave(4, 3), size)
        return self.dense(maps.permute(0, 2, 3, 1).flatten(1))


def mobilenet_of(network: Any, size: int) -> nn.Sequential:
    """A `MobileNetV1` for images (B, C, size, size), to its embedding."""
    layers: list[nn.Module] = []
    for name in network.layer_names:
        layer = network.layers[name]
        pads, size = zeros_around(layer, size)
        layers += [nn.ZeroPad2d(pads)] if any(pads) else []
        layers += [*convolution_of(layer), nn.ReLU6(inplace=True)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def lite0_of(network: Any, size: int) -> nn.Sequential:
    """An `EfficientNetLite0` for images (B, C, size, size), to its embedding."""

    def layer(module: Any, *activation: nn.Module) -> list[nn.Module]:
        nonlocal size
        pads, size = zeros_around(module, size)
        return [*([nn.ZeroPad2d(pads)] if any(pads) else []), *convolution_of(module), *activation]

    layers = layer(network.stem, nn.ReLU6(inplace=True))
    for block in network.blocks:
        within = [] if block.expand is None else layer(block.expand, nn.ReLU6(inplace=True))
        within += [*layer(block.depthwise, nn.ReLU6(inplace=True)), *layer(block.project)]
        layers.append((Residual if block.residual else nn.Sequential)(*within))
    layers += layer(network.last, nn.ReLU6(inplace=True))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


class Residual(nn.Sequential):
    """Layers whose input is added to their output."""

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) to the same."""
        return maps + super().forward(maps)


def lstm_of(temporal: Any) -> nn.LSTM:
    """A `TemporalEncoder` of one LSTM in one direction; frames come first, (T, B, D)."""
    ((cell,),) = temporal.cells
    lstm = nn.LSTM(cell.kernel.shape[0], cell.units)  # its gates stand in the order of ours: i, f, g, o
    with torch.no_grad():
        lstm.weight_ih_l0.copy_(tensor_of(cell.kernel).T)
        lstm.weight_hh_l0.copy_(tensor_of(cell.recurrent_kernel).T)
        lstm.bias_ih_l0.copy_(tensor_of(cell.bias))
        lstm.bias_hh_l0.zero_()
    lstm.bias_hh_l0.requires_grad_(False)  # ours has one
    return lstm


def tensor_of(parameter: Any) -> torch.Tensor:
    """A parameter's numbers, as they lie."""
    return torch.from_numpy(np.array(parameter[...]))


def zeros_around(layer: Any, size: int) -> tuple[list[int], int]:
    """Zeros (left, right, top, bottom) of a layer on maps of this side, and the side of its output."""
    window = layer.kernel.shape[:2]
    rows, columns = output_padding(layer.padding, (size, size), window, layer.strides)
    return [*columns, *rows], (size + sum(rows) - window[0]) // layer.strides[0] + 1


def convolution_of(layer: Any, padding: int = 0) -> list[nn.Module]:
    """A `ConvBias`, or a `ConvBatchNorm` as two modules; without the activation."""
    kernel, normed = tensor_of(layer.kernel), isinstance(layer, ConvBatchNorm)
    depthwise, strides = (layer.depthwise, layer.strides) if normed else (False, 1)
    groups = kernel.shape[-1] if depthwise else 1
    kernel = (kernel.unsqueeze(-2) if depthwise else kernel).movedim((-1, -2), (0, 1))
    outs, ins, *window = kernel.shape
    two_axes = len(window) == 2
    convolution = (nn.Conv2d if two_axes else nn.Conv3d)(
        ins * groups, outs, tuple(window), strides, padding, groups=groups, bias=not normed
    )
    with torch.no_grad():
        convolution.weight.copy_(kernel)
        if not normed:
            convolution.bias.copy_(tensor_of(layer.bias))
            return [convolution]
        norm = (nn.BatchNorm2d if two_axes else nn.BatchNorm3d)(outs, eps=layer.norm.epsilon)
        for ours, theirs in (("scale", "weight"), ("bias", "bias"), ("mean", "running_mean"), ("var", "running_var")):
            getattr(norm, theirs).copy_(tensor_of(getattr(layer.norm, ours)))
    return [convolution, norm]


def linear_of(layer: Any) -> nn.Linear:
    """An `nnx.Linear`."""
    kernel = tensor_of(layer.kernel)
    linear = nn.Linear(*kernel.shape)
    with torch.no_grad():
        linear.weight.copy_(kernel.T)
        linear.bias.copy_(tensor_of(layer.bias))
    return linear
