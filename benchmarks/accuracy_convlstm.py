"""ConvLSTM autoencoders and Bi-DTW: videos as sequences of clip vectors, by clip and by class or place.

Models small enough for two CPU cores: images of 32 x 32, 4 to 6 frames a clip, 16 recurrent, 8 residual and 8 map
channels, vectors of 128 numbers (the paper's: 256 x 256, 64, 32, 16 and 4,000), with the recipe's own optimiser, for
as many updates of all models, 100 to 240 a step. The full size is built, counted and run for a few updates
(`full`).

Data, drawn anew for each seed: six classes of JHMDB (one of its official splits: some 92 videos are queries; training
videos of the other 15 classes, without labels, join in pre-training), moving digits (1,200 videos train, 320 are
queries), 14 near duplicates of 3 scenes (by the encoders that JHMDB trained), and an RGB-D walk of 33 s cut into 20
pieces, 12 of which train, with places found by k-means of camera poses as classes. Two pieces are near each other in
space where the camera came within 0.3 m and 20 degrees of where it had been; 6 of the other 8 are near any but their
neighbours in time. The walk is small: its figures say that the models with depth run and learn, and little of which is
best.

By clip, queries are cropped from the test videos: half of the frames, in two runs with a gap; of all videos one is
right. The same queries are also changed, at three strengths (`jaxret.data.sampling.changes`). By class, test videos
query the others, of other sources; by place, pieces that did not train query all. mAP is the mean of i / rank of the
i-th relevant.

- `models`: every model after its four steps of training, by Bi-DTW, beside the mean vector of the same encoder by
  cosine, and the untrained encoder.
- `sift`, `ndvr`: SIFT words (one bag a video, 500 words) and NDVR-DML on MobileNet V1.
- `thumbnails`: of M1 to M3 on JHMDB: the first two steps, with and without a thumbnail beside the vectors.
- `copies`: the same on the near duplicates; `reconstructions`: the error of the autoencoders before.
- `ablations`: of M3 on JHMDB: the steps one after the other, and ways of ranking; `plain`: a
  plain second pass in the place of the challenging one; `scratch`: the same without pre-training, and with that of the
  labelled videos alone.
- `full`: the paper's sizes.

    python benchmarks/accuracy_convlstm.py                       # all
    python benchmarks/accuracy_convlstm.py ablations --seeds 0   # some; in the result file the other rows stay

Whatever a call ran, it writes differences that are paired by seed, of all rows that the result file holds then, and
draws mAP by clip against the strength of the changes.

Trainings and the rows of finished parts are kept under --work, so a stopped call goes on where it was.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

from common import results_file
from common.paths import DATA, JHMDB, MOBILENET_WEIGHTS
from common.study_program import StudyParser
from flax import nnx
from studies.convlstm.comparisons import (
    FOUR_STEPS_THUMBNAIL,
    SECOND_PASS,
    THUMBNAIL,
    TWO_STEPS,
    UNTRAINED,
    paired_differences,
    strength_curves,
)
from studies.convlstm.data import ClipData, digits_data, jhmdb_data, near_duplicate_data, walk_data
from studies.convlstm.full import full_size_rows
from studies.convlstm.plots import draw_strengths
from studies.convlstm.protocol import MEASURES, EncodedData, Media, encode_data, figures
from studies.convlstm.runs import FOUR_STEPS, autoencoder, ndvr, sift_bags, sift_words

from jaxret.files import write_atomically
from jaxret.models.registry import create_encoder
from jaxret.models.store import fingerprint, load_encoder
from jaxret.recipes.conv_lstm.settings import StepRecord
from jaxret.recipes.conv_lstm.thumbnail import without_thumbnail
from jaxret.training import RunFolder, keep_freed_memory

PLANE = {"m1": "M1", "m2": "M2", "m3": "M3"}
VOLUME = {"m1-3d": "M1-3D", "m2-3d": "M2-3D", "m3-3d": "M3-3D", "cnn-3d": "3D convolutions"}
ABLATED = "m3"
RESULT = "accuracy_convlstm"
RECONSTRUCTION = {"squared error": "validation reconstruction error", "of the mean frame": "error of the mean frame"}
SEEDS = {"jhmdb": 3, "digits": 3, "walk": 3}
MODELS = {"jhmdb": PLANE, "digits": PLANE, "walk": {**VOLUME, **PLANE}}  # a model by data set
# mAP by class and by clip of the paper's tables 3 and 4: CC_WEB_VIDEO, and for the models with depth S3DIS.
PAPER_DATA = "CC_WEB_VIDEO; of models with depth S3DIS"
PAPER = {
    "SIFT words": (0.588, 0.647),
    "NDVR-DML": (0.844, 0.917),
    "M1": (0.796, 0.853),
    "M2": (0.817, 0.904),
    "M3": (0.852, 0.921),
    "3D convolutions": (0.589, 0.779),
    "M1-3D": (0.614, 0.754),
    "M2-3D": (0.623, 0.733),
    "M3-3D": (0.611, 0.781),
}
# By class and by clip, of M3 on CC_WEB_VIDEO, pre-trained on YouTube-8M: tables 5, 6 and 7. It does not
# say whether its M3 without pre-training was an autoencoder of CC_WEB_VIDEO first; here it was not.
PAPER_ABLATIONS = {
    "autoencoder of the labelled videos": (0.176, 0.322),
    "pre-training": (0.296, 0.351),
    "triplet loss": (0.541, 0.657),
    "triplet loss, plain second pass": (0.655, 0.713),
    "triplet loss, challenging second pass": (0.693, 0.785),
    TWO_STEPS: (0.845, 0.892),
    SECOND_PASS: (0.852, 0.921),
    "DTW": (0.721, 0.854),
    "Bi-DTW": (0.845, 0.892),
}


class Study:
    """The data sets, made when needed, and the rows so far."""

    def __init__(self, args: argparse.Namespace):
        self.args = args
        self.rows: list[dict[str, Any]] = []
        self._media: dict[tuple[str, int], Media] = {}

    def seeds(self, name: str) -> list[int]:
        """The draws of a data set."""
        return self.args.seeds or list(range(SEEDS[name]))

    def data(self, name: str, seed: int) -> ClipData:
        """One of `MODELS`, as this seed draws it."""
        work = self.args.work
        if name == "jhmdb":
            return jhmdb_data(JHMDB, work, seed=seed)
        if name == "digits":
            return digits_data(work, seed=seed)
        return walk_data(DATA / "rgbd_office", work, seed=seed)

    def media(self, data: ClipData, seed: int) -> Media:
        """What is compared of a data set; its clips stay decoded for the next encoder."""
        if (data.name, seed) not in self._media:
            self._media[data.name, seed] = Media(data, seed)
        return self._media[data.name, seed]

    def untrained(self, encoder: Any, data: ClipData, seed: int) -> dict[str, float]:
        """What an encoder of the same shape with random weights finds by Bi-DTW; M1 to M3 begin with the same ones."""
        made = untrained(encoder, seed)
        path = self.args.work / "untrained" / f"{fingerprint(made)}-{data.name.replace(' ', '-')}-{seed}.json"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            measured = ordered(encode_data(made, self.media(data, seed)), "bi-dtw")
            with write_atomically(path) as partial:
                partial.write_text(json.dumps(measured), encoding="utf-8")
        found: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))
        return found

    @cached_property
    def copies(self) -> ClipData:
        """The near duplicates, which encoders of JHMDB are tried on."""
        return near_duplicate_data(DATA / "near_duplicates")

    def evaluated(self, key: str, data: ClipData) -> list[ClipData]:
        """What encoders of a data set are tried on."""
        return [data, self.copies] if key == "jhmdb" else [data]

    def part(self, name: str, evaluate: Callable[[], None]) -> None:
        """Evaluate a part, unless a call before has; its rows are kept with the trainings."""
        path = self.args.work / "rows" / f"{name}.json"
        if path.exists():
            self.rows += json.loads(path.read_text(encoding="utf-8"))
            return
        before = len(self.rows)
        evaluate()
        path.parent.mkdir(parents=True, exist_ok=True)
        with write_atomically(path) as partial:
            partial.write_text(json.dumps(self.rows[before:]), encoding="utf-8")

    def ablated(self, seed: int, architecture: str = ABLATED) -> tuple[ClipData, str, str]:
        """The data, the model's name and the table's of the ablations."""
        data = self.data("jhmdb", seed)
        return data, PLANE[architecture], f"{data.name}: ablations"

    def train(self, data: ClipData, architecture: str, seed: int, **steps: tuple[str, ...]) -> RunFolder:
        """The run of a model, by default of all steps; see `autoencoder`."""
        steps = {"like": FOUR_STEPS[:2], **steps}
        return autoencoder(data, architecture, self.args.work, epochs=self.args.epochs, seed=seed, **steps)

    def add(
        self, data: str, method: str, setting: str, seed: int | None, found: dict[str, float], paper: Any = ()
    ) -> None:
        """A row a figure, the paper's beside the first ones, which are by class and by clip."""
        shown = "  ".join(f"{metric} {value:.4g}" for metric, value in found.items())
        print(f"{data:<20} {method:<18} {setting:<34} seed {seed}: {shown}", flush=True)
        theirs = dict(zip(found, paper, strict=False))
        self.rows += results_file.rows_of(
            data, method, found, setting=setting, seed=seed, paper=theirs, paper_data=PAPER_DATA
        )


def models(study: Study) -> None:
    """Every model, on every data set."""
    for key in study.args.data:
        for seed in study.seeds(key):
            for architecture in study.args.models or MODELS[key]:
                study.part(f"models-{key}-{seed}-{architecture}", partial(model_on, study, key, seed, architecture))


def model_on(study: Study, key: str, seed: int, architecture: str) -> None:
    """A model on one data set; of JHMDB also on the near duplicates."""
    data, name = study.data(key, seed), MODELS[key][architecture]
    encoder = load_encoder(study.train(data, architecture, seed).encoder)
    for each in study.evaluated(key, data):
        evaluate(study, encoder, each, name, seed)


def sift_words_of(study: Study) -> None:
    """SIFT words on every data set."""
    for key in study.args.data:
        for seed in study.seeds(key):
            study.part(f"sift-{key}-{seed}", partial(sift_words_on, study, key, seed))


def sift_words_on(study: Study, key: str, seed: int) -> None:
    """On one data set; of JHMDB also on the near duplicates."""
    for each in study.evaluated(key, study.data(key, seed)):
        sift(study, each, seed)


def ndvr_dml_of(study: Study) -> None:
    """NDVR-DML on every data set."""
    for key in study.args.data:
        for seed in study.seeds(key):
            study.part(f"ndvr-{key}-{seed}", partial(ndvr_dml_on, study, key, seed))


def ndvr_dml_on(study: Study, key: str, seed: int) -> None:
    """On one data set; of JHMDB also on the near duplicates."""
    data = study.data(key, seed)
    ndvr_dml(study, data, study.evaluated(key, data), seed)


def evaluate(study: Study, encoder: Any, data: ClipData, name: str, seed: int) -> None:
    """A trained model by Bi-DTW and by its mean vector, and the model as it was made."""
    media = study.media(data, seed)
    encoded = encode_data(encoder, media)
    plane_of_volume = data.near is not None and name in PLANE.values()
    paper = () if plane_of_volume else PAPER[name]
    study.add(data.name, name, "four steps, Bi-DTW", seed, ordered(encoded, "bi-dtw"), paper)
    study.add(data.name, name, "four steps, mean vector, cosine", seed, ordered(encoded, "mean-cosine"))
    study.add(data.name, name, "untrained, Bi-DTW", seed, study.untrained(encoder, data, seed))


def ordered(encoded: EncodedData, measure: str) -> dict[str, float]:
    """By class (or place) first, then by clip, as in the paper's tables."""
    found = figures(encoded, measure)
    return dict(sorted(found.items(), key=lambda entry: (entry[0].startswith("strength"), entry[0].endswith("clip"))))


def ndvr_dml(study: Study, data: ClipData, also_evaluated: list[ClipData], seed: int) -> None:
    """The baseline NDVR-DML, trained on a data set."""
    encoder = ndvr(data, study.args.work, weights=str(MOBILENET_WEIGHTS), seed=seed)
    for each in also_evaluated:
        found = ordered(encode_data(encoder, study.media(each, seed)), "mean-cosine")
        paper = PAPER["NDVR-DML"] if each.near is None else ()
        study.add(each.name, "NDVR-DML", "mean vector, cosine", seed, found, paper)


def sift(study: Study, data: ClipData, seed: int) -> None:
    """One bag of SIFT words a video; the words are of training videos where there are any."""
    dataset = data.dataset()
    tests = set(data.tests(dataset))
    numbers = [number for number in range(len(dataset)) if number not in tests] or sorted(tests)
    words = sift_words(dataset, numbers[:: max(1, len(numbers) // 100)], seed=seed)
    encoded = EncodedData(study.media(data, seed), partial(sift_bags, words=words))
    paper = PAPER["SIFT words"] if data.near is None else ()
    study.add(data.name, "SIFT words", "cosine", seed, ordered(encoded, "mean-cosine"), paper)


def ablations(study: Study) -> None:
    """What the steps and the ways of ranking are worth: M3 on JHMDB."""
    for seed in study.seeds("jhmdb"):
        study.part(f"ablations-{seed}", partial(ablations_of, study, seed))


def ablations_of(study: Study, seed: int) -> None:
    """One step after the other, and the rankings."""
    data, name, what = study.ablated(seed)
    whole = study.train(data, ABLATED, seed)
    media = study.media(data, seed)
    study.add(what, name, UNTRAINED, seed, study.untrained(load_encoder(whole.encoder), data, seed))
    ended = {
        "pre-training": whole.path / "pretrain" / "encoder",
        TWO_STEPS: whole.path / "triplet" / "encoder",
        SECOND_PASS: whole.path / "challenging" / "encoder",
        FOUR_STEPS_THUMBNAIL: whole.encoder,
    }
    for setting, folder in ended.items():
        encoded = encode_data(load_encoder(folder), media)
        study.add(what, name, setting, seed, ordered(encoded, "bi-dtw"), PAPER_ABLATIONS.get(setting, ()))
        if folder.parent.name == "triplet":  # that of the paper's table 7
            for measure, key in MEASURES.items():
                found = ordered(encoded, key)
                study.add(what, name, f"ranked by {measure}", seed, found, PAPER_ABLATIONS.get(measure, ()))


def after_two_steps(name: str, measure: Callable[[Study, int, str], None]) -> Callable[[Study], None]:
    """A study of each of M1 to M3 after its first two steps on JHMDB, in parts of one model with one seed."""

    def study_of(study: Study) -> None:
        for seed in study.seeds("jhmdb"):
            for architecture in study.args.models or PLANE:
                study.part(f"{name}-{seed}-{architecture}", partial(measure, study, seed, architecture))

    return study_of


def thumbnails_of(study: Study, seed: int, architecture: str) -> None:
    """What a thumbnail beside the vectors is worth."""
    data, name, what = study.ablated(seed, architecture)
    with_and_without_thumbnail(study, two_steps(study, data, architecture, seed), data, (name, what), seed)


def copies_of(study: Study, seed: int, architecture: str) -> None:
    """The same on near duplicates."""
    data, name, _ = study.ablated(seed, architecture)
    what = f"{study.copies.name}: two steps"
    with_and_without_thumbnail(study, two_steps(study, data, architecture, seed), study.copies, (name, what), seed)


def reconstructions_of(study: Study, seed: int, architecture: str) -> None:
    """How well an autoencoder gives held-out clips back, beside the mean frame of the training clips."""
    data, name, _ = study.ablated(seed, architecture)
    found = StepRecord.read(two_steps(study, data, architecture, seed).path / "pretrain", "pretrain").figures
    errors = {metric: found[figure] for metric, figure in RECONSTRUCTION.items()}
    study.add(f"{data.name}: reconstruction", name, "pre-training", seed, errors)


def two_steps(study: Study, data: ClipData, architecture: str, seed: int) -> RunFolder:
    """The run of the first two steps, which are those of a training of four if there is one."""
    return study.train(data, architecture, seed, steps=FOUR_STEPS[:2], like=FOUR_STEPS)


def with_and_without_thumbnail(study: Study, run: RunFolder, data: ClipData, named: tuple[str, str], seed: int) -> None:
    """The rows of a run on a data set, named by model and data; and of its encoder with random weights."""
    encoder, (name, what) = load_encoder(run.encoder), named
    study.add(what, name, UNTRAINED, seed, study.untrained(encoder, data, seed))
    for setting, each in {TWO_STEPS: without_thumbnail(encoder), THUMBNAIL: encoder}.items():
        encoded = encode_data(each, study.media(data, seed))
        study.add(what, name, setting, seed, ordered(encoded, "bi-dtw"), PAPER_ABLATIONS.get(setting, ()))


def plain(study: Study) -> None:
    """A second pass on ordinary batches in the place of the hard ones: what M3 owes to more updates alone."""
    for seed in study.seeds("jhmdb"):
        study.part(f"plain-{seed}", partial(plain_of, study, seed))


def plain_of(study: Study, seed: int) -> None:
    """With one seed."""
    data, name, what = study.ablated(seed)
    run = study.train(data, ABLATED, seed, steps=("pretrain", "triplet", "plain"), like=FOUR_STEPS)
    encoded = encode_data(load_encoder(run.encoder), study.media(data, seed))
    setting = "pre-training, triplet loss, plain second pass"
    study.add(what, name, setting, seed, ordered(encoded, "bi-dtw"))


def scratch(study: Study) -> None:
    """The same where nothing, or only the labelled videos, trained before."""
    for seed in study.seeds("jhmdb"):
        study.part(f"scratch-{seed}", partial(scratch_of, study, seed))


def scratch_of(study: Study, seed: int) -> None:
    """All of these with one seed."""
    data, name, what = study.ablated(seed)
    alone = study.train(data, ABLATED, seed, steps=FOUR_STEPS[1:])
    plain = study.train(data, ABLATED, seed, steps=("triplet", "plain"), like=FOUR_STEPS[1:])
    labelled = dataclasses.replace(data, name="JHMDB labelled", unlabelled=None)
    few = study.train(labelled, ABLATED, seed, steps=("pretrain", "triplet"))
    ended = {
        "triplet loss": alone.path / "triplet" / "encoder",
        "triplet loss, plain second pass": plain.encoder,
        "triplet loss, challenging second pass": alone.encoder,
        "autoencoder of the labelled videos": few.path / "pretrain" / "encoder",
        "autoencoder of the labelled videos, triplet loss": few.encoder,
    }
    for setting, folder in ended.items():
        encoded = encode_data(load_encoder(folder), study.media(data, seed))
        study.add(what, name, setting, seed, ordered(encoded, "bi-dtw"), PAPER_ABLATIONS.get(setting, ()))


def untrained(encoder: Any, seed: int) -> Any:
    """An encoder of the same shape with random weights, and no thumbnail beside them."""
    return create_encoder(without_thumbnail(encoder).config, rngs=nnx.Rngs(seed))


def full(study: Study) -> None:
    """The paper's sizes."""

    def rows() -> None:
        for method, setting, found in full_size_rows():
            study.add("full size", method, setting, None, found)

    study.part("full", rows)


STUDIES: dict[str, Callable[[Study], None]] = {
    "models": models,
    "sift": sift_words_of,
    "ndvr": ndvr_dml_of,
    "ablations": ablations,
    "thumbnails": after_two_steps("thumbnails", thumbnails_of),
    "copies": after_two_steps("copies", copies_of),
    "reconstructions": after_two_steps("reconstructions", reconstructions_of),
    "plain": plain,
    "scratch": scratch,
    "full": full,
}


def main() -> None:
    """Run the studies, print a line a figure, write them into the result file."""
    parser = StudyParser(__doc__, RESULT, STUDIES, seeds=None)
    parser.add_argument("--data", nargs="+", choices=MODELS, default=list(MODELS), help="of the models and baselines")
    parser.add_argument(
        "--models", nargs="+", choices={**PLANE, **VOLUME}, help="of models and thumbnails (default: all)"
    )
    parser.add_argument("--epochs", type=int, help="of each step, at most (default: the data's)")
    args = parser.read()
    if args.epochs is not None:
        args.work = args.work / f"{args.epochs}-epochs"  # not to be taken for the trainings of the result file
    keep_freed_memory()
    study = Study(args)
    for name in args.studies:
        STUDIES[name](study)
    if args.epochs is None:
        packages = ["jax", "flax", "opencv-python-headless"]
        rows = results_file.stored_rows(results_file.update(RESULT, study.rows, packages))
        print(results_file.update(RESULT, paired_differences(rows), packages))
        draw_strengths("conv_lstm_strengths", strength_curves(rows))


if __name__ == "__main__":
    main()
