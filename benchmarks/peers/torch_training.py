"""What the recipes train by gradients, in plain PyTorch, with the weights of ours: modules and losses.

A module takes the batch of a recipe's step, arrays by name, as tensors, and gives its loss. Images and clips come as
uint8 in our layout, channels last, and are normalised in the step, as ours are.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from peers.conv_lstm_peers import TorchConvLstm
from peers.torch_networks import C3d, convolution_of, linear_of, lstm_of, mobilenet_of, tensor_of, zeros_around
from torch import nn
from torch.nn import functional

__all__ = [
    "C3dEncoder",
    "ConvLstmPretraining",
    "ConvLstmTriplets",
    "DenseOnMean",
    "DigitEncoder",
    "HashedAverage",
    "LastState",
    "MobileNetEncoder",
    "MobileNetLstm",
    "ShotPairs",
    "VectorClasses",
    "VectorEncoder",
    "torch_step",
]

Batch = dict[str, torch.Tensor]


def torch_step(module: nn.Module, batch: Batch, optimiser: Any, *, channels_last: bool = False) -> Callable[[], float]:
    """A step of eager PyTorch: loss, gradient, which is scaled down to the settings' norm, update.

    Args:
      module: gives the loss of a batch.
      batch: what it takes.
      optimiser: `jaxret.training.OptimiserConfig`; adam, adamw.
      channels_last: kernels lie so in memory, and maps follow them.

    Returns:
      What does one step and returns the loss before it.
    """
    if channels_last:
        volumes = any(isinstance(part, nn.Conv3d) for part in module.modules())
        module.to(memory_format=torch.channels_last_3d if volumes else torch.channels_last)
    module.train()
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    made = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[optimiser.algorithm]
    decay = {"weight_decay": optimiser.weight_decay} if optimiser.algorithm == "adamw" else {}
    updates = made(parameters, optimiser.learning_rate, **decay)

    def run() -> float:
        updates.zero_grad()
        loss = module(batch)
        loss.backward()
        if optimiser.clip_norm is not None:
            nn.utils.clip_grad_norm_(parameters, optimiser.clip_norm)
        updates.step()
        return loss.item()

    return run


def triplets_that_break_the_margin(points: torch.Tensor, labels: torch.Tensor, margin: float) -> torch.Tensor:
    """The mean loss of all triplets of a batch whose loss is above zero, by squared distance."""
    squares = (points**2).sum(1)
    distances = (squares[:, None] + squares - 2 * points @ points.T).clamp(min=0)
    same = labels[:, None] == labels
    positive = same & ~torch.eye(len(labels), dtype=torch.bool)
    losses = functional.relu(distances[:, :, None] - distances[:, None, :] + margin)
    counted = positive[:, :, None] & ~same[:, None, :] & (losses > 0)
    return torch.where(counted, losses, 0.0).sum() / counted.sum().clamp(min=1)


class VectorEncoder(nn.Module):
    """What gives one vector of each input, and what of it the triplet loss compares: by default at length 1."""

    def points(self, embedding: torch.Tensor) -> torch.Tensor:
        """(B, E) to (B, E)."""
        return functional.normalize(embedding)


class VectorClasses(nn.Module):
    """An encoder with a softmax head: of cnn-lstm, deep-hash, ndvr-dml and c3d.

    Args:
      model: our `EmbeddingClassifier`.
      objective: our `ClassificationTripletObjective`, or the one of codes; mining "all".
      encode: the encoder's peer.
    """

    def __init__(self, model: Any, objective: Any, encode: VectorEncoder) -> None:
        super().__init__()
        self.encode, self.head, self.objective = encode, linear_of(model.head.linear), objective

    def forward(self, batch: Batch) -> torch.Tensor:
        """The loss."""
        embedding, labels = self.encode(batch["inputs"]), batch["labels"].long()
        loss = embedding.new_zeros(())
        if self.objective.cross_entropy_weight:
            loss = loss + self.objective.cross_entropy_weight * functional.cross_entropy(self.head(embedding), labels)
        if self.objective.triplet_weight:
            points = self.encode.points(embedding)
            triplets = triplets_that_break_the_margin(points, labels, self.objective.margin)
            loss = loss + self.objective.triplet_weight * triplets
        return loss


class LastState(VectorEncoder):
    """The last hidden state of an LSTM over frame vectors."""

    def __init__(self, temporal: Any) -> None:
        super().__init__()
        self.lstm = lstm_of(temporal)

    def forward(self, vectors: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """(B, T, D) to (B, units): after the last frame, or after those that count."""
        outputs, (hidden, _) = self.lstm(vectors.transpose(0, 1))
        return hidden[0] if lengths is None else outputs[lengths.long() - 1, torch.arange(len(vectors))]


class HashedAverage(VectorEncoder):
    """The weighted average of frame vectors and a hash layer."""

    def __init__(self, hashed: Any) -> None:
        super().__init__()
        self.score = nn.Parameter(tensor_of(hashed.encoder.score.kernel))
        self.linear = linear_of(hashed.linear)

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """(B, T, D) to activations (B, bits)."""
        weights = torch.softmax(vectors @ self.score, dim=1)
        return torch.sigmoid(self.linear((weights * vectors).sum(1)))

    def points(self, embedding: torch.Tensor) -> torch.Tensor:
        """Squared distances are shares of the bits."""
        return embedding / math.sqrt(embedding.shape[-1])


class DenseOnMean(VectorEncoder):
    """NDVR-DML's dense layers on the mean of the frame vectors."""

    def __init__(self, dense: Any) -> None:
        super().__init__()
        self.layers = nn.ModuleList(linear_of(layer) for layer in dense.layers)

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """(B, T, D) to (B, E) of length 1."""
        mean = vectors.mean(1)
        hidden = functional.normalize(mean - mean.mean(1, keepdim=True))
        for layer in self.layers:
            hidden = torch.tanh(layer(hidden))
        return functional.normalize(hidden)


class DigitEncoder(VectorEncoder):
    """The small convolutional network and the LSTM of the recipe moving-digits, trained end to end."""

    def __init__(self, encoder: Any, side: int) -> None:
        super().__init__()
        network = encoder.backbone
        layers: list[nn.Module] = []
        for layer in network.convolutions:
            pads, side = zeros_around(layer, side)
            layers += [nn.ZeroPad2d(pads)] if any(pads) else []
            layers += [*convolution_of(layer), nn.ReLU(inplace=True)]
        self.trunk = nn.Sequential(*layers, nn.AvgPool2d(side // network.grid))
        self.dense, self.last = linear_of(network.dense), LastState(encoder.temporal)
        self.known = network.normalisation

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """uint8 (B, T, H, W, C) to (B, units)."""
        frames = (clips.flatten(0, 1).permute(0, 3, 1, 2).float() - self.known["mean"]) * self.known["scale"]
        grid = self.trunk(frames).permute(0, 2, 3, 1).flatten(1)
        return self.last(functional.relu(self.dense(grid)).unflatten(0, clips.shape[:2]))


class MobileNetEncoder(VectorEncoder):
    """MobileNet V1, which is trained end to end."""

    def __init__(self, network: Any, side: int) -> None:
        super().__init__()
        self.trunk, self.known = mobilenet_of(network, side), network.normalisation

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 (B, H, W, C) to (B, E)."""
        return self.trunk((images.permute(0, 3, 1, 2).float() - self.known["mean"]) * self.known["scale"])


class MobileNetLstm(VectorEncoder):
    """MobileNet V1 and an LSTM, trained end to end."""

    def __init__(self, encoder: Any, side: int) -> None:
        super().__init__()
        self.frames, self.last = MobileNetEncoder(encoder.backbone, side), LastState(encoder.temporal)

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """uint8 (B, T, H, W, C) to (B, units)."""
        return self.last(self.frames(clips.flatten(0, 1)).unflatten(0, clips.shape[:2]))


class C3dEncoder(VectorEncoder):
    """C3D, which is trained end to end."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network, self.known = C3d(network), network.normalisation

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """uint8 (B, T, H, W, C) to (B, E)."""
        return self.network((clips.permute(0, 4, 1, 2, 3).float() - self.known["mean"]) * self.known["scale"])


class ShotPairs(nn.Module):
    """The LSTM of shots with its tanh head, and the cosine loss of image-to-video."""

    def __init__(self, shots: Any, margin: float) -> None:
        super().__init__()
        self.last, self.linear, self.margin = LastState(shots.encoder), linear_of(shots.linear), margin

    def forward(self, batch: Batch) -> torch.Tensor:
        """The loss."""
        embedding = torch.tanh(self.linear(self.last(batch["shots"], batch["lengths"])))
        cosines, positive = functional.cosine_similarity(embedding, batch["images"]), batch["positive"]
        return torch.where(positive, 1 - cosines, functional.relu(cosines - self.margin)).mean()


class ResidualConvLstm(nn.Module):
    """Block R: a ConvLSTM, and around it a 1 x 1 convolution where the channels change."""

    def __init__(self, residual: Any) -> None:
        super().__init__()
        self.layer = TorchConvLstm(residual.layer)
        self.shortcut = None if residual.shortcut is None else pointwise(residual.shortcut)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """(B, T, C_in, H, W) to (B, T, C, H, W)."""
        around = maps if self.shortcut is None else over_frames(self.shortcut, maps)
        return functional.leaky_relu(self.layer(maps) + around, 0.01)


class ConvLstmBlock(nn.Module):
    """Block LRBP."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.ahead, self.back = TorchConvLstm(block.recurrent.forward), TorchConvLstm(block.recurrent.backward)
        self.residual, self.narrow = ResidualConvLstm(block.residual), pointwise(block.narrow)
        self.norm = nn.BatchNorm2d(block.narrow.kernel.shape[1], eps=1e-3)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """(B, T, C_in, H, W) to (B, T, C, H / 2, W / 2)."""
        both = torch.cat([self.ahead(maps), self.back(maps.flip(1)).flip(1)], dim=2)
        narrow = over_frames(self.narrow, torch.cat([both, self.residual(both)], dim=2))
        return over_frames(lambda frames: self.norm(functional.max_pool2d(frames, 2)), narrow)


class ConvLstmFrames(nn.Module):
    """The encoder of system 2: clips to a vector a frame."""

    def __init__(self, backbone: Any) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(ConvLstmBlock(block) for block in backbone.blocks)
        self.dense = linear_of(backbone.dense)
        self.mean, self.deviation = backbone.pixel_mean, backbone.pixel_deviation

    def standardised(self, clips: torch.Tensor) -> torch.Tensor:
        """uint8 (B, T, H, W, C) to (B, T, C, H, W)."""
        return (clips.permute(0, 1, 4, 2, 3).float() - self.mean) / self.deviation

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """(B, T, C, H, W) to (B, T, E)."""
        for block in self.blocks:
            maps = block(maps)
        return self.dense(maps.permute(0, 1, 3, 4, 2).flatten(2))


class ConvLstmTriplets(nn.Module):
    """The triplet loss of system 2's second step, in the unit of the margin."""

    def __init__(self, backbone: Any, objective: Any) -> None:
        super().__init__()
        self.encode, self.objective = ConvLstmFrames(backbone), objective

    def forward(self, batch: Batch) -> torch.Tensor:
        """The loss."""
        points = self.encode(self.encode.standardised(batch["inputs"])).mean(1) / math.sqrt(self.objective.unit)
        return triplets_that_break_the_margin(points, batch["labels"], self.objective.margin)


class ConvLstmPretraining(nn.Module):
    """The autoencoder M1 and its reconstruction error, system 2's first step."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        decoder = model.decoder
        self.encode, self.dense = ConvLstmFrames(model.backbone), linear_of(decoder.dense)
        self.map_shape = decoder.map_shape
        self.blocks = nn.ModuleList(ResidualConvLstm(block.residual) for block in decoder.blocks)
        self.norms = nn.ModuleList(nn.BatchNorm2d(block.residual.layer.channels, eps=1e-3) for block in decoder.blocks)
        self.last = TorchConvLstm(decoder.last)
        self.scale, self.shift = (nn.Parameter(tensor_of(each)) for each in (decoder.scale, decoder.shift))

    def forward(self, batch: Batch) -> torch.Tensor:
        """The loss."""
        clips = self.encode.standardised(batch["inputs"])
        maps = self.dense(self.encode(clips)).unflatten(2, self.map_shape).permute(0, 1, 4, 2, 3)
        for block, norm in zip(self.blocks, self.norms, strict=True):
            maps = over_frames(lambda frames: functional.interpolate(frames, scale_factor=2), maps)
            maps = over_frames(norm, block(maps))
        outputs = self.last(maps) * self.scale[:, None, None] + self.shift[:, None, None]
        return functional.mse_loss(outputs, clips)


def pointwise(layer: Any) -> nn.Conv2d:
    """A `Pointwise` as a convolution of 1 x 1."""
    convolution = nn.Conv2d(*layer.kernel.shape, 1)
    with torch.no_grad():
        convolution.weight.copy_(tensor_of(layer.kernel).T[..., None, None])
        convolution.bias.copy_(tensor_of(layer.bias))
    return convolution


def over_frames(apply: Callable[[torch.Tensor], torch.Tensor], maps: torch.Tensor) -> torch.Tensor:
    """What acts on images (N, C, H, W), on sequences (B, T, C, H, W)."""
    return apply(maps.flatten(0, 1)).unflatten(0, maps.shape[:2])
