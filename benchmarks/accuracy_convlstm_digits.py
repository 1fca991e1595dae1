"""What `jaxret train conv-lstm --data moving-digits` finds, after some epochs of its second step.

    python benchmarks/accuracy_convlstm_digits.py                  # the triplet step, 8 epochs of 75 updates
    python benchmarks/accuracy_convlstm_digits.py --whole          # all four steps, as the command takes them
    python benchmarks/accuracy_convlstm_digits.py --whole --architecture m2    # another decoder; default: m1
    python benchmarks/accuracy_convlstm_digits.py --sift           # SIFT words in their place

A run is kept under --work; one that was stopped goes on, one that is there is taken. Test clips of all 80 classes query
each other; 20 classes were not trained on. And parts of 150 of the test clips query all of them, as they are and
changed more and more (`jaxret evaluate --cropped`), by the trained encoder with and without the thumbnail that the
command puts beside its vectors, and by one with random weights.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from common import results_file
from common.study_program import StudyParser
from flax import nnx
from studies.convlstm.protocol import by_clip
from studies.convlstm.runs import sift_bags, sift_words

from jaxret.data.datasets.moving_digits import MovingDigits, unseen_labels
from jaxret.data.ground_truth.changed import ChangedVideos
from jaxret.data.ground_truth.cropped import CroppedQueries
from jaxret.data.sampling.frames import evenly_spaced
from jaxret.evaluation import GroupFigures, LabelProtocol, evaluate_sequences
from jaxret.models.registry import create_encoder
from jaxret.models.store import load_encoder
from jaxret.rank import SequenceRanking
from jaxret.recipes.conv_lstm.recipe import RECIPE
from jaxret.recipes.conv_lstm.settings import StepRecord, step_folder
from jaxret.recipes.conv_lstm.thumbnail import without_thumbnail
from jaxret.recipes.recipe import RunContext, open_config
from jaxret.retrieval import CroppedEvaluation, CroppedVideos, Retriever, SequenceSearch
from jaxret.training import RunFolder, replace_settings

DATA = "moving digits, 80 classes"
CROPPED_DATA = "moving digits, cropped queries"
METRICS = ("mAP", "P@1", "P@5")
METHODS = ("Bi-DTW", "mean vector", "untrained, Bi-DTW", "mean of pixels", "chance")
WHOLE = "four steps"
CROPPED = 150  # test clips that queries are cropped from
TRIPLETS: dict[str, Any] = {"steps": ("triplet",), "epochs": 8, "evaluate_every": 8}


def by_class(run: RunFolder, setting: str, seed: int) -> list[dict[str, Any]]:
    """Rows of test clips as queries for each other."""
    figures = json.loads(run.figures.read_text(encoding="utf-8"))
    return [row for method in METHODS for row in rows_of_groups(method, figures[method], setting, seed)]


def after_steps(run: RunFolder, setting: str, seed: int) -> list[dict[str, Any]]:
    """Rows of what the steps of a training in four gave, as far as it has come; they have no thumbnail."""
    rows = []
    for step in ("pretrain", "triplet", "challenging"):
        record = StepRecord.read(step_folder(run, step).path, step)
        if record.finished:
            rows += rows_of_groups("Bi-DTW", record.test["Bi-DTW"], f"{setting}, after {step}", seed)
    return rows


def rows_of_groups(method: str, figures: GroupFigures, setting: str, seed: int) -> list[dict[str, Any]]:
    """Rows of classes that were trained on and of others."""
    rows = []
    for group in ("seen", "unseen"):
        found = {f"{metric}, {group}": figures[group][metric] for metric in METRICS}
        rows += results_file.rows_of(DATA, method, found, setting=setting, seed=seed)
    return rows


def cropped(run: RunFolder, setting: str, seed: int, *, baselines: bool) -> list[dict[str, Any]]:
    """Rows of queries cropped from test clips, with `baselines` of an untrained encoder and chance as well."""
    media = MovingDigits().select(lambda item: item.split == "test")
    trained = load_encoder(run.encoder)
    alone = without_thumbnail(trained)
    encoders = {setting: trained}
    if baselines:
        encoders["untrained"] = create_encoder(alone.config, rngs=nnx.Rngs(seed))
    if alone is not trained:
        encoders[f"{setting}, without the thumbnail"] = alone
    rows = []
    for name, encoder in encoders.items():
        with tempfile.TemporaryDirectory() as folder:
            retriever = Retriever.create(Path(folder) / "index", encoder)
            retriever.add(media)
            report = retriever.evaluate(
                CroppedVideos(CROPPED, media),
                options=SequenceSearch("bi-dtw"),
                settings=CroppedEvaluation(query_seed=seed),
            )
        for group, found in report.figures.items():
            chosen = {metric: value for metric, value in found.items() if metric.startswith("mAP")}
            rows += results_file.rows_of(CROPPED_DATA, name, chosen, setting=group, seed=seed)
            print(name, group, chosen, flush=True)
    for group, found in report.baselines["chance"].items() if baselines else ():
        chosen = {metric: value for metric, value in found.items() if metric.startswith("mAP")}
        rows += results_file.rows_of(CROPPED_DATA, "chance", chosen, setting=group, seed=seed)
    return rows


def sift(seed: int) -> list[dict[str, Any]]:
    """Rows of SIFT words, of training clips, by class and of the same cropped queries."""
    digits = MovingDigits()
    train, test = (digits.select(lambda item, split=split: item.split == split) for split in ("train", "test"))
    words = sift_words(train, evenly_spaced(len(train), 400).tolist(), seed=seed)
    searched, items = sift_bags(test, words), test.items
    groups = {"seen": {item.label for item in train.items}, "unseen": unseen_labels()}
    ranking = SequenceRanking("mean-cosine")
    found = evaluate_sequences(searched, items, searched, items, ranking, LabelProtocol(groups=groups))
    rows = rows_of_groups("SIFT words", found, "SIFT words", seed)
    settings = CroppedEvaluation(query_seed=seed)
    videos = evenly_spaced(len(test), CROPPED).tolist()
    crops = CroppedQueries(test, videos=videos, crops=settings.runs, share=settings.share, seed=seed)
    for strength in settings.strengths:
        changed = ChangedVideos(crops, settings.changes, strength, seed=seed) if strength else crops
        bags, cropped_items = sift_bags(changed, words), [items[int(video)] for video in crops.videos]
        by_class = evaluate_sequences(bags, cropped_items, searched, items, ranking)
        own_clip = by_clip(bags, searched, crops.videos, ranking.measure)
        figures = {"mAP by clip": own_clip, "mAP by class": by_class["all"]["mAP"]}
        setting = f"strength {strength:g}"
        rows += results_file.rows_of(CROPPED_DATA, "SIFT words", figures, setting=setting, seed=seed)
        print("SIFT words", setting, figures, flush=True)
    return rows


def main() -> None:
    """Train where there is no run, and write its figures; of one that was stopped those of its finished steps."""
    parser = StudyParser(__doc__, "accuracy_convlstm_digits", ("digits",), seeds=(0,))
    parser.add_argument("--whole", action="store_true", help="take all four steps")
    parser.add_argument("--architecture", choices=("m1", "m2", "m3"), default="m1", help="the autoencoder")
    parser.add_argument("--sift", action="store_true", help="measure SIFT words, and train nothing")
    args = parser.read()
    other = "" if args.architecture == "m1" else args.architecture
    if other and not args.whole:
        parser.error(f"--architecture {other} differs from m1 in its decoder, which only --whole trains")
    if args.sift:
        rows = [row for seed in args.seeds for row in sift(seed)]
        print(results_file.update("accuracy_convlstm_digits", rows, ["jax", "flax", "opencv-python-headless"]))
        return
    setting = WHOLE if args.whole else "triplet step, 600 updates"
    setting += f" of {other.upper()}" if other else ""
    for seed in args.seeds:
        run = RunFolder(args.work / f"{'whole' if args.whole else 'triplet'}{other and f'-{other}'}-{seed}")
        finished = run.figures.exists()
        if not finished:
            chosen = {"architecture": args.architecture} if args.whole else TRIPLETS
            config = replace_settings(
                RECIPE.config, {"data": "moving-digits", "seed": seed, **chosen}, owner=RECIPE.name
            )
            if run.config.exists():
                config = open_config(run)[1]
            finished = RECIPE.train(config, RunContext(run, RECIPE.name, print)) is not None
        rows = after_steps(run, setting, seed) if args.whole else []
        if finished:
            # Architectures differ in their decoders: the baselines of M1 are those of all.
            rows += by_class(run, setting, seed) + cropped(run, setting, seed, baselines=not other)
        print(results_file.update("accuracy_convlstm_digits", rows, ["jax", "flax"]))
        if not finished:
            raise SystemExit("the training was stopped: call again to go on")


if __name__ == "__main__":
    main()
