"""Image-to-video retrieval among ten thousand shots: bad screen photos find shots and films, seen in training and not.

Data: moving pictures over Corel-5k's photographs and JHMDB's clips (studies/image_to_video/moving_pictures.py): 10,926
shots in some 280 films, all of which every query searches. The two shots of a photograph lie in two films, so that of
most queries two shots and two films are right. Scenes are dealt anew for each seed: 20 % train, 5 % validate, and 15 %
query by a screen photo of each shot (unseen films), as do as many shots of training films (seen films; trainings saw
other photos of them). Frames themselves are queries, too, each for its shot without it. Settings are those of the
recipe (`jaxret.recipes.image_to_video`), which fits and chooses here as it does there, but for `--epochs` and two
screen photos a shot.

Frame vectors are R-MAC of a frozen network, whitened on a tenth of the scenes, which train in every deal.

- `methods`: frame by frame, the sum, the maximum, LSTM, GRU and residual of the same frame vectors; `auto` is what the
  recipe takes by its validation films, where all of them are trained. Differences from the sum are paired by query
  within a seed. Differences that are paired by seed are written of all rows that the result file holds, whatever ran.
- `baselines`: what else could describe a frame: the average of the last map; and, of the paper's tables 1 and 4, Fisher
  vectors (Perronnin et al. 2010; Sanchez et al. 2013) of SIFT. Frame by frame, as the sum over a shot, and one Fisher
  vector of all key points of a shot. Among the shots of every fourth test scene alone, with R-MAC and its residual
  beside them. (Left out are those tables' FC6 and FC7 features, outputs of dense layers that the networks here lack,
  and the edge histograms, JCD and PHOG of table 1, which were far behind in the paper.)
- `cost`: what a network takes for a frame, and an hour of its shots on disk, VGG16 with the paper's 512 numbers beside
  the others.

    python benchmarks/accuracy_shots.py                          # all; two hours on two cores, mostly LSTM and GRU
    python benchmarks/accuracy_shots.py methods --learned residual   # without those; the other rows of the file stay
    python benchmarks/accuracy_shots.py baselines --backbones mobilenet-v1 --seeds 0
    python benchmarks/accuracy_shots.py methods --backbones vgg16 --weights FILE   # the paper's network; not written

Frame vectors and trainings are kept under --work, so a stopped call goes on where it was.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any, cast

import jax
import numpy as np
import numpy.typing as npt
from common import results_file
from common.differences import Comparison, write_differences
from common.paths import DATA, JHMDB_CLIPS, MOBILENET_WEIGHTS
from common.study_program import StudyParser
from studies.image_to_video.deals import Deal, deal_scenes, figures
from studies.image_to_video.fisher_vectors import FisherVectors, root_sift
from studies.image_to_video.moving_pictures import (
    TRAINING_PHOTOS,
    Collection,
    ShotVectors,
    shot_vectors,
    whitening_frames,
)

from jaxret.data.batches.shot_pairs import ShotPairs
from jaxret.data.open import open_dataset
from jaxret.files import write_atomically
from jaxret.models import PooledBackbone
from jaxret.models.encoder import VideoEncoder
from jaxret.models.store import load_encoder, parameter_count, save_encoder
from jaxret.recipes.backbone_names import BackboneName
from jaxret.recipes.image_to_video.candidates import best_candidate, candidates_on, fit_candidates
from jaxret.recipes.image_to_video.held_out import HeldOutFrames
from jaxret.recipes.image_to_video.recipe import ImageToVideoConfig, make_encoder
from jaxret.recipes.image_to_video.shot_encoders import FIXED, LEARNED, NAMES, Temporal, shot_encoder
from jaxret.retrieval.encode import Shot, encode_shots
from jaxret.training import LoopConfig, RunContext, RunFolder
from jaxret.training.pca import fit_whitening

WEIGHTS = {"mobilenet-v1": str(MOBILENET_WEIGHTS), "efficientnet-lite0": "imagenet"}
BACKBONES = {"mobilenet-v1": "MobileNet V1", "efficientnet-lite0": "EfficientNet-Lite0", "vgg16": "VGG16"}
SIZES = {"mobilenet-v1": 128, "efficientnet-lite0": 112, "vgg16": 512}  # the recipe's, and of vgg16 the paper's
FRAME_WISE = "frame by frame"
NAME, COST = "accuracy_shots", "cost"
SHOTS, DESCRIPTIONS = "Ten thousand shots", "Other descriptions of frames, a part of the shots"
UNSEEN, SEEN = "unseen films", "seen films"
WHITENED, FISHER = "R-MAC, whitened", "Fisher vector of SIFT"
METRICS = COMPARED = ("mAP of shots", "R@1 of shots", "mAP of films", "R@1 of films")
# mAP and R@1 of the paper's tables 1 to 3 on SI2V-600k, beside the same kinds of method.
PAPER = {FRAME_WISE: (0.718, 0.834), "sum": (0.596, 0.764), "LSTM": (0.602, 0.773), "GRU": (0.606, 0.777)}
PAPER_DATA = "SI2V-600k: 160 h of news, 229 images; VGG16, 512 numbers"


class Study:
    """Collection, frame vectors and rows of a backbone."""

    def __init__(self, args: argparse.Namespace, backbone: str):
        self.args, self.backbone = args, backbone
        self.rows: list[dict[str, Any]] = []
        self.collection = Collection(open_dataset(DATA / "corel5k"), open_dataset(JHMDB_CLIPS))
        self.folder = args.work / backbone
        self.spatial = cache(self._spatial)
        self.vectors = cache(self._vectors)

    def config(self, seed: int) -> ImageToVideoConfig:
        """The recipe's settings."""
        epochs = self.args.epochs
        return ImageToVideoConfig(
            backbone=cast(BackboneName, self.backbone),
            weights=self.args.weights or WEIGHTS[self.backbone],
            whitened_size=SIZES[self.backbone],
            seed=seed,
            loop=LoopConfig(epochs=epochs, evaluate_every=max(1, epochs // 10)),
        )

    def _spatial(self) -> VideoEncoder:
        """The frozen network, whitened; of shots it takes the sum."""
        stored = self.folder / "spatial"
        if not (stored / "encoder.json").exists():
            encoder = make_encoder(self.config(0), "sum")
            fit_whitening(cast(PooledBackbone, encoder.backbone), whitening_frames(self.collection))
            save_encoder(encoder, stored)
        return load_encoder(stored)

    def _vectors(self) -> ShotVectors:
        return shot_vectors(self.collection, cast(PooledBackbone, self.spatial().backbone), self.folder / "vectors")

    def add(self, data: str, method: str, setting: str, seed: int, found: dict[str, float]) -> None:
        """A row a figure."""
        shown = "  ".join(f"{metric} {value:.4g}" for metric, value in found.items())
        print(f"{data}: {method:<28} {setting:<14} seed {seed}: {shown}", flush=True)
        beside = dict(zip(METRICS[2:], PAPER.get(method, ()), strict=False)) if setting == UNSEEN else {}
        self.rows += results_file.rows_of(
            data, method, found, setting=setting, seed=seed, paper=beside, paper_data=PAPER_DATA
        )

    def add_deals(self, kept: str, data: str, measured: Callable[[Study, int], list[dict[str, Any]]]) -> None:
        """The rows of each deal, whose entries (method, setting, figures) are measured once and kept by that name."""
        for seed in self.args.seeds:
            path = self.folder / f"{kept}-{seed}.json"
            if not path.exists():
                entries = measured(self, seed)
                with write_atomically(path) as partial:
                    partial.write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")
            for entry in json.loads(path.read_text(encoding="utf-8")):
                named = f"{data}, {BACKBONES[self.backbone]}"
                self.add(named, entry["method"], entry["setting"], seed, entry["figures"])


def methods(study: Study) -> None:
    """What makes one vector of a shot."""
    study.add_deals(f"methods-{'-'.join(study.args.learned)}", SHOTS, methods_of)


@dataclasses.dataclass(frozen=True)
class Queries:
    """Queries of one kind, and what they search.

    Attributes:
      shots: (Q,), what they show.
      vectors: (Q, D) of length 1.
      frames: of all shots that they search.
    """

    shots: npt.NDArray[np.int64]
    vectors: npt.NDArray[np.float32]
    frames: Sequence[npt.NDArray[np.float32]]


def queries_of(study: Study, deal: Deal, seed: int) -> dict[str, Queries]:
    """The kinds of queries by what films they are of."""
    vectors, test = study.vectors(), deal.test
    seen = np.sort(np.random.default_rng([seed, 47]).permutation(deal.train)[: len(test)])
    clips = test[deal.scenes[test] >= len(study.collection.photographs)]
    photos = {UNSEEN: test, SEEN: seen, f"{UNSEEN}, JHMDB's clips alone": clips}
    kinds = {name: Queries(shots, unit(vectors.photos[shots, -1]), vectors.frames) for name, shots in photos.items()}
    # A frame itself is the query, and its shot is searched without it.
    middles = {int(number): len(vectors.frames[number]) // 2 for number in test}
    others = [
        np.delete(own, middles[number], axis=0) if number in middles else own
        for number, own in enumerate(vectors.frames)
    ]
    held_out = np.stack([vectors.frames[number][middle] for number, middle in middles.items()])
    return kinds | {f"{UNSEEN}, frames themselves": Queries(test, unit(held_out), others)}


def methods_of(study: Study, seed: int) -> list[dict[str, Any]]:
    """Figures of one deal, by method and by what films the queries are of."""
    deal = deal_scenes(study.collection, seed)
    encoders, chosen = fitted_encoders(study, deal, seed, study.args.learned)
    longest = max(map(len, study.vectors().frames))
    embedded: dict[int, dict[str, npt.NDArray[np.float32]]] = {}
    entries = []
    for films, queries in queries_of(study, deal, seed).items():
        frames = queries.frames
        if id(frames) not in embedded:
            shots = [as_shot(own) for own in frames]
            embedded[id(frames)] = {NAMES[name]: encode_shots(shots, one, longest) for name, one in encoders.items()}
        scores = {name: queries.vectors @ unit(own).T for name, own in embedded[id(frames)].items()}
        scores[FRAME_WISE] = best_of_frames(queries.vectors, frames)
        found = {name: figures(own, queries.shots, deal) for name, own in scores.items()}
        if set(study.args.learned) == set(LEARNED):
            found["auto"] = found[NAMES[chosen]]
        for method, measured in found.items():
            entry = {metric: float(measured[metric].mean()) for metric in METRICS}
            difference = measured[METRICS[0]] - found["sum"][METRICS[0]]
            entry["less that of the sum"] = float(difference.mean())
            entry["standard error"] = float(difference.std(ddof=1) / np.sqrt(len(difference)))
            entry["queries"] = len(queries.shots)
            entries.append({"method": method, "setting": films, "figures": entry})
    print(f"seed {seed}: {NAMES[chosen]} is best for the validation films", flush=True)
    return entries


def fitted_encoders(
    study: Study, deal: Deal, seed: int, learned: Sequence[Temporal]
) -> tuple[dict[Temporal, VideoEncoder], Temporal]:
    """The learned encoders of shots and those that need no training, and which of them the recipe would take."""
    vectors, spatial, config = study.vectors(), study.spatial(), study.config(seed)
    longest = max(map(len, vectors.frames))
    pairs = ShotPairs(
        [vectors.frames[number] for number in deal.train],
        max_frames=longest,
        positive_share=config.positive_share,
        images=vectors.photos[deal.train, :TRAINING_PHOTOS],
    )
    # One shot a scene: of two that show one photograph neither would be wrong.
    _, first = np.unique(deal.scenes[deal.validation], return_index=True)
    own = deal.validation[first]
    validation = HeldOutFrames(
        [as_shot(vectors.frames[number]) for number in own],
        deal.films[own],
        np.arange(len(own)),
        np.zeros(len(own), np.int64),
        vectors.photos[own, -1],
    )
    run = RunFolder(study.folder / f"trainings-{'-'.join(learned)}-{seed}")
    run.write_config("image-to-video", config)
    context = RunContext(run, log=lambda line: print(f"seed {seed}: {line}", flush=True), show_progress=False)
    encoders = {
        name: VideoEncoder(
            spatial.backbone, shot_encoder(name, spatial.frame_embedding_size, config), spatial.preprocessing
        )
        for name in (*learned, *FIXED)
    }
    if not fit_candidates({name: encoders[name] for name in learned}, pairs, validation, config, context):
        raise SystemExit(f"stopped and saved in {run.path}: call again to go on")
    return encoders, best_candidate(candidates_on(validation, encoders, longest))


def as_shot(frames: npt.NDArray[np.float32]) -> Shot:
    """Frame vectors as a shot; its times are not looked at."""
    return Shot(0, len(frames), 0.0, float(len(frames)), np.arange(len(frames)), frames)


def best_of_frames(photos: npt.NDArray[np.float32], frames: Any) -> npt.NDArray[np.float32]:
    """The cosine of each photo and the frame of each shot that is nearest, (Q, N)."""
    starts = np.cumsum([0] + [len(own) for own in frames])[:-1]
    flat = unit(np.concatenate(frames))
    scores = np.empty((len(photos), len(frames)), np.float32)
    for start in range(0, len(photos), 256):
        block = photos[start : start + 256] @ flat.T
        scores[start : start + 256] = np.maximum.reduceat(block, starts, axis=1)
    return scores


def unit(vectors: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Rows scaled to length 1."""
    return (vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)).astype(np.float32)


def baselines(study: Study) -> None:
    """Other descriptions of frames."""
    study.add_deals("baselines", DESCRIPTIONS, baselines_of)


def baselines_of(study: Study, seed: int) -> list[dict[str, Any]]:
    """Figures of the shots of every fourth test scene of a deal among themselves, by description."""
    deal, vectors, collection = deal_scenes(study.collection, seed), study.vectors(), study.collection
    chosen = deal.test[np.isin(deal.scenes[deal.test], np.unique(deal.scenes[deal.test])[::4])]
    films = np.unique(deal.films[chosen], return_inverse=True)[1]  # from 0 on
    local = Deal(deal.scenes[chosen], films, *(np.arange(0),) * 3)
    queries = np.arange(len(chosen))
    frames, photos = [vectors.frames[number] for number in chosen], vectors.photos[chosen, -1]
    plain, plain_photos = [vectors.plain_frames[number] for number in chosen], vectors.plain_photos[chosen, -1]
    entries = []

    def add(method: str, setting: str, scores: npt.NDArray[np.float32], size: int) -> None:
        found = {metric: float(values.mean()) for metric, values in figures(scores, queries, local).items()}
        entries.append(
            {"method": method, "setting": setting, "figures": found | {"numbers": size, "shots": len(chosen)}}
        )

    for method, own, of_photos in ((WHITENED, frames, photos), ("average of the map", plain, plain_photos)):
        size = of_photos.shape[1]
        add(method, FRAME_WISE, best_of_frames(unit(of_photos), own), size)
        summed = unit(np.stack([unit(rows).sum(axis=0) for rows in own]))
        add(method, "sum", unit(of_photos) @ summed.T, size)
    residual = fitted_encoders(study, deal, seed, ["residual"])[0]["residual"]
    embedded = encode_shots([as_shot(own) for own in frames], residual, max(map(len, vectors.frames)))
    add(WHITENED, "residual", unit(photos) @ unit(embedded).T, photos.shape[1])
    images = [collection.shot(number) for number in chosen.tolist()]
    described = [[root_sift(image) for image in samples] for samples, _ in images]
    of_photos = [root_sift(found[-1]) for _, found in images]
    learn_on = np.flatnonzero(collection.for_whitening[collection.scenes])[::8]
    fisher = FisherVectors([root_sift(collection.shot(number)[0][0]) for number in learn_on.tolist()], seed=seed)
    queried = np.stack([fisher(points) for points in of_photos])
    by_frame = [np.stack([fisher(points) for points in shot]) for shot in described]
    add(FISHER, FRAME_WISE, best_of_frames(queried, by_frame), fisher.size)
    summed = unit(np.stack([rows.sum(axis=0) for rows in by_frame]))
    add(FISHER, "sum", queried @ summed.T, fisher.size)
    scenes = np.stack([fisher(np.concatenate(shot)) for shot in described])
    add(FISHER, "one a shot (scene FV)", queried @ scenes.T, fisher.size)
    return entries


def cost_rows() -> list[dict[str, Any]]:
    """Parameters, arithmetic of a frame, and bytes of an hour's shots; times would be those of one machine."""
    shots_an_hour = 3600 / 4.0  # of four seconds, about what films here have
    rows: list[dict[str, Any]] = []
    for backbone, size in SIZES.items():
        config = ImageToVideoConfig(backbone=cast(BackboneName, backbone), weights="none", whitened_size=size)
        encoder = make_encoder(config, "sum")
        found: dict[str, float] = {"numbers": size, "million parameters": parameter_count(encoder) / 1e6}
        for height, width in ((128, 192), (576, 1024)):
            images = jax.ShapeDtypeStruct((1, height, width, 3), np.uint8)
            lowered = jax.jit(lambda net, frames: net(frames).embedding).lower(encoder.backbone, images)
            found[f"GFLOP a frame of {width} x {height}"] = lowered.cost_analysis()["flops"] / 1e9
        found["MB an hour of shots"] = shots_an_hour * size * 4 / 1e6
        rows += results_file.rows_of("Cost, random weights", backbone, found)
    return rows


STUDIES = {"methods": methods, "baselines": baselines}


def compared() -> Iterator[Comparison]:
    """The recurrent encoders less the residual, and the residual less Fisher vectors frame by frame."""
    for backbone in BACKBONES.values():
        for setting in (UNSEEN, SEEN):
            data = f"{SHOTS}, {backbone}"
            for method in ("LSTM", "GRU"):
                ours, theirs = ((data, one, setting) for one in (method, "residual"))
                yield Comparison(data, method, f"{setting}, less the residual", ours, theirs)
        data = f"{DESCRIPTIONS}, {backbone}"
        residual, fisher = (data, WHITENED, "residual"), (data, FISHER, FRAME_WISE)
        yield Comparison(data, WHITENED, f"residual, less {FISHER} {FRAME_WISE}", residual, fisher)


def main() -> None:
    """Run the studies, print a line a figure, write the result file."""
    parser = StudyParser(__doc__, NAME, (*STUDIES, COST), seeds=(0, 1, 2), differences=True)
    parser.add_argument("--backbones", nargs="+", choices=BACKBONES, default=list(WEIGHTS))
    parser.add_setting("--weights", help="of the one backbone: a file, imagenet or none (default: what is at hand)")
    parser.add_argument("--learned", nargs="+", choices=LEARNED, default=list(LEARNED), help="what is trained")
    parser.add_setting("--epochs", type=int, default=60, help="of each training (default 60)")
    args = parser.read()
    if args.weights and len(args.backbones) > 1:
        parser.error("--weights are of one backbone: name it with --backbones")
    if without := [name for name in args.backbones if not args.weights and name not in WEIGHTS]:
        parser.error(f"{without[0]} needs --weights")
    chosen = [name for name in STUDIES if name in args.studies]
    rows = cost_rows() if COST in args.studies else []
    for backbone in args.backbones if chosen else ():
        study = Study(args, backbone)
        for name in chosen:
            STUDIES[name](study)
        rows += study.rows
    if args.publish:
        packages = ["jax", "flax", "av", "scikit-learn"]
        results_file.update(NAME, rows, packages)
        print(write_differences(NAME, compared(), packages, COMPARED))


if __name__ == "__main__":
    main()
