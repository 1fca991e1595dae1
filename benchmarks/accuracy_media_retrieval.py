"""Retrieval of real video by CNN + LSTM: seen and unseen classes, Euclidean, cosine and PAR, against pooling.

For each backbone and seed: half of the classes are kept out of training; of the others 70 % train, 10 % validate
and 20 % test, clips of one source together. The test database mixes the seen classes' test clips with all clips of
the unseen ones. Every test clip asks for the others; clips of its own source are taken out. PAR looks at the 5
nearest; its threshold is the one with the best precision at 5 among the validation clips, an empty answer scoring 0.
The baseline is the mean of the same frozen frame vectors, which cannot see their order.

Then the first seed's index of all clips is searched with files: clips, single frames of them, and copies that were
cropped by a tenth, scaled to 0.6 and encoded again; the share of searches is given whose first result is the source.

    python benchmarks/accuracy_media_retrieval.py                # JHMDB from $JAXRET_SHARED, 3 seeds
    python benchmarks/accuracy_media_retrieval.py --data FOLDER  # any folder or CSV of labelled videos

Runs are kept under --work and reused, so a stopped call goes on where it was.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import tempfile
from collections import Counter
from pathlib import Path

import matplotlib
import numpy as np
import results_file
from PIL import Image

from jaxret.data.dataset_specs import open_dataset
from jaxret.data.media_item import MediaDataset
from jaxret.data.transforms import Augmentation
from jaxret.data.video_writing import write_video
from jaxret.embedding import Rows, clip_rows, mean_frame_rows
from jaxret.evaluation import Ranking
from jaxret.models.encoder_store import load_encoder
from jaxret.recipes.cnn_lstm import CnnLstmConfig, make_encoder, train
from jaxret.retrieval import Retriever
from jaxret.training import RunFolder, config_from_json
from jaxret.workflow.clip_training import evaluate_rows
from jaxret.workflow.data_splits import split_dataset
from jaxret.workflow.frozen_features import FrozenFeatures

matplotlib.use("Agg")
import matplotlib.pyplot as plt

SHARED = Path(os.environ.get("JAXRET_SHARED", Path(__file__).parent.parent.parent / "shared"))
BACKBONES = {"mobilenet-v1": str(SHARED / "weights/mobilenet_1_0_224_tf.h5"), "efficientnet-lite0": "imagenet"}
DEPTH = 5
THRESHOLDS = np.round(np.arange(-0.2, 1.0, 0.02), 2)
PAPER_DATA = "trained on UCF50, tested on KTH, UCF101 and HMDB51"
# The paper's Table IV, 2D CNN + LSTM, top 5.
PAPER = {
    ("seen", "euclidean"): {"P@5": 0.7481, "recall@5": 0.6644, "F1@5": 0.6866, "accuracy@5": 0.7644},
    ("seen", "par"): {"P@5": 0.8656, "recall@5": 0.7984, "F1@5": 0.8165, "accuracy@5": 0.8575},
    ("unseen", "euclidean"): {"P@5": 0.6225, "recall@5": 0.5225, "F1@5": 0.5566, "accuracy@5": 0.7113},
    ("unseen", "par"): {"P@5": 0.8793, "recall@5": 0.842, "F1@5": 0.8555, "accuracy@5": 0.914},
}
SHOWN = ("mAP", "P@1", "P@5", "recall@5", "F1@5", "accuracy@5", "empty_share")


def main() -> None:
    """Train what is missing, evaluate, print, write the result file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=str(SHARED / "data/jhmdb"), help="labelled videos (default: JHMDB)")
    parser.add_argument("--name", default="JHMDB", help="what the tables call the data")
    parser.add_argument("--backbones", nargs="+", choices=BACKBONES, default=list(BACKBONES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--work", type=Path, default=Path("runs/accuracy_media_retrieval"))
    parser.add_argument("--cache", type=Path, default=Path("runs/frame-vectors"), help="frame vectors, shared by runs")
    args = parser.parse_args()
    rows: list[dict] = []
    curves: dict[str, dict[str, list[float]]] = {}
    for backbone in args.backbones:
        for seed in args.seeds:
            config = CnnLstmConfig(
                data=args.data,
                backbone=backbone,
                weights=BACKBONES[backbone],
                unseen_fraction=0.5,
                cache=args.cache,
                seed=seed,
            )
            loop = dataclasses.replace(config.loop, epochs=args.epochs, evaluate_every=5, patience=4)
            config = dataclasses.replace(config, loop=loop)
            run = trained_run(args.work / f"{args.name}-{backbone}-{seed}", config)
            rows += evaluate_run(run, args.name, backbone, seed, curves)
            if seed == args.seeds[0]:
                rows += search_with_files(run, args.name, backbone)
    print(table(rows))
    draw_threshold_curves(curves)
    print(results_file.write("accuracy_media_retrieval", rows, ["jax", "flax", "av"]))


def trained_run(folder: Path, config: CnnLstmConfig) -> RunFolder:
    """The finished run in `folder`, trained first if need be."""
    run = RunFolder(folder)
    if not run.figures.exists():
        train("cnn-lstm", config, run)
    return run


def evaluate_run(run: RunFolder, name: str, backbone: str, seed: int, curves: dict) -> list[dict]:
    """All figures of one run; the first run of each backbone leaves its PAR curves in `curves`."""
    config = config_from_json(CnnLstmConfig, run.read_config()[1])
    dataset = open_dataset(config.data)
    splits = split_dataset(dataset, unseen_fraction=config.unseen_fraction, seed=config.seed)
    encoder = load_encoder(run.encoder)
    features = FrozenFeatures(
        dataset,
        encoder,
        config.cache or run.cache,
        views=config.cached_views,
        augment=Augmentation(zoom=config.zoom, mirror=config.mirror),
        seed=config.seed,
    )
    features.prepare(threads=config.threads, show=True)
    validation, test = (features.frame_vectors(part) for part in (splits.validation, splits.test))
    untrained = make_encoder(config)
    rows = []
    for method, embed in {
        "CNN + LSTM": lambda media: clip_rows(media, encoder),
        "mean of frame vectors": mean_frame_rows,
        "untrained LSTM": lambda media: clip_rows(media, untrained),
    }.items():
        rankings = {"euclidean": Ranking(), "cosine": Ranking("cosine")}
        if method != "untrained LSTM":
            curve = threshold_curve(dataset, embed(validation))
            curves.setdefault(f"{backbone}, {method}", curve)
            threshold = best_threshold(curve)
            rankings["par"] = Ranking("par", threshold, DEPTH)
            rows.append(
                results_file.row(
                    data=name, method=method, metric="par threshold", value=threshold, setting=backbone, seed=seed
                )
            )
        for ranked_by, ranking in rankings.items():
            groups = {"seen": splits.seen, "unseen": splits.unseen}
            figures = evaluate_rows(dataset, embed(test), ranking=ranking, groups=groups, ks=(1, DEPTH))
            for group in ("seen", "unseen"):
                for metric in SHOWN:
                    if metric not in figures[group]:
                        continue
                    paper = PAPER.get((group, ranked_by), {}).get(metric) if method == "CNN + LSTM" else None
                    beside = {} if paper is None else {"paper_value": paper, "paper_data": PAPER_DATA}
                    rows.append(
                        results_file.row(
                            data=f"{name}, {group} classes",
                            method=f"{method}, {ranked_by}",
                            metric=metric,
                            value=figures[group][metric],
                            setting=backbone,
                            seed=seed,
                            **beside,
                        )
                    )
    return rows


def search_with_files(run: RunFolder, name: str, backbone: str, searches: int = 40) -> list[dict]:
    """How often the clip that a query file was made from is the first result."""
    retriever = Retriever.open(run.index)
    dataset = open_dataset(config_from_json(CnnLstmConfig, run.read_config()[1]).data)
    right: Counter[str] = Counter()
    for number in np.random.default_rng(0).choice(len(dataset), searches, replace=False).tolist():
        item = dataset.items[number]
        with dataset.open(number) as reader, tempfile.TemporaryDirectory() as folder:
            frames = reader.read()
            picture, copy = Path(folder) / "frame.png", Path(folder) / "copy.mp4"
            Image.fromarray(frames[len(frames) // 2]).save(picture)
            write_video(copy, edited(frames), fps=30, options={"crf": "28"})
            for query, space, what in (
                (item.path, None, "the clip itself"),
                (picture, None, "one frame as a picture"),
                (copy, None, "an edited copy, by clip vectors"),
                (copy, "frame", "an edited copy, frame by frame"),
            ):
                right[what] += retriever.search(str(query), 1, space=space)[0].item.key == item.key
    data = f"{name}, {searches} searches with a file among {len(dataset)} clips"
    return [
        results_file.row(data, f"search with {what}", "source first", count / searches, setting=backbone)
        for what, count in right.items()
    ]


def edited(frames: np.ndarray) -> np.ndarray:
    """Frames cropped by a twentieth on every side and scaled to about 0.6, to even sizes."""
    height, width = frames.shape[1:3]
    cropped = frames[:, height // 20 : -(height // 20), width // 20 : -(width // 20)]
    size = (round(width * 0.3) * 2, round(height * 0.3) * 2)
    return np.stack([np.asarray(Image.fromarray(frame).resize(size)) for frame in cropped])


def threshold_curve(dataset: MediaDataset, validation: Rows) -> dict[str, list[float]]:
    """PAR's figures on validation clips at each of THRESHOLDS."""
    figures = [
        evaluate_rows(dataset, validation, ranking=Ranking("par", float(t), DEPTH), ks=(DEPTH,))["all"]
        for t in THRESHOLDS
    ]
    return {name: [figure[name] for figure in figures] for name in (f"P@{DEPTH}", f"recall@{DEPTH}", "empty_share")}


def best_threshold(curve: dict[str, list[float]]) -> float:
    """PAR's cosine threshold with the best precision at 5 on validation clips; the lowest of equals."""
    return float(THRESHOLDS[int(np.argmax(curve[f"P@{DEPTH}"]))])


def draw_threshold_curves(curves: dict[str, dict[str, list[float]]]) -> None:
    """Precision, recall and empty answers against PAR's threshold, one panel a representation."""
    figure, panels = plt.subplots(1, len(curves), figsize=(5 * len(curves), 4), squeeze=False, layout="constrained")
    for panel, (title, curve) in zip(panels[0], curves.items(), strict=True):
        for name, values in curve.items():
            panel.plot(THRESHOLDS, values, label=name.replace("_", " "))
        panel.axvline(best_threshold(curve), color="grey", linestyle=":", label="chosen")
        panel.set(title=title, xlabel="cosine threshold of PAR", ylabel="validation clips, seed 0", ylim=(0, 1.02))
        panel.grid(alpha=0.3)
        panel.legend(fontsize=8)
    figure.savefig(results_file.RESULTS / "par_thresholds.png", dpi=110)
    plt.close(figure)


def table(rows: list[dict]) -> str:
    """Mean over seeds (and spread) as text."""
    groups: dict[tuple[str, str, str], dict[str, list[float]]] = {}
    for r in rows:
        groups.setdefault((r["data"], r["setting"], r["method"]), {}).setdefault(r["metric"], []).append(r["value"])
    lines = []
    for (data, setting, method), metrics in sorted(groups.items()):
        cells = "  ".join(f"{m} {np.mean(v):.3f}±{np.std(v):.3f}" for m, v in metrics.items())
        lines.append(f"{data:<24} {setting:<20} {method:<34} {cells}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
