"""Slow twins of the image networks, in NumPy, on arrays named as in Keras' and PyTorch's weight files.

Written from the papers' tables and the weight files' own layouts, without sharing anything with the models.
"""

from __future__ import annotations

import numpy as np

MOBILENET_BLOCKS = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]
VGG16_BLOCKS = [[64, 64], [128, 128], [256, 256, 256], [512, 512, 512], [512, 512, 512]]
# window, stride, expansion, in, out of each of the 16 blocks
LITE0_BLOCKS = [
    (3, 1, 1, 32, 16),
    (3, 2, 6, 16, 24),
    (3, 1, 6, 24, 24),
    (5, 2, 6, 24, 40),
    (5, 1, 6, 40, 40),
    (3, 2, 6, 40, 80),
    (3, 1, 6, 80, 80),
    (3, 1, 6, 80, 80),
    (5, 1, 6, 80, 112),
    (5, 1, 6, 112, 112),
    (5, 1, 6, 112, 112),
    (5, 2, 6, 112, 192),
    (5, 1, 6, 192, 192),
    (5, 1, 6, 192, 192),
    (5, 1, 6, 192, 192),
    (3, 1, 6, 192, 320),
]


def convolve(x, kernel, strides, pads):
    """Any number of axes: x (B, *S, I), kernel (*W, I, O), pads one pair an axis; every output from its window."""
    window, axes = kernel.shape[:-2], tuple(range(1, x.ndim - 1))
    x = np.pad(np.asarray(x, np.float64), [(0, 0), *pads, (0, 0)])
    seen = np.lib.stride_tricks.sliding_window_view(x, window, axes)  # (B, *S', I, *W)
    seen = seen[(slice(None), *(slice(None, None, step) for step in strides))]
    outputs = seen.shape[: x.ndim - 1]
    columns = np.moveaxis(seen, x.ndim - 1, -1).reshape(-1, int(np.prod(window)) * x.shape[-1])
    return (columns @ kernel.reshape(-1, kernel.shape[-1])).reshape(*outputs, kernel.shape[-1])


def depthwise(x, kernel, strides, pads):
    """One dense convolution a channel: x (B, *S, C), kernel (*W, C)."""
    parts = [convolve(x[..., [c]], kernel[..., c, None, None], strides, pads) for c in range(kernel.shape[-1])]
    return np.concatenate(parts, axis=-1)


def same(x, window, stride):
    """TensorFlow's "SAME" zeros for a square window, an axis at a time."""
    pads = []
    for size in x.shape[1:-1]:
        total = max((-(-size // stride) - 1) * stride + window - size, 0)
        pads.append((total // 2, total - total // 2))
    return pads


def relu6(x):
    return np.minimum(np.maximum(x, 0), 6)


def batch_norm(x, scale, bias, mean, variance):
    return (x - mean) / np.sqrt(np.asarray(variance, np.float64) + 1e-3) * scale + bias


def _norm_arrays(rng, channels):
    return (
        rng.uniform(0.5, 1.5, channels).astype(np.float32),
        rng.normal(0, 0.2, channels).astype(np.float32),
        rng.normal(0, 0.2, channels).astype(np.float32),
        rng.uniform(0.5, 1.5, channels).astype(np.float32),
    )


def _kernel(rng, *shape, fan_in):
    return (rng.normal(size=shape) * np.sqrt(2 / fan_in)).astype(np.float32)


def random_mobilenet(rng, width, classes=0, channels=3):
    """Keras-named arrays of a MobileNet V1."""
    arrays = {}

    def norm(layer, size):
        for role, array in zip(
            ("gamma", "beta", "moving_mean", "moving_variance"), _norm_arrays(rng, size), strict=True
        ):
            arrays[f"{layer}_bn/{role}"] = array

    into = int(32 * width)
    arrays["conv1/kernel"] = _kernel(rng, 3, 3, channels, into, fan_in=9 * channels)
    norm("conv1", into)
    for n, (out, _) in enumerate(MOBILENET_BLOCKS, start=1):
        arrays[f"conv_dw_{n}/kernel"] = _kernel(rng, 3, 3, into, 1, fan_in=9)
        norm(f"conv_dw_{n}", into)
        arrays[f"conv_pw_{n}/kernel"] = _kernel(rng, 1, 1, into, int(out * width), fan_in=into)
        into = int(out * width)
        norm(f"conv_pw_{n}", into)
    if classes:
        arrays["conv_preds/kernel"] = _kernel(rng, 1, 1, into, classes, fan_in=into)
        arrays["conv_preds/bias"] = rng.normal(size=classes).astype(np.float32)
    return arrays


def mobilenet(arrays, images):
    """Every stage of MobileNet V1 on pixels 0..255, and "embedding" and "logits"."""
    stages = {}

    def norm(x, layer):
        roles = ("gamma", "beta", "moving_mean", "moving_variance")
        return relu6(batch_norm(x, *(arrays[f"{layer}_bn/{role}"] for role in roles)))

    x = np.asarray(images, np.float64) / 127.5 - 1
    x = stages["conv1"] = norm(convolve(x, arrays["conv1/kernel"], (2, 2), same(x, 3, 2)), "conv1")
    for n, (_, stride) in enumerate(MOBILENET_BLOCKS, start=1):
        pads = [(1, 1)] * 2 if stride == 1 else [(0, 1)] * 2
        x = depthwise(x, arrays[f"conv_dw_{n}/kernel"][..., 0], (stride, stride), pads)
        x = stages[f"conv_dw_{n}"] = norm(x, f"conv_dw_{n}")
        x = stages[f"conv_pw_{n}"] = norm(x @ arrays[f"conv_pw_{n}/kernel"][0, 0], f"conv_pw_{n}")
    stages["embedding"] = x.mean(axis=(1, 2))
    if "conv_preds/kernel" in arrays:
        stages["logits"] = stages["embedding"] @ arrays["conv_preds/kernel"][0, 0] + arrays["conv_preds/bias"]
    return stages


def random_lite0(rng, classes=0):
    """PyTorch-named arrays of an EfficientNet-Lite0."""
    arrays = {}

    def layer(kernel, norm, out, into, window):
        arrays[f"{kernel}.weight"] = _kernel(rng, out, into, window, window, fan_in=into * window**2)
        for role, array in zip(("weight", "bias", "running_mean", "running_var"), _norm_arrays(rng, out), strict=True):
            arrays[f"{norm}.{role}"] = array
        arrays[f"{norm}.num_batches_tracked"] = np.array(1)

    layer("_conv_stem", "_bn0", 32, 3, 3)
    for n, (window, _, expansion, into, out) in enumerate(LITE0_BLOCKS):
        block, wide = f"_blocks.{n}", into * expansion
        if expansion > 1:
            layer(f"{block}._expand_conv", f"{block}._bn0", wide, into, 1)
        layer(f"{block}._depthwise_conv", f"{block}._bn1", wide, 1, window)
        layer(f"{block}._project_conv", f"{block}._bn2", out, wide, 1)
    layer("_conv_head", "_bn1", 1280, 320, 1)
    if classes:
        arrays["_fc.weight"] = _kernel(rng, classes, 1280, fan_in=1280)
        arrays["_fc.bias"] = rng.normal(size=classes).astype(np.float32)
    return arrays


def lite0(arrays, images):
    """Every stage of EfficientNet-Lite0 on pixels 0..255, and "embedding" and "logits"."""
    stages = {}

    def layer(x, kernel, norm, stride=1):
        weight = arrays[f"{kernel}.weight"]
        window = weight.shape[-1]
        if weight.shape[1] == 1:
            x = depthwise(x, weight[:, 0].transpose(1, 2, 0), (stride, stride), same(x, window, stride))
        else:
            x = convolve(x, weight.transpose(2, 3, 1, 0), (stride, stride), same(x, window, stride))
        return batch_norm(x, *(arrays[f"{norm}.{r}"] for r in ("weight", "bias", "running_mean", "running_var")))

    x = (np.asarray(images, np.float64) - 127) / 128
    x = stages["stem"] = relu6(layer(x, "_conv_stem", "_bn0", 2))
    for n, (_, stride, expansion, into, out) in enumerate(LITE0_BLOCKS):
        block, before = f"_blocks.{n}", x
        if expansion > 1:
            x = relu6(layer(x, f"{block}._expand_conv", f"{block}._bn0"))
        x = relu6(layer(x, f"{block}._depthwise_conv", f"{block}._bn1", stride))
        x = layer(x, f"{block}._project_conv", f"{block}._bn2")
        x = stages[f"block_{n}"] = x + before if stride == 1 and into == out else x
    x = stages["last"] = relu6(layer(x, "_conv_head", "_bn1"))
    stages["embedding"] = x.mean(axis=(1, 2))
    if "_fc.weight" in arrays:
        stages["logits"] = stages["embedding"] @ arrays["_fc.weight"].T + arrays["_fc.bias"]
    return stages


def random_vgg16(rng, dense=(), image_size=32, classes=0):
    """Keras-named arrays of a VGG16, with the dense layers named in `dense` and a head if `classes`."""
    arrays, into = {}, 3

    def layer(name, *shape, fan_in):
        arrays[f"{name}/kernel"] = _kernel(rng, *shape, fan_in=fan_in)
        arrays[f"{name}/bias"] = rng.normal(0, 0.2, shape[-1]).astype(np.float32)

    for block, widths in enumerate(VGG16_BLOCKS, start=1):
        for n, out in enumerate(widths, start=1):
            layer(f"block{block}_conv{n}", 3, 3, into, out, fan_in=9 * into)
            into = out
    sizes = {"fc1": (image_size // 32) ** 2 * 512, "fc2": 4096}
    for name in dense:
        layer(name, sizes[name], 4096, fan_in=sizes[name])
    if classes:
        layer("predictions", 4096, classes, fan_in=4096)
    return arrays


def vgg16(arrays, images):
    """Every stage of VGG16 on pixels 0..255, and "embedding" (the pooled map's mean) and "logits"."""
    stages = {}
    x = np.asarray(images, np.float64)[..., ::-1] - [103.939, 116.779, 123.68]
    for block, widths in enumerate(VGG16_BLOCKS, start=1):
        for n in range(1, len(widths) + 1):
            name = f"block{block}_conv{n}"
            x = convolve(x, arrays[f"{name}/kernel"], (1, 1), [(1, 1)] * 2) + arrays[f"{name}/bias"]
            x = stages[name] = np.maximum(x, 0)
        height, width = x.shape[1] // 2, x.shape[2] // 2
        x = x[:, : 2 * height, : 2 * width].reshape(len(x), height, 2, width, 2, -1).max(axis=(2, 4))
        stages[f"block{block}_pool"] = x
    stages["embedding"] = x.mean(axis=(1, 2))
    x = x.reshape(len(x), -1)
    for name in ("fc1", "fc2"):
        if f"{name}/kernel" in arrays:
            x = stages[name] = np.maximum(x @ arrays[f"{name}/kernel"] + arrays[f"{name}/bias"], 0)
    if "predictions/kernel" in arrays:
        stages["logits"] = x @ arrays["predictions/kernel"] + arrays["predictions/bias"]
    return stages


RESNET50_LAYERS = [(3, 64, 1), (4, 128, 2), (6, 256, 2), (3, 512, 2)]  # bottlenecks, inner channels, stride


def random_resnet50(rng, classes=0):
    """Arrays named as in torchvision's `resnet50`, which keep the size of what passes through."""
    arrays = {}

    def layer(name, norm, out, into, window):
        arrays[f"{name}.weight"] = rng.normal(0, (2 / (into * window**2)) ** 0.5, (out, into, window, window))
        arrays.update(
            {
                f"{norm}.weight": rng.uniform(0.3, 0.9, out),
                f"{norm}.bias": rng.normal(0, 0.2, out),
                f"{norm}.running_mean": rng.normal(0, 0.2, out),
                f"{norm}.running_var": rng.uniform(0.5, 1.5, out),
            }
        )

    layer("conv1", "bn1", 64, 3, 7)
    into = 64
    for number, (count, inner, _) in enumerate(RESNET50_LAYERS, start=1):
        for block in range(count):
            name = f"layer{number}.{block}"
            for part, (out, of, window) in enumerate([(inner, into, 1), (inner, inner, 3), (4 * inner, inner, 1)], 1):
                layer(f"{name}.conv{part}", f"{name}.bn{part}", out, of, window)
            if block == 0:
                layer(f"{name}.downsample.0", f"{name}.downsample.1", 4 * inner, into, 1)
            into = 4 * inner
    if classes:
        arrays |= {"fc.weight": rng.normal(0, 0.02, (classes, into)), "fc.bias": rng.normal(0, 0.1, classes)}
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def resnet50(arrays, images):
    """Every stage of images (B, H, W, 3) in 0..255, and the embedding."""

    def layer(x, name, norm, stride=1):
        kernel = arrays[f"{name}.weight"].transpose(2, 3, 1, 0)
        around = kernel.shape[0] // 2
        x = convolve(x, kernel, (stride, stride), [(around, around)] * 2)
        scale = arrays[f"{norm}.weight"] / np.sqrt(arrays[f"{norm}.running_var"] + 1e-5)
        return (x - arrays[f"{norm}.running_mean"]) * scale + arrays[f"{norm}.bias"]

    x = (images / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    x = np.maximum(layer(x, "conv1", "bn1", 2), 0)
    stages = {"stem": x}
    padded = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)], constant_values=-np.inf)
    x = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))[:, ::2, ::2].max(axis=(-1, -2))
    for number, (count, _, stride) in enumerate(RESNET50_LAYERS, start=1):
        for block in range(count):
            name, step = f"layer{number}.{block}", stride if block == 0 else 1
            y = np.maximum(layer(x, f"{name}.conv1", f"{name}.bn1"), 0)
            y = np.maximum(layer(y, f"{name}.conv2", f"{name}.bn2", step), 0)
            y = layer(y, f"{name}.conv3", f"{name}.bn3")
            x = np.maximum(y + (layer(x, f"{name}.downsample.0", f"{name}.downsample.1", step) if block == 0 else x), 0)
        stages[f"layer{number}"] = x
    stages["embedding"] = x.mean(axis=(1, 2))
    if "fc.weight" in arrays:
        stages["logits"] = stages["embedding"] @ arrays["fc.weight"].T + arrays["fc.bias"]
    return stages
