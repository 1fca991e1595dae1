"""The steps of system 2's training: each fits, or ranks, from where its folder stands, and records what it gave."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from flax import nnx
from jax.experimental import multihost_utils

from jaxret.data.batches.plans import ShuffledBatches
from jaxret.data.sampling.frames import evenly_spaced
from jaxret.models.conv_lstm.autoencoder import ConvLstmAutoencoder
from jaxret.models.encoder import VideoEncoder
from jaxret.models.store import save_encoder
from jaxret.recipes.clip_media import embed_items
from jaxret.recipes.conv_lstm.clip_table import ClipTable, StepsData, held_out_clips, training_reader
from jaxret.recipes.conv_lstm.labelled_clips import LabelledClips
from jaxret.recipes.conv_lstm.reconstructions import (
    draw_clips_and_reconstructions,
    mean_frame_error,
    reconstruction_error,
)
from jaxret.recipes.conv_lstm.remarks import TripletRemarks
from jaxret.recipes.conv_lstm.report import sequence_figures
from jaxret.recipes.conv_lstm.settings import Step, StepRecord, StepsConfig, step_folder
from jaxret.recipes.conv_lstm.validation import validation_figures, validation_videos
from jaxret.recipes.finish import curve_parts
from jaxret.recipes.opening import augmentation_of
from jaxret.training import (
    Checkpoints,
    FitTask,
    LoopConfig,
    OptimiserConfig,
    ReconstructionObjective,
    RunContext,
    RunFolder,
    Validation,
    barrier,
    fit_model,
    process_batch_size,
    restore_best,
    shared_batch_size,
)

__all__ = ["AutoencoderSteps"]

_HELD_OUT_CLIPS = 256  # on which reconstruction is measured, at most
_DRAWN_CLIPS = 6
_ERROR = "validation reconstruction error"


@dataclasses.dataclass(frozen=True)
class _FitSettings:
    """Settings of one step, as `fit_model` takes them."""

    optimiser: OptimiserConfig
    loop: LoopConfig
    seed: int
    threads: int


class AutoencoderSteps:
    """Takes the steps one after the other; the model is left as the last one leaves it.

    Args:
      data: the media, their splits and the clips that train.
      model: the autoencoder.
      encoder: of videos, with the model's backbone.
      config: resolved settings.
      context: each step has a folder in that of the run; `stop_after` counts the steps of all of them together.

    Attributes:
      records: of the steps that have come to their end, in their order.
    """

    def __init__(
        self,
        data: StepsData,
        model: ConvLstmAutoencoder,
        encoder: VideoEncoder,
        config: StepsConfig,
        context: RunContext,
    ):
        assert config.batch_size is not None
        self._dataset, self._data, self._table = data.dataset, data.splits, data.table
        self._model, self._encoder, self._config = model, encoder, config
        self._context, self._run, self._left = context, context.run, context.stop_after
        self._batch_size = config.batch_size
        self._labelled = LabelledClips(data, encoder, config, context.run)
        self.records: list[StepRecord] = []
        # What cannot be trained on is refused before the first step, not after hours of it.
        process_batch_size(self._batch_size)
        self._pretrain_plan = ShuffledBatches(
            len(data.table), shared_batch_size(min(self._batch_size, len(data.table)))
        )
        if config.triplet_steps:
            self._labelled.batches()

    def take(self, step: Step) -> bool:
        """Take a step, or what is left of it; False where it was stopped before its end."""
        folder = step_folder(self._run, step)
        record = StepRecord.read(folder.path, step)
        if record.finished:
            self._restore(step, folder)
            self._context.log(f"  done before: {record.summary}")
        elif self._left == 0:
            return False
        else:
            folder.path.mkdir(parents=True, exist_ok=True)
            started = time.perf_counter()
            record.finished = {"pretrain": self._pretrain, "rank": self._rank}.get(step, self._triplets)(record, folder)
            record.seconds += time.perf_counter() - started
            if jax.process_index() == 0:
                if record.finished and step != "rank":
                    self._test(record)
                    save_encoder(self._encoder, folder.encoder)  # what comes of it if the training ended here
                record.write(folder.path)
            barrier(f"{step} written")
            if not record.finished:
                return False
            self._context.log(f"  {record.summary}")
        self.records.append(record)
        return True

    # ---- step 1

    def _pretrain(self, record: StepRecord, folder: RunFolder) -> bool:
        held_out = self._held_out("validation", _HELD_OUT_CLIPS)

        def evaluate() -> dict[str, float]:
            if not len(held_out):
                return {}
            error = reconstruction_error(
                self._model,
                self._dataset,
                held_out,
                self._encoder.preprocessing,
                batch_size=self._batch_size,
                threads=self._config.threads,
            )
            return {_ERROR: error} if np.isfinite(error) else {}

        task = FitTask(
            self._model,
            ReconstructionObjective(),
            self._reader(self._table, None),
            self._pretrain_plan,
            Validation(evaluate, _ERROR, lower_is_better=True),
            decoding=True,
        )
        finished = self._fit(task, record, folder)
        if finished and jax.process_index() == 0:
            record.figures |= {**evaluate(), **self._mean_frame(held_out)}
            # Test clips, or validation ones where there are none.
            test = self._held_out("test", _DRAWN_CLIPS)
            try:
                draw_clips_and_reconstructions(
                    folder.path / "reconstructions.png",
                    self._model,
                    self._dataset,
                    test if len(test) else held_out.take(np.arange(min(len(held_out), _DRAWN_CLIPS))),
                    self._encoder.preprocessing,
                    threads=self._config.threads,
                )
            except Exception as error:  # a step is worth more than its figure
                self._context.log(f"  reconstructions.png could not be drawn: {type(error).__name__}: {error}")
        return finished

    def _mean_frame(self, held_out: ClipTable) -> dict[str, float]:
        """The error of the mean frame, where that is a frame of colours like those that the decoder gives."""
        backbone = self._model.backbone
        if backbone.depth_planes or self._model.bins or not len(held_out):
            return {}
        error = mean_frame_error(
            self._dataset,
            self._table.take(evenly_spaced(len(self._table), _HELD_OUT_CLIPS)),
            held_out,
            self._encoder.preprocessing,
            standardise=backbone.standardise,
            batch_size=self._batch_size,
            threads=self._config.threads,
        )
        return {"error of the mean frame": error} if np.isfinite(error) else {}

    def _held_out(self, split: str, limit: int) -> ClipTable:
        indices = getattr(self._data.splits, split)
        preprocessing = self._encoder.preprocessing
        return held_out_clips(self._dataset, indices, preprocessing, limit=limit, threads=self._config.threads)

    # ---- steps 2 and 4

    def _triplets(self, record: StepRecord, folder: RunFolder) -> bool:
        hard = record.step == "challenging"
        plan = self._labelled.challenging_batches() if hard else self._labelled.batches()
        task = FitTask(
            self._model.backbone,
            self._config.objective(self._labelled.unit),
            self._reader(self._labelled.table, self._labelled.labels),
            plan,
            Validation(self._retrieval, remark=TripletRemarks()),
            decoding=True,
        )
        return self._fit(task, record, folder)

    def _retrieval(self) -> dict[str, float]:
        """Validation videos as sequences, each a query against training videos, by class."""
        videos = validation_videos(self._dataset, self._data.splits, self._encoder, threads=self._config.threads)
        figures = validation_figures(self._dataset, *videos, self._encoder)
        return {f"validation {name}": figures[name] for name in ("mAP", "P@1") if name in figures}

    def _fit(self, task: FitTask, record: StepRecord, folder: RunFolder) -> bool:
        with Checkpoints(folder.checkpoints) as checkpoints:
            before = checkpoints.last_step or 0
        result = fit_model(task, self._settings(record.step), self._context_of(record.step, folder))
        record.updates, record.epochs = result.steps, result.steps / task.plan.steps_per_epoch
        self._spend(result.steps - before)
        if result.finished and jax.process_index() == 0:
            curves = task.objective.curves
            retrieval = ("validation mAP", "validation P@1")
            curve_parts(folder, {**curves, "loss": (*curves["loss"], _ERROR), "retrieval": retrieval})
        return result.finished

    # ---- step 3

    def _rank(self, record: StepRecord, folder: RunFolder) -> bool:
        ranking, used = None, np.zeros(2, np.int64)
        _ = self._labelled.unit  # all processes wait for it to be measured
        if jax.process_index() == 0:
            ranking, batches = self._labelled.rank(self._context_of("rank", folder))
            used = np.array([batches, ranking is not None])
        if jax.process_count() > 1:
            used = multihost_utils.broadcast_one_to_all(used)
        self._spend(int(used[0]))
        record.updates += int(used[0])
        if ranking is not None:
            losses = ranking.losses[np.isfinite(ranking.losses)]
            record.figures |= {
                "clips": float(len(losses)),
                "hard clips": float(len(ranking.hard)),
                "mean loss of the hardest triplets": float(losses.mean()),
                "mean loss of the hard clips": float(ranking.losses[ranking.hard].mean()),
            }
        return bool(used[1])

    # ---- all of them

    def _restore(self, step: Step, folder: RunFolder) -> None:
        """The weights that a step has left, or, of the ranking, a look whether it is of this run."""
        if step == "rank":
            self._labelled.ranking()
        else:
            part: nnx.Module = self._model if step == "pretrain" else self._model.backbone
            restore_best(part, self._settings(step), folder)

    def _context_of(self, step: Step, folder: RunFolder) -> RunContext:
        """Of one step: in its own folder, its lines indented, and stopped when the whole training is to be."""
        return dataclasses.replace(
            self._context,
            run=folder,
            log=lambda line: self._context.log(f"  {line}"),
            stop_after=self._left,
            description=step,
        )

    def _settings(self, step: Step) -> _FitSettings:
        # A seed a step: the second pass must not repeat the first one's batches.
        seed = 1000 * self._config.seed + list(self._config.steps).index(step)
        return _FitSettings(self._config.optimiser, self._config.loop_of(step), seed, self._config.threads)

    def _reader(
        self, table: ClipTable, labels: np.ndarray | None
    ) -> Callable[[int, np.random.Generator], dict[str, Any]]:
        augment = augmentation_of(self._config, self._dataset)
        return training_reader(self._dataset, table, self._encoder.preprocessing, augment, labels)

    def _test(self, record: StepRecord) -> None:
        """What the step gave: figures of validation and test videos as sequences."""
        if not self._data.labelled:
            return
        record.figures |= self._retrieval()
        splits = self._data.splits
        media, _ = embed_items(self._dataset, self._encoder, splits.test.tolist(), threads=self._config.threads)
        groups = {"seen": splits.seen, "unseen": splits.unseen} if splits.unseen else {}
        record.test = sequence_figures(self._dataset, media, self._encoder, groups=groups)

    def _spend(self, steps: int) -> None:
        if self._left is not None:
            self._left = max(0, self._left - steps)
