"""Every method on every data set: the models before all steps and after them, SIFT words, NDVR-DML."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from common.paths import MOBILENET_WEIGHTS
from studies.convlstm.data import ClipData
from studies.convlstm.protocol import EncodedData, encode_data
from studies.convlstm.runs import ndvr, sift_bags, sift_words
from studies.convlstm.study import MODELS, PLANE, Study, ordered

from jaxret.models.store import load_encoder

__all__ = ["models", "ndvr_dml_on", "on_every_data_set", "sift_words_on", "untrained"]

# mAP by class and by clip of the paper's tables 3 and 4: CC_WEB_VIDEO, and for the models with depth S3DIS.
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


def on_every_data_set(name: str, measure: Callable[[Study, str, int], None]) -> Callable[[Study], None]:
    """A study of a method, in parts of one data set and one seed."""

    def study_of(study: Study) -> None:
        for key in study.args.data:
            for seed in study.seeds(key):
                study.part(f"{name}-{key}-{seed}", partial(measure, study, key, seed))

    return study_of


def models(study: Study) -> None:
    """Every model, on every data set."""
    for key in study.args.data:
        for seed in study.seeds(key):
            for architecture in study.models(MODELS[key]):
                study.part(f"models-{key}-{seed}-{architecture}", partial(model_on, study, key, seed, architecture))


def untrained(study: Study) -> None:
    """Every model's encoder before its training, on every data set."""
    for key in study.args.data:
        for seed in study.seeds(key):
            for architecture in study.models(MODELS[key]):
                measure = partial(untrained_on, study, key, seed, architecture)
                study.part(f"untrained-{key}-{seed}-{architecture}", measure)


def untrained_on(study: Study, key: str, seed: int, architecture: str) -> None:
    """An encoder with random weights on one data set."""
    data, name = study.data(key, seed), MODELS[key][architecture]
    for setting, found in study.untrained(architecture, data, data, seed).items():
        study.add(data.name, name, f"{setting}, Bi-DTW", seed, found)


def model_on(study: Study, key: str, seed: int, architecture: str) -> None:
    """A model on one data set; of JHMDB also on the near duplicates."""
    data, name = study.data(key, seed), MODELS[key][architecture]
    encoder = load_encoder(study.train(data, architecture, seed).encoder)
    for each in study.evaluated(key, data):
        evaluate(study, encoder, each, name, seed)


def sift_words_on(study: Study, key: str, seed: int) -> None:
    """SIFT words on one data set; of JHMDB also on the near duplicates."""
    for each in study.evaluated(key, study.data(key, seed)):
        sift(study, each, seed)


def ndvr_dml_on(study: Study, key: str, seed: int) -> None:
    """NDVR-DML, trained on one data set; of JHMDB also on the near duplicates."""
    data = study.data(key, seed)
    ndvr_dml(study, data, study.evaluated(key, data), seed)


def evaluate(study: Study, encoder: Any, data: ClipData, name: str, seed: int) -> None:
    """A trained model by Bi-DTW and by its mean vector."""
    media = study.media(data, seed)
    encoded = encode_data(encoder, media)
    plane_of_volume = data.near is not None and name in PLANE.values()
    paper = () if plane_of_volume else PAPER[name]
    study.add(data.name, name, "four steps, Bi-DTW", seed, ordered(encoded, "bi-dtw"), paper)
    if data.near is not None:  # where the way that a query is played matters
        study.add(data.name, name, "four steps, DTW", seed, ordered(encoded, "dtw"))
    study.add(data.name, name, "four steps, mean vector, cosine", seed, ordered(encoded, "mean-cosine"))


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
