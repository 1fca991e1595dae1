"""Classes trained on and classes that were not: the open-set encoder beside the mean vector and the paper's LSTM.

Data: UCF101's first 15 classes as VGG16 features of 25 frames (official split 1), 10 classes trained on, 5 not; and
JHMDB, frames through a frozen MobileNet V1 (HMDB51's official split 1), 14 classes trained on, 7 not. Each draw deals
the classes anew. Test videos of all classes query the training videos of all classes; of JHMDB, videos of the query's
own source are left out of its gallery (UCF101's official split keeps sources apart). mAP is the mean over queries of
average precision, by cosine for the mean vector and by Euclidean distance for the encoders.

Methods: the mean of the frame vectors, which is also the encoder before it is fitted; the paper's LSTM, whose epoch is
picked on a tenth of the training videos of seen classes; the open-set encoder (`jaxret.recipes.clips.open_set`), which
chooses its settings on held-out training classes. Nothing is chosen by figures of test videos. Differences are paired
by draw. Draws are kept under --work and not made again, so a stopped call goes on where it was.

    python benchmarks/accuracy_open_set.py                  # mean and open-set encoder; some 10 minutes on two cores
    python benchmarks/accuracy_open_set.py --lstm           # the LSTM as well; some minutes more a draw
    python benchmarks/accuracy_open_set.py --seeds 0        # one draw, printed and not written
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from common import results_file
from common.paths import JHMDB_CLIPS, MOBILENET_WEIGHTS, UCF101_FEATURES
from flax import nnx
from numpy.typing import NDArray

from jaxret.data.open import open_dataset
from jaxret.data.sampling.transforms import Augmentation
from jaxret.files import write_atomically
from jaxret.metrics import average_precision, relevance_by_label
from jaxret.models import Mean, SequenceEncoder, TemporalEncoder, create_backbone
from jaxret.models.encoder import VideoEncoder
from jaxret.models.temporal.open_set import OpenSetEncoder
from jaxret.models.weights.load import load_pretrained
from jaxret.preprocessing import Preprocessing
from jaxret.rank import cosine_topk, euclidean_topk
from jaxret.recipes.clips.cnn_lstm import CnnLstmConfig
from jaxret.recipes.clips.features import FrozenFeatures
from jaxret.recipes.clips.fit import ClassifierTask, fit_classifier
from jaxret.training import RunContext, RunFolder, Validation
from jaxret.training.open_set import OpenSetSettings, fit_open_set

MEAN, LSTM, OPEN_SET = "mean of frame vectors", "LSTM, cross-entropy (the paper's)", "open-set encoder"


@dataclasses.dataclass(frozen=True)
class Videos:
    """Frame vectors of labelled videos.

    Attributes:
      name: of the data.
      seen: how many classes are trained on.
      vectors: (N, T, D).
      labels: class number of each.
      sources: what each was cut from.
      train, test: indices.
    """

    name: str
    seen: int
    vectors: NDArray[np.float32]
    labels: NDArray[np.int64]
    sources: NDArray[np.int64]
    train: NDArray[np.int64]
    test: NDArray[np.int64]


def ucf101() -> Videos:
    """UCF101-15. The file names no sources: runs of neighbouring videos of a class and split stand for them."""
    with np.load(UCF101_FEATURES) as stored:
        vectors, names, split = stored["features"].astype(np.float32), stored["label"], stored["split"]
    labels = np.unique(names, return_inverse=True)[1].astype(np.int64)
    sources = np.zeros(len(labels), np.int64)
    for label in range(labels.max() + 1):
        for number, part in enumerate(("train", "test")):
            own = np.flatnonzero((labels == label) & (split == part))
            sources[own] = 100 * label + 50 * number + np.arange(len(own)) * 18 // len(own)
    train, test = (np.flatnonzero(split == part) for part in ("train", "test"))
    return Videos("UCF101, 15 classes, VGG16", 10, vectors, labels, sources, train, test)


def jhmdb(work: Path) -> Videos:
    """JHMDB by MobileNet V1; its frame vectors are kept under `work`."""
    dataset = open_dataset(JHMDB_CLIPS, split_column="split1")
    backbone = create_backbone("mobilenet-v1", rngs=nnx.Rngs(0))
    load_pretrained(backbone, MOBILENET_WEIGHTS)
    mean = Mean(backbone.embedding_size, rngs=nnx.Rngs(0))
    encoder = VideoEncoder(backbone, mean, Preprocessing(height=224, width=224))
    features = FrozenFeatures(dataset, encoder, work / "cache", views=1, augment=Augmentation(), seed=0)
    features.prepare(threads=2, show=True)
    media = features.frame_vectors([n for n, item in enumerate(dataset.items) if item.split in ("train", "test")])
    items = [dataset.items[index] for index in media]
    labels = np.unique([str(item.label) for item in items], return_inverse=True)[1].astype(np.int64)
    sources = np.unique([item.source for item in items], return_inverse=True)[1].astype(np.int64)
    split = np.array([str(item.split) for item in items])
    vectors = np.stack([found.vectors[0] for found in media.values()])
    train, test = (np.flatnonzero(split == part) for part in ("train", "test"))
    return Videos("JHMDB, MobileNet V1", 14, vectors, labels, sources, train, test)


def embedded(encoder: SequenceEncoder, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Clip vectors of all videos."""
    return np.asarray(jax.jit(lambda module, x: module(x).embedding)(encoder, jnp.asarray(vectors)))


def scores(videos: Videos, vectors: NDArray[np.float32], seen: NDArray[np.int64], *, cosine: bool) -> dict[str, float]:
    """mAP of queries of classes trained on and of others."""
    topk = cosine_topk if cosine else euclidean_topk
    queries, gallery = videos.test, videos.train
    ranked = topk(vectors[queries], vectors[gallery], len(gallery))
    relevance = relevance_by_label(
        ranked.ids,
        videos.labels[queries],
        videos.labels[gallery],
        query_sources=videos.sources[queries],
        gallery_sources=videos.sources[gallery],
    )
    found = average_precision(relevance)
    known = np.isin(videos.labels[queries], seen)
    return {
        "mAP, seen": float(found.values[found.counted & known].mean()),
        "mAP, unseen": float(found.values[found.counted & ~known].mean()),
    }


def lstm(
    videos: Videos, train: NDArray[np.int64], classes: NDArray[np.int64], folder: Path, seed: int
) -> TemporalEncoder:
    """The paper's encoder: 256 units, last state, cross-entropy; the best epoch of the validation part is kept."""
    rng = np.random.default_rng(seed)
    sources = rng.permutation(np.unique(videos.sources[train]))
    held = np.isin(videos.sources[train], sources[: max(1, len(sources) // 10)])
    fitted, validation = train[~held], train[held]
    config = CnnLstmConfig(seed=seed)
    encoder = TemporalEncoder(videos.vectors.shape[2], config.units, dropout=config.dropout, rngs=nnx.Rngs(seed))
    labels = np.searchsorted(classes, videos.labels)

    def read(row: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return {"inputs": videos.vectors[fitted[row]], "labels": np.int32(labels[fitted[row]])}

    def evaluate() -> dict[str, float]:
        encoder.eval()
        vectors = embedded(encoder, videos.vectors)
        ranked = euclidean_topk(vectors[validation], vectors[fitted], len(fitted))
        relevance = relevance_by_label(ranked.ids, videos.labels[validation], videos.labels[fitted])
        return {"validation mAP": float(average_precision(relevance).mean)}

    run = RunFolder(folder)
    run.write_config("cnn-lstm", config)
    task = ClassifierTask(encoder, config.units, read, labels[fitted].tolist(), Validation(evaluate))
    result = fit_classifier(task, config, RunContext(run, log=str, show_progress=False))
    if not result.finished:
        raise SystemExit(f"stopped and saved in {folder}: call again to go on")
    encoder.eval()
    return encoder


def kept_draw(videos: Videos, seed: int, work: Path, *, with_lstm: bool) -> dict[str, dict[str, float]]:
    """`draw`, or what an earlier call has kept of it."""
    name = f"{videos.name.split(',')[0].lower()}-{seed}"
    path = work / f"{name}{'-lstm' if with_lstm else ''}.json"
    if not path.exists():
        found = draw(videos, seed, work / f"{name}-training" if with_lstm else None)
        work.mkdir(parents=True, exist_ok=True)
        with write_atomically(path) as partial:
            partial.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return json.loads(path.read_text(encoding="utf-8"))


def draw(videos: Videos, seed: int, folder: Path | None) -> dict[str, dict[str, float]]:
    """The figures of each method for one draw of classes; of the LSTM where there is a folder to train it in."""
    rng = np.random.default_rng(seed)
    seen = np.sort(rng.permutation(videos.labels.max() + 1)[: videos.seen])
    train = videos.train[np.isin(videos.labels[videos.train], seen)]
    means = videos.vectors.mean(axis=1)
    open_set = OpenSetEncoder(means.shape[1], videos.seen, rngs=nnx.Rngs(0))
    fit = fit_open_set(
        open_set,
        videos.vectors[train],
        np.searchsorted(seen, videos.labels[train]),
        videos.sources[train].tolist(),
        OpenSetSettings(seed=seed),
    )
    print(f"{videos.name}, draw {seed}: {fit}", flush=True)
    found = {
        MEAN: scores(videos, means, seen, cosine=True),
        OPEN_SET: scores(videos, embedded(open_set, videos.vectors), seen, cosine=False),
    }
    if folder is not None:
        trained = lstm(videos, train, seen, folder, seed)
        found[LSTM] = scores(videos, embedded(trained, videos.vectors), seen, cosine=False)
    return found


def main() -> None:
    """Print the figures, and write them where all draws are made."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--work", type=Path, default=Path("runs/accuracy_open_set"), help="trainings and frame vectors")
    parser.add_argument("--data", choices=("ucf101", "jhmdb"), nargs="+", default=["ucf101", "jhmdb"])
    parser.add_argument("--lstm", action="store_true", help="train the paper's LSTM on each draw as well")
    args = parser.parse_args()
    rows = []
    for name in args.data:
        videos = ucf101() if name == "ucf101" else jhmdb(args.work)
        for seed in args.seeds:
            found = kept_draw(videos, seed, args.work, with_lstm=args.lstm)
            for method, figures in found.items():
                rows += results_file.rows_of(videos.name, method, figures, seed=seed)
                rows += [
                    results_file.row(
                        videos.name,
                        method,
                        f"{metric}, less that of the mean vector",
                        value - found[MEAN][metric],
                        seed=seed,
                    )
                    for metric, value in figures.items()
                    if method != MEAN
                ]
    table: dict[tuple[str, str, str], list[float]] = {}
    for one in rows:
        table.setdefault((one["data"], one["method"], one["metric"]), []).append(one["value"])
    for (data, method, metric), values in table.items():
        print(f"{data:<28} {method:<36} {metric:<42} {np.mean(values):+.3f} ± {np.std(values):.3f}")
    if args.seeds == parser.get_default("seeds") and args.data == parser.get_default("data"):
        print(results_file.write("accuracy_open_set", rows, ["jax", "flax", "scikit-learn"]))


if __name__ == "__main__":
    main()
