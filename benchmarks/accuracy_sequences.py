"""Bi-DTW where it can matter: long sequences, and queries played forwards, backwards, shuffled and at other speeds.

Data (`studies/convlstm/long_sequences.py`): UCF101's first 15 classes as sequences of VGG16 vectors; moving digits made
longer, each going through eight motions, in programmes of which half reverse the others; an RGB-D walk in pieces. By
clip the video is right that a query was taken from (it shows other frames of it), by class those of its label, of other
sources, of the walk those of its place.

Rankings: the mean vector by cosine, DTW and Bi-DTW, each of vectors as they are and scaled to length 1; and Bi-DTW with
the reversal penalty and the window that give the greatest mAP by class on validation queries, those played forwards and
those played backwards together. All figures are of test queries, but for what was chosen. A seed draws the queries, of
the walk which pieces validate, and of digits the programmes and scans as well; differences are paired by seed.

    python benchmarks/accuracy_sequences.py --digits-run RUN
    python benchmarks/accuracy_sequences.py ucf101 walk

Moving digits need a trained encoder: --digits-run, a run of `jaxret train conv-lstm --data moving-digits`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from common import results_file
from common.differences import Comparison, write_differences
from common.paths import DATA, MOBILENET_WEIGHTS, UCF101_FEATURES
from common.study_program import StudyParser
from studies.convlstm.long_sequences import WAYS, LongSequences, digit_programmes, ucf101, walk

from jaxret.data.sampling.transforms import FrameGeometry, resize_frame
from jaxret.models.store import load_encoder
from jaxret.rank import SequenceRanking, sequence_distances

PENALTIES = (0.0, 0.02, 0.05, 0.1, 0.2)
WINDOWS = (None, 1, 2, 4)
CHOSEN = "Bi-DTW chosen on validation"
NAMES = ("UCF101, 15 classes", "RGB-D walk", "moving digits, 8 motions each")
RANKINGS = {
    "mean vector": SequenceRanking("mean-cosine"),
    "DTW": SequenceRanking("dtw"),
    "Bi-DTW": SequenceRanking("bi-dtw"),
    "mean of unit vectors": SequenceRanking("mean-cosine", unit_vectors=True),
    "DTW of unit vectors": SequenceRanking("dtw", unit_vectors=True),
    "Bi-DTW of unit vectors": SequenceRanking("bi-dtw", unit_vectors=True),
}


def digits(run: Path, seed: int) -> LongSequences:
    """Moving digits by the encoder of a run; its frames are sampled anew from the four of each half of a motion."""
    encoder = load_encoder(run / "encoder")
    size = encoder.preprocessing.height

    def encode(clips: np.ndarray) -> np.ndarray:
        geometry = FrameGeometry(size, size, 0, 0, size, size)
        frames = [resize_frame(frame, geometry) for frame in clips.reshape(-1, *clips.shape[2:])]
        made = np.stack(frames).reshape(*clips.shape[:2], size, size, 3)
        wanted = encoder.preprocessing.frames
        return np.asarray(encoder.encode_frames(np.repeat(made, -(-wanted // made.shape[1]), axis=1)[:, :wanted]))

    return digit_programmes(encode, seed=seed)


def average_precisions(distances: np.ndarray, relevant: np.ndarray, searched: np.ndarray) -> np.ndarray:
    """(Q,), NaN of a query without a relevant video; the mean of i / rank of the i-th relevant."""
    found = np.full(len(distances), np.nan)
    for row in range(len(distances)):
        order = np.argsort(np.where(searched[row], distances[row], np.inf), kind="stable")[: searched[row].sum()]
        ranks = 1 + np.flatnonzero(relevant[row][order])
        if len(ranks):
            found[row] = np.mean(np.arange(1, len(ranks) + 1) / ranks)
    return found


def measure(data: LongSequences, which: np.ndarray, way: str, ranking: SequenceRanking, seed: int) -> dict[str, Any]:
    """mAP by clip and by class of some queries, played in one way; and the average precisions by class."""
    numbers = np.flatnonzero(which)
    played = [np.ascontiguousarray(WAYS[way](data.queries[n], np.random.default_rng([n, 1 + seed]))) for n in numbers]
    distances = sequence_distances(played, data.videos, ranking)
    own = data.own[numbers][:, None] == np.arange(len(data.videos))
    by_clip = average_precisions(distances, own, np.ones_like(own))
    by_class = average_precisions(distances, data.relevant()[numbers], data.searched[numbers])
    return {"mAP by clip": float(by_clip.mean()), "mAP by class": float(np.nanmean(by_class)), "each": by_class}


def chosen_on_validation(data: LongSequences, seed: int) -> tuple[SequenceRanking, float]:
    """Bi-DTW with the best of the penalties and windows, of vectors of length 1 or as they are, and its mAP by class.

    Of equals it is the first.
    """
    best, score = SequenceRanking("bi-dtw"), -1.0
    for unit, penalty, window in itertools.product((False, True), PENALTIES, WINDOWS):
        tried = SequenceRanking("bi-dtw", unit_vectors=unit, reversal_penalty=penalty, window=window)
        ways = ("forwards", "backwards")
        found = [measure(data, data.validation, way, tried, seed)["mAP by class"] for way in ways]
        if sum(found) > score + 1e-9:
            best, score = tried, sum(found)
    return best, score / 2


def study(data: LongSequences, seed: int) -> list[dict[str, Any]]:
    """All rows of a draw of a data set."""
    rows: list[dict[str, Any]] = []
    best, score = chosen_on_validation(data, seed)
    words = (
        f"penalty {best.reversal_penalty:g}, window {best.window}, {'unit vectors' if best.unit_vectors else 'as is'}"
    )
    print(f"{data.name}, seed {seed}: chosen on validation: {words}", flush=True)
    of_choice = {"mAP by class of validation queries": score}
    rows += results_file.rows_of(f"{data.name}: chosen on validation", CHOSEN, of_choice, setting=words, seed=seed)
    rankings = {**RANKINGS, CHOSEN: best}
    each: dict[tuple[str, str], np.ndarray] = {}
    for way in WAYS:
        for method, ranking in rankings.items():
            found = measure(data, ~data.validation, way, ranking, seed)
            each[way, method] = found.pop("each")
            print(f"{data.name}, {way:<14} {method:<30} {found}", flush=True)
            rows += results_file.rows_of(data.name, method, found, setting=way, seed=seed)
    if data.near is None:
        gained = each_gain(each)
        labels = data.labels[data.own][~data.validation]
        for label in np.unique(labels).tolist():
            gains = {f"gain of Bi-DTW, {way}": float(np.nanmean(gain[labels == label])) for way, gain in gained.items()}
            rows += results_file.rows_of(f"{data.name}: by class", str(label), gains, seed=seed)
    return rows


def each_gain(each: dict[tuple[str, str], np.ndarray]) -> dict[str, np.ndarray]:
    """What Bi-DTW of unit vectors gains over DTW of them, query by query, forwards and backwards."""
    return {
        way: each[way, "Bi-DTW of unit vectors"] - each[way, "DTW of unit vectors"] for way in ("forwards", "backwards")
    }


def compared() -> Iterator[Comparison]:
    """What is taken from what, in every way of playing."""
    pairs = [("Bi-DTW", "DTW"), ("Bi-DTW", "mean vector"), ("Bi-DTW of unit vectors", "Bi-DTW"), (CHOSEN, "Bi-DTW")]
    pairs.append(("Bi-DTW of unit vectors", "DTW of unit vectors"))
    for data in NAMES:
        for way in WAYS:
            for ours, theirs in pairs:
                yield Comparison(data, f"{ours}, less {theirs}", way, (data, ours, way), (data, theirs, way))


def main() -> None:
    """Run the studies, print a line a figure, update the result file."""
    parser = StudyParser(__doc__, "accuracy_sequences", ("ucf101", "walk", "digits"), seeds=(0, 1, 2), differences=True)
    parser.add_argument("--digits-run", type=Path, help="a run of conv-lstm on moving digits")
    args = parser.read()
    made: dict[str, Callable[[int], LongSequences]] = {
        "ucf101": lambda seed: ucf101(UCF101_FEATURES, seed=seed),
        "walk": lambda seed: walk(DATA / "rgbd_office", MOBILENET_WEIGHTS, seed=seed),
        "digits": lambda seed: digits(args.digits_run, seed),
    }
    if "digits" in args.studies and args.digits_run is None:
        parser.error("the study digits needs --digits-run, a run of `jaxret train conv-lstm --data moving-digits`")
    packages = ["jax", "flax"]
    for name in args.studies:
        for seed in args.seeds:
            results_file.update("accuracy_sequences", study(made[name](seed), seed), packages)
    print(write_differences("accuracy_sequences", compared(), packages))


if __name__ == "__main__":
    main()
