"""C3D from scratch: does it learn, on classes that it was trained on and on others, and what are codes of it worth?

Data: six classes of JHMDB to train on and six others, dealt anew for each seed, by HMDB51's official splits, one a
seed. Frames are small and few and the network is narrow (--pixels, --frames, --width), so that a CPU trains it in
minutes; narrow networks learn with a larger rate than the recipe's. The rest is the recipe `c3d` as it is.

Seen classes: test clips query the training clips (the validation part among them). Unseen ones: each clip queries the
others of unseen classes. Clips of the query's own source are taken out. mAP and P@1 by Euclidean distance; beside the
trained network stand the same one untrained, the mean colour of a clip, the mean of its frames at 8 x 8 places, and
chance, the share of relevant clips. Validation mAP picks the epoch; nothing is picked by test clips.

    python benchmarks/accuracy_c3d.py                       # half an hour on two cores
    python benchmarks/accuracy_c3d.py table --seeds 0       # a part of it; the other rows of the file stay
    python benchmarks/accuracy_c3d.py whole                 # width 1: training accuracy of a few clips
    python benchmarks/accuracy_c3d.py whole --pixels 112 --frames 16 --warm-up 20    # the recipe's size; 14 s a step

Trainings are kept under --work and not done again, so a stopped call goes on where it was.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from common import results_file
from common.paths import JHMDB, JHMDB_CLIPS
from common.study_program import StudyParser

from jaxret.data.dataset import MediaDataset
from jaxret.data.open import open_dataset
from jaxret.data.rows import Rows
from jaxret.data.sampling.reading import read_chunks
from jaxret.data.splits import split_classes, split_dataset
from jaxret.evaluation import LabelProtocol, Ranking, evaluate_leave_one_out, evaluate_queries
from jaxret.models import load_encoder
from jaxret.models.backbones.small_convnet import grid_average
from jaxret.models.encoder import VideoEncoder
from jaxret.recipes.clip_media import embed_items
from jaxret.recipes.clips import c3d
from jaxret.recipes.clips.c3d import C3dConfig
from jaxret.retrieval.encode import clip_rows, code_rows
from jaxret.training import LoopConfig, RunContext, RunFolder, read_run_log

SEEN_CLASSES = 6  # and as many unseen ones, of JHMDB
WIDTH, EPOCHS, LEARNING_RATE = 0.125, 25, 3e-4  # of tables; the learning rate of whole is the recipe's
DATA = "JHMDB, 6 + 6 classes"
METRICS = ("mAP", "P@1")
WHOLE_CLASSES, WHOLE_CLIPS, WHOLE_WIDTH, WHOLE_EPOCHS = 3, 4, 1.0, 14


def jhmdb(folder: Path, seed: int) -> Path:
    """A CSV of six classes to train on, by one of the official splits, and of six others, whose clips all test."""
    path = folder / f"jhmdb-{seed}.csv"
    with JHMDB_CLIPS.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = sorted({row["label"] for row in rows})
    order = np.random.default_rng([seed, 6]).permutation(len(names))
    chosen = [names[place] for place in order[: 2 * SEEN_CLASSES]]
    seen = set(split_classes(sorted(chosen), 0.5, seed=seed)[0])
    with path.open("w", newline="", encoding="utf-8") as file:
        written = csv.writer(file)
        written.writerow(("path", "label", "source", "split"))
        for row in rows:
            split = row[f"split{seed % 3 + 1}"] or "unused"
            if row["label"] in chosen and split != "unused":
                shown = split if row["label"] in seen else "test"
                written.writerow((str((JHMDB / row["path"]).resolve()), row["label"], row["source"], shown))
    return path


def mean_pixels(dataset: MediaDataset, encoder: VideoEncoder, numbers: np.ndarray, places: int) -> Rows:
    """Each chunk's frames, as the encoder sees them, averaged over time and into places x places."""
    vectors, items = [], []
    for number in numbers.tolist():
        for chunk in read_chunks(dataset, number, encoder.preprocessing):
            mean = chunk.pixels.astype(np.float32).mean(axis=0, keepdims=True)
            vectors.append(np.asarray(grid_average(mean, places)).ravel())
            items.append(number)
    return Rows(np.stack(vectors), np.array(items))


@dataclasses.dataclass(frozen=True)
class Trained:
    """A finished training and its data."""

    encoder: VideoEncoder
    config: C3dConfig
    log: Sequence[Any]

    def figures(self) -> dict[str, dict[str, dict[str, float]]]:
        """Figures by group of classes and method."""
        dataset = open_dataset(self.config.data)
        splits = split_dataset(dataset, unseen_fraction=0.0, seed=self.config.seed)
        of_unseen = np.array([dataset.items[n].label in splits.unseen for n in splits.test.tolist()])
        seen, unseen = splits.test[~of_unseen], splits.test[of_unseen]
        known = np.concatenate([splits.train, splits.validation])
        everything = np.concatenate([known, splits.test])

        def encoded(encoder: VideoEncoder) -> Rows:
            return clip_rows(embed_items(dataset, encoder, everything.tolist(), threads=1)[0], encoder)

        trained = encoded(self.encoder)
        methods = {
            "trained": (trained, Ranking()),
            "trained, cosine": (trained, Ranking("cosine")),
            "untrained": (encoded(c3d.make_encoder(self.config)), Ranking()),
            "mean colour": (mean_pixels(dataset, self.encoder, everything, 1), Ranking()),
            "mean frame, 8 x 8 places": (mean_pixels(dataset, self.encoder, everything, 8), Ranking()),
        }
        if self.encoder.code_bits:
            methods["trained, codes"] = (code_rows(trained), Ranking("hamming"))
        figures: dict[str, dict[str, dict[str, float]]] = {"seen": {}, "unseen": {}}
        for method, (rows, ranking) in methods.items():
            protocol = LabelProtocol(ks=(1,))
            found = evaluate_queries(*_part(rows, seen, dataset), *_part(rows, known, dataset), ranking, protocol)[
                "all"
            ]
            alone = evaluate_leave_one_out(*_part(rows, unseen, dataset), ranking, protocol)["all"]
            for group, measured in (("seen", found), ("unseen", alone)):
                figures[group][method] = {name: measured[name] for name in METRICS}
        for group, queries, gallery in (("seen", seen, known), ("unseen", unseen, unseen)):
            figures[group]["chance"] = {"P@1": _share_relevant(dataset, queries, gallery)}
        return figures


def _part(rows: Rows, numbers: np.ndarray, dataset: MediaDataset) -> tuple[Rows, list[Any]]:
    """The rows of some items, numbered from 0, and those items."""
    kept = np.isin(rows.items, numbers)
    found, places = np.unique(rows.items[kept], return_inverse=True)
    return Rows(rows.vectors[kept], places), [dataset.items[n] for n in found]


def _share_relevant(dataset: MediaDataset, queries: np.ndarray, gallery: np.ndarray) -> float:
    """The mean share of relevant clips among those of other sources."""
    labels, sources = (np.array([getattr(item, name) for item in dataset.items]) for name in ("label", "source"))
    others = sources[queries][:, None] != sources[gallery]
    return float(np.mean(((labels[queries][:, None] == labels[gallery]) & others).sum(axis=1) / others.sum(axis=1)))


def trained(config: C3dConfig, folder: Path) -> Trained:
    """The training with these settings, done first, or gone on with, if it is not finished."""
    run = RunFolder(folder)
    if not run.figures.exists():
        c3d.train(config, RunContext(run, "c3d", log=str, show_progress=False))
    if not run.figures.exists():
        raise SystemExit(f"stopped and saved in {run.path}: call again to go on")
    return Trained(load_encoder(run.encoder), config, read_run_log(run.metrics))


def sized(config: C3dConfig, args: argparse.Namespace, width: float, loop: LoopConfig, rate: float) -> C3dConfig:
    """The settings with what the command line says of size and optimiser; width and learning rate where it does not."""
    optimiser = dataclasses.replace(
        config.optimiser, learning_rate=args.learning_rate or rate, warmup_steps=args.warm_up
    )
    return dataclasses.replace(
        config,
        width=args.width or width,
        image_size=args.pixels,
        frames=args.frames,
        optimiser=optimiser,
        loop=loop,
        threads=1,
    )


def setting_of(config: C3dConfig) -> str:
    """What the tables call a size and an optimiser."""
    shown = f"width {config.width:g}, {config.frames} frames of {config.image_size} pixels"
    steps = config.optimiser.warmup_steps
    return shown + (f", warm-up of {steps} steps" if steps else "")


def folder_of(config: C3dConfig) -> str:
    """What the folders of trainings end in."""
    name = f"{config.width:g}-{config.image_size}-{config.frames}"
    return name + (f"-{config.optimiser.warmup_steps}" if config.optimiser.warmup_steps else "")


def table(args: argparse.Namespace, seed: int, *, bits: int = 0) -> list[dict[str, Any]]:
    """The rows of one training."""
    config = C3dConfig(data=str(jhmdb(args.work, seed)), seed=seed, bits=bits)
    config = sized(config, args, WIDTH, dataclasses.replace(config.loop, epochs=args.epochs or EPOCHS), LEARNING_RATE)
    result = trained(config, args.work / f"{seed}-{bits}-{folder_of(config)}")
    setting = setting_of(config) + (f", {bits} bits" if bits else "")
    rows = []
    for group, methods in result.figures().items():
        for method, figures in methods.items():
            rows += results_file.rows_of(f"{DATA}, {group}", method, figures, setting=setting, seed=seed)
            print(f"{group:<6} seed {seed} {bits} bits {method:<26}", figures, flush=True)
    curve = {"epochs trained": result.log[-1]["epoch"]}
    curve |= {"training accuracy, first": result.log[0]["train_accuracy"]}
    curve |= {"training accuracy, last": result.log[-1]["train_accuracy"]}
    print(f"seed {seed} {bits} bits", curve, flush=True)
    return rows + results_file.rows_of(DATA, "training", curve, setting=setting, seed=seed)


def whole(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Training accuracy of a few clips that the network sees again and again, at full width if no other is given."""
    path = args.work / "whole.csv"
    dataset = open_dataset(str(jhmdb(args.work, 0)))
    of_class: dict[str, list[Any]] = {}
    for item in dataset.items:
        if item.split == "train":
            of_class.setdefault(str(item.label), []).append(item)
    with path.open("w", newline="", encoding="utf-8") as file:
        written = csv.writer(file)
        written.writerow(("path", "label", "source", "split"))
        for label in sorted(of_class)[:WHOLE_CLASSES]:
            for item in of_class[label][:WHOLE_CLIPS]:
                written.writerow((item.path, label, item.source, "train"))
            written.writerow((of_class[label][-1].path, label, of_class[label][-1].source, "validation"))
    config = C3dConfig(data=str(path))
    loop = LoopConfig(epochs=args.epochs or WHOLE_EPOCHS, evaluate_every=1)
    config = sized(config, args, WHOLE_WIDTH, loop, config.optimiser.learning_rate)
    log = trained(config, args.work / f"whole-{folder_of(config)}").log
    rows = []
    for row in log:
        setting = f"{WHOLE_CLASSES * WHOLE_CLIPS} clips, {setting_of(config)}, epoch {row['epoch']:g}"
        print(setting, row["train_accuracy"], flush=True)
        figures = {"training accuracy": row["train_accuracy"], "loss": row["loss"]}
        rows += results_file.rows_of("JHMDB, 3 classes", "training", figures, setting=setting, seed=0)
    return rows


def main() -> None:
    """Train what is missing, print the figures, write the result file."""
    parser = StudyParser(__doc__, "accuracy_c3d", ("table", "codes", "whole"), seeds=(0, 1, 2))
    parser.add_argument("--width", type=float, help="default: 1/8, of whole 1")
    parser.add_argument("--pixels", type=int, default=48)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, help="default: 3e-4, of whole the recipe's")
    parser.add_argument("--warm-up", type=int, default=0, help="steps in which the learning rate rises (default 0)")
    parser.add_argument("--epochs", type=int, help="at most (default: 25, of whole 14)")
    args = parser.read()
    args.work.mkdir(parents=True, exist_ok=True)
    jax.config.update("jax_compilation_cache_dir", str((args.work / "compiled").resolve()))
    rows: list[dict[str, Any]] = []
    for seed in args.seeds if "table" in args.studies else ():
        rows += table(args, seed)
    if "codes" in args.studies:
        rows += table(args, 0, bits=64)
    if "whole" in args.studies:
        rows += whole(args)
    keep = results_file.write if args.complete else results_file.update
    print(keep("accuracy_c3d", rows, ["jax", "flax", "av"]))


if __name__ == "__main__":
    main()
