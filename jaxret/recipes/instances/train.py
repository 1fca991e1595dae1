"""The training of a detector, read top to bottom: scale of its map, fit, evaluation, index, report."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxret.data.batches.plans import ShuffledBatches
from jaxret.data.ground_truth.boxes import BoxReader, read_box_annotations
from jaxret.data.ground_truth.instre import instre_boxes
from jaxret.data.sampling.frames import evenly_spaced
from jaxret.data.splits import split_items
from jaxret.errors import ConfigError, MediaError
from jaxret.models.detection.faster_rcnn import FasterRCNN
from jaxret.models.store import parameter_count, save_encoder
from jaxret.recipes.instances.detector_report import detector_sections
from jaxret.recipes.instances.report import finish_instance_run
from jaxret.recipes.instances.scores import SeenImage, detector_figures, seen_images
from jaxret.recipes.recipe import Run
from jaxret.training import FitTask, RunContext, TrainedDetector, Validation, check_pixels, fit_model

if TYPE_CHECKING:
    from jaxret.data.ground_truth.boxes import BoxAnnotations
    from jaxret.recipes.instances.faster_rcnn import FasterRcnnConfig

__all__ = ["BoxData", "fit_map_scale", "open_boxes", "train_detector"]

_SHOWN = 8
_INSTRE = "instre:"
_SCALED_ON = 32  # training images that the scale of the map is fitted on


@dataclasses.dataclass(frozen=True)
class BoxData:
    """Images with the boxes of their objects.

    Attributes:
      annotated: images, boxes and classes.
      splits: indices of the images that train, validate and test.
    """

    annotated: BoxAnnotations
    splits: dict[str, np.ndarray]

    @property
    def held_out(self) -> str:
        """The split that is measured: test, or validation where no test split is named."""
        return "test" if len(self.splits["test"]) else "validation"


def open_boxes(config: FasterRcnnConfig, context: RunContext) -> BoxData:
    """The annotated images, dealt to splits, and logged; ConfigError where the settings name none."""
    if not config.data:
        raise ConfigError("data must name the boxes: --data BOXES.csv")
    if config.data.startswith(_INSTRE):
        return _dealt(instre_boxes(config.data.removeprefix(_INSTRE)), config, context)
    if os.path.isdir(config.data):
        raise ConfigError(
            f"data must name a CSV of boxes (path,left,top,right,bottom,label), and {config.data} is a folder: "
            "--data BOXES.csv"
        )
    return _dealt(read_box_annotations(config.data), config, context)


def _dealt(annotated: BoxAnnotations, config: FasterRcnnConfig, context: RunContext) -> BoxData:
    images = annotated.images
    context.check_data(images)
    splits = split_items(images, "image", seed=config.seed)
    counts = ", ".join(f"{len(indices)} {name}" for name, indices in splits.items())
    context.log(
        f"{config.data}: {len(images)} images ({len(images.skipped)} unreadable) with "
        f"{sum(map(len, annotated.boxes))} boxes of {len(annotated.classes)} classes; images: {counts}"
    )
    return BoxData(annotated, splits)


def train_detector(detector: FasterRCNN, data: BoxData, config: FasterRcnnConfig, context: RunContext) -> Run | None:
    """Train, measure, index and report in the run folder, from its last checkpoint if it has one.

    Args:
      detector: with its initial weights; what is not to be trained is fixed.
      data: what it is trained and evaluated on.
      config: settings; they are written to the run folder.
      context: where to train and log.

    Returns:
      Metrics of the trained and the untrained detector; None if training was stopped before its end, and in all
      processes but the first.
    """
    check_pixels(detector.preprocessing, config.batch_size, images=True)
    annotated, splits = data.annotated, data.splits
    images, train_rows = annotated.images, splits["train"]
    given = (images, annotated.boxes, annotated.labels, detector.preprocessing)
    mirrored = BoxReader(*given, places=annotated.most_boxes, mirror=config.mirror)
    as_it_is = BoxReader(*given, places=annotated.most_boxes, mirror=0.0)
    scaled_on = _evenly_spaced(train_rows, _SCALED_ON).tolist()
    fit_map_scale(detector, as_it_is, scaled_on, batch_size=config.batch_size)
    context.log(f"encoder: {detector.summary}; {parameter_count(detector):,} parameters train")
    context.write_config(config, images)
    untrained = nnx.clone(detector)

    # ---- train
    def seen(model: FasterRCNN, rows: np.ndarray) -> Iterator[SeenImage]:
        return seen_images(model, as_it_is, rows.tolist(), batch_size=config.batch_size, threads=config.threads)

    def evaluate() -> dict[str, float]:
        found = detector_figures(seen(detector, splits["validation"]), annotated.classes)
        return {f"validation {name}": found[name] for name in ("mAP", "recall") if name in found}

    task = FitTask(
        TrainedDetector(detector),
        config.objective(),
        lambda row, rng: mirrored(int(train_rows[row]), rng),
        ShuffledBatches(len(train_rows), min(config.batch_size, len(train_rows))),
        Validation(evaluate),
        rate_scales=config.rate_scales,
        decoding=True,
        name_of=lambda row: images.items[int(train_rows[row])].key,
    )
    if not fit_model(task, config, context).finished:
        context.log_stopped()
        return None
    if jax.process_index() != 0:
        return None
    save_encoder(detector, context.run.encoder)
    # ---- evaluation, index, report
    held_out = splits[data.held_out]
    detectors = {"trained": detector, "untrained": untrained}
    figures = {name: detector_figures(seen(model, held_out), annotated.classes) for name, model in detectors.items()}
    examples = [(images.items[one.row].key, one) for one in seen(detector, _evenly_spaced(held_out, _SHOWN))]
    sections = detector_sections(detector, figures, examples, config.objective(), context, split=data.held_out)
    command = finish_instance_run(images, detector, config, context, failures=images.skipped, sections=sections)
    return Run(context.run.path, {name: {"all": found} for name, found in figures.items() if found}, command)


def _evenly_spaced(indices: np.ndarray, count: int) -> np.ndarray:
    """At most `count` of the indices, evenly spaced."""
    return indices[evenly_spaced(len(indices), count)]


def fit_map_scale(detector: FasterRCNN, reader: BoxReader, rows: Sequence[int], *, batch_size: int) -> None:
    """Set `map_scale` to 1 / the root of the mean square of the map, over the unpadded parts of images.

    Args:
      detector: changed in place.
      reader: without mirroring.
      rows: of the reader; images that do not decode are passed over.
      batch_size: images at once.
    """
    readable = []
    for row in rows:
        try:
            readable.append(reader(row, np.random.default_rng(0)))
        except MediaError:
            continue
    total = count = 0.0
    for start in range(0, len(readable), batch_size):
        batch = readable[start : start + batch_size]
        padded = [*batch, *[{**batch[-1], "sizes": np.zeros(2, np.int32)}] * (batch_size - len(batch))]
        images, sizes = (np.stack([one[name] for one in padded]) for name in ("images", "sizes"))
        squares, numbers = _squares(detector, images, sizes)
        total += float(squares)
        count += float(numbers)
    if total > 0:
        detector.map_scale[...] = jnp.full(1, np.sqrt(count / total), jnp.float32)


@jax.jit
def _squares(detector: FasterRCNN, images: jax.Array, sizes: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The sum of the squares of the map where the images are, and how many numbers these are."""
    maps = detector.feature_map(images).astype(jnp.float32)
    rows, columns = ((jnp.arange(side, dtype=jnp.float32) + 0.5) * detector.stride for side in maps.shape[1:3])
    sizes = sizes.astype(jnp.float32)
    inside = (rows[None, :, None] < sizes[:, :1, None]) & (columns[None, None] < sizes[:, 1:, None])  # (B, H, W)
    return jnp.where(inside[..., None], maps**2, 0).sum(), inside.sum() * maps.shape[-1]
