"""C3D from scratch: does it learn, on classes that it was trained on and on others, and what are codes of it worth?

Data: six classes of JHMDB to train on and six others, dealt anew for each seed, by HMDB51's official splits, one a
seed. Frames are small and few and the network is narrow (--pixels, --frames, --width), so that a CPU trains it in
minutes; narrow networks learn with a larger rate than the recipe's. The rest is the recipe `c3d` as it is.

Seen classes: test clips query the training clips (the validation part among them). Unseen ones: each clip queries the
others of unseen classes. Clips of the query's own source are taken out. mAP and P@1 by Euclidean distance; beside the
trained network stand the same one untrained, the mean colour of a clip, the mean of its frames at 8 x 8 places, and
chance, the share of relevant clips. "Both, the default" are the open-set posterior that the network gives beside
statistics of pixels (`--fusion open-set`), for which a network is trained in each of two rounds as well. Validation
mAP picks the epoch, held-out training classes pick the rest; nothing is picked by test clips.

- `table`: all of that, and codes of 64 bits.
- `codes`: codes of a hash layer that is trained with the network (`--fusion mean --bits 64`).
- `whole`: the training accuracy of a few clips that the network sees again and again.

    python benchmarks/accuracy_c3d.py                       # half an hour on two cores
    python benchmarks/accuracy_c3d.py table --seeds 0       # a part of it; the other rows of the file stay
    python benchmarks/accuracy_c3d.py whole                 # width 1: training accuracy of a few clips
    python benchmarks/accuracy_c3d.py whole --pixels 112 --frames 16    # the recipe's size; 4 to 12 minutes a seed
    python benchmarks/accuracy_c3d.py differences           # of the rows that are there
    python benchmarks/accuracy_c3d.py table --data VIDEOS.csv --name "My videos"    # data of your own, printed

--data takes labelled videos as `jaxret train --data` does (folder, CSV, published data sets), by their split or one
that is dealt by source; of fewer than twelve classes half are trained on.

Whatever a call ran, it writes differences of mAP that are paired by seed, of all rows of the default sizes that the
result file holds then. Trainings are kept under --work and not done again, so a stopped call goes on where it was.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from common import results_file
from common.differences import Comparison, write_differences
from common.item_table import write_table
from common.own_data import LabelledVideos
from common.paths import JHMDB_CLIPS
from common.study_program import StudyParser

from jaxret.data.dataset import MediaDataset
from jaxret.data.open import open_dataset
from jaxret.data.rows import Rows
from jaxret.data.sampling.reading import read_chunks
from jaxret.data.splits import split_classes, split_dataset
from jaxret.evaluation import LabelProtocol, Ranking, evaluate_leave_one_out, evaluate_queries
from jaxret.models import WithPixelStatistics, load_encoder
from jaxret.models.backbones.small_convnet import grid_average
from jaxret.models.encoder import VideoEncoder
from jaxret.rank import pack_bits
from jaxret.recipes.clip_media import embed_items
from jaxret.recipes.clips import c3d
from jaxret.recipes.clips.c3d import C3dConfig
from jaxret.recipes.clips.open_set import video_classes
from jaxret.recipes.clips.open_set_fit import fit_open_set_encoder
from jaxret.recipes.opening import LabelledData
from jaxret.retrieval.encode import FrameVectors, clip_rows, code_rows, mean_frame_rows
from jaxret.training import LoopConfig, RunContext, RunFolder, keep_freed_memory, read_run_log
from jaxret.training.itq import fit_itq

SEEN_CLASSES = 6  # and as many unseen ones, of JHMDB
WIDTH, EPOCHS, LEARNING_RATE = 0.125, 25, 3e-4  # of tables; the learning rate of whole is the recipe's
PIXELS, FRAMES = 48, 8
DATA, GROUPS = "JHMDB, 6 + 6 classes", ("seen", "unseen")
METRICS = ("mAP", "P@1")
CODE_BITS = 64
BASELINE, STATISTICS, DEFAULT = "mean frame, 8 x 8 places", "statistics of pixels", "both, the default"
OF_CODES = f", {CODE_BITS} bits"  # settings and methods end in it
BASELINE_CODES, STATISTICS_CODES = f"mean frame, ITQ{OF_CODES}", f"{STATISTICS}, ITQ{OF_CODES}"
DEFAULT_CODES, HASH_CODES = f"{DEFAULT}{OF_CODES}", "trained, codes"
NETWORK, UNTRAINED, COLOUR = "network trained", "network untrained", "mean colour"
NETWORK_COSINE = f"{NETWORK}, cosine"
COMPARED = ("mAP",)
NAME = "accuracy_c3d"
Methods = dict[str, tuple[Rows, Ranking]]  # what a method ranks, and how
WHOLE_CLASSES, WHOLE_CLIPS, WHOLE_WIDTH, WHOLE_EPOCHS = 3, 4, 1.0, 14


def dealt(args: argparse.Namespace, seed: int) -> tuple[Path, str]:
    """A CSV of six classes to train on, by one of the splits, and of six others, whose videos all test; and what the
    tables call it. Of fewer than twelve classes it is half of them, and the other half.
    """
    path: Path = args.work / f"{re.sub(r'[^a-z0-9]+', '-', args.name.lower())}-{seed}.csv"
    columns = args.split_columns
    found = LabelledVideos.open(args.data, split_column=columns[seed % len(columns)], seed=seed)
    count = min(SEEN_CLASSES, len(found.classes) // 2)
    if count < 3:
        raise SystemExit(f"{args.data} has {len(found.classes)} classes: 6 are needed, half of them to train on")
    order = np.random.default_rng([seed, 6]).permutation(len(found.classes))
    chosen = [found.classes[place] for place in order[: 2 * count]]
    seen = set(split_classes(sorted(chosen), 0.5, seed=seed)[0])
    rows = []
    for item, test in zip(found.items, found.test.tolist(), strict=True):
        if item.path is None:
            raise SystemExit(f"{args.data}: {item.key} is no file, which this program's own lists name")
        if item.label in chosen:
            shown = "train" if item.label in seen and not test else "test"
            rows.append((str(Path(item.path).resolve()), item.label, item.source, shown))
    write_table(path, rows)
    return path, f"{args.name}, {count} + {count} classes"


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
    run: RunFolder

    @functools.cached_property
    def data(self) -> LabelledData:
        """All clips, and their splits; unseen classes only test."""
        dataset = open_dataset(self.config.data)
        return LabelledData(dataset, split_dataset(dataset, unseen_fraction=0.0, seed=self.config.seed))

    def of_hash_layer(self) -> Methods:
        """Methods of a network that is trained with a hash layer."""
        rows = clip_rows(self._embedded(self.encoder), self.encoder)
        return {"trained": (rows, Ranking()), HASH_CODES: (code_rows(rows), Ranking("hamming"))}

    def of_network(self) -> Methods:
        """Methods of the network alone, of what no training knows, and of the two beside each other, the default."""
        media, bits = self._embedded(self.encoder), dataclasses.replace(self.config, bits=CODE_BITS)
        assert isinstance(self.encoder.backbone, WithPixelStatistics)
        learned = self.encoder.backbone.learned
        vectors = mean_frame_rows(media)
        network = dataclasses.replace(vectors, vectors=vectors.vectors[:, :learned])
        pixels = dataclasses.replace(vectors, vectors=vectors.vectors[:, learned:])
        untrained = c3d.make_encoder(dataclasses.replace(self.config, fusion="mean"))
        frame = mean_pixels(self.data.dataset, self.encoder, self._everything, 8)
        hashed = c3d.make_encoder(bits, len(video_classes(self.data)))
        hashed = hashed.with_temporal(hashed.temporal, self.encoder.backbone)
        # The networks of the run are restored, not trained again.
        fit_open_set_encoder(hashed, self.data, None, bits, RunContext(self.run, log=str, show_progress=False))
        return {
            NETWORK: (network, Ranking()),
            NETWORK_COSINE: (network, Ranking("cosine")),
            UNTRAINED: (clip_rows(self._embedded(untrained), untrained), Ranking()),
            COLOUR: (mean_pixels(self.data.dataset, self.encoder, self._everything, 1), Ranking()),
            BASELINE: (frame, Ranking()),
            STATISTICS: (pixels, Ranking("cosine")),
            DEFAULT: (clip_rows(media, self.encoder), Ranking()),
            BASELINE_CODES: (self._rotated(frame), Ranking("hamming")),
            STATISTICS_CODES: (self._rotated(pixels), Ranking("hamming")),
            DEFAULT_CODES: (code_rows(clip_rows(media, hashed)), Ranking("hamming")),
        }

    @property
    def _everything(self) -> np.ndarray:
        splits = self.data.splits
        return np.concatenate([splits.train, splits.validation, splits.test])

    def _embedded(self, encoder: VideoEncoder) -> dict[int, FrameVectors]:
        return embed_items(self.data.dataset, encoder, self._everything.tolist(), threads=1)[0]

    def _rotated(self, rows: Rows) -> Rows:
        """Codes of vectors by a rotation that is fitted on the training clips."""
        fitted = rows.vectors[np.isin(rows.items, self.data.splits.train)]
        signs = fit_itq(fitted, CODE_BITS, seed=self.config.seed)(rows.vectors)
        return Rows(pack_bits(signs, threshold=0.0), rows.items)

    def figures(self, methods: Methods) -> dict[str, dict[str, dict[str, float]]]:
        """Figures by group of classes and method."""
        dataset, splits = self.data.dataset, self.data.splits
        of_unseen = np.array([dataset.items[n].label in splits.unseen for n in splits.test.tolist()])
        seen, unseen = splits.test[~of_unseen], splits.test[of_unseen]
        known = np.concatenate([splits.train, splits.validation])
        figures: dict[str, dict[str, dict[str, float]]] = {group: {} for group in GROUPS}
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
    return Trained(load_encoder(run.encoder), config, run)


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


def size_of(width: float, frames: int, pixels: int) -> str:
    """What the tables call a size."""
    return f"width {width:g}, {frames} frames of {pixels} pixels"


def setting_of(config: C3dConfig) -> str:
    """What the tables call a size and an optimiser."""
    steps = config.optimiser.warmup_steps
    return size_of(config.width, config.frames, config.image_size) + (f", warm-up of {steps} steps" if steps else "")


def folder_of(config: C3dConfig) -> str:
    """What the folders of trainings end in: all that the command line can change."""
    size = f"{config.width:g}-{config.image_size}-{config.frames}"
    return f"{size}-{config.optimiser.warmup_steps}-{config.optimiser.learning_rate:g}-{config.loop.epochs}"


def table(args: argparse.Namespace, seed: int, *, hash_bits: int = 0) -> list[dict[str, Any]]:
    """The rows of one training: of the recipe as it is, or of a hash layer that is trained with the network."""
    fusion: Any = "mean" if hash_bits else "open-set"
    path, data = dealt(args, seed)
    config = C3dConfig(data=str(path), seed=seed, bits=hash_bits, fusion=fusion)
    config = sized(config, args, WIDTH, dataclasses.replace(config.loop, epochs=args.epochs or EPOCHS), LEARNING_RATE)
    result = trained(config, args.work / f"{seed}-{hash_bits}-{fusion}-{folder_of(config)}")
    setting = setting_of(config) + (OF_CODES if hash_bits else "")
    setting += f", learning rate {args.learning_rate:g}" if args.learning_rate else ""
    setting += f", at most {args.epochs} epochs" if args.epochs else ""
    rows = []
    for group, methods in result.figures(result.of_hash_layer() if hash_bits else result.of_network()).items():
        for method, figures in methods.items():
            rows += results_file.rows_of(f"{data}, {group}", method, figures, setting=setting, seed=seed)
            print(f"{group:<6} seed {seed} {method:<40}", figures, flush=True)
    log = read_run_log(result.run.metrics)
    curve = {"epochs trained": log[-1]["epoch"]}
    curve |= {"training accuracy, first": log[0]["train_accuracy"]}
    curve |= {"training accuracy, last": log[-1]["train_accuracy"]}
    print(f"seed {seed}", curve, flush=True)
    return rows + results_file.rows_of(data, "training", curve, setting=setting, seed=seed)


def whole(args: argparse.Namespace, seed: int) -> list[dict[str, Any]]:
    """Training accuracy of a few clips that the network sees again and again, at full width if no other is given."""
    path = args.work / f"whole-{seed}.csv"
    dataset = open_dataset(dealt(args, seed)[0])
    of_class: dict[str, list[Any]] = {}
    for item in dataset.items:
        if item.split == "train":
            of_class.setdefault(str(item.label), []).append(item)
    chosen = []
    for label in sorted(of_class)[:WHOLE_CLASSES]:
        chosen += [(item.path, label, item.source, "train") for item in of_class[label][:WHOLE_CLIPS]]
        chosen.append((of_class[label][-1].path, label, of_class[label][-1].source, "validation"))
    write_table(path, chosen)
    config = C3dConfig(data=str(path), seed=seed, fusion="mean")
    loop = LoopConfig(epochs=args.epochs or WHOLE_EPOCHS, evaluate_every=1)
    config = sized(config, args, WHOLE_WIDTH, loop, config.optimiser.learning_rate)
    log = read_run_log(trained(config, args.work / f"whole-{seed}-{folder_of(config)}").run.metrics)
    setting = f"{WHOLE_CLASSES * WHOLE_CLIPS} clips, {setting_of(config)}"
    setting += f", learning rate {config.optimiser.learning_rate:g}, {len(log)} epochs"
    data, rows = f"{args.name}, {WHOLE_CLASSES} classes", []
    for entry in log:
        figures = {"training accuracy": entry["train_accuracy"], "loss": entry["loss"]}
        print(f"seed {seed} {setting}, epoch {entry['epoch']:g}", figures, flush=True)
        of_epoch = results_file.rows_of(data, "training", figures, setting=setting, seed=seed)
        rows += [{**row, "epoch": round(entry["epoch"])} for row in of_epoch]
    return rows + results_file.rows_of(data, "chance", {"training accuracy": 1 / WHOLE_CLASSES})


def compared() -> Iterator[Comparison]:
    """Everything less the mean frame; the default less the statistics alone, and its codes less others."""
    setting = size_of(WIDTH, FRAMES, PIXELS)
    vectors = (NETWORK, NETWORK_COSINE, UNTRAINED, COLOUR, STATISTICS, DEFAULT)
    pairs = {
        "the mean frame": (BASELINE, (*vectors, BASELINE_CODES, STATISTICS_CODES, DEFAULT_CODES)),
        "the statistics": (STATISTICS, (DEFAULT,)),
        "the mean frame's codes": (BASELINE_CODES, (DEFAULT_CODES,)),
        "the statistics' codes": (STATISTICS_CODES, (DEFAULT_CODES,)),
    }
    for data in (f"{DATA}, {group}" for group in GROUPS):
        for words, (theirs, methods) in pairs.items():
            for ours in methods:
                yield Comparison(data, ours, f"{setting}, less {words}", (data, ours, setting), (data, theirs, setting))
        hashed = data, HASH_CODES, setting + OF_CODES
        for words, theirs in (("the default's codes", DEFAULT_CODES), ("the mean frame's codes", BASELINE_CODES)):
            yield Comparison(data, HASH_CODES, f"{setting}, less {words}", hashed, (data, theirs, setting))


def main() -> None:
    """Train what is missing, print the figures, write the result file."""
    keep_freed_memory()  # before anything begins threads
    parser = StudyParser(__doc__, NAME, ("table", "codes", "whole"), seeds=(0, 1, 2), differences=True)
    parser.add_setting("--data", default=str(JHMDB_CLIPS), help="labelled videos as `jaxret train --data` takes them")
    parser.add_setting("--name", default="JHMDB", help="what the tables call those data")
    parser.add_setting("--split-columns", nargs="+", help="the CSV's columns with the splits, one a seed")
    parser.add_argument("--width", type=float, help="default: 1/8, of whole 1")
    parser.add_argument("--pixels", type=int, default=PIXELS)
    parser.add_argument("--frames", type=int, default=FRAMES)
    parser.add_argument("--learning-rate", type=float, help="default: 3e-4, of whole the recipe's")
    parser.add_argument("--warm-up", type=int, default=0, help="steps in which the learning rate rises (default 0)")
    parser.add_argument("--epochs", type=int, help="at most (default: 25, of whole 14)")
    args = parser.read()
    if args.split_columns is None:
        args.split_columns = ["split1", "split2", "split3"] if args.data == str(JHMDB_CLIPS) else ["split"]
    args.work.mkdir(parents=True, exist_ok=True)
    jax.config.update("jax_compilation_cache_dir", str((args.work / "compiled").resolve()))
    rows: list[dict[str, Any]] = []

    def land(more: list[dict[str, Any]]) -> None:
        """Write what there is so far, if it is of the published data."""
        rows.extend(more)
        if not args.publish:
            return
        packages = ["jax", "flax", "av"]
        results_file.update(NAME, rows, packages)
        print(write_differences(NAME, compared(), packages, COMPARED), flush=True)

    for seed in args.seeds if "table" in args.studies else ():
        land(table(args, seed))
    for seed in args.seeds if "codes" in args.studies else ():
        land(table(args, seed, hash_bits=CODE_BITS))
    for seed in args.seeds if "whole" in args.studies else ():
        land(whole(args, seed))
    if not args.studies:  # differences alone
        land([])


if __name__ == "__main__":
    main()
