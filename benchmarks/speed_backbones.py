"""MobileNet V1 and EfficientNet-Lite0 on the CPU beside onnxruntime: 16 frames of 224 x 224, and single frames.

    pip install -e '.[bench]'
    python benchmarks/speed_backbones.py            # some 3 minutes
    python benchmarks/speed_backbones.py --quick    # fewer samples; writes no file

Both sides hold the same weights (random ones: speed does not depend on them) and run in turn in one process; their
embeddings are compared in the same run. Ours takes uint8 frames and normalises them; onnxruntime gets float frames
that are normalised and laid out for it beforehand. The ONNX model has its batch norms folded into the convolutions,
as an exporter leaves it. "as usually written" is the same module with XLA's own convolutions over the whole batch.
Each number of threads runs in a process of its own that is bound to as many cores.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

SHAPE = (16, 224, 224, 3)
SINGLE = (1, 224, 224, 3)


class OnnxGraph:
    """Writes the nodes of a convolutional network in ONNX, from the modules' own weights."""

    def __init__(self) -> None:
        import onnx

        self.onnx = onnx
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        for name, value in (("zero", 0), ("six", 6)):
            self._constant(name, value)

    def _constant(self, name: str, value: Any) -> str:
        import numpy as np

        self.constants.append(self.onnx.numpy_helper.from_array(np.ascontiguousarray(value, np.float32), name))
        return name

    def _node(self, kind: str, inputs: list[str], **attributes: Any) -> str:
        output = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, [output], **attributes))
        return output

    def convolution(self, x: str, layer: Any, padding: list[int]) -> str:
        """A `ConvBatchNorm`: its norm folded into kernel and bias, then Clip for relu6."""
        import numpy as np

        scale, shift = (np.asarray(part) for part in layer.scale_and_shift())
        kernel = np.asarray(layer.kernel[...]) * scale
        if layer.depthwise:
            kernel, groups = kernel.transpose(2, 0, 1)[:, None], kernel.shape[-1]
        else:
            kernel, groups = kernel.transpose(3, 2, 0, 1), 1
        number = len(self.nodes)
        inputs = [x, self._constant(f"kernel_{number}", kernel), self._constant(f"bias_{number}", shift)]
        x = self._node("Conv", inputs, strides=list(layer.strides), pads=padding, group=groups)
        return self._node("Clip", [x, "zero", "six"]) if layer.activation == "relu6" else x

    def add(self, x: str, y: str) -> str:
        """A residual sum."""
        return self._node("Add", [x, y])

    def finish(self, x: str, features: int) -> bytes:
        """Global average pooling, and the whole as an ONNX file."""
        self._node("GlobalAveragePool", [x])
        make, kind = self.onnx.helper, self.onnx.TensorProto.FLOAT
        graph = make.make_graph(
            self.nodes,
            "backbone",
            [make.make_tensor_value_info("x", kind, ["N", 3, SHAPE[1], SHAPE[2]])],
            [make.make_tensor_value_info(self.nodes[-1].output[0], kind, ["N", features, 1, 1])],
            self.constants,
        )
        model = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)])
        model.ir_version = 8
        return model.SerializeToString()


def padding_of(layer: Any, size: int) -> tuple[list[int], int]:
    """ONNX pads (top, left, bottom, right) of a layer on maps of this side, and the side of its output."""
    from jaxret.models.conv_forms import output_padding

    window = layer.kernel.shape[:2]
    (top, bottom), (left, right) = output_padding(layer.padding, (size, size), window, layer.strides)
    return [top, left, bottom, right], (size + top + bottom - window[0]) // layer.strides[0] + 1


def mobilenet_in_onnx(net: Any) -> bytes:
    """The graph of a `MobileNetV1`."""
    graph, x, size = OnnxGraph(), "x", SHAPE[1]
    for name in net.layer_names:
        pads, size = padding_of(net.layers[name], size)
        x = graph.convolution(x, net.layers[name], pads)
    return graph.finish(x, net.embedding_size)


def lite0_in_onnx(net: Any) -> bytes:
    """The graph of an `EfficientNetLite0`."""
    graph, size = OnnxGraph(), SHAPE[1]

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
        x = graph.add(x, before) if block.residual else x
    return graph.finish(layer(x, net.last), net.embedding_size)


NETWORKS: dict[str, Callable[[Any], bytes]] = {
    "mobilenet-v1": mobilenet_in_onnx,
    "efficientnet-lite0": lite0_in_onnx,
}


def measure(threads: int, samples: int) -> list[dict[str, Any]]:
    """Rows of one number of threads; this process is bound to as many cores."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    import onnxruntime
    from flax import nnx
    from results_file import row
    from timing import in_turn, ratio

    from jaxret.models import conv_forms, create_backbone

    @jax.jit
    def encode(net: Any, frames: jax.Array) -> jax.Array:
        return net(frames).embedding

    @jax.jit
    def encode_as_usually_written(net: Any, frames: jax.Array) -> jax.Array:
        return net(frames).embedding

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    setting = f"{threads} thread{'s' if threads > 1 else ''}"
    rows: list[dict[str, Any]] = []
    for name, in_onnx in NETWORKS.items():
        net = create_backbone(name, rngs=nnx.Rngs(0))
        session = onnxruntime.InferenceSession(in_onnx(net), options, providers=["CPUExecutionProvider"])
        for shape in (SHAPE, SINGLE):
            frames = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
            on_device = jnp.asarray(frames)
            normalised = np.asarray(net._normalise(on_device)).transpose(0, 3, 1, 2).copy()

            def peer(session: Any = session, normalised: Any = normalised) -> Any:
                return session.run(None, {"x": normalised})[0][:, :, 0, 0]

            functions: dict[str, Callable[[], Any]] = {
                "onnxruntime": peer,
                "jaxret": lambda net=net, x=on_device: encode(net, x).block_until_ready(),
            }
            difference = np.abs(peer() - functions["jaxret"]()).max() / np.abs(peer()).max()
            if shape == SHAPE:
                chooser, conv_forms.runs_on_cpu = conv_forms.runs_on_cpu, lambda: False
                usual = encode_as_usually_written.lower(net, on_device).compile()
                conv_forms.runs_on_cpu = chooser
                functions["JAX as usually written"] = lambda f=usual, net=net, x=on_device: f(
                    net, x
                ).block_until_ready()
            data = f"{name}, {shape[0]} x {shape[1]} x {shape[2]}"
            print(f"\n{data}, {setting}; largest relative difference from onnxruntime {difference:.1e}")
            if not difference < 1e-4:
                raise SystemExit(f"the embeddings differ by {difference}")
            times = in_turn(functions, samples)
            for method, timing in times.items():
                rows.append(row(data, method, "ms", timing.median * 1e3, setting=setting))
                line = f"  {method:24} {timing.median * 1e3:8.1f} ms ±{timing.spread:.0%}"
                if method != "onnxruntime":
                    times_of_peer = ratio(timing, times["onnxruntime"])
                    rows.append(row(data, method, "times onnxruntime's time", times_of_peer, setting=setting))
                    line += f"  {times_of_peer:.2f} of onnxruntime's time"
                print(line, flush=True)
    return rows


def main() -> None:
    """Measures, prints, and without --quick writes benchmarks/results/speed_backbones.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer samples, no file")
    parser.add_argument("--threads", type=int, help=argparse.SUPPRESS)  # what the child processes are told
    arguments = parser.parse_args()
    samples = 5 if arguments.quick else 15
    if arguments.threads:
        rows = measure(arguments.threads, samples)
        print(json.dumps(rows), file=sys.stderr)
        return
    cores = sorted(os.sched_getaffinity(0))
    rows = []
    for threads in sorted({1, min(2, len(cores)), len(cores)}):
        command = [sys.executable, __file__, "--threads", str(threads), *(["--quick"] if arguments.quick else [])]
        bound = cores[-threads:]
        child = subprocess.run(
            command,
            stderr=subprocess.PIPE,
            text=True,
            check=True,
            # Before JAX starts its threads, so that there are as many as cores.
            preexec_fn=lambda bound=bound: os.sched_setaffinity(0, bound),
        )
        rows += json.loads(child.stderr.splitlines()[-1])
    if not arguments.quick:
        import results_file

        print("\nwrote", results_file.write("speed_backbones", rows, packages=["jax", "jaxlib", "flax", "onnxruntime"]))


if __name__ == "__main__":
    main()
