"""What CNN + LSTM and C3D cost: parameters, size on disk, training time, time to the features of a clip on the CPU.

    pip install -e '.[bench]'                 # and torch, if PyTorch is to be measured as well
    python benchmarks/resources.py            # JHMDB from $JAXRET_SHARED; some 10 minutes
    python benchmarks/resources.py features   # a part: sizes, training or features; in the file the other rows stay
    python benchmarks/resources.py --quick    # fewer steps and samples; writes no file

CNN + LSTM is MobileNet V1 and one LSTM layer of 256 units (recipe cnn-lstm), C3D the recipe c3d at full width; weights
are random, for none of the figures depends on them.

Training: seconds of an epoch of 100 clips, over a few steps on real clips after the compiled first one, waiting for
decoded clips included. With a frozen backbone, the way of the recipe, the clips' frame vectors are computed once, which
is a figure of its own. "4,500 videos, extrapolated" is arithmetic: these seconds times the paper's 4,500 videos and its
epochs (100 of CNN + LSTM, 75 of C3D); its hours are those of a P100.

Features: from the pixels of one clip to its 256-d vector, ours beside onnxruntime and PyTorch with the same weights, in
turn in one process that is bound to as many cores as threads; the vectors are compared in the same run. Ours takes
uint8 pixels and normalises them; the others get float pixels that are normalised and laid out for them beforehand, and
onnxruntime's model has its batch norms folded. PyTorch runs eagerly, with maps laid out channels last, which is its
faster way here. Where the faster of them takes a quarter longer on two threads than on one, the machine was busy, and
the rows of two threads are left out.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax
import numpy as np
from common.paths import JHMDB
from common.results_file import row, update
from common.timing import disturbed, in_turn, ratio, rows_of_child
from flax import nnx

from jaxret.data.batches.loader import TrainingInput
from jaxret.data.batches.plans import ShuffledBatches
from jaxret.data.dataset import MediaDataset
from jaxret.data.open import open_dataset
from jaxret.models.encoder import VideoEncoder
from jaxret.models.store import parameter_count, save_encoder
from jaxret.recipes.clip_media import clip_reader
from jaxret.recipes.clip_settings import ClipTrainingConfig
from jaxret.recipes.clips import c3d, cnn_lstm
from jaxret.recipes.clips.features import FrozenFeatures
from jaxret.recipes.clips.fit import EmbeddingClassifier, Read
from jaxret.recipes.opening import augmentation_of
from jaxret.training import SplitModel, make_optimiser, make_train_step

PARTS = ("sizes", "training", "features")
CNN_LSTM, C3D = "CNN + LSTM", "C3D"
SIZES = (224, 112)  # the paper's, and C3D's own
CLIPS = 100
PAPER_VIDEOS, PAPER_EPOCHS = 4500, {CNN_LSTM: 100, C3D: 75}
# The paper's Table III.
PAPER = {
    "million parameters": {CNN_LSTM: 4.5, C3D: 46},
    "MB on disk": {CNN_LSTM: 22.5, C3D: 305.17},
    "h, 4,500 videos, extrapolated": {CNN_LSTM: 2.7, C3D: 16},
    "s": {CNN_LSTM: 0.8, C3D: 1.2},
}
PAPER_DATA = "trained on UCF50 with a P100; features on a Xeon"


def config_of(network: str, size: int) -> Any:
    """The recipe's settings for frames of this side."""
    if network == C3D:
        return c3d.C3dConfig(image_size=size)
    return cnn_lstm.CnnLstmConfig(backbone="mobilenet-v1", weights="none", image_size=size, freeze=False)


def encoder_of(network: str, size: int) -> VideoEncoder:
    """The recipe's encoder with random weights."""
    return (c3d if network == C3D else cnn_lstm).make_encoder(config_of(network, size))


def figure(data: str, network: str, metric: str, value: float, *, setting: str, ours: bool = True) -> dict[str, Any]:
    """A row, beside the paper's figure where that is of the same thing."""
    beside = ours and (metric not in ("s", "h, 4,500 videos, extrapolated") or "224" in data + setting)
    paper = PAPER.get(metric, {}).get(network) if beside else None
    known = {} if paper is None else {"paper_value": paper, "paper_data": PAPER_DATA}
    return row(data, network, metric, value, setting=setting, **known)


def sizes() -> list[dict[str, Any]]:
    """Parameters, and the folder that a run leaves as its encoder."""
    rows = []
    for network in (CNN_LSTM, C3D):
        encoder = encoder_of(network, SIZES[0])
        with tempfile.TemporaryDirectory() as folder:
            save_encoder(encoder, Path(folder))
            megabytes = sum(file.stat().st_size for file in Path(folder).iterdir()) / 1e6
        values = {"million parameters": parameter_count(encoder) / 1e6, "MB on disk": megabytes}
        rows += [figure("size", network, metric, value, setting="float32") for metric, value in values.items()]
        print(f"{network:12} " + "  ".join(f"{value:.2f} {metric}" for metric, value in values.items()), flush=True)
    return rows


def training(data: str, quick: bool) -> list[dict[str, Any]]:
    """Training time of both networks on the first clips of a shuffled data set."""
    dataset = open_dataset(data)
    chosen = np.random.default_rng(0).permutation(len(dataset))[:CLIPS].tolist()
    dataset = dataset.subset(chosen)
    names = sorted({str(item.label) for item in dataset.items})
    labels = [names.index(str(item.label)) for item in dataset.items]
    rows = []
    once, epoch = _frozen_training(dataset, labels, steps=5 if quick else 30)
    rows += _training_rows(CNN_LSTM, f"{SIZES[0]} x {SIZES[0]}, frozen, batch 64", once, epoch)
    for network, size in ((CNN_LSTM, SIZES[0]), *((C3D, size) for size in (SIZES[1:] if quick else SIZES))):
        config = dataclasses.replace(config_of(network, size), batch_size=4)  # 64 clips of CNN + LSTM: 50 GB
        encoder = encoder_of(network, size)
        augment = augmentation_of(config, dataset)
        read = clip_reader(dataset, encoder, range(len(dataset)), labels, augment)
        steps = 1 if quick else 3
        epoch = _seconds_an_epoch(encoder, encoder.clip_embedding_size, read, labels, config, steps, threads=2)
        way = "end to end, batch 4"
        rows += _training_rows(network, f"{size} x {size}, {way}", 0.0, epoch)
    return rows


def _training_rows(network: str, setting: str, once: float, epoch: float) -> list[dict[str, Any]]:
    hours = (once + PAPER_EPOCHS[network] * epoch) * PAPER_VIDEOS / CLIPS / 3600
    values = {
        f"s once, {CLIPS} clips": once,
        f"s an epoch, {CLIPS} clips": epoch,
        "h, 4,500 videos, extrapolated": hours,
    }
    shown = "  ".join(f"{value:.3g} {metric}" for metric, value in values.items())
    print(f"training {network:12} {setting:36} {shown}", flush=True)
    # The paper's hours stand beside the road that the paper takes.
    ours = "frozen" in setting or network == C3D
    return [
        figure("training on real clips", network, metric, value, setting=setting, ours=ours)
        for metric, value in values.items()
    ]


def _frozen_training(dataset: MediaDataset, labels: Sequence[int], *, steps: int) -> tuple[float, float]:
    """Seconds for the frame vectors of the clips, and of an epoch of them."""
    config = config_of(CNN_LSTM, SIZES[0])
    encoder = encoder_of(CNN_LSTM, SIZES[0])
    augment = augmentation_of(config, dataset)

    def features_in(folder: str, part: MediaDataset) -> FrozenFeatures:
        features = FrozenFeatures(part, encoder, Path(folder), views=1, augment=augment, seed=0)
        failures = features.prepare(threads=2, show=False)
        if failures:
            raise SystemExit(f"a clip does not read: {failures[0]}")
        return features

    with tempfile.TemporaryDirectory() as folder:
        features_in(folder, dataset.subset(range(8)))  # compiles
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        features = features_in(folder, dataset)
        once = time.perf_counter() - start
        read = features.reader(range(len(dataset)), labels)
        size = encoder.clip_embedding_size
        return once, _seconds_an_epoch(encoder.temporal, size, read, labels, config, steps, threads=0)


def _seconds_an_epoch(
    part: nnx.Module,
    size: int,
    read: Read,
    labels: Sequence[int],
    config: ClipTrainingConfig,
    steps: int,
    *,
    threads: int,
) -> float:
    """Seconds that training takes for as many clips as there are labels, from a few steps after the first."""
    model = EmbeddingClassifier(part, size, max(labels) + 1, dropout=config.dropout, rngs=nnx.Rngs(1))
    split = SplitModel(model)
    optimiser = make_optimiser(config.optimiser, total_steps=steps + 1, steps_per_epoch=steps + 1)
    step = make_train_step(split, config.objective(), optimiser)
    state = split.initial_state(optimiser, seed=0)
    # Read ahead no more than the next batch: a queue that was filled while the step compiled would flatter it.
    plan = ShuffledBatches(len(labels), config.batch_size)
    with TrainingInput(read, plan, seed=0, threads=threads, prefetch=config.batch_size) as batches:
        state, metrics = step(state, next(batches))
        jax.block_until_ready(metrics)
        start = time.perf_counter()
        for _ in range(steps):
            state, metrics = step(state, next(batches))
        jax.block_until_ready((state, metrics))
        return (time.perf_counter() - start) / steps / config.batch_size * len(labels)


def features(threads: int, quick: bool) -> list[dict[str, Any]]:
    """Time to the vector of one clip; this process is bound to as many cores as threads."""
    rows = []
    setting = f"{threads} thread{'s' if threads > 1 else ''}"
    peers = {"onnxruntime": ("onnx", "onnxruntime"), "PyTorch": ("torch",)}
    for peer, modules in peers.items():
        if absent := [module for module in modules if find_spec(module) is None]:
            print(f"{peer} is left out: {absent[0]} is not installed")
    for network, size in ((CNN_LSTM, SIZES[0]), *((C3D, size) for size in SIZES)):
        encoder = encoder_of(network, size)
        clip = np.random.default_rng(0).integers(0, 256, (1, 16, size, size, 3), np.uint8)
        pixels = jax.numpy.asarray(clip)
        methods: dict[str, Callable[[], Any]] = {
            "jaxret": lambda encoder=encoder, pixels=pixels: encoder.encode_clips(pixels).block_until_ready()
        }
        known = encoder.backbone.normalisation
        normalised = (clip.astype(np.float32) - known["mean"]) * np.float32(known["scale"])
        if find_spec("onnx") and find_spec("onnxruntime"):
            methods["onnxruntime"] = _in_onnxruntime(network, encoder, size, normalised, threads)
        if find_spec("torch"):
            methods["PyTorch"] = _in_torch(network, encoder, size, normalised, threads)
        data = f"features of one clip of 16 x {size} x {size} on the CPU"
        print(f"\n{network}, {data}, {setting}")
        expected = np.asarray(methods["jaxret"]())
        for method, function in methods.items():
            difference = np.abs(np.asarray(function()) - expected).max() / np.abs(expected).max()
            if not difference < 1e-4:
                raise SystemExit(f"{network}: {method} differs from jaxret by {difference}")
        times = in_turn(methods, 3 if quick else 5 if network == C3D else 9)
        for method, timing in times.items():
            named = f"{network}, {method}"
            paper = PAPER["s"][network] if method == "jaxret" and size == SIZES[0] else None
            beside = {} if paper is None else {"paper_value": paper, "paper_data": PAPER_DATA}
            rows.append(row(data, named, "s", timing.median, setting=setting, **beside))
            line = f"  {method:12} {timing.median:7.3f} s ±{timing.spread:.0%}"
            if "onnxruntime" in times:
                share = ratio(timing, times["onnxruntime"])
                rows.append(row(data, named, "times onnxruntime's time", share, setting=setting))
                line += f"  {share:.2f} of onnxruntime's time"
            print(line, flush=True)
    return rows


def undisturbed(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """All rows but those of a network on several threads for which the faster peer took longer than on one."""
    peers: dict[tuple[str, str, str], float] = {}
    for one in rows:
        network, method = one["method"].split(", ")
        if method != "jaxret" and one["metric"] == "s":
            case = one["data"], network, one["setting"]
            peers[case] = min(one["value"], peers.get(case, np.inf))
    busy = {case for case, time in peers.items() if disturbed(time, peers[(*case[:2], "1 thread")])}
    for case in sorted(busy):
        print(f"\nleft out, for the machine was busy: {', '.join(case)}")
    return [one for one in rows if (one["data"], one["method"].split(", ")[0], one["setting"]) not in busy]


def _in_onnxruntime(
    network: str, encoder: VideoEncoder, size: int, normalised: np.ndarray, threads: int
) -> Callable[[], Any]:
    import onnxruntime
    from peers import onnx_networks

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    if network == C3D:
        graph, pixels = onnx_networks.c3d(encoder.backbone, size), normalised.transpose(0, 4, 1, 2, 3)
    else:
        graph, pixels = onnx_networks.cnn_lstm(encoder, size), normalised[0].transpose(0, 3, 1, 2)
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    pixels = np.ascontiguousarray(pixels)
    return lambda: session.run(None, {"x": pixels})[0]


def _in_torch(
    network: str, encoder: VideoEncoder, size: int, normalised: np.ndarray, threads: int
) -> Callable[[], Any]:
    import torch
    from peers import torch_networks

    torch.set_num_threads(threads)
    if network == C3D:
        layout = torch.channels_last_3d
        module: torch.nn.Module = torch_networks.C3d(encoder.backbone)
        pixels = torch.from_numpy(normalised).permute(0, 4, 1, 2, 3)
    else:
        layout = torch.channels_last
        module = torch_networks.CnnLstm(encoder, size)
        pixels = torch.from_numpy(normalised[0]).permute(0, 3, 1, 2)
    module, pixels = module.to(memory_format=layout), pixels.contiguous(memory_format=layout)

    def run() -> Any:
        with torch.inference_mode():
            return module(pixels).numpy()

    return run


def main() -> None:
    """Measures, prints, and without --quick puts the rows into benchmarks/results/resources.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--data", default=str(JHMDB), help="labelled videos (default: JHMDB)")
    parser.add_argument("--quick", action="store_true", help="fewer steps and samples, no C3D at 224, no file")
    parser.add_argument("--threads", type=int, help=argparse.SUPPRESS)  # what the child processes are told
    arguments = parser.parse_args()
    if arguments.threads:
        print(json.dumps(features(arguments.threads, arguments.quick)), file=sys.stderr)
        return
    if unknown := sorted(set(arguments.parts) - set(PARTS)):
        parser.error(f"no part {unknown[0]!r}: choose from {', '.join(PARTS)}")
    parts = arguments.parts or PARTS
    rows = sizes() if "sizes" in parts else []
    if "training" in parts:
        if Path(arguments.data).exists() or ":" in arguments.data:
            rows += training(arguments.data, arguments.quick)
        else:
            print(f"training is left out: there are no data at {arguments.data} (set JAXRET_SHARED or give --data)")
    if "features" in parts:
        timed = []
        for threads in sorted({1, min(2, len(os.sched_getaffinity(0)))}):
            timed += rows_of_child(__file__, threads, *(["--quick"] if arguments.quick else []))
        rows += undisturbed(timed)
    if not arguments.quick:
        print("\nwrote", update("resources", rows, ["jax", "jaxlib", "flax", "onnxruntime", "torch"]))


if __name__ == "__main__":
    main()
