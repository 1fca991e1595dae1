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
right. The same queries are also changed, at three strengths (`jaxret.data.sampling.changes`), for methods that see no
depth, and of the walk played backwards. By class, test videos query the others, of other sources; by place, pieces that
did not train query all, as they are and played backwards. mAP is the mean of i / rank of the i-th relevant.

- `untrained`: every model's encoder with random weights, which of M1 to M3 are the same, with and without a thumbnail
  beside its vectors (a share of 0.3 of the distance, the largest that trainings try), and the thumbnail alone.
- `models`: every model after its four steps of training, by Bi-DTW (of the walk by DTW, too), beside the mean vector of
  the same encoder by cosine.
- `sift`, `ndvr`: SIFT words (one bag a video, 500 words) and NDVR-DML on MobileNet V1.
- `places`: of the walk, what would be found by the places that train, were they known exactly, and by chance.
- `best-places`: of M1 to M3 on the walk, trained on as many places as agree best with being near among training
  pieces, in the place of four.
- `thumbnails`: of M1 to M3 on JHMDB: the first two steps, with and without a thumbnail beside the vectors.
- `copies`: the same on the near duplicates; `reconstructions`: the error of the autoencoders before.
- `ablations`: of M3 on JHMDB: the steps one after the other, and ways of ranking; `plain`: three steps, a plain second
  pass in the place of the challenging one; `scratch`: the same without pre-training, and with that of the labelled
  videos alone.
- `choices`: of the triplet step on digits and on training videos of JHMDB: rate, warm-up, mining and normalisation
  by validation videos, and `conv-lstm-paper` for as many updates.
- `full`: the paper's sizes.

    python benchmarks/accuracy_convlstm.py                       # all
    python benchmarks/accuracy_convlstm.py ablations --seeds 0   # some; in the result file the other rows stay
    python benchmarks/accuracy_convlstm.py differences           # of the rows that are there

Whatever a call ran, it writes differences that are paired by seed, of all rows that the result file holds then, and
draws mAP by clip against the strength of the changes.

Trainings and the rows of finished parts are kept under --work, so a stopped call goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable

from common import results_file
from common.differences import write_differences
from common.study_program import StudyParser
from studies.convlstm.ablations import (
    ablations_of,
    after_two_steps,
    copies_of,
    on_every_draw,
    plain_of,
    reconstructions_of,
    scratch_of,
    thumbnails_of,
)
from studies.convlstm.choices import CHANGED, choices
from studies.convlstm.comparisons import compared, strength_curves
from studies.convlstm.full import full_size_rows
from studies.convlstm.methods import models, ndvr_dml_on, on_every_data_set, sift_words_on, untrained
from studies.convlstm.places import best_places, places_on
from studies.convlstm.plots import draw_strengths
from studies.convlstm.study import MODELS, PLANE, VOLUME, Study

from jaxret.training import keep_freed_memory

RESULT = "accuracy_convlstm"


def full(study: Study) -> None:
    """The paper's sizes."""

    def rows() -> None:
        for method, setting, found in full_size_rows():
            study.add("full size", method, setting, None, found)

    study.part("full", rows)


STUDIES: dict[str, Callable[[Study], None]] = {
    "untrained": untrained,
    "models": models,
    "sift": on_every_data_set("sift", sift_words_on),
    "ndvr": on_every_data_set("ndvr", ndvr_dml_on),
    "places": on_every_draw("places", "walk", places_on),
    "best-places": best_places,
    "ablations": on_every_draw("ablations", "jhmdb", ablations_of),
    "thumbnails": after_two_steps("thumbnails", thumbnails_of),
    "copies": after_two_steps("copies", copies_of),
    "reconstructions": after_two_steps("reconstructions", reconstructions_of),
    "plain": on_every_draw("plain", "jhmdb", plain_of),
    "scratch": on_every_draw("scratch", "jhmdb", scratch_of),
    "choices": choices,
    "full": full,
}


def main() -> None:
    """Run the studies, print a line a figure, write them into the result file."""
    parser = StudyParser(__doc__, RESULT, STUDIES, seeds=None, differences=True)
    parser.add_argument("--data", nargs="+", choices=MODELS, default=list(MODELS), help="of the models and baselines")
    parser.add_argument(
        "--models", nargs="+", choices={**PLANE, **VOLUME}, help="of models and thumbnails (default: all)"
    )
    parser.add_argument("--choices", nargs="+", choices=CHANGED, default=list(CHANGED), help="of the study choices")
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
        results_file.update(RESULT, study.rows, packages)
        path = write_differences(RESULT, compared(), packages)
        print(path)
        draw_strengths("conv_lstm_strengths", strength_curves(results_file.stored_rows(path)))


if __name__ == "__main__":
    main()
