"""Image-to-video retrieval: bad screen photos of frames that were never sampled find films and the shots in them.

Data: JHMDB's clips, cut together into films of two minutes with hard cuts (studies/image_to_video/films.py), 45 / 10 /
45 % by source for training, validation and test; a split, its films and photographs for each seed. A clip lasts one
second, 34 frames at 30 a second. Films show 10 of them a second, so that a shot lasts 3.4 s and the paper's 3 frames a
second take 10 of it (of the paper's 5 s shots they take 15). The encoders see what 9 samples a second of the clips
themselves would give;
what changes is the unit of time, in which cuts, hours and bytes are counted. Two photographs of each test clip are the
queries. They show the film through `jaxret.data.sampling.screen_photos`: border, view from the side, blur, light,
moire, JPEG.

Frame vectors are R-MAC of a frozen network, whitened on training frames: MobileNet V1's last map to 128 numbers, for
from 419 training shots the recurrent encoders do not learn more, and EfficientNet-Lite0's block_8, 112 numbers, for
its last maps find half as many clips. Of equal shots (none, as many as ours at random
places, ours at the paper's threshold 0.5, the known ones) max and sum pooling, LSTM and GRU make vectors. The LSTM is
trained twice: with frames of the shots as images, as in the paper, and with bad photographs of the frames between.
With EfficientNet-Lite0 only the latter is trained.
The epoch is chosen by screen photos of the validation films that search its known shots; by them `auto` takes the
residual, the LSTM, the GRU or the sum, as the recipe does.

- `methods`: the paper's tables 1 to 3. mAP and R@1 of films, a film counting by its best shot, and of clips, where a
  shot is right if its middle lies in the clip that is shown; clips of one source that look alike count as wrong.
- `cuts`: precision, recall and F1 of the cuts found in test films, at 0.5 and at the threshold that is best for the
  validation films; a cut is right within one sample (1/3 s).
- `whitening`: the same without whitening and with 512 numbers, where nothing is trained.
- `hours`: bytes an hour of an index of the test films, and time to search 160 hours with one thread, simulated by
  perturbed copies of test shots, beside the same hours frame by frame.
- `memory`: long and large videos, made of test films at 25 frames a second, are put into an index; how much memory
  that takes at most beyond the process that has loaded its encoder.

What came out (MobileNet V1, 3 seeds): with our cuts the residual finds films and the shots in them better than the sum
of the same frame vectors does (R@1 of films 0.994 against 0.945, of clips 0.769 against 0.695) and than frame by frame
(0.951 and 0.717), on every seed. The LSTM that was trained with photographs finds films better than the sum (0.973),
and clips no better (0.700); trained with frames, as in the paper, it is below the sum (0.923): what it learns from
photographs is what they do to a vector. It does not learn it from 112 numbers of EfficientNet-Lite0 (0.811 against
0.893; the residual does, 0.969 in the first deal, where the sum has 0.908), and the sum of 512 numbers, which 419 shots
cannot train, is as good for four times the bytes (0.980, and more clips). Without whitening the threshold
0.5 finds no cut.

    python benchmarks/accuracy_image_to_video.py                    # all, 3 seeds; half an hour on two cores
    python benchmarks/accuracy_image_to_video.py methods cuts       # some; the other rows of the file stay
    python benchmarks/accuracy_image_to_video.py methods --seeds 0 --backbones mobilenet-v1
    python benchmarks/accuracy_image_to_video.py differences        # of the rows that are there
    python benchmarks/accuracy_image_to_video.py methods --data FOLDER --name UCF101 --fps 25   # printed, not written

Rows are written after each system of `methods`, and after each of the other studies; with them the differences from the
sum and from a search frame by frame, paired by seed, of all rows that the result file holds then. Films, frame vectors
and trainings are kept under --work and --cache, so a stopped call goes on where it was; with all of them at hand it
takes 5 minutes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from common import results_file
from common.differences import Comparison, write_differences
from common.paths import JHMDB_CLIPS, MOBILENET_WEIGHTS
from common.study_program import StudyParser
from studies.image_to_video.films import Films, FilmSettings, make_films
from studies.image_to_video.plots import draw_bytes, draw_methods, gathered
from studies.image_to_video.runs import CUTS, CutRule, System
from studies.image_to_video.scale import enlarged_video, looped_video, search_rows

from jaxret.data.open import open_dataset
from jaxret.metrics import BoundaryCounts, match_boundaries
from jaxret.models import SequenceEncoder
from jaxret.recipes.image_to_video.shot_encoders import LEARNED, Temporal
from jaxret.recipes.image_to_video.shot_encoders import NAMES as SHOTS_BY
from jaxret.retrieval.encode import detect_cuts

NAME, JHMDB = "accuracy_image_to_video", "JHMDB"
WEIGHTS = {"mobilenet-v1": str(MOBILENET_WEIGHTS), "efficientnet-lite0": "imagenet"}
NAMES = {"mobilenet-v1": "MobileNet V1", "efficientnet-lite0": "EfficientNet-Lite0"}
FIRST = "mobilenet-v1"  # what is drawn, and trained with frames as images as well
# Of EfficientNet-Lite0 the last maps find far fewer clips of the validation films (seed 0) than this one.
STAGES = {"mobilenet-v1": "", "efficientnet-lite0": "block_8"}
SIZES = {"mobilenet-v1": 128, "efficientnet-lite0": 112}
RATE = 3.0
THRESHOLDS = np.round(np.arange(0.1, 1.0, 0.025), 3)
FRAME_WISE, FRAMES, QUERIES = "frame by frame", ", frames as images", "photographs of films"
COMPARED = ("mAP", "R@1", "mAP of clips", "R@1 of clips")
RULES: dict[CutRule, str] = {"none": "no cuts", "random": "random cuts", "ours": "our cuts", "known": "known cuts"}
PAPER_DATA = "SI2V-600k: 160 h of news, 229 images; VGG16, 512 numbers"
# mAP and R@1 of the paper's tables 1, 2 and 3.
PAPER = {
    (FRAME_WISE, ""): (0.718, 0.834),
    ("max", "none"): (0.038, 0.066),
    ("sum", "none"): (0.152, 0.275),
    ("sum", "random"): (0.322, 0.589),
    ("sum", "ours"): (0.596, 0.764),
    ("LSTM", "none"): (0.121, 0.319),
    ("LSTM", "random"): (0.390, 0.616),
    ("LSTM", "ours"): (0.602, 0.773),
    ("GRU", "ours"): (0.606, 0.777),
}


class Study:
    """The films and encoders of a call, made when needed, and the rows so far."""

    def __init__(self, args: argparse.Namespace):
        self.args = args
        self.rows: list[dict[str, Any]] = []
        self.films = cache(self._films)
        self.system = cache(self._system)

    def _films(self, seed: int) -> Films:
        args = self.args
        settings = FilmSettings(fps=args.fps, rate=RATE, seconds=args.seconds, seed=seed)
        return make_films(open_dataset(args.data), args.work / f"films-{args.name}-{seed}", settings)

    def _system(self, backbone: str, size: int, seed: int) -> System:
        args = self.args
        return System(
            self.films(seed),
            backbone,
            WEIGHTS[backbone],
            stage=STAGES[backbone],
            whitened_size=size,
            rate=RATE,
            seed=seed,
            folder=args.work / f"{args.name}-{backbone}-{size}-{seed}",
            cache=args.cache,
        )

    def add(
        self, method: str, setting: str, seed: int, figures: dict[str, float], *, what: str, paper: Any = ()
    ) -> None:
        """A row a figure, the paper's beside the first ones."""
        shown = "  ".join(f"{metric} {value:.4g}" for metric, value in figures.items())
        print(f"{setting:<40} {method:<26} seed {seed}: {shown}", flush=True)
        beside = dict(zip(figures, paper, strict=False))
        self.rows += results_file.rows_of(
            f"{self.args.name}, {what}",
            method,
            figures,
            setting=setting,
            seed=seed,
            paper=beside,
            paper_data=PAPER_DATA,
        )

    def land(self) -> None:
        """Write the rows so far into the result file, if they are for it, and draw what the whole file shows."""
        if not self.args.publish:
            return
        packages = ["jax", "flax", "av"]
        results_file.update(NAME, self.rows, packages)
        path = write_differences(NAME, compared(), packages, COMPARED)
        print(path, flush=True)
        draw(results_file.stored_rows(path))


def methods(study: Study) -> None:
    """Tables 1 to 3."""
    for backbone in study.args.backbones:
        for seed in study.args.seeds:
            system = study.system(backbone, SIZES[backbone], seed)
            compare(study, system, NAMES[backbone], temporal_encoders(system), what=QUERIES)
            study.land()


def compared() -> Iterator[Comparison]:
    """With our cuts every method, less the sum and less a search frame by frame."""
    data = f"{JHMDB}, {QUERIES}"
    for name in NAMES.values():
        setting = f"{name}, {RULES['ours']}"
        for method in ("sum", "max", "residual", "LSTM", "GRU", "auto", "LSTM" + FRAMES):
            ours = (data, method, setting)
            if method != "sum":
                yield Comparison(data, method, f"{setting}, less the sum", ours, (data, "sum", setting))
            yield Comparison(data, method, f"{setting}, less {FRAME_WISE}", ours, (data, FRAME_WISE, name))


def draw(rows: list[dict[str, Any]]) -> None:
    """Methods and rules of cutting, and mAP against bytes, of one backbone."""
    data, name = f"{JHMDB}, {QUERIES}", NAMES[FIRST]
    scores, vectors = (gathered(rows, data, metric) for metric in ("mAP", "vectors an hour"))
    if not any(setting.startswith(name) for setting, _ in scores):
        return
    draw_methods(rows, data, name, list(RULES.values()), FRAME_WISE)
    draw_bytes(
        {
            f"{method}, {setting}".replace(f", {name}", ""): (
                float(np.mean(vectors[setting, method])) * SIZES[FIRST] * 4 / 1e6,
                float(np.mean(scores[setting, method])),
            )
            for setting, method in scores
            if setting.startswith(name) and method in (FRAME_WISE, "sum", "LSTM") and RULES["known"] not in setting
        }
    )


def temporal_encoders(system: System) -> Iterator[tuple[str, SequenceEncoder]]:
    """What makes one vector of a shot."""
    yield "max", system.pooling("max")
    tried: dict[Temporal, SequenceEncoder] = {"sum": system.pooling("sum")}
    tried |= {name: system.trained(name, "photographs") for name in LEARNED}
    for name, temporal in tried.items():
        yield SHOTS_BY[name], temporal
    chosen = system.chosen(tried)
    print(f"{NAMES[system.backbone]}, seed {system.seed}: auto takes {SHOTS_BY[chosen]}", flush=True)
    yield "auto", tried[chosen]
    if system.backbone == FIRST:
        yield "LSTM" + FRAMES, system.trained("lstm", "frames")


def compare(
    study: Study, system: System, setting: str, encoders: Iterator[tuple[str, SequenceEncoder]], *, what: str
) -> None:
    """Figures of frame-wise search, and of encoders with every rule of cuts."""
    hours = sum(film.edges[-1] for film in system.films.films["test"]) / 3600

    def evaluate(method: str, rule: CutRule, temporal: SequenceEncoder, key: str) -> None:
        gallery = system.gallery("test", rule, temporal)
        figures = system.figures("test", gallery)
        figures["vectors an hour"] = len(gallery.vectors) / hours
        shown = f"{setting}, {RULES[rule]}" if rule in RULES else setting
        study.add(
            method, shown, system.seed, figures, what=what, paper=PAPER.get((method.removesuffix(FRAMES), key), ())
        )

    evaluate(FRAME_WISE, "every frame", system.pooling("sum"), "")
    for method, temporal in encoders:
        for rule in CUTS:
            evaluate(method, rule, temporal, rule)


def cuts(study: Study) -> None:
    """Cuts found beside the known ones."""
    for backbone in study.args.backbones:
        for seed in study.args.seeds:
            system = study.system(backbone, SIZES[backbone], seed)
            cut_figures(study, system, f"{NAMES[backbone]}, whitened to {SIZES[backbone]}")


def cut_figures(study: Study, system: System, setting: str) -> None:
    """At the paper's threshold and at the validation films' best; of equals the middle one."""
    scores = np.array([count_cuts(system, "validation", float(threshold)).f1 for threshold in THRESHOLDS])
    best = np.flatnonzero(scores == scores.max())
    chosen = float(THRESHOLDS[best[len(best) // 2]])
    for method, threshold in (("threshold 0.5", 0.5), ("threshold of validation", chosen)):
        found = count_cuts(system, "test", threshold)
        figures = {"precision": found.precision, "recall": found.recall, "F1": found.f1, "threshold": threshold}
        study.add(method, setting, system.seed, figures, what="cuts found in films")


def count_cuts(system: System, part: str, threshold: float) -> BoundaryCounts:
    """Cuts of all films of a part."""
    counts = BoundaryCounts(0, 0, 0)
    for film, video in zip(system.films.films[part], system.vectors(part)[0], strict=True):
        times = video.times[0]
        counts += match_boundaries(times[detect_cuts(video.vectors[0], threshold)], film.cuts, tolerance=1 / RATE)
    return counts


def whitening(study: Study) -> None:
    """Vectors of other lengths, and without whitening; what needs no training, first seed and backbone."""
    backbone, seed = study.args.backbones[0], study.args.seeds[0]
    for size in (0, 512):
        system = study.system(backbone, size, seed)
        words = f"whitened to {size}" if size else "not whitened"
        pooled = iter([("sum", system.pooling("sum"))])
        compare(study, system, f"{NAMES[backbone]}, {words}", pooled, what=f"{QUERIES}, other whitenings")
        cut_figures(study, system, f"{NAMES[backbone]}, {words}")


def hours(study: Study) -> None:
    """What 160 hours take, with trained shots and at the paper's length of vectors."""
    backbone, seed = study.args.backbones[0], study.args.seeds[0]
    for size, method in ((SIZES[backbone], "LSTM"), (512, "sum")):
        system = study.system(backbone, size, seed)
        temporal = system.trained("lstm", "photographs") if method == "LSTM" else system.pooling("sum")
        for name, figures in search_rows(system, temporal, method):
            paper = () if method == "LSTM" or name == FRAME_WISE else (0.15e3 / 160, 0.15)
            setting = f"{NAMES[backbone]}, {size} numbers"
            study.add(name, setting, seed, figures, what="160 hours, simulated", paper=paper)


def memory(study: Study) -> None:
    """Long and large videos into an index, each in a process of its own."""
    backbone, seed = study.args.backbones[0], study.args.seeds[0]
    system = study.system(backbone, SIZES[backbone], seed)
    system.trained("lstm", "photographs")
    films, work = system.films.films["test"], study.args.work
    videos = {
        "2 minutes of films": looped_video(films, work / "two-minutes.mp4", seconds=120),
        "2 hours of films": looped_video(films, work / "two-hours.mp4", seconds=7200),
        "half a minute of 1280 x 720": enlarged_video(films[0], work / "large.mp4", size=(1280, 720), seconds=30),
    }
    encoder = (system.folder / "lstm-photographs" / "encoder").resolve()
    for name, video in videos.items():
        command = [sys.executable, "-m", "studies.image_to_video.scale", str(Path(video).resolve()), str(encoder)]
        child = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent)
        if child.returncode:
            raise SystemExit(f"the process that puts {name} into an index failed")
        figures = json.loads(child.stdout.splitlines()[-1])
        study.add("LSTM", name, seed, figures, what=f"a video into an index, {NAMES[backbone]}")


STUDIES = {"methods": methods, "cuts": cuts, "whitening": whitening, "hours": hours, "memory": memory}


def main() -> None:
    """Run the studies, print a line a figure, draw, write the result file."""
    parser = StudyParser(__doc__, NAME, STUDIES, seeds=(0, 1, 2), cache=True, differences=True)
    parser.add_setting("--data", default=str(JHMDB_CLIPS), help="clips (default: JHMDB)")
    parser.add_setting("--name", default=JHMDB, help="what the tables call the data")
    parser.add_setting("--fps", type=float, default=10.0, help="frames a second that films show (default 10)")
    parser.add_setting("--seconds", type=float, default=120.0, help="that a film lasts, about (default 120)")
    parser.add_argument("--backbones", nargs="+", choices=WEIGHTS, default=list(WEIGHTS))
    args = parser.read()
    study = Study(args)
    for name in args.studies:
        STUDIES[name](study)
        study.land()
    if not args.studies:  # differences alone
        study.land()


if __name__ == "__main__":
    main()
