"""System 5: a photograph finds the moment in a film.

Paper: N. Garcia and G. Vogiatzis, "Asymmetric spatio-temporal embeddings for large-scale image-to-video retrieval",
BMVC 2018.

- Frames at 3 a second, aspect ratio kept, longer side at most 1,024 pixels (960 for pictures that ask).
- Spatial encoder, frozen: R-MAC of the backbone's last map, PCA-whitened; the whitening is fitted on training frames.
- Shots: cut where the cosine distance of consecutive frame vectors is above 0.5.
- Temporal encoder: LSTM or GRU of 512 units over at most 50 frames, dense, tanh, unit length, into the space of the
  pictures. Sum and max pooling, which need no training, are the baselines.
- Objective: cosine loss with margin 0.1 on pairs of a frame and a shot, 20 % of them its own.
- Ranking: cosine of picture and shot; a video counts by its best shot.

Decisions: videos are dealt to training, validation and test by source (80, 10 and 10 %); the epoch is chosen by how
well held-out moments find their own shots among the validation part's. What asks in training are synthetic photographs
of the training shots: with frames of the shots themselves (`--photographs 0`, the paper's way) the recurrent encoder
does not beat the sum (benchmarks/accuracy_image_to_video.py). Adam starts at 1e-3 and follows a cosine, with batches
of 128, where the paper has 1e-4 and 512: some hundred shots are few batches. A clip file is cut like a film; for data
whose files are shots already, `--cut-threshold 2` cuts nothing.

Run: `python -m jaxret.train image-to-video --data FILMS`, then `python -m jaxret search RUN photo.jpg`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
from flax import nnx

from jaxret.cli.shell import command_line_of
from jaxret.data.batches.plans import ShuffledBatches
from jaxret.data.batches.shot_pairs import ShotPairs
from jaxret.data.dataset import MediaDataset
from jaxret.data.open import open_dataset
from jaxret.data.sampling.frames import frames_on_display
from jaxret.data.sampling.reading import open_item, read_pictures
from jaxret.data.sampling.shot_cleaning import clean_shot
from jaxret.data.sampling.transforms import centre_geometry
from jaxret.data.splits import split_items
from jaxret.errors import ConfigError
from jaxret.models import (
    Maximum,
    PooledBackbone,
    Sum,
    TanhHead,
    TemporalEncoder,
    UnitLength,
    backbone_info,
    create_backbone,
)
from jaxret.models.encoder import VideoEncoder
from jaxret.models.store import load_encoder, parameter_count, save_encoder
from jaxret.models.weights.load import load_pretrained
from jaxret.preprocessing import Preprocessing, ShotSampling
from jaxret.recipes.backbone_names import BackboneName, check_backbone
from jaxret.recipes.clip_report import RunSummary
from jaxret.recipes.image_to_video.features import FilmFeatures
from jaxret.recipes.image_to_video.held_out import ShotQuestions
from jaxret.recipes.image_to_video.photos import photograph_vectors, random_moments
from jaxret.recipes.image_to_video.report import finish_shot_run
from jaxret.recipes.image_to_video.training_frames import training_frames
from jaxret.retrieval.encode import FrameVectors, Shot, shots_of
from jaxret.training import CosineMarginObjective, LoopConfig, OptimiserConfig, RunFolder, meet, refuse_unused
from jaxret.training.fit import fit_model
from jaxret.training.pca import fit_whitening

__all__ = ["ImageToVideoConfig", "train"]

_WHITENED = 128
_OF_TRAINING = ("clean", "units", "margin", "positive_share", "batch_size", "optimiser", "loop")


@dataclasses.dataclass(frozen=True)
class ImageToVideoConfig:
    """Settings of image-to-video retrieval."""

    data: str = ""
    """A folder of films or clips, a CSV with the column path and optionally source and split, or tfds:NAME."""
    split_column: str = "split"
    """For a CSV: the column that names each item's split (train, validation or test)."""
    download: bool = False
    """For tfds: fetch the data set if it is not on this machine yet."""
    out: Path | None = None
    """The run folder to make; none: runs/image-to-video-<number>."""
    backbone: BackboneName = "efficientnet-lite0"
    """Network whose feature map is pooled; the paper's is vgg16."""
    weights: str = "imagenet"
    """Its weights: imagenet (efficientnet-lite0, with the extra `weights`), a file (Keras .h5, .safetensors, .pth), or
    none for random ones."""
    stage: str = ""
    """The map's name; empty: the last one, of efficientnet-lite0 block_8, which found validation films better."""
    pooling: Literal["rmac", "mac", "spoc", "gem"] = "rmac"
    """How the map becomes a vector."""
    whitened_size: int | None = None
    """Numbers of a vector after PCA-whitening. none: 128, or the channels of a map that has fewer; the paper's is 512,
    but from some hundred shots the recurrent layers did not learn more than 128. 0: no whitening; consecutive frames
    are then so alike that the cut threshold must be far lower."""
    whitening_frames: int = 400
    """Training frames that the whitening is fitted on."""
    frame_side: int = 1024
    """Longer side of a frame in pixels, at most; a multiple of 32."""
    picture_side: int = 960
    """Longer side of a picture in pixels, at most; a multiple of 32."""
    rate: float = 3.0
    """Frames a second."""
    cut_threshold: float = 0.5
    """Cosine distance of consecutive frames above which there is a cut."""
    max_frames: int = 50
    """Frames that stand for a shot, at most."""
    clean: bool = False
    """Keep of every training shot the frames that match each other by SIFT (extra `opencv`; hours for many clips)."""
    photographs: int = 2
    """Synthetic bad photographs (from the side, blurred, over- or underexposed, with moire) of each training shot; they
    ask in training, and others ask in validation and test. 0: frames of the shots themselves ask, as in the paper."""
    temporal: Literal["lstm", "gru", "sum", "max"] = "lstm"
    """What makes one vector of a shot; sum and max need no training."""
    units: int = 512
    """Units of the recurrent layer."""
    margin: float = 0.1
    """Cosine up to which a picture and another shot are let be."""
    positive_share: float = 0.2
    """Share of the pairs whose picture belongs to the shot."""
    batch_size: int = 128
    """Pairs a step, over all devices and processes."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Compute precision of the models; parameters stay float32."""
    cache: Path | None = None
    """Folder that keeps frame vectors; runs may share it. none: cache/ in the run folder."""
    threads: int = 2
    """Media files decoded at once."""
    seed: int = 0
    """Everything random follows from it."""
    optimiser: OptimiserConfig = OptimiserConfig(learning_rate=1e-3, schedule="cosine", clip_norm=5.0)
    """How gradients become updates."""
    loop: LoopConfig = LoopConfig(epochs=200, evaluate_every=10)
    """How long to train."""

    def __post_init__(self) -> None:
        check_backbone(self.backbone)
        for name in ("threads", "batch_size", "units", "whitening_frames"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.whitened_size is not None and self.whitened_size < 0:
            raise ConfigError(f"whitened_size must be at least 1, or 0 for no whitening, got {self.whitened_size}")
        if not 0 <= self.positive_share <= 1:
            raise ConfigError(f"positive_share must lie in 0..1, got {self.positive_share}")
        if self.photographs < 0:
            raise ConfigError(f"photographs must be at least 0, got {self.photographs}")
        if self.temporal in ("sum", "max"):
            refuse_unused(self, _OF_TRAINING, f"shots by their {self.temporal} need no training")
        CosineMarginObjective(self.margin)  # refuses what is out of range
        self.preprocessing()

    def preprocessing(self) -> Preprocessing:
        """How videos are sampled and cut.

        Raises:
          ConfigError: a setting is out of range.
        """
        shots = ShotSampling(self.rate, self.cut_threshold, self.max_frames, self.picture_side)
        return Preprocessing(height=self.frame_side, width=self.frame_side, resize="limit", shots=shots)


def train(
    recipe: str,
    config: ImageToVideoConfig,
    run: RunFolder,
    *,
    stop_after: int | None = None,
    say: Callable[[str], None] = print,
    show_progress: bool = True,
) -> RunSummary | None:
    """Fit the whitening, compute frame vectors, cut, train, index, measure and report in `run`.

    Goes on from the run's last checkpoint if it has one. Arguments are those of
    `jaxret.recipes.clips.train.train_clip_encoder`.

    Returns:
      What came out; None if training was asked to stop before its end, and in all processes but the first.
    """
    # ---- data
    if not config.data:
        raise ConfigError("data must name the films: --data FOLDER")
    dataset = open_dataset(config.data, split_column=config.split_column, download=config.download)
    parts = split_items(dataset, "video", seed=config.seed)
    counts = ", ".join(f"{len(numbers)} {name}" for name, numbers in parts.items())
    say(f"{config.data}: {len(dataset)} items ({len(dataset.skipped)} unreadable); videos: {counts}")
    # ---- spatial encoder
    first = jax.process_index() == 0
    if not first:  # the first process computes what stays on disk, then the others read it
        meet("prepared")
    encoder = make_encoder(config, config.temporal)
    start = run.path / "start"
    if (start / "encoder.json").exists():
        encoder = load_encoder(start)
    else:
        run.write_config(recipe, config)
        if isinstance(encoder.backbone, PooledBackbone) and encoder.backbone.whitening is not None:
            say(f"whitening: fitted on {config.whitening_frames} training frames at most")
            frames = training_frames(dataset, parts["train"], config.preprocessing(), config.whitening_frames)
            fit_whitening(encoder.backbone, frames, seed=config.seed)
        save_encoder(encoder, start)
    say(f"encoder: {encoder.summary}; {parameter_count(encoder):,} parameters")
    # ---- frame vectors and shots
    features = FilmFeatures(dataset, encoder, config.cache or run.cache)
    failures = [
        *dataset.skipped,
        *features.prepare(threads=config.threads, show=show_progress),
    ]
    shots = {name: shots_by_video(features.frame_vectors(numbers), config) for name, numbers in parts.items()}
    questions = {
        name: ShotQuestions.of([shot for _, shot in found], [video for video, _ in found], seed=config.seed)
        for name, found in shots.items()
    }
    say("shots: " + ", ".join(f"{len(found)} {name}" for name, found in shots.items()))
    if config.photographs:
        say("photographs of moments of the shots")
        for name in ("validation", "test"):
            asked = questions[name]
            moments = (asked.frames / config.rate)[:, None]
            store = run.path / f"photographs-{name}.npy"
            of_films = asked.videos[asked.asking]
            photos = photograph_vectors(dataset, encoder, of_films, moments, store, seed=config.seed)
            questions[name] = dataclasses.replace(asked, pictures=photos[:, 0])
    images = None
    if config.photographs and config.temporal in ("lstm", "gru"):
        moments = random_moments([shot for _, shot in shots["train"]], config.photographs, seed=config.seed)
        of_films = np.array([video for video, _ in shots["train"]])
        store = run.path / "photographs-train.npy"
        images = photograph_vectors(dataset, encoder, of_films, moments, store, seed=config.seed)
    if first:
        meet("prepared")
    # ---- train
    if config.temporal in ("lstm", "gru"):
        own = [cleaned(dataset, video, shot, config) for video, shot in shots["train"]]
        pairs = ShotPairs(own, max_frames=config.max_frames, positive_share=config.positive_share, images=images)

        def evaluate() -> dict[str, float]:
            found = questions["validation"].figures(encoder, config.max_frames)
            return {f"validation {name}": found[name] for name in ("mAP", "R@1") if name in found}

        result = fit_model(
            encoder.temporal,
            CosineMarginObjective(config.margin),
            pairs,
            ShuffledBatches(len(pairs), min(config.batch_size, len(pairs))),
            config,
            run,
            evaluate=evaluate,
            stop_after=stop_after,
            say=say,
            show_progress=show_progress,
        )
        if not result.finished:
            say(f"stopped and saved. To go on: {command_line_of('train', '--resume', run.path)}")
            return None
    else:
        say(f"shots by their {config.temporal}: there is nothing to train")
    if not first:
        return None
    save_encoder(encoder, run.encoder)
    # ---- index, figures, report
    names = {"lstm": "LSTM", "gru": "GRU", "sum": "sum", "max": "max"}
    encoders = {names[config.temporal]: encoder}
    for kind in ("sum", "max"):
        encoders.setdefault(kind, VideoEncoder(encoder.backbone, _pooling(kind, encoder), encoder.preprocessing))
    media = features.frame_vectors(range(len(dataset)))
    return finish_shot_run(run, dataset, media, questions["test"], encoders, failures=failures, config=config, say=say)


def make_encoder(config: ImageToVideoConfig, temporal: str) -> VideoEncoder:
    """The encoder with its initial weights; the whitening does nothing yet.

    Args:
      config: settings.
      temporal: as `config.temporal`.

    Raises:
      ConfigError: the stage is unknown. WeightsError: the weights do not fit the backbone.
    """
    rngs = nnx.Rngs(config.seed)
    backbone = create_backbone(config.backbone, rngs=rngs, dtype=config.precision)
    if config.weights != "none":
        load_pretrained(backbone, config.weights)
    stage = config.stage or backbone_info(config.backbone).stage("rmac")
    pooled = PooledBackbone(backbone, stage, pooling=config.pooling)
    whitened = min(_WHITENED, pooled.map_channels) if config.whitened_size is None else config.whitened_size
    if whitened:
        pooled = PooledBackbone(backbone, stage, pooling=config.pooling, whitened_size=whitened)
    size = pooled.embedding_size
    if temporal in ("sum", "max"):
        pooling = Sum(size, rngs=rngs) if temporal == "sum" else Maximum(size, rngs=rngs)
        return VideoEncoder(pooled, UnitLength(pooling), config.preprocessing())
    cell: Any = temporal
    recurrent = TemporalEncoder(size, config.units, cell=cell, dtype=config.precision, rngs=rngs)
    return VideoEncoder(pooled, TanhHead(recurrent, size, rngs=rngs), config.preprocessing())


def _pooling(kind: str, encoder: VideoEncoder) -> UnitLength:
    layer = {"sum": Sum, "max": Maximum}[kind]
    return UnitLength(layer(encoder.frame_embedding_size, rngs=nnx.Rngs(0)))


def shots_by_video(media: dict[int, FrameVectors], config: ImageToVideoConfig) -> list[tuple[int, Shot]]:
    """All shots with the numbers of their videos."""
    sampling = config.preprocessing().shots
    assert sampling is not None
    return [(number, shot) for number, video in media.items() for shot in shots_of(video, sampling)]


def cleaned(dataset: MediaDataset, video: int, shot: Shot, config: ImageToVideoConfig) -> np.ndarray:
    """The frame vectors of a shot that train; with `clean` those whose frames match each other."""
    if not config.clean or len(shot.vectors) < 2:
        return shot.vectors
    preprocessing = config.preprocessing()
    with open_item(dataset, video, preprocessing) as reader:
        geometry = centre_geometry(reader.info.height, reader.info.width, preprocessing)
        places = frames_on_display(reader.times, shot.frames / config.rate)
        return shot.vectors[clean_shot(np.stack(list(read_pictures(reader, places, geometry, preprocessing))))]
