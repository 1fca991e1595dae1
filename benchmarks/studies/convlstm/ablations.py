"""What the steps of the training, the thumbnail and the ways of ranking are worth, on JHMDB."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial

from studies.convlstm.comparisons import (
    FOUR_STEPS_THUMBNAIL,
    SECOND_PASS,
    THREE_STEPS,
    THREE_STEPS_THUMBNAIL,
    THUMBNAIL,
    TWO_STEPS,
)
from studies.convlstm.data import ClipData
from studies.convlstm.protocol import MEASURES, encode_data
from studies.convlstm.runs import FOUR_STEPS
from studies.convlstm.study import PLANE, Study, ordered

from jaxret.models.store import load_encoder
from jaxret.recipes.conv_lstm.settings import StepRecord
from jaxret.recipes.conv_lstm.thumbnail import without_thumbnail
from jaxret.training import RunFolder

__all__ = [
    "ablations_of",
    "after_two_steps",
    "copies_of",
    "on_every_draw",
    "plain_of",
    "reconstructions_of",
    "scratch_of",
    "thumbnails_of",
]

ABLATED = "m3"
RECONSTRUCTION = {"squared error": "validation reconstruction error", "of the mean frame": "error of the mean frame"}
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


def on_every_draw(name: str, key: str, measure: Callable[[Study, int], None]) -> Callable[[Study], None]:
    """A study of one data set, in parts of one seed; each has a split of its own."""

    def study_of(study: Study) -> None:
        for seed in study.seeds(key):
            study.part(f"{name}-{seed}", partial(measure, study, seed))

    return study_of


def ablations_of(study: Study, seed: int) -> None:
    """What the steps, one after the other, and the ways of ranking are worth."""
    data, name, what = ablated(study, seed)
    whole = study.train(data, ABLATED, seed)
    media = study.media(data, seed)
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
            for architecture in study.models(PLANE):
                study.part(f"{name}-{seed}-{architecture}", partial(measure, study, seed, architecture))

    return study_of


def thumbnails_of(study: Study, seed: int, architecture: str) -> None:
    """What a thumbnail beside the vectors is worth."""
    data, name, what = ablated(study, seed, architecture)
    with_and_without_thumbnail(study, two_steps(study, data, architecture, seed), data, (name, what), seed)


def copies_of(study: Study, seed: int, architecture: str) -> None:
    """The same on near duplicates, and by the encoder before its training."""
    data, name, _ = ablated(study, seed, architecture)
    for setting, found in study.untrained(architecture, data, study.copies, seed).items():
        study.add(study.copies.name, name, f"{setting}, Bi-DTW", seed, found)
    what = f"{study.copies.name}: two steps"
    with_and_without_thumbnail(study, two_steps(study, data, architecture, seed), study.copies, (name, what), seed)


def reconstructions_of(study: Study, seed: int, architecture: str) -> None:
    """How well an autoencoder gives held-out clips back, beside the mean frame of the training clips."""
    data, name, _ = ablated(study, seed, architecture)
    found = StepRecord.read(two_steps(study, data, architecture, seed).path / "pretrain", "pretrain").figures
    errors = {metric: found[figure] for metric, figure in RECONSTRUCTION.items()}
    study.add(f"{data.name}: reconstruction", name, "pre-training", seed, errors)


def two_steps(study: Study, data: ClipData, architecture: str, seed: int) -> RunFolder:
    """The run of the first two steps, which are those of a training of four if there is one."""
    return study.train(data, architecture, seed, steps=FOUR_STEPS[:2], like=FOUR_STEPS)


def with_and_without_thumbnail(
    study: Study,
    run: RunFolder,
    data: ClipData,
    named: tuple[str, str],
    seed: int,
    settings: tuple[str, str] = (TWO_STEPS, THUMBNAIL),
) -> None:
    """The rows of a run on a data set, named by model and data."""
    encoder, (name, what) = load_encoder(run.encoder), named
    for setting, each in zip(settings, (without_thumbnail(encoder), encoder), strict=True):
        encoded = encode_data(each, study.media(data, seed))
        study.add(what, name, setting, seed, ordered(encoded, "bi-dtw"), PAPER_ABLATIONS.get(setting, ()))


def plain_of(study: Study, seed: int) -> None:
    """A second pass on ordinary batches in the place of the hard ones: what M3 owes to more updates alone."""
    data, name, what = ablated(study, seed)
    run = study.train(data, ABLATED, seed, steps=("pretrain", "triplet", "plain"), like=FOUR_STEPS)
    with_and_without_thumbnail(study, run, data, (name, what), seed, (THREE_STEPS, THREE_STEPS_THUMBNAIL))


def scratch_of(study: Study, seed: int) -> None:
    """The same where nothing, or only the labelled videos, trained before."""
    data, name, what = ablated(study, seed)
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
        encoded = encode_data(without_thumbnail(load_encoder(folder)), study.media(data, seed))
        study.add(what, name, setting, seed, ordered(encoded, "bi-dtw"), PAPER_ABLATIONS.get(setting, ()))


def ablated(study: Study, seed: int, architecture: str = ABLATED) -> tuple[ClipData, str, str]:
    """The data, the model's name and the table's of the ablations."""
    data = study.data("jhmdb", seed)
    return data, PLANE[architecture], f"{data.name}: ablations"
