"""A `VisionTransformer` with a class token as an ONNX file and in plain PyTorch, with the weights of ours.

Inputs are images that were normalised beforehand, channels first. The ONNX file has the nodes that an exporter writes;
onnxruntime fuses what it knows (GELU, layer norm). PyTorch uses its fused attention.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from peers.onnx_networks import OnnxGraph


def onnx_vision_transformer(net: Any, batch: int, size: int) -> bytes:
    """Images (batch, 3, size, size) to vectors (batch, D)."""
    graph, side = OnnxGraph(), size // net.patch_size
    heads, units = net.heads, net.units
    constant, node = graph.constant, graph.node

    def dense(x: str, layer: Any) -> str:
        product = node("MatMul", [x, constant(np.asarray(layer.kernel[...]))])
        return node("Add", [product, constant(np.asarray(layer.bias[...]))])

    def norm(x: str, layer: Any) -> str:
        weights = [constant(np.asarray(part[...])) for part in (layer.scale, layer.bias)]
        return node("LayerNormalization", [x, *weights], axis=-1, epsilon=layer.epsilon)

    def split(x: str, order: list[int]) -> str:
        parted = node("Reshape", [x, constant(np.array([batch, -1, heads, units // heads]))])
        return node("Transpose", [parted], perm=order)

    def gelu(x: str) -> str:
        root = node("Erf", [node("Div", [x, constant(np.float32(2**0.5))])])
        return node("Mul", [node("Mul", [x, node("Add", [root, constant(np.float32(1))])]), constant(np.float32(0.5))])

    def scaled(x: str, scale: Any) -> str:
        return x if scale is None else node("Mul", [x, constant(np.asarray(scale[...]))])

    kernel = np.asarray(net.patches.kernel[...]).reshape(net.patch_size, net.patch_size, 3, units).transpose(3, 2, 0, 1)
    patches = [constant(kernel), constant(np.asarray(net.patches.bias[...]))]
    x = node("Conv", ["x", *patches], strides=[net.patch_size] * 2)
    x = node("Transpose", [node("Reshape", [x, constant(np.array([batch, units, side * side]))])], perm=[0, 2, 1])
    first, places = (np.asarray(part) for part in _positions(net, side))
    x = node("Concat", [constant(np.repeat(first[None], batch, axis=0)), node("Add", [x, constant(places)])], axis=1)
    for block in net.blocks:
        inner = norm(x, block.attention_norm)
        q = split(dense(inner, block.attention.query), [0, 2, 1, 3])
        k = split(dense(inner, block.attention.key), [0, 2, 3, 1])
        v = split(dense(inner, block.attention.value), [0, 2, 1, 3])
        logits = node("Mul", [node("MatMul", [q, k]), constant(np.float32((units // heads) ** -0.5))])
        seen = node("Transpose", [node("MatMul", [node("Softmax", [logits], axis=-1), v])], perm=[0, 2, 1, 3])
        seen = dense(node("Reshape", [seen, constant(np.array([batch, -1, units]))]), block.attention.out)
        x = node("Add", [x, scaled(seen, block.attention_scale)])
        out = dense(gelu(dense(norm(x, block.mlp_norm), block.mlp.widen)), block.mlp.narrow)
        x = node("Add", [x, scaled(out, block.mlp_scale)])
    x = node("Gather", [norm(x, net.last_norm), constant(np.array([0]))], axis=1)
    x = node("Reshape", [x, constant(np.array([batch, units]))])
    return graph.finish(x, inputs=[batch, 3, size, size])


def torch_vision_transformer(net: Any, size: int) -> Callable[[np.ndarray], np.ndarray]:
    """Images (B, 3, size, size) to vectors (B, D)."""
    import torch
    from torch.nn import functional

    def tensor(array: Any) -> torch.Tensor:
        return torch.from_numpy(np.array(array))

    def dense(layer: Any) -> tuple[torch.Tensor, torch.Tensor]:
        return tensor(layer.kernel[...]).T.contiguous(), tensor(layer.bias[...])

    def norm(layer: Any) -> tuple[torch.Tensor, torch.Tensor, float]:
        return tensor(layer.scale[...]), tensor(layer.bias[...]), layer.epsilon

    units, heads, side = net.units, net.heads, size // net.patch_size
    kernel = tensor(net.patches.kernel[...]).reshape(net.patch_size, net.patch_size, 3, units).permute(3, 2, 0, 1)
    kernel, bias = kernel.contiguous(), tensor(net.patches.bias[...])
    first, places = map(tensor, _positions(net, side))
    last = norm(net.last_norm)
    blocks = []
    for block in net.blocks:
        attention = block.attention
        fused = [dense(part) for part in (attention.query, attention.key, attention.value)]
        qkv = torch.cat([weight for weight, _ in fused]), torch.cat([bias for _, bias in fused])
        scales = [None if s is None else tensor(s[...]) for s in (block.attention_scale, block.mlp_scale)]
        mlp = dense(block.mlp.widen), dense(block.mlp.narrow)
        blocks.append((norm(block.attention_norm), qkv, dense(attention.out), norm(block.mlp_norm), mlp, scales))

    def normed(x: torch.Tensor, parts: tuple[torch.Tensor, torch.Tensor, float]) -> torch.Tensor:
        return functional.layer_norm(x, (units,), parts[0], parts[1], parts[2])

    def run(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            x = functional.conv2d(torch.from_numpy(images), kernel, bias, stride=net.patch_size)
            x = torch.cat([first.expand(len(x), 1, -1), x.flatten(2).transpose(1, 2) + places], dim=1)
            for before, qkv, out, middle, (widen, narrow), (one, two) in blocks:
                parts = functional.linear(normed(x, before), *qkv)
                q, k, v = parts.view(*x.shape[:2], 3, heads, units // heads).permute(2, 0, 3, 1, 4)
                seen = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(x.shape)
                seen = functional.linear(seen, *out)
                x = x + (seen if one is None else seen * one)
                inner = functional.linear(functional.gelu(functional.linear(normed(x, middle), *widen)), *narrow)
                x = x + (inner if two is None else inner * two)
            return normed(x[:, 0], last).numpy()

    return run


def _positions(net: Any, side: int) -> tuple[Any, Any]:
    """The class token with its position (1, D), and the positions of patches (1, side * side, D)."""
    from jaxret.models.transformer import resized_grid

    places = net.positions[...]
    old = round((len(places) - 1) ** 0.5)
    grid = resized_grid(places[1:].reshape(old, old, -1), side, side, method=net.interpolation)
    return net.class_token[...][None] + places[:1], grid.reshape(1, side * side, -1)
