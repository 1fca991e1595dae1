"""Classes trained on and classes that were not: the open-set encoder beside the mean vector and what the papers train.

Data: UCF101's first 15 classes as VGG16 features of 25 frames (official split 1), 10 classes trained on, 5 not; and
JHMDB, frames through a frozen MobileNet V1 and through EfficientNet-Lite0 (HMDB51's official split 1), 14 classes
trained on, 7 not. Each draw deals the classes anew. Test videos of all classes query the training videos of all
classes; of JHMDB, videos of the query's own source are left out of its gallery (UCF101's official split keeps sources
apart). mAP is the mean over queries of average precision.

- `fitted`: the mean of the frame vectors, by cosine, and the open-set encoder (`jaxret train cnn-lstm`, the default
  with pretrained weights), by Euclidean distance; codes of 64 bits of both: of the mean vector by random
  hyperplanes and by a rotation (ITQ), of the open-set embedding by a rotation and codewords (`jaxret train deep-hash`,
  the default).
- `unlabelled`: what needs no labels either: the mean vector centred; and its principal components, each divided by the
  square root of its standard deviation (partly whitened) or by all of it (whitened), by cosine. Centre and components
  are of the training videos that `fitted` fits on.
- `halves`: of these and the open-set encoder, how much hangs on videos being searched that were fitted on: half of the
  training sources are fitted on, and of the classes trained on that half is searched, or the other. Last, the others
  search among themselves alone. Nothing was chosen by any of it.
- `few`: the same encoder and its codes where few classes are trained on, and few videos of each; all others are not
  trained on, and searched and searched for as above.
- `trained`: the LSTM of system 1 before and after its training, and codes of the hash layer of system 3. Both pick
  their epoch on a tenth of the training sources of seen classes, which `fitted` leaves out as well.
- `lengths`: codes of the default of 64 to 512 bits, beside codes of the mean vector (ITQ); the nearest 100 in
  order again by what was rounded (`jaxret search --rerank 100`), and by that alone.
- `orders`: what these results are put in order by, as `choices` has it by training videos alone: sigmoids of what bits
  are the signs of, or its direction.
- `choices`: ways of choosing those codes, on other draws of classes, by training videos alone: a third of their sources
  are the queries. By these figures the default was decided.
- `bases`: the same for vectors: whitened mean vectors in the place of the default's, and both together.
- `rounds`: the same for the rounds that choose vectors and codes: they search what they fitted on, or other videos.
- `classes`: why the default gains more in `choices` than in `fitted`: the classes of both draws, trained on with all of
  their training videos, and test videos or all training videos of the other classes query. Those have no part in the
  fit, so that none need be split off. Last, those search among themselves alone. Nothing was chosen by any of it.
- `chance`: the mAP that a random ranking is expected to have, and how many videos are relevant to a query.

The open-set encoder chooses its settings on held-out training classes. Nothing is chosen by figures of test videos.
Whatever a call ran, it writes differences that are paired by draw, of all rows that the result file holds then. Draws
are kept under --work and not made again, so a stopped call goes on where it was.

    python benchmarks/accuracy_open_set.py                                   # everything; fifty minutes on one core
    python benchmarks/accuracy_open_set.py few --data ucf101 jhmdb           # a part; the other rows of the file stay
    python benchmarks/accuracy_open_set.py choices --seeds 0 1 2             # another part
    python benchmarks/accuracy_open_set.py differences                       # of the rows that are there
    python benchmarks/accuracy_open_set.py fitted --data ucf101:FOLDER VIDEOS.csv   # data of your own, printed

--data takes labelled videos as `jaxret train --data` does, too (folder, CSV, published data sets), their official split
or one dealt by source; two thirds of the classes are trained on.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from common import results_file
from common.differences import Comparison, paired_differences, write_differences
from common.spread import spread
from common.study_program import StudyParser
from flax import nnx
from numpy.typing import NDArray
from studies.unseen_classes.bases import DEFAULT, OTHERS, by_bases
from studies.unseen_classes.choices import FIRST_DRAW, ITQ, WAYS, by_ways, without_tests
from studies.unseen_classes.galleries import ALL_SEARCHED, FITTED_TOO, GALLERIES, by_galleries
from studies.unseen_classes.trained import hash_layer, held_out, lstm
from studies.unseen_classes.unlabelled import (
    CENTRED,
    FITTED_HALF,
    OTHER_HALF,
    OTHERS_ALONE,
    PARTLY,
    WHOLLY,
    unlabelled,
)
from studies.unseen_classes.unlabelled import halves as in_halves
from studies.unseen_classes.videos import (
    DATA,
    NAMES,
    Numbers,
    OwnBackbone,
    Videos,
    embedded,
    folder_name,
    open_videos,
    random_scores,
    reranked_scores,
    scores,
    unit_means,
)

from jaxret.files import write_atomically
from jaxret.models import TemporalEncoder
from jaxret.models.temporal.open_set import OpenSetEncoder
from jaxret.models.temporal.open_set_hash import OpenSetHash
from jaxret.rank import RandomHyperplanes, pack_bits
from jaxret.training.itq import fit_itq
from jaxret.training.open_set import OpenSetSettings, fit_open_set

NAME = "accuracy_open_set"
LENGTHS = (64,)
FEW, SETTING = "few classes", ": "  # what stands after the colon is a setting of the tables
FEW_CLASSES, FEW_VIDEOS, FEW_VIDEOS_OF_CODES = (3, 5, 8), (5, 10, 20), 20
VECTORS, MEAN, OPEN_SET = "vectors", "mean of frame vectors", DEFAULT
UNTRAINED, LSTM = "LSTM, untrained", "LSTM, trained (the paper's)"
MEAN_PLANES, MEAN_ITQ = "mean of frame vectors, random hyperplanes", ITQ
HASH, OPEN_SET_CODES = "hash layer, trained (the paper's)", "open-set encoder, codes"
RANDOM = "a random ranking"
CHOICES = "training videos alone"
MORE_LENGTHS, BY_LENGTH, FIRST = (64, 128, 256, 512), "by length", 100
RERANKED, NOT_ROUNDED = f"{OPEN_SET_CODES}, the nearest {FIRST} in order again", "open-set encoder, not rounded"
ORDERS = "in order again by training videos alone"
FURTHER = {"by sigmoids": False, "by directions": True}
ROUNDS = "rounds by training videos alone"
HALVES = "half of the sources fitted on"
DEALT = {"classes of the tests": 0, "classes of the choices": FIRST_DRAW}  # the first draw of each
TESTS_QUERY, TRAINING_QUERIES = "test videos query", "training videos query"
EACH_OTHER = "training videos query each other alone"
LESS = {
    MEAN: "the mean",
    CENTRED: "the centred mean",
    PARTLY: "the partly whitened mean",
    LSTM: "the trained LSTM",
    OPEN_SET: "the default",
    FITTED_TOO: "the default",
    MEAN_PLANES: "random hyperplanes of the mean",
    MEAN_ITQ: "ITQ of the mean",
    HASH: "the hash layer",
}
WITHOUT_LABELS = (CENTRED, PARTLY, WHOLLY)
HALF_PAIRS = (*((method, MEAN) for method in (*WITHOUT_LABELS, OPEN_SET)), (OPEN_SET, CENTRED), (OPEN_SET, PARTLY))
VECTOR_PAIRS = ((UNTRAINED, MEAN), (LSTM, MEAN), (OPEN_SET, LSTM), *HALF_PAIRS)
CODE_PAIRS = (
    *((method, MEAN_PLANES) for method in (MEAN_ITQ, HASH, OPEN_SET_CODES)),
    *((OPEN_SET_CODES, method) for method in (MEAN_ITQ, HASH)),
)
Scores = dict[str, dict[str, float]]  # by method


def open_set(videos: Videos, seen: Numbers, train: Numbers, seed: int) -> OpenSetEncoder:
    """The open-set encoder of the classes `seen`, fitted on the videos `train`."""
    encoder = OpenSetEncoder.to_fit(videos.vectors.shape[2], len(seen), rngs=nnx.Rngs(0))
    _fit(encoder, videos, seen, train, seed)
    return encoder


def open_set_codes(videos: Videos, seen: Numbers, train: Numbers, seed: int, bits: int) -> OpenSetHash:
    """The open-set encoder that codes are made of, under the layer that makes them; arguments as above."""
    hashed = OpenSetHash(OpenSetEncoder(videos.vectors.shape[2], len(seen), rngs=nnx.Rngs(0)), bits, rngs=nnx.Rngs(0))
    _fit(hashed, videos, seen, train, seed)
    return hashed


def _fit(encoder: OpenSetEncoder | OpenSetHash, videos: Videos, seen: Numbers, train: Numbers, seed: int) -> None:
    labels, sources = np.searchsorted(seen, videos.labels[train]), videos.sources[train].tolist()
    fit = fit_open_set(encoder, videos.vectors[train], labels, sources, OpenSetSettings(seed=seed))
    print(f"{videos.name}, draw {seed}, {encoder.code_bits} bits: {fit}", flush=True)


def _of_vectors(videos: Videos, seen: Numbers, train: Numbers, seed: int) -> Scores:
    encoder = open_set(videos, seen, train, seed)
    return {
        MEAN: scores(videos, unit_means(videos.vectors), seen, "cosine"),
        OPEN_SET: scores(videos, embedded(encoder, videos.vectors), seen, "euclidean"),
    }


def _of_codes(videos: Videos, seen: Numbers, train: Numbers, seed: int, bits: int) -> Scores:
    made = _codes(videos, seen, train, seed, bits)
    return {method: scores(videos, rows, seen, "hamming") for method, rows in made.items()}


def _codes(videos: Videos, seen: Numbers, train: Numbers, seed: int, bits: int) -> dict[str, NDArray[np.uint8]]:
    means = unit_means(videos.vectors)
    planes = RandomHyperplanes(means.shape[1], bits, seed, center=means[train].mean(axis=0))
    return {
        MEAN_PLANES: planes.codes(means),
        MEAN_ITQ: _rotated(means, train, seed, bits),
        OPEN_SET_CODES: pack_bits(embedded(open_set_codes(videos, seen, train, seed, bits), videos.vectors)),
    }


def _rotated(means: NDArray[np.float32], train: Numbers, seed: int, bits: int) -> NDArray[np.uint8]:
    """Codes of mean vectors by a rotation that is fitted on those of the videos `train`."""
    return pack_bits(fit_itq(means[train], bits, seed=seed)(means).astype(np.float32), threshold=0.0)


def fitted(videos: Videos, seed: int, folder: Path) -> dict[str, Scores]:
    """Of one draw: the mean vector, the open-set encoder, and codes of both."""
    seen, train = videos.draw(seed)
    train = train[~held_out(videos, train, seed)]  # what the LSTM and the hash layer pick their epoch on
    found = {VECTORS: _of_vectors(videos, seen, train, seed)}
    return found | {codes_of(bits): _of_codes(videos, seen, train, seed, bits) for bits in LENGTHS}


def without_labels(videos: Videos, seed: int, folder: Path) -> dict[str, Scores]:
    """Of one draw: mean vectors centred and whitened."""
    seen, train = videos.draw(seed)
    train = train[~held_out(videos, train, seed)]  # as in `fitted`
    made = unlabelled(unit_means(videos.vectors), train)
    return {VECTORS: {method: scores(videos, rows, seen, "cosine") for method, rows in made.items()}}


def halves(videos: Videos, seed: int, folder: Path) -> dict[str, Scores]:
    """Of one draw: what is fitted on half of the training sources finds in that half, in the other, and without."""
    seen, train = videos.draw(seed)
    half, shown = in_halves(videos, seen, train, seed)
    means = unit_means(videos.vectors)
    made = {MEAN: means, **unlabelled(means, half)}
    made[OPEN_SET] = embedded(open_set(videos, seen, half, seed), videos.vectors)  # of one length: cosine ranks alike
    return {
        f"{VECTORS}, {HALVES}{SETTING}{setting}": {
            method: scores(searched, rows, seen, "cosine") for method, rows in made.items()
        }
        for setting, searched in shown.items()
    }


def few(videos: Videos, seed: int, folder: Path) -> dict[str, Scores]:
    """The same, trained on few of the draw's classes and few videos of each."""
    found = {}
    for classes in FEW_CLASSES:
        for count in FEW_VIDEOS:
            found[f"{VECTORS}, {FEW}{SETTING}{few_of(classes, count)}"] = _of_vectors(
                videos, *videos.draw(seed, classes, count), seed
            )
        for bits in LENGTHS:
            found[f"{codes_of(bits)}, {FEW}{SETTING}{few_of(classes, FEW_VIDEOS_OF_CODES)}"] = _of_codes(
                videos, *videos.draw(seed, classes, FEW_VIDEOS_OF_CODES), seed, bits
            )
    return found


def lengths(videos: Videos, seed: int, folder: Path) -> dict[str, Scores]:
    """Of one draw: the default's codes by their length, the nearest in order again, and what was rounded."""
    seen, train = videos.draw(seed)
    train = train[~held_out(videos, train, seed)]  # as in `fitted`
    means, found = unit_means(videos.vectors), {}
    for bits in MORE_LENGTHS:
        vectors = embedded(open_set_codes(videos, seen, train, seed, bits), videos.vectors)
        codes = pack_bits(vectors)
        found[f"{codes_of(bits)}, {BY_LENGTH}"] = {
            MEAN_ITQ: scores(videos, _rotated(means, train, seed, bits), seen, "hamming"),
            OPEN_SET_CODES: scores(videos, codes, seen, "hamming"),
            RERANKED: reranked_scores(videos, codes, vectors, seen, FIRST),
            NOT_ROUNDED: scores(videos, vectors, seen, "euclidean"),
        }
    return found


def orders(videos: Videos, seed: int, folder: Path) -> dict[str, Scores]:
    """Of one other draw: codes, their nearest in order again, and what was rounded, by training videos."""
    other, found = FIRST_DRAW + seed, {}
    shown = without_tests(videos, other)
    seen, train = shown.draw(other)
    for bits in LENGTHS:
        hashed = open_set_codes(shown, seen, train, other, bits)
        codes = pack_bits(embedded(hashed, shown.vectors))
        ways = {OPEN_SET_CODES: scores(shown, codes, seen, "hamming")}
        for words, hashed.directions in FURTHER.items():
            vectors = embedded(hashed, shown.vectors)
            ways[f"{RERANKED} {words}"] = reranked_scores(shown, codes, vectors, seen, FIRST)
            ways[f"{NOT_ROUNDED}, {words}"] = scores(shown, vectors, seen, "euclidean")
        found[f"{codes_of(bits)}, {ORDERS}"] = ways
    return found


def trained(videos: Videos, seed: int, folder: Path) -> dict[str, Scores]:
    """Of one draw: what the papers train."""
    seen, _ = videos.draw(seed)
    encoders = {
        UNTRAINED: TemporalEncoder(videos.vectors.shape[2], 256, rngs=nnx.Rngs(seed)),
        LSTM: lstm(videos, seed, folder / "lstm"),
    }
    found = {
        VECTORS: {
            method: scores(videos, embedded(encoder, videos.vectors), seen, "euclidean")
            for method, encoder in encoders.items()
        }
    }
    for bits in LENGTHS:
        codes = pack_bits(embedded(hash_layer(videos, bits, seed, folder / f"{bits}-bits"), videos.vectors))
        found[codes_of(bits)] = {HASH: scores(videos, codes, seen, "hamming")}
    return found


def choices(videos: Videos, seed: int, folder: Path) -> dict[str, Scores]:
    """Of one other draw: codes that are chosen in several ways, and ITQ of the means, by training videos."""
    return {f"{codes_of(bits)}, {CHOICES}": by_ways(videos, seed, bits) for bits in LENGTHS}


def bases(videos: Videos, seed: int, folder: Path) -> dict[str, Scores]:
    """Of one other draw: vectors in the place of the mean vectors, by training videos."""
    return {f"{VECTORS}, {CHOICES}": by_bases(videos, seed)}


def rounds(videos: Videos, seed: int, folder: Path) -> dict[str, Scores]:
    """Of one other draw: vectors and codes that are chosen in rounds which search other videos, by training videos."""
    return {
        f"{kind}, {ROUNDS}{SETTING}{setting}": ways
        for bits in LENGTHS
        for kind, found in zip((VECTORS, codes_of(bits)), by_galleries(videos, seed, bits), strict=True)
        for setting, ways in found.items()
    }


def classes(videos: Videos, seed: int, folder: Path) -> dict[str, Scores]:
    """Of one draw and of one other: codes fitted on all training videos, and how test videos and training videos of the
    classes that were not trained on find their like."""
    found = {}
    for (dealt, first), bits in itertools.product(DEALT.items(), LENGTHS):
        seen, train = videos.draw(first + seed)
        made = _codes(videos, seen, train, first + seed, bits)
        unseen = ~np.isin(videos.labels, seen)
        tests, trainings = (part[unseen[part]] for part in (videos.test, videos.train))
        for shown, queries, gallery in (
            (TESTS_QUERY, tests, videos.train),
            (TRAINING_QUERIES, trainings, videos.train),
            (EACH_OTHER, trainings, trainings),
        ):
            others = dataclasses.replace(videos, test=queries, train=gallery)
            found[f"{codes_of(bits)}, {dealt}{SETTING}{shown}"] = {
                method: scores(others, rows, seen, "hamming") for method, rows in made.items()
            }
    return found


def chance(videos: Videos, seed: int, folder: Path) -> dict[str, Scores]:
    """Of one draw: what nothing but luck finds."""
    return {RANDOM: {"chance": random_scores(videos, videos.draw(seed)[0])}}


STUDIES: dict[str, Callable[[Videos, int, Path], dict[str, Scores]]] = {
    "fitted": fitted,
    "unlabelled": without_labels,
    "halves": halves,
    "few": few,
    "lengths": lengths,
    "orders": orders,
    "trained": trained,
    "choices": choices,
    "bases": bases,
    "rounds": rounds,
    "classes": classes,
    "chance": chance,
}


def codes_of(bits: int) -> str:
    """What the tables call codes of that length."""
    return f"codes of {bits} bits"


def few_of(classes: int, count: int) -> str:
    """What the tables call so few classes, and so few videos of each."""
    return f"{classes} classes of {count} videos"


def kept(study: str, name: str, videos: Videos, seed: int, work: Path) -> dict[str, Scores]:
    """A study of one draw, or what an earlier call has kept of it."""
    folder = work / f"{name}-{seed}-{study}"
    path = folder.with_suffix(".json")
    if not path.exists():
        found = STUDIES[study](videos, seed, folder)
        work.mkdir(parents=True, exist_ok=True)
        with write_atomically(path) as partial:
            partial.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    kept_before: dict[str, Scores] = json.loads(path.read_text(encoding="utf-8"))
    return kept_before


def compared(names: Collection[str] = tuple(NAMES.values())) -> Iterator[Comparison]:
    """Vectors and codes of data sets, of many classes and of few, less those of the mean vector and of what the papers
    train."""
    kinds = {VECTORS: VECTOR_PAIRS} | {codes_of(bits): CODE_PAIRS for bits in LENGTHS}
    settings = [few_of(*counts) for counts in itertools.product(FEW_CLASSES, FEW_VIDEOS)]
    for name, (kind, pairs) in itertools.product(names, kinds.items()):
        places = [(f"{name}, {kind}", ""), *((f"{name}, {kind}, {FEW}", setting) for setting in settings)]
        for (data, setting), (ours, theirs) in itertools.product(places, pairs):
            words = f"{setting}, less {LESS[theirs]}" if setting else f"less {LESS[theirs]}"
            yield Comparison(data, ours, words, (data, ours, setting), (data, theirs, setting))
    for name, bits, way in itertools.product(names, LENGTHS, WAYS):
        data = f"{name}, {codes_of(bits)}, {CHOICES}"
        yield Comparison(data, way, f"less {LESS[ITQ]}", (data, way, ""), (data, ITQ, ""))
    for name, other in itertools.product(names, OTHERS):
        data = f"{name}, {VECTORS}, {CHOICES}"
        yield Comparison(data, other, f"less {LESS[OPEN_SET]}", (data, other, ""), (data, OPEN_SET, ""))
    searched = itertools.product(names, (FITTED_HALF, OTHER_HALF, OTHERS_ALONE), HALF_PAIRS)
    for name, setting, (ours, theirs) in searched:
        data = f"{name}, {VECTORS}, {HALVES}"
        words = f"{setting}, less {LESS[theirs]}"
        yield Comparison(data, ours, words, (data, ours, setting), (data, theirs, setting))
    for name, bits in itertools.product(names, MORE_LENGTHS):
        data = f"{name}, {codes_of(bits)}, {BY_LENGTH}"
        for method in (OPEN_SET_CODES, RERANKED, NOT_ROUNDED):
            yield Comparison(data, method, f"less {LESS[MEAN_ITQ]}", (data, method, ""), (data, MEAN_ITQ, ""))
        for method in (RERANKED, NOT_ROUNDED):
            yield Comparison(data, method, "less the codes", (data, method, ""), (data, OPEN_SET_CODES, ""))
        shortest = f"{name}, {codes_of(MORE_LENGTHS[0])}, {BY_LENGTH}"
        for method in (MEAN_ITQ, OPEN_SET_CODES, RERANKED) if data != shortest else ():
            yield Comparison(data, method, f"less {MORE_LENGTHS[0]} bits", (data, method, ""), (shortest, method, ""))
    for name, bits, words in itertools.product(names, LENGTHS, FURTHER):
        data = f"{name}, {codes_of(bits)}, {ORDERS}"
        for method in (f"{RERANKED} {words}", f"{NOT_ROUNDED}, {words}"):
            yield Comparison(data, method, "less the codes", (data, method, ""), (data, OPEN_SET_CODES, ""))
    kinds_of_rounds = (VECTORS, *map(codes_of, LENGTHS))
    settings_of_rounds = (ALL_SEARCHED, FITTED_HALF, OTHER_HALF, OTHERS_ALONE)
    for name, kind, setting in itertools.product(names, kinds_of_rounds, settings_of_rounds):
        data = f"{name}, {kind}, {ROUNDS}"
        for way in GALLERIES:
            if way != FITTED_TOO:
                words = f"{setting}, less {LESS[FITTED_TOO]}"
                yield Comparison(data, way, words, (data, way, setting), (data, FITTED_TOO, setting))
    shown = itertools.product(names, LENGTHS, DEALT, (TESTS_QUERY, TRAINING_QUERIES, EACH_OTHER))
    for name, bits, dealt, setting in shown:
        data = f"{name}, {codes_of(bits)}, {dealt}"
        words = f"{setting}, less {LESS[ITQ]}"
        yield Comparison(data, OPEN_SET_CODES, words, (data, OPEN_SET_CODES, setting), (data, ITQ, setting))


def main() -> None:
    """Print the figures, and write them."""
    parser = StudyParser(__doc__, NAME, STUDIES, seeds=(0, 1, 2, 3, 4), cache=True, differences=True)
    OwnBackbone.add_options(parser)
    args = parser.read()
    rows: list[dict[str, Any]] = []
    for data in args.data:
        videos = open_videos(data, args.cache, OwnBackbone.of(args))
        for seed, study in itertools.product(args.seeds, args.studies):
            for kind, methods in kept(study, folder_name(data), videos, seed, args.work).items():
                part, _, setting = kind.partition(SETTING)
                for method, figures in methods.items():
                    named = f"{videos.name}, {part}"
                    rows += results_file.rows_of(named, method, figures, setting=setting or None, seed=seed)
    packages = ["jax", "flax", "scikit-learn"]
    if args.publish and set(args.data) <= set(DATA):
        print_means(rows)
        results_file.update(NAME, rows, packages)
        print(write_differences(NAME, compared(), packages))
    else:
        print_means(rows + paired_differences(rows, compared([NAMES.get(data, data) for data in args.data])))


def print_means(rows: list[dict[str, Any]]) -> None:
    """Mean and spread over the draws."""
    table: dict[tuple[str, str, str], list[float]] = {}
    for one in rows:
        shown = f"{one['data']} {one.get('setting', '')}"
        table.setdefault((shown, one["method"], one["metric"]), []).append(one["value"])
    for (shown, method, metric), values in table.items():
        print(f"{shown:<76} {method:<42} {metric:<28} {np.mean(values):+.3f} ± {spread(values):.3f}")


if __name__ == "__main__":
    main()
