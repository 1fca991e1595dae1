"""The networks of the package as ONNX files, written node by node from the modules' own weights.

Batch norms are folded into the convolutions, as an exporter leaves them. Inputs are pixels that were normalised
beforehand, channels first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx

from jaxret.models.backbones.small_convnet import grid_average
from jaxret.models.layers.conv import ConvBias
from jaxret.models.layers.dispatch import output_padding


class OnnxGraph:
    """Nodes and constants in the order in which they were added; the input is called "x"."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, value: Any) -> str:
        """The name of an array."""
        name = f"constant_{len(self.constants)}"
        self.constants.append(onnx.numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, kind: str, inputs: list[str], *, outputs: int = 1, **attributes: Any) -> str:
        """The name of a node's output; of several, that of the last."""
        names = [f"{kind.lower()}_{len(self.nodes)}_{number}" for number in range(outputs)]
        self.nodes.append(onnx.helper.make_node(kind, inputs, names, **attributes))
        return names[-1]

    def convolution(self, x: str, layer: Any, padding: list[int]) -> str:
        """A `ConvBatchNorm`, its norm folded into kernel and bias, or a `ConvBias`; then the activation."""
        kernel = np.asarray(layer.kernel[...])
        if isinstance(layer, ConvBias):
            bias, strides, depthwise, activation = np.asarray(layer.bias[...]), (1,) * (kernel.ndim - 2), False, "relu"
        else:
            scale, bias = (np.asarray(part) for part in layer.scale_and_shift())
            kernel = kernel * scale
            strides, depthwise, activation = layer.strides, layer.depthwise, layer.activation
        groups = kernel.shape[-1] if depthwise else 1
        kernel = np.moveaxis(kernel[..., None, :] if depthwise else kernel, (-1, -2), (0, 1))
        weights = [self.constant(kernel), self.constant(bias)]
        x = self.node("Conv", [x, *weights], strides=list(strides), pads=padding, group=groups)
        if activation == "relu6":
            return self.node("Clip", [x, self.constant(np.float32(0)), self.constant(np.float32(6))])
        return self.node("Relu", [x]) if activation == "relu" else x

    def dense(self, x: str, layer: Any) -> str:
        """An `nnx.Linear` and a rectifier."""
        weights = [self.constant(np.asarray(part[...])) for part in (layer.kernel, layer.bias)]
        return self.node("Relu", [self.node("Gemm", [x, *weights])])

    def max_pool(self, x: str, window: tuple[int, ...]) -> str:
        """A `max_pool`."""
        return self.node("MaxPool", [x], kernel_shape=window, strides=window, ceil_mode=1)

    def last_state_of_lstm(self, x: str, cell: Any) -> str:
        """An `LSTMCell` over (T, D), the steps of one sequence, from states of zero: the last h, (1, units)."""
        i, f, g, o = range(4)
        onnx_order = (i, o, f, g)

        def gates(array: Any) -> np.ndarray:
            """(..., 4 units) to (1, 4 units, ...), the gates in ONNX's order."""
            parts = np.split(np.asarray(array), 4, axis=-1)
            return np.concatenate([parts[gate] for gate in onnx_order], axis=-1).T[None]

        bias = np.concatenate([gates(cell.bias[...]), np.zeros((1, 4 * cell.units), np.float32)], axis=1)
        weights = [gates(cell.kernel[...]), gates(cell.recurrent_kernel[...]), bias]
        sequence = self.node("Unsqueeze", [x, self.constant(np.array([1]))])  # (T, 1, D)
        states = self.node(
            "LSTM", [sequence, *map(self.constant, weights)], outputs=2, hidden_size=cell.units
        )  # (1, 1, units)
        return self.node("Squeeze", [states, self.constant(np.array([0]))])

    def finish(self, output: str, *, inputs: Sequence[Any] | None = None) -> bytes:
        """The whole as an ONNX file; `inputs` is the shape of "x" where it is known."""
        make, kind = onnx.helper, onnx.TensorProto.FLOAT
        ends = [make.make_tensor_value_info("x", kind, inputs), make.make_tensor_value_info(output, kind, None)]
        graph = make.make_graph(self.nodes, "network", ends[:1], ends[1:], self.constants)
        model = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)])
        model.ir_version = 8
        return model.SerializeToString()


def padding_of(layer: Any, size: int) -> tuple[list[int], int]:
    """ONNX pads (top, left, bottom, right) of a layer on maps of this side, and the side of its output."""
    window = layer.kernel.shape[:2]
    (top, bottom), (left, right) = output_padding(layer.padding, (size, size), window, layer.strides)
    return [top, left, bottom, right], (size + top + bottom - window[0]) // layer.strides[0] + 1


def mobilenet(net: Any, size: int) -> bytes:
    """A `MobileNetV1`: images (N, C, size, size) to vectors (N, D)."""
    graph = OnnxGraph()
    x = _mobilenet_vectors(graph, net, size)
    return graph.finish(x, inputs=["N", net.channels, size, size])


def mobilenet_map(net: Any, stage: str) -> bytes:
    """A `MobileNetV1` up to a layer: images (N, C, H, W) of any even sides to its map (N, C', H', W')."""
    graph, x = OnnxGraph(), "x"
    for name in net.layer_names[: net.layer_names.index(stage) + 1]:
        pads, _ = padding_of(net.layers[name], 512)  # the same at all sides that are multiples of 32
        x = graph.convolution(x, net.layers[name], pads)
    return graph.finish(x, inputs=["N", net.channels, "H", "W"])


def cnn_lstm(encoder: Any, size: int) -> bytes:
    """A `VideoEncoder` of MobileNet V1 and one LSTM layer: the frames (T, C, size, size) of a clip to (1, units)."""
    graph = OnnxGraph()
    ((cell,),) = encoder.temporal.cells
    x = graph.last_state_of_lstm(_mobilenet_vectors(graph, encoder.backbone, size), cell)
    return graph.finish(x, inputs=["T", encoder.backbone.channels, size, size])


def _mobilenet_vectors(graph: OnnxGraph, net: Any, size: int) -> str:
    x = "x"
    for name in net.layer_names:
        pads, size = padding_of(net.layers[name], size)
        x = graph.convolution(x, net.layers[name], pads)
    return graph.node("Flatten", [graph.node("GlobalAveragePool", [x])])


def lite0(net: Any, size: int) -> bytes:
    """An `EfficientNetLite0`: images (N, C, size, size) to vectors (N, D)."""
    graph, inputs = OnnxGraph(), ["N", net.channels, size, size]

    def layer(x: str, module: Any) -> str:
        nonlocal size
        pads, size = padding_of(module, size)
        return graph.convolution(x, module, pads)

    x = layer("x", net.stem)
    for block in net.blocks:
        before = x
        if block.expand is not None:
            x = layer(x, block.expand)
        x = layer(layer(x, block.depthwise), block.project)
        x = graph.node("Add", [before, x]) if block.residual else x
    return graph.finish(graph.node("Flatten", [graph.node("GlobalAveragePool", [layer(x, net.last)])]), inputs=inputs)


def c3d_window(pooling: str) -> tuple[int, int, int]:
    """The block of C3D's "pool1" ... "pool5"."""
    return (1 if pooling == "pool1" else 2, 2, 2)


def c3d_layer(layer: Any, pooling: str) -> bytes:
    """One convolution of `C3D` with bias and rectifier, and the pooling after it unless that is ""."""
    graph = OnnxGraph()
    x = graph.convolution("x", layer, [1] * 6)
    return graph.finish(graph.max_pool(x, c3d_window(pooling)) if pooling else x)


def c3d(net: Any, size: int) -> bytes:
    """A `C3D`: clips (N, C, T, size, size) to features (N, D)."""
    graph, x = OnnxGraph(), "x"
    for name in net.trunk_names:
        if name in net.convolutions:
            x = graph.convolution(x, net.convolutions[name], [1] * 6)
        else:
            x = graph.max_pool(x, c3d_window(name))
            size = -(-size // 2)
    x = graph.node("ReduceMean", [x], axes=[2], keepdims=0)  # (N, C, H, W)
    if size != 4:
        # What one pixel adds to each cell of the grid: the averages along rows and columns as two products.
        shares = np.asarray(grid_average(np.eye(size, dtype=np.float32).reshape(1, size, 1, size), 4))[0, :, 0]
        x = graph.node("MatMul", [graph.constant(shares), graph.node("MatMul", [x, graph.constant(shares.T)])])
    x = graph.node("Flatten", [graph.node("Transpose", [x], perm=[0, 2, 3, 1])])
    for layer in (net.fc6, net.fc7, net.feature):
        x = graph.dense(x, layer)
    return graph.finish(x)
