"""The training of an encoder of shots, read top to bottom: whitening, frame vectors, shots, photos, fit, report."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import jax
import numpy as np

from jaxret.data.batches.shot_pairs import ShotPairs
from jaxret.data.dataset import MediaDataset
from jaxret.data.readers import MediaInfo
from jaxret.data.sampling.frames import frames_on_display, moments_at_rate
from jaxret.data.sampling.reading import open_item, read_images
from jaxret.data.sampling.shot_cleaning import clean_shot
from jaxret.data.sampling.transforms import centre_geometry
from jaxret.data.splits import split_items
from jaxret.models import PooledBackbone
from jaxret.models.encoder import VideoEncoder
from jaxret.models.store import load_encoder, parameter_count, save_encoder
from jaxret.recipes.image_to_video.candidates import best_candidate, candidates_on, fit_candidates
from jaxret.recipes.image_to_video.features import FilmFeatures
from jaxret.recipes.image_to_video.held_out import HeldOutFrames
from jaxret.recipes.image_to_video.photos import random_moments, screen_photo_vectors
from jaxret.recipes.image_to_video.report import ShotStudy, finish_shot_run
from jaxret.recipes.image_to_video.shot_encoders import FIXED, LEARNED, NAMES, Temporal, shot_encoder
from jaxret.recipes.image_to_video.training_frames import training_frames
from jaxret.recipes.opening import open_data, opened
from jaxret.recipes.recipe import Run
from jaxret.retrieval.encode import FrameVectors, Shot, shots_of
from jaxret.training import RunContext, RunFolder, barrier
from jaxret.training.pca import fit_whitening

if TYPE_CHECKING:
    from jaxret.recipes.image_to_video.recipe import ImageToVideoConfig

__all__ = ["Films", "cleaned", "open_films", "shots_by_video", "train_shot_encoder", "whole_films"]


@dataclasses.dataclass(frozen=True)
class Films:
    """A data set of films.

    Attributes:
      dataset: all items.
      splits: indices of the films that train, validate and test.
    """

    dataset: MediaDataset
    splits: dict[str, np.ndarray]


def open_films(config: ImageToVideoConfig, context: RunContext) -> Films:
    """The films, dealt to splits by source, and logged; ConfigError where there are too few."""
    dataset = open_data(config, "the films")
    context.check_data(dataset)
    splits = split_items(dataset, "video", seed=config.seed)
    counts = ", ".join(f"{len(indices)} {name}" for name, indices in splits.items())
    context.log(f"{opened(config.data, dataset)}; videos: {counts}")
    return Films(dataset, splits)


def train_shot_encoder(
    encoder: VideoEncoder, films: Films, config: ImageToVideoConfig, context: RunContext
) -> Run | None:
    """Fit the whitening, compute frame vectors, cut, train, index, measure and report in the run folder.

    Args:
      encoder: with its initial weights; the whitening does nothing yet.
      films: what it is trained and evaluated on.
      config: settings; they are written to the run folder.
      context: where to train, from the last checkpoint if there is one, and log.

    Returns:
      What came out; None if training was stopped before its end, and in all processes but the first.
    """
    dataset, run = films.dataset, context.run
    # ---- spatial encoder
    first = jax.process_index() == 0
    if not first:  # the first process computes what stays on disk, then the others read it
        barrier("prepared")
    encoder = _with_whitening(encoder, films, config, context)
    context.log(f"encoder: {encoder.summary}; {parameter_count(encoder):,} parameters")
    # ---- frame vectors and shots
    features = FilmFeatures(dataset, encoder, config.cache or run.cache)
    failures = [*dataset.skipped, *features.prepare(threads=config.threads, show=context.show_progress)]
    shots = {name: shots_by_video(features.frame_vectors(indices), config) for name, indices in films.splits.items()}
    context.log("shots: " + ", ".join(f"{len(found)} {name}" for name, found in shots.items()))
    if config.screen_photos:
        context.log("screen photos of moments of the shots")
    searched = {**shots, "seen": whole_films(shots["train"], len(shots["test"]))}
    queries = {
        name: _held_out_queries(dataset, encoder, searched[name], name, config, run)
        for name in ("validation", "test", "seen")
    }
    learned = _to_be_trained(config, len(shots["train"]), queries["validation"], context)
    images = None
    if config.screen_photos and learned:
        moments = random_moments([shot for _, shot in shots["train"]], config.screen_photos, seed=config.seed)
        of_films = np.array([video for video, _ in shots["train"]])
        store = run.path / "photographs-train.npy"
        images = screen_photo_vectors(dataset, encoder, of_films, moments, store, seed=config.seed)
    if first:
        barrier("prepared")
    # ---- train
    encoders = {name: _with_temporal(encoder, name, config) for name in FIXED}
    if learned:
        own = [cleaned(dataset, video, shot, config) for video, shot in shots["train"]]
        longest = max(map(len, own))  # shorter batches where no shot is as long as it may be
        pairs = ShotPairs(own, max_frames=longest, positive_share=config.positive_share, images=images)
        # Alone it starts from the weights that the run has kept, which may be of an older version.
        starts = {learned[0]: encoder} if len(learned) == 1 else {
            name: _with_temporal(encoder, name, config) for name in learned
        }  # fmt: skip
        if not fit_candidates(starts, pairs, queries["validation"], config, context):
            context.log_stopped()
            return None
        encoders |= starts
    elif config.temporal != "auto":
        context.log(f"shots by their {config.temporal}: there is nothing to train")
    if not first:
        return None
    # ---- choose
    compared = []
    if queries["validation"].measurable:
        compared = candidates_on(queries["validation"], encoders, config.max_frames)
    chosen = best_candidate(compared) if config.temporal == "auto" else config.temporal
    if config.temporal == "auto":
        context.log(f"auto: shots by {NAMES[chosen]}")
    elif compared and (better := best_candidate(compared)) != chosen:
        context.log(f"of these, {NAMES[better]} finds the validation films better: --temporal {better}")
    save_encoder(encoders[chosen], run.encoder)
    # ---- index, evaluation, report
    ordered = {chosen: encoders[chosen]} | {name: encoders[name] for name in (*LEARNED, *FIXED) if name in encoders}
    media = features.frame_vectors(range(len(dataset)))
    study = ShotStudy(ordered, queries["test"], queries["seen"], compared)
    return finish_shot_run(dataset, media, study, config, context, failures=failures)


def _to_be_trained(
    config: ImageToVideoConfig, shots: int, validation: HeldOutFrames, context: RunContext
) -> tuple[Temporal, ...]:
    """What is trained; of `auto` nothing where there is nothing to train on or to choose by, which is logged."""
    if config.temporal != "auto":
        return () if config.temporal in FIXED else (config.temporal,)
    if shots < 2 or not validation.measurable:
        lack = "fewer than two shots to train on" if shots < 2 else "no two shots to choose by in the validation films"
        context.log(f"auto: there are {lack}, so shots count by their sum")
        return ()
    return LEARNED


def whole_films(shots: list[tuple[int, Shot]], count: int) -> list[tuple[int, Shot]]:
    """The first `count` shots of the films in evenly mixed order: as many as others are compared with, and as alike.

    Args:
      shots: with the item indices of their films, film by film.
      count: shots wanted; fewer where there are not as many.
    """
    films = list(dict.fromkeys(film for film, _ in shots))
    order = {film: place for place, film in enumerate(np.random.default_rng(7).permutation(films).tolist())}
    return sorted(shots, key=lambda owned: order[owned[0]])[:count]


def _with_whitening(
    encoder: VideoEncoder, films: Films, config: ImageToVideoConfig, context: RunContext
) -> VideoEncoder:
    """The encoder that training starts from, its whitening fitted; the one that the run has, if it has one."""
    context.write_config(config, films.dataset)
    start = context.run.path / "start"
    if (start / "encoder.json").exists():
        return load_encoder(start)
    if isinstance(encoder.backbone, PooledBackbone) and encoder.backbone.whitening is not None:
        context.log(f"whitening: fitted on {config.whitening_frames} training frames at most")
        frames = training_frames(films.dataset, films.splits["train"], config.preprocessing(), config.whitening_frames)
        fit_whitening(encoder.backbone, frames, seed=config.seed)
    save_encoder(encoder, start)
    return encoder


def _held_out_queries(
    dataset: MediaDataset,
    encoder: VideoEncoder,
    shots: list[tuple[int, Shot]],
    split: str,
    config: ImageToVideoConfig,
    run: RunFolder,
) -> HeldOutFrames:
    """A frame of each shot, or with the setting `screen_photos` a screen photo of it, as queries."""
    queries = HeldOutFrames.of([shot for _, shot in shots], [video for video, _ in shots], seed=config.seed)
    if not config.screen_photos:
        return queries
    of_films = queries.videos[queries.shot_of_query]
    times = {film: _times(dataset.info(film), config) for film in np.unique(of_films).tolist()}
    shown = zip(of_films.tolist(), queries.frames.tolist(), strict=True)
    moments = np.array([times[film][frame] for film, frame in shown]).reshape(-1, 1)
    store = run.path / f"photographs-{split}.npy"
    photos = screen_photo_vectors(dataset, encoder, of_films, moments, store, seed=config.seed)
    return dataclasses.replace(queries, vectors=photos[:, 0])


def _with_temporal(encoder: VideoEncoder, name: Temporal, config: ImageToVideoConfig) -> VideoEncoder:
    return encoder.with_temporal(shot_encoder(name, encoder.frame_embedding_size, config))


def shots_by_video(media: dict[int, FrameVectors], config: ImageToVideoConfig) -> list[tuple[int, Shot]]:
    """All shots with the item indices of their videos."""
    sampling = config.preprocessing().shots
    assert sampling is not None
    return [(index, shot) for index, video in media.items() for shot in shots_of(video, sampling)]


def _times(info: MediaInfo, config: ImageToVideoConfig) -> np.ndarray:
    """The seconds of a film's sampled frames; after a gap they count from its end."""
    return moments_at_rate(info.duration, config.rate, info.parts)


def cleaned(dataset: MediaDataset, video: int, shot: Shot, config: ImageToVideoConfig) -> np.ndarray:
    """The frame vectors of a shot that train; with `clean` those whose frames match each other."""
    if not config.clean or len(shot.vectors) < 2:
        return shot.vectors
    preprocessing = config.preprocessing()
    with open_item(dataset, video, preprocessing) as reader:
        geometry = centre_geometry(reader.info.height, reader.info.width, preprocessing)
        positions = frames_on_display(reader.times, _times(reader.info, config)[shot.frames])
        return shot.vectors[clean_shot(np.stack(list(read_images(reader, positions, geometry, preprocessing))))]
