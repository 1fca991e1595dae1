"""The encoders behind accuracy_image_to_video.py: whitening, frame vectors and trainings, made once and kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from studies.image_to_video.films import Film, Films

from jaxret import rank
from jaxret.data.batches.plans import ShuffledBatches
from jaxret.data.batches.shot_pairs import ShotPairs
from jaxret.models import PooledBackbone, SequenceEncoder
from jaxret.models.encoder import VideoEncoder
from jaxret.models.store import load_encoder, save_encoder
from jaxret.recipes.image_to_video.candidates import best_candidate, compare
from jaxret.recipes.image_to_video.features import FilmFeatures
from jaxret.recipes.image_to_video.recipe import ImageToVideoConfig, make_encoder
from jaxret.recipes.image_to_video.shot_encoders import Temporal, shot_encoder
from jaxret.recipes.image_to_video.training_frames import training_frames
from jaxret.retrieval.encode import FrameVectors, Shot, detect_cuts, encode_shots, random_cuts, shots_between
from jaxret.training import (
    CosineMarginObjective,
    FitTask,
    RunContext,
    RunFolder,
    Validation,
    fit_model,
)
from jaxret.training.pca import fit_whitening

__all__ = ["CUTS", "CutRule", "Gallery", "Images", "System"]

Images = Literal["photographs", "frames"]
CutRule = Literal["none", "random", "ours", "known", "every frame"]
CUTS: tuple[CutRule, ...] = ("none", "random", "ours", "known")


@dataclasses.dataclass(frozen=True)
class Gallery:
    """Vectors of the shots of all films of a part.

    Attributes:
      vectors: float32 (N, E).
      films: (N,), the film of each, ascending.
      middles: (N,) seconds, half way between the first and the last sampled frame of the shot.
    """

    vectors: np.ndarray
    films: np.ndarray
    middles: np.ndarray


class System:
    """Everything of one backbone, one length of vectors and one seed.

    Args:
      films: of the seed.
      backbone, weights: the frozen network.
      stage: the map that is pooled; empty: the last.
      whitened_size: numbers of a vector; 0 without whitening.
      rate: frames a second.
      seed: of whitening, training and random cuts.
      folder: of encoders and trainings, for these settings alone.
      cache: of frame vectors; may be shared.
    """

    def __init__(
        self,
        films: Films,
        backbone: str,
        weights: str,
        *,
        stage: str,
        whitened_size: int,
        rate: float,
        seed: int,
        folder: Path,
        cache: Path,
    ):
        self.films, self.backbone, self.seed, self.folder = films, backbone, seed, folder
        self._cache = cache
        self.config = ImageToVideoConfig(
            backbone=backbone,  # type: ignore[arg-type]
            weights=weights,
            stage=stage,
            whitened_size=whitened_size,
            rate=rate,
            seed=seed,
        )
        self._vectors: dict[str, tuple[list[FrameVectors], np.ndarray]] = {}

    @cached_property
    def spatial(self) -> VideoEncoder:
        """The encoder of frames, whitened on frames of the training films; of shots it takes the sum."""
        stored = self.folder / "spatial"
        if not (stored / "encoder.json").exists():
            encoder = make_encoder(self.config, "sum")
            if self.config.whitened_size:
                assert isinstance(encoder.backbone, PooledBackbone)
                train = self.films.dataset("train")
                numbers = np.arange(len(self.films.films["train"]))
                frames = training_frames(train, numbers, self.config.preprocessing(), self.config.whitening_frames)
                fit_whitening(encoder.backbone, frames, seed=self.seed)
            save_encoder(encoder, stored)
        return load_encoder(stored)

    def vectors(self, part: str) -> tuple[list[FrameVectors], np.ndarray]:
        """Frame vectors of the films of a part, and the vectors of its photographs (Q, D)."""
        if part not in self._vectors:
            dataset, films = self.films.dataset(part), len(self.films.films[part])
            features = FilmFeatures(dataset, self.spatial, self._cache)
            if broken := features.prepare(threads=2, show=True):
                raise SystemExit(f"does not read: {broken[0]}")
            found = features.frame_vectors(range(len(dataset)))
            photos = np.stack([found[number].vectors[0, 0] for number in range(films, len(dataset))])
            self._vectors[part] = [found[number] for number in range(films)], photos
        return self._vectors[part]

    def cuts(self, part: str, rule: CutRule) -> list[np.ndarray]:
        """For each film of a part the sampled frames at which a shot begins."""
        return [
            self._cuts(film, video, rule, number)
            for number, (film, video) in enumerate(zip(self.films.films[part], self.vectors(part)[0], strict=True))
        ]

    def _cuts(self, film: Film, video: FrameVectors, rule: CutRule, number: int) -> np.ndarray:
        vectors, times = video.vectors[0], video.times[0]
        if rule == "none":
            return np.zeros(0, np.int64)
        if rule == "every frame":
            return np.arange(1, len(times))
        if rule == "known":
            # The first sample that is not before the cut. A clip between two samples is not seen at all.
            places = np.unique(np.searchsorted(times, film.cuts - 1e-9))
            return places[(places > 0) & (places < len(times))]
        ours = detect_cuts(vectors, self.config.cut_threshold)
        if rule == "ours":
            return ours
        return random_cuts(len(times), len(ours), np.random.default_rng([self.seed, number, 23]))

    def shots(self, part: str, rule: CutRule) -> list[tuple[int, Shot]]:
        """All shots of a part with the number of their film."""
        return [
            (number, shot)
            for number, (video, cuts) in enumerate(zip(self.vectors(part)[0], self.cuts(part, rule), strict=True))
            for shot in shots_between(
                video.vectors[0], video.times[0], float(video.spans[0, 1]), cuts, max_frames=self.config.max_frames
            )
        ]

    def gallery(self, part: str, rule: CutRule, temporal: SequenceEncoder) -> Gallery:
        """The shots of a part through an encoder."""
        found = self.shots(part, rule)
        encoder = VideoEncoder(self.spatial.backbone, temporal, self.spatial.preprocessing)
        return Gallery(
            encode_shots([shot for _, shot in found], encoder, self.config.max_frames),
            np.array([film for film, _ in found]),
            self._middles([shot for _, shot in found]),
        )

    def figures(self, part: str, gallery: Gallery) -> dict[str, float]:
        """mAP and R@1 of films, whose score is their best shot, and of clips, which are found by a shot of theirs.

        A shot is a clip's where its middle lies in the clip. A clip that is no shot's is not found.
        """
        return {name: float(np.mean(values)) for name, values in self.scores(part, gallery).items()}

    def scores(self, part: str, gallery: Gallery) -> dict[str, np.ndarray]:
        """Of each photograph what `figures` are means of, (Q,)."""
        films, photos = self.films.films[part], self.films.photos[part]
        result = rank.cosine_topk(self.vectors(part)[1], gallery.vectors, len(gallery.vectors))
        of_shot = gallery.films, clips_at(films, gallery.films, gallery.middles)
        of_photo = np.array([photo.film for photo in photos]), np.array([photo.seconds for photo in photos])
        clip = clips_at(films, *of_photo)
        film_scores, clip_scores = [], []
        for film, own, found in zip(of_photo[0], clip, result.ids, strict=True):
            order = list(dict.fromkeys(of_shot[0][found].tolist()))
            film_scores.append(1 / (1 + order.index(film)))
            right = np.flatnonzero((of_shot[0][found] == film) & (of_shot[1][found] == own))
            clip_scores.append(1 / (1 + right[0]) if len(right) else 0.0)
        by_film, by_clip = np.array(film_scores), np.array(clip_scores)
        return {"mAP": by_film, "R@1": by_film == 1, "mAP of clips": by_clip, "R@1 of clips": by_clip == 1}

    def chosen(self, encoders: Mapping[Temporal, SequenceEncoder]) -> Temporal:
        """The one that the recipe would take: the best for the validation films, if better than the sum."""
        galleries = {name: self.gallery("validation", "known", temporal) for name, temporal in encoders.items()}
        scores = {name: self.scores("validation", own)["mAP of clips"] for name, own in galleries.items()}
        return best_candidate(compare(scores))

    def pooling(self, kind: Literal["sum", "max"]) -> SequenceEncoder:
        """What needs no training."""
        return shot_encoder(kind, self.spatial.frame_embedding_size, self.config)

    def trained(self, cell: Temporal, images: Images) -> SequenceEncoder:
        """The temporal encoder trained on the known shots of the training films, the best epoch by validation films.

        Args:
          cell: one that is learned.
          images: the queries of training: frames of the shots themselves, as in the paper, or screen photos of others.
        """
        run = RunFolder(self.folder / f"{cell}-{images}")
        if not (run.encoder / "encoder.json").exists():
            self._train(cell, images, run)
        return load_encoder(run.encoder).temporal

    def _train(self, cell: Temporal, images: Images, run: RunFolder) -> None:
        temporal = shot_encoder(cell, self.spatial.frame_embedding_size, self.config)
        shots = self.shots("train", "known")
        longest = max(len(shot.vectors) for _, shot in shots)
        pairs = ShotPairs([shot.vectors for _, shot in shots], max_frames=longest)
        photos = self._photos_of(shots)

        def read(row: int, rng: np.random.Generator) -> dict[str, Any]:
            pair = pairs(row, rng)
            # A shot of so few frames that none was left to be photographed keeps its own.
            if images == "photographs" and len(photos[row]):
                pair["images"] = photos[row][rng.integers(len(photos[row]))]
            return pair

        def evaluate() -> dict[str, float]:
            found = self.figures("validation", self.gallery("validation", "known", temporal))
            # Of so few films the right one is soon the first.
            return {"validation mAP": found["mAP of clips"], "validation R@1": found["R@1 of clips"]}

        self.vectors("validation")
        run.path.mkdir(parents=True, exist_ok=True)
        plan = ShuffledBatches(len(pairs), min(self.config.batch_size, len(pairs)))
        task = FitTask(temporal, CosineMarginObjective(self.config.margin), read, plan, Validation(evaluate))
        name = f"{run.path.parent.name}, {run.path.name}"
        context = RunContext(run, log=lambda line: print(f"{name}: {line}", flush=True), show_progress=False)
        fit_model(task, self.config, context)
        save_encoder(VideoEncoder(self.spatial.backbone, temporal, self.spatial.preprocessing), run.encoder)

    def _photos_of(self, shots: list[tuple[int, Shot]]) -> list[np.ndarray]:
        """The vectors of the training photographs of each shot."""
        films, photos = self.films.films["train"], self.films.photos["train"]
        _, vectors = self.vectors("train")
        film = np.array([photo.film for photo in photos])
        clip = clips_at(films, film, np.array([photo.seconds for photo in photos]))
        shot_film = np.array([number for number, _ in shots])
        shot_clip = clips_at(films, shot_film, self._middles([shot for _, shot in shots]))
        return [vectors[(film == number) & (clip == own)] for number, own in zip(shot_film, shot_clip, strict=True)]

    def _middles(self, shots: list[Shot]) -> np.ndarray:
        """Seconds half way between the first and the last sampled frame of shots."""
        return np.array([(shot.first + shot.stop - 1) / 2 for shot in shots]) / self.config.rate


def clips_at(films: list[Film], numbers: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """The place in its film of the clip that is shown at each of `seconds` in film `numbers`."""
    # A sample at the very time of a cut shows the clip that begins.
    return np.array(
        [
            np.searchsorted(films[number].edges, moment + 1e-9, side="right") - 1
            for number, moment in zip(numbers, seconds, strict=True)
        ]
    )
