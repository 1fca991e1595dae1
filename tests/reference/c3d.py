"""A slow twin of C3D, in NumPy, from the tables of arXiv:1412.0767, without sharing anything with the model."""

from __future__ import annotations

import numpy as np
from reference.image_networks import convolve

LAYERS = ["conv1a", "pool1", "conv2a", "pool2", "conv3a", "conv3b", "pool3", "conv4a", "conv4b", "pool4", "conv5a"]
LAYERS += ["conv5b", "pool5"]
CHANNELS = {"1a": 64, "2a": 128, "3a": 256, "3b": 256, "4a": 512, "4b": 512, "5a": 512, "5b": 512}


def random_arrays(rng, width, dense, channels=3):
    """Kernel and bias of every layer, by the layer's name; biases are not zero."""
    sizes = {}
    into = channels
    for layer, out in CHANNELS.items():
        sizes[f"conv{layer}"] = (3, 3, 3, into, int(out * width))
        into = int(out * width)
    dense = (16 * into, *dense)
    for number, name in enumerate(("fc6", "fc7", "feature")):
        sizes[name] = dense[number : number + 2]
    arrays = {}
    for name, shape in sizes.items():
        kernel = rng.normal(size=shape) * np.sqrt(2 / np.prod(shape[:-1]))
        arrays[name] = kernel.astype(np.float32), rng.normal(0, 0.1, shape[-1]).astype(np.float32)
    return arrays


def c3d(arrays, clips):
    """Every stage and the embedding of clips (B, T, H, W, C) of pixels."""
    x = (np.asarray(clips, np.float64) - 127.5) / 64
    stages = {}
    for name in LAYERS:
        if name.startswith("conv"):
            kernel, bias = arrays[name]
            x = np.maximum(convolve(x, kernel, (1, 1, 1), [(1, 1)] * 3) + bias, 0)
        else:
            for axis in (2, 3) if name == "pool1" else (1, 2, 3):
                x = halve(x, axis)
        stages[name] = x
    x = stages["grid"] = cells(cells(x.mean(axis=1), 1), 2)
    x = x.reshape(len(x), -1)
    for name in ("fc6", "fc7", "feature"):
        kernel, bias = arrays[name]
        x = stages[name] = np.maximum(x @ kernel + bias, 0)
    stages["embedding"] = stages.pop("feature")
    return stages


def halve(x, axis):
    """The larger of every two entries; a last single one stays."""
    x = np.moveaxis(x, axis, 0)
    pairs = [x[i : i + 2].max(axis=0) for i in range(0, len(x), 2)]
    return np.moveaxis(np.stack(pairs), 0, axis)


def cells(x, axis, count=4):
    """Averages over `count` equal parts of an axis: every entry is cut into `count` pieces, which come out even."""
    x = np.repeat(np.moveaxis(x, axis, 0), count, axis=0)
    parts = x.reshape(count, -1, *x.shape[1:]).mean(axis=1)
    return np.moveaxis(parts, 0, axis)
