"""Deep video hashing: learned codes beside LSH and unrounded embeddings, and what the choices of the recipe are worth.

Data: JHMDB, frames through a frozen MobileNet V1, HMDB51's official splits (seed 0 on split 1, seed 1 on split 2, ...);
UCF101's first 15 classes as VGG16 features of 25 frames (official split 1 for all seeds); and, for lengths, the 60
classes of moving digits, frames of 64 pixels through the same MobileNet V1, drawn anew for each seed. Test clips query
training clips (the validation part among them); clips of a query's own source are taken out. The figure is mAP@10:
average precision over the first 10 results, divided by the smaller of 10 and the number of relevant clips; ties of
Hamming distances in the order of the gallery, and averaged over all their orders.

A tenth of the training clips, by source, is the validation part (see `held_out_blocks` for UCF101's): by the same rule
it queries the rest of them. It picks the epoch, and nothing else is picked. Lengths are compared with five seeds,
everything else with three. Whatever a call ran, it writes differences that are paired by seed, of all rows that the
result file holds then.

    python benchmarks/accuracy_deep_hashing.py                     # everything; an hour on two cores
    python benchmarks/accuracy_deep_hashing.py lengths fusion      # some; the other rows of the file stay
    python benchmarks/accuracy_deep_hashing.py lengths --sources ucf101
    python benchmarks/accuracy_deep_hashing.py differences         # of the rows that are there
    python benchmarks/accuracy_deep_hashing.py --data VIDEOS.csv --name UCF101 --split-columns split1 split2 split3

Every training is kept under --work and not done again, so a stopped call goes on where it was.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from common import results_file
from common.differences import Comparison, write_differences
from common.paths import JHMDB_CLIPS, MOBILENET_WEIGHTS, UCF101_FEATURES
from common.study_program import StudyParser
from common.timing import in_turn
from studies.deep_hashing.data import FrameSource, Sequences, digits, ucf101_features, videos
from studies.deep_hashing.plots import draw_lengths, draw_weights
from studies.deep_hashing.runs import (
    END_TO_END_EPOCHS,
    END_TO_END_FRAMES,
    END_TO_END_PIXELS,
    train_and_score,
    trained_by_recipe,
)

from jaxret.rank import HammingIndex, hamming_topk
from jaxret.recipes.clips.deep_hash import DeepHashConfig
from jaxret.training import LoopConfig, keep_freed_memory

SOURCES = ("videos", "ucf101", "digits")  # video files are those of --data; digits are for lengths alone
LENGTHS = (64, 128, 256, 512)
LENGTH_SEEDS = (0, 1, 2, 3, 4)
SEEDS = (0, 1, 2)
JHMDB, UCF101, DIGITS = "JHMDB", "UCF101, 15 classes", "moving digits, 60 classes"
CODES = "learned codes, 64 bits"
FUSIONS = ("weighted-average", "lstm", "convolution", "attention")
TRIPLET_SHARES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
TERMS = {"neither term": (0.0, 0.0), "quantisation 0.1": (0.1, 0.0), "balance 0.1": (0.0, 0.1), "both 0.1": (0.1, 0.1)}
MODALITIES = (
    ("rgb",), ("flow",), ("difference",), ("dynamic-image",), ("rgb", "flow"), ("rgb", "difference"),
    ("rgb", "dynamic-image"),
)  # fmt: skip
LOOP = LoopConfig(epochs=60, evaluate_every=5, patience=4)
MAPS_UNITS, MAPS_LOOP = 64, LoopConfig(epochs=15, evaluate_every=5)
MAPS = {
    kind: f"fusion {kind}, {words}, {MAPS_UNITS} channels, {MAPS_LOOP.epochs} epochs"
    for kind, words in (("convolution-3d", "maps of 4 x 4 places"), ("convolution", "vectors"))
}
SMALL_FRAMES = f"{END_TO_END_PIXELS} pixels, {END_TO_END_FRAMES} frames, {END_TO_END_EPOCHS} epochs"
FROZEN, END_TO_END = "backbone frozen, 64 bits", "end to end, 64 bits"


class Study:
    """Trains what is needed, keeps the rows, and says where it is."""

    def __init__(self, args: argparse.Namespace):
        self.args = args
        self.rows: list[dict[str, Any]] = []
        self.sources: dict[str, Callable[[int], Sequences]] = {}
        self.videos: FrameSource | None = None
        # Other data than JHMDB that are missing are an error when they are opened.
        if "videos" in args.sources and (args.data != str(JHMDB_CLIPS) or JHMDB_CLIPS.exists()):
            columns = args.split_columns or ()
            source = FrameSource(args.data, args.name, columns, args.backbone, args.weights, args.cache)
            self.videos = source
            self.sources[args.name] = lambda seed: videos(source, seed)
        if "ucf101" in args.sources and UCF101_FEATURES.exists():
            self.sources[UCF101] = ucf101_features
        if not self.sources and "digits" not in args.sources:
            raise SystemExit(
                f"no data: there is no {JHMDB_CLIPS} and no {UCF101_FEATURES}: set JAXRET_SHARED or give --data"
            )

    def runs(self, setting: str, seeds: Sequence[int], **settings: Any) -> Iterator[tuple[str, int, dict[str, Any]]]:
        """(data, seed, figures by method) of one setting on all data."""
        for name, make_data in self.sources.items():
            for seed in seeds:
                yield name, seed, self.run(name, seed, setting, lambda m=make_data, s=seed: m(s), **settings)

    def run(self, name: str, seed: int, setting: str, make_data: Callable[[], Sequences], **settings: Any) -> dict:
        """The figures of one training."""
        config = DeepHashConfig(**{"seed": seed, "loop": LOOP, "freeze": True, "weights": "imagenet", **settings})
        scores = train_and_score(make_data, config, self.folder(name, setting, seed))
        print(f"{name:<20} {setting:<32} seed {seed}  " + figures_line(scores), flush=True)
        return scores

    def folder(self, name: str, setting: str, seed: int) -> Path:
        """Where a training is kept."""
        return self.args.work / "".join(c if c.isalnum() else "-" for c in f"{name} {setting} {seed}")

    def add(self, name: str, seed: int, setting: str, method: str, figures: dict[str, float]) -> None:
        """Rows of one method."""
        self.rows += [
            results_file.row(name, method, metric, value, setting=setting, seed=seed)
            for metric, value in figures.items()
        ]


def figures_line(scores: dict[str, Any]) -> str:
    """The main figures of a training as text."""
    parts = {"codes": "learned codes", "activations": "their activations, not rounded, Euclidean"}
    parts |= {"LSH": "LSH of the activations", "LSH of features": "LSH of mean frame vectors"}
    return "  ".join(f"{short} {scores[method]['mAP@10']:.3f}" for short, method in parts.items())


def lengths(study: Study) -> None:
    """Codes of 64 to 512 bits, beside LSH of the same length and the embeddings that are not rounded.

    Moving digits are fused by an LSTM: their motions come in pairs that are each other's reversal, which an average of
    frames cannot tell apart.
    """
    seeds = study.args.seeds or LENGTH_SEEDS

    def keep(name: str, seed: int, bits: int, scores: dict[str, Any]) -> None:
        for method, figures in scores.items():
            if method != "validation":
                study.add(name, seed, f"{bits} bits", method, figures)

    for bits in LENGTHS:
        for name, seed, scores in study.runs(f"{bits} bits", seeds, bits=bits):
            keep(name, seed, bits, scores)
        for seed in seeds if "digits" in study.args.sources else ():
            settings: dict[str, Any] = {"bits": bits, "fusion": "lstm", "units": 128}
            scores = study.run(DIGITS, seed, f"{bits} bits", lambda s=seed: digits(study.args.cache, s), **settings)
            keep(DIGITS, seed, bits, scores)


def weights(study: Study) -> None:
    """alpha and beta: Adam leaves only their ratio to matter, so beta runs from 0 to 1 and alpha is the rest."""
    for share in TRIPLET_SHARES:
        setting = weighting(share)
        settings = {"cross_entropy_weight": 1 - share, "triplet_weight": share}
        for name, seed, scores in study.runs(setting, study.args.seeds or SEEDS, bits=64, **settings):
            validation = {"validation mAP@10": scores["validation"]["validation mAP"]}
            study.add(name, seed, setting, CODES, scores["learned codes"] | validation)


def weighting(share: float) -> str:
    """The setting of a share of the triplet loss."""
    return f"alpha {1 - share:g}, beta {share:g}"


def terms(study: Study) -> None:
    """The optional terms: quantisation and bit balance."""
    for term, (quantisation, balance) in TERMS.items():
        settings = {"bits": 64, "quantisation_weight": quantisation, "balance_weight": balance}
        for name, seed, scores in study.runs(term, study.args.seeds or SEEDS, **settings):
            study.add(name, seed, term, CODES, scores["learned codes"])


def fusion(study: Study) -> None:
    """Temporal fusion of the frame vectors."""
    for kind in FUSIONS:
        for name, seed, scores in study.runs(f"fusion {kind}", study.args.seeds or SEEDS, bits=64, fusion=kind):
            study.add(name, seed, f"fusion {kind}", CODES, scores["learned codes"])


def maps(study: Study) -> None:
    """3D convolution and 3D pooling of feature maps of 4 x 4 places, beside convolution of vectors trained alike: few
    channels and epochs, since a step on maps takes seconds; video files only."""
    if study.videos is None:
        return
    source = study.videos
    for kind, setting in MAPS.items():
        settings: dict[str, Any] = {"fusion": kind, "units": MAPS_UNITS}
        for seed in study.args.seeds or SEEDS:
            make_data = functools.partial(videos, source, seed, **settings)
            scores = study.run(source.name, seed, setting, make_data, bits=64, loop=MAPS_LOOP, **settings)
            study.add(source.name, seed, setting, CODES, scores["learned codes"])


def modalities(study: Study) -> None:
    """RGB, motion, and both as two streams; video files only."""
    if study.videos is None:
        return
    source = study.videos
    for names in MODALITIES:
        setting = " + ".join(names)
        for seed in study.args.seeds or SEEDS:
            scores = study.run(source.name, seed, setting, lambda n=names, s=seed: videos(source, s, n), bits=64)
            study.add(source.name, seed, setting, CODES, scores["learned codes"])


def end_to_end(study: Study) -> None:
    """The backbone trained along (`--freeze False`) beside the same one frozen: small frames, few of them."""
    if study.videos is None:
        return
    source = study.videos
    for seed in study.args.seeds or SEEDS:
        for freeze in (True, False):
            method = FROZEN if freeze else END_TO_END
            folder = study.args.work / f"{source.name}-end-to-end-{freeze}-{seed}"
            figures = trained_by_recipe(source, seed, freeze, folder)
            print(f"{source.name:<20} {SMALL_FRAMES:<32} seed {seed}  {method}  {figures['mAP@10']:.3f}", flush=True)
            study.add(source.name, seed, SMALL_FRAMES, method, figures)


def search(study: Study) -> None:
    """Time to search 10^6 and 10^7 videos, one thread: real codes of the study of lengths, each bit flipped 1 in 16."""
    names = list(study.sources)
    for bits in LENGTHS:
        real = np.concatenate([np.load(study.folder(name, f"{bits} bits", 0) / "gallery_codes.npy") for name in names])
        for count in (1_000_000, 10_000_000):
            gallery, queries = perturbed(real, count, seed=1), perturbed(real, 32, seed=2)
            index = HammingIndex(bits // 8)
            index.add(gallery)
            expected, found = hamming_topk(queries, gallery, 10, threads=1), index.topk(queries, 10, threads=1)
            assert np.array_equal(expected.ids, found.ids)
            ways = {
                "scan, one query": lambda g=gallery, q=queries: hamming_topk(q[:1], g, 10, threads=1),
                "scan, 32 queries": lambda g=gallery, q=queries: hamming_topk(q, g, 10, threads=1),
                "HammingIndex, one query": lambda i=index, q=queries: i.topk(q[:1], 10, threads=1),
            }
            times = in_turn(ways, samples=5)
            figures = {"bytes a video": bits / 8}
            for way, timing in times.items():
                figures[f"ms a query, {way}"] = timing.median * 1000 / (32 if "32" in way else 1)
            shown = "  ".join(f"{figure} {value:.3g}" for figure, value in figures.items())
            print(f"{bits} bits, {count:,} videos: {shown}", flush=True)
            study.add(f"{count:,} perturbed codes of {' and '.join(names)}", 0, f"{bits} bits", "search", figures)
            del index, gallery


def perturbed(codes: np.ndarray, count: int, *, seed: int) -> np.ndarray:
    """`count` of the codes, drawn with repeats, each bit flipped with probability 1/16."""
    rng = np.random.default_rng(seed)
    made = np.empty((count, codes.shape[1]), np.uint8)
    for start in range(0, count, 1 << 20):
        part = made[start : start + (1 << 20)]
        flips = rng.integers(0, 256, (4, *part.shape), np.uint8)
        part[:] = codes[rng.integers(0, len(codes), len(part))] ^ np.bitwise_and.reduce(flips)
    return made


STUDIES = {
    "lengths": lengths,
    "weights": weights,
    "terms": terms,
    "fusion": fusion,
    "maps": maps,
    "modalities": modalities,
    "end-to-end": end_to_end,
    "search": search,
}


def compared() -> Iterator[Comparison]:
    """What is taken from what: of each choice what was tried, less the recipe's own or the plainest."""

    def less(data: str, setting: str, other: str, *, named: str = "", method: str = CODES) -> Comparison:
        words = f"{setting}, less {named or other}"
        return Comparison(data, method, words, (data, method, setting), (data, method, other))

    for data in (JHMDB, UCF101, DIGITS):
        for more, fewer in (*((bits, LENGTHS[0]) for bits in LENGTHS[1:]), (LENGTHS[-1], LENGTHS[1])):
            yield less(data, f"{more} bits", f"{fewer} bits", method="learned codes")
        for share in TRIPLET_SHARES:
            if share != 0.5:
                yield less(data, weighting(share), weighting(0.5), named="alpha = beta")
        plain, *others = TERMS
        for term in others:
            yield less(data, term, plain)
        plain, *others = FUSIONS
        for kind in others:
            yield less(data, f"fusion {kind}", f"fusion {plain}", named=plain)
    yield less(JHMDB, MAPS["convolution-3d"], MAPS["convolution"], named="convolution of vectors")
    ours, theirs = (JHMDB, END_TO_END, SMALL_FRAMES), (JHMDB, FROZEN, SMALL_FRAMES)
    yield Comparison(JHMDB, END_TO_END, f"{SMALL_FRAMES}, less the backbone frozen", ours, theirs)


def main() -> None:
    """Run the studies, print a line a training, write the result file."""
    keep_freed_memory()  # before anything begins threads
    parser = StudyParser(__doc__, "accuracy_deep_hashing", STUDIES, seeds=None, cache=True, differences=True)
    parser.add_setting("--data", default=str(JHMDB_CLIPS), help="folder or CSV of labelled videos, or tfds:NAME")
    parser.add_setting("--name", default=JHMDB, help="what the tables call those data")
    parser.add_setting("--split-columns", nargs="+", help="the CSV's columns with the splits, one a seed")
    parser.add_argument("--sources", nargs="+", choices=SOURCES, default=SOURCES, help="which data (default: all)")
    parser.add_setting("--backbone", default="mobilenet-v1")
    parser.add_setting("--weights", default=str(MOBILENET_WEIGHTS), help="of the backbone: imagenet or a file")
    args = parser.read()
    if args.split_columns is None and args.data == str(JHMDB_CLIPS):
        args.split_columns = ["split1", "split2", "split3"]
    args.work.mkdir(parents=True, exist_ok=True)
    # The studies train the same few shapes over and over.
    jax.config.update("jax_compilation_cache_dir", str((args.work / "compiled").resolve()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    study = Study(args)
    for name in args.studies:
        STUDIES[name](study)
    packages = ["jax", "flax", "av", "opencv-python-headless"]
    if args.publish:
        keep = results_file.write if args.complete else results_file.update
        keep("accuracy_deep_hashing", study.rows, packages)
        path = write_differences("accuracy_deep_hashing", compared(), packages)
        print(path)
        # The figures show the whole file, of which this call may have been a part.
        rows = results_file.stored_rows(path)
        draw_lengths(rows)
        draw_weights(rows)


if __name__ == "__main__":
    main()
