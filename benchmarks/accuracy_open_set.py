"""Classes trained on and classes that were not: the open-set encoder beside the mean vector and what the papers train.

Data: UCF101's first 15 classes as VGG16 features of 25 frames (official split 1), 10 classes trained on, 5 not; and
JHMDB, frames through a frozen MobileNet V1 and through EfficientNet-Lite0 (HMDB51's official split 1), 14 classes
trained on, 7 not. Each draw deals the classes anew. Test videos of all classes query the training videos of all
classes; of JHMDB, videos of the query's own source are left out of its gallery (UCF101's official split keeps sources
apart). mAP is the mean over queries of average precision.

- Vectors: the mean of the frame vectors, by cosine; the LSTM of system 1 before and after its training; and the
  open-set encoder (`jaxret train cnn-lstm`, its default with pretrained weights), by Euclidean distance.
- Codes of 64 and 256 bits, by Hamming distance: random hyperplanes and a rotation (ITQ) of the mean vector, the hash
  layer of system 3, and a rotation of the open-set embedding (`jaxret train deep-hash`, its default).

What is trained picks its epoch on a tenth of the training sources of seen classes; the open-set encoder chooses its
settings on held-out training classes. Nothing is chosen by figures of test videos. Differences are paired by draw.
Draws are kept under --work and not made again, so a stopped call goes on where it was.

    python benchmarks/accuracy_open_set.py                            # everything; half an hour on one core
    python benchmarks/accuracy_open_set.py --data ucf101 --seeds 0    # some, printed and not written
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from common import results_file
from flax import nnx
from numpy.typing import NDArray
from studies.unseen_classes.trained import hash_layer, lstm
from studies.unseen_classes.videos import DATA, Videos, embedded, open_videos, scores

from jaxret.files import write_atomically
from jaxret.models import HashLayer, TemporalEncoder
from jaxret.models.temporal.open_set import OpenSetEncoder
from jaxret.rank import RandomHyperplanes, pack_bits
from jaxret.training.itq import fit_itq
from jaxret.training.open_set import OpenSetFit, OpenSetSettings, fit_open_set

LENGTHS = (64, 256)
MEAN, OPEN_SET = "mean of frame vectors", "open-set encoder"
UNTRAINED, LSTM = "LSTM, untrained", "LSTM, trained (the paper's)"
MEAN_PLANES, MEAN_ITQ = "mean of frame vectors, random hyperplanes", "mean of frame vectors, ITQ"
HASH, OPEN_SET_ITQ = "hash layer, trained (the paper's)", "open-set encoder, ITQ"
Scores = dict[str, dict[str, float]]  # by method


def fitted(videos: Videos, seed: int) -> tuple[OpenSetEncoder, OpenSetFit]:
    """The open-set encoder of a draw."""
    seen, train = videos.draw(seed)
    encoder = OpenSetEncoder(videos.vectors.shape[2], len(seen), rngs=nnx.Rngs(0))
    labels, sources = np.searchsorted(seen, videos.labels[train]), videos.sources[train].tolist()
    fit = fit_open_set(encoder, videos.vectors[train], labels, sources, OpenSetSettings(seed=seed))
    print(f"{videos.name}, draw {seed}: {fit}", flush=True)
    return encoder, fit


def vectors(videos: Videos, encoder: OpenSetEncoder, seed: int, folder: Path) -> Scores:
    """The figures of vectors of one draw."""
    seen, _ = videos.draw(seed)
    untrained = TemporalEncoder(videos.vectors.shape[2], 256, rngs=nnx.Rngs(seed))
    encoders = {UNTRAINED: untrained, LSTM: lstm(videos, seed, folder / "lstm"), OPEN_SET: encoder}
    found = {MEAN: scores(videos, videos.vectors.mean(axis=1), seen, "cosine")}
    for method, one in encoders.items():
        found[method] = scores(videos, embedded(one, videos.vectors), seen, "euclidean")
    return found


def codes(videos: Videos, encoder: OpenSetEncoder, fit: OpenSetFit, seed: int, folder: Path) -> Iterator[Scores]:
    """The figures of codes of one draw, length by length."""
    seen, train = videos.draw(seed)
    means = videos.vectors.mean(axis=1)
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    for bits in LENGTHS:
        rotation = fit_itq(means[train], bits, seed=seed)
        planes = RandomHyperplanes(means.shape[1], bits, seed, center=means[train].mean(axis=0))
        hashed = HashLayer(encoder, bits, rngs=nnx.Rngs(0))
        of_open_set = fit_itq(fit.embeddings, bits, seed=seed)
        hashed.assign(of_open_set.mean, of_open_set.normals)
        made: dict[str, NDArray[np.uint8]] = {
            MEAN_PLANES: planes.codes(means),
            MEAN_ITQ: pack_bits(((means - rotation.mean) @ rotation.normals).astype(np.float32), threshold=0.0),
            HASH: pack_bits(embedded(hash_layer(videos, bits, seed, folder / f"{bits}"), videos.vectors)),
            OPEN_SET_ITQ: pack_bits(embedded(hashed, videos.vectors)),
        }
        yield {method: scores(videos, rows, seen, "hamming") for method, rows in made.items()}


def draw(videos: Videos, seed: int, folder: Path) -> dict[str, Scores]:
    """The figures of one draw: of vectors, and of codes by their length."""
    encoder, fit = fitted(videos, seed)
    found = {"vectors": vectors(videos, encoder, seed, folder)}
    lengths = codes(videos, encoder, fit, seed, folder)
    return found | {f"codes of {bits} bits": one for bits, one in zip(LENGTHS, lengths, strict=True)}


def kept(name: str, videos: Videos, seed: int, work: Path) -> dict[str, Scores]:
    """`draw`, or what an earlier call has kept of it."""
    path = work / f"{name}-{seed}.json"
    if not path.exists():
        found = draw(videos, seed, work / f"{name}-{seed}")
        with write_atomically(path) as partial:
            partial.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    kept_before: dict[str, Scores] = json.loads(path.read_text(encoding="utf-8"))
    return kept_before


def rows_of(data: str, found: Scores, seed: int) -> list[dict[str, Any]]:
    """Figures, and their differences from those of the first method, the mean vector's."""
    before = next(iter(found.values()))
    rows = []
    for method, figures in found.items():
        differences = {f"{name}, less the mean's": value - before[name] for name, value in figures.items()}
        for metric, value in {**figures, **differences}.items():
            rows.append(results_file.row(data, method, metric, value, seed=seed))
    return rows


def main() -> None:
    """Print the figures, and write them where all draws are made."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--data", choices=DATA, nargs="+", default=list(DATA))
    parser.add_argument("--work", type=Path, default=Path("runs/accuracy_open_set"), help="where draws are kept")
    parser.add_argument("--cache", type=Path, default=Path("runs/frame-vectors"), help="frame vectors of JHMDB")
    args = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for name in args.data:
        videos = open_videos(name, args.cache)
        draws = [kept(name, videos, seed, args.work) for seed in args.seeds]
        for kind in draws[0]:
            for seed, found in zip(args.seeds, draws, strict=True):
                rows += rows_of(f"{videos.name}, {kind}", found[kind], seed)
    table: dict[tuple[str, str, str], list[float]] = {}
    for one in rows:
        table.setdefault((one["data"], one["method"], one["metric"]), []).append(one["value"])
    for (data, method, metric), values in table.items():
        print(f"{data:<56} {method:<42} {metric:<28} {np.mean(values):+.3f} ± {np.std(values):.3f}")
    if args.seeds == parser.get_default("seeds") and args.data == parser.get_default("data"):
        print(results_file.write("accuracy_open_set", rows, ["jax", "flax", "scikit-learn"]))


if __name__ == "__main__":
    main()
