"""The labelled clips of a training in steps: their batches, the unit of the margin, and which of them are hard."""

from __future__ import annotations

import json
from pathlib import Path

import jax
import numpy as np

from jaxret.data.batches.plans import BatchPlan, ChallengingBatches
from jaxret.data.dataset import MediaDataset
from jaxret.data.splits import AutoencoderData
from jaxret.errors import ConfigError
from jaxret.files import write_atomically
from jaxret.models.encoder import VideoEncoder
from jaxret.recipes.conv_lstm.clip_table import ClipTable
from jaxret.recipes.conv_lstm.hard_clips import ClipRanking, mean_distance, rank_clips, ranking_identity
from jaxret.recipes.conv_lstm.settings import StepsConfig, step_folder
from jaxret.recipes.conv_lstm.triplet_batches import triplet_batches
from jaxret.training import RunFolder, meet, shared_batch_size

__all__ = ["LabelledClips"]


class LabelledClips:
    """What the triplet loss learns from.

    Args:
      dataset: the media.
      data: its parts.
      table: the clips of the training videos, those without a label included.
      encoder: of videos, as the steps leave it.
      config: resolved settings.
      run: the unit is kept in its folder, the ranking in that of the step.

    Attributes:
      table: the clips with a label.
      labels: int64 (N,), numbers of their classes.
    """

    def __init__(
        self,
        dataset: MediaDataset,
        data: AutoencoderData,
        table: ClipTable,
        encoder: VideoEncoder,
        config: StepsConfig,
        run: RunFolder,
    ):
        assert config.batch_size is not None
        self._dataset, self._encoder, self._config, self._run = dataset, encoder, config, run
        self._batch_size = config.batch_size
        labelled = np.isin(table.items, data.splits.train) if data.labelled else np.zeros(len(table), bool)
        self.table = table.take(np.flatnonzero(labelled))
        class_of = {label: number for number, label in enumerate(data.splits.seen)}
        self.labels = np.array([class_of[str(dataset.items[n].label)] for n in self.table.items.tolist()], np.int64)

    def batches(self) -> BatchPlan:
        """Of several classes with several clips each; ConfigError where there are too few."""
        return triplet_batches(
            self.labels.tolist(), self._batch_size, self._config.samples_per_class, devices=jax.device_count()
        )

    def challenging_batches(self) -> BatchPlan:
        """As large, half of them hard clips; ConfigError where the ranking is none of this encoder."""
        size = shared_batch_size(self.batches().batch_size, multiple=2)
        return ChallengingBatches(self.labels.tolist(), self.ranking().hard, size)

    def unit(self) -> float:
        """The unit of the margin: measured once in a run, by the first step that needs it."""
        path = self._run.path / "margin.json"
        if jax.process_index() == 0 and not path.exists():
            mean = mean_distance(
                self._dataset,
                self._encoder,
                self.table,
                self.labels,
                batch_size=self._batch_size,
                threads=self._config.threads,
                untrained=self._config.steps[0] != "pretrain",
            )
            with write_atomically(path) as partial:
                partial.write_text(json.dumps({"unit of the margin": mean}) + "\n", encoding="utf-8")
        meet("unit of the margin")
        try:
            return float(json.loads(path.read_text(encoding="utf-8"))["unit of the margin"])
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{path} is damaged: {error!r}") from error

    def rank(self, folder: Path, *, unit: float, stop_after: int | None, show: bool) -> tuple[ClipRanking | None, int]:
        """Rank the clips as the encoder is now; see `rank_clips`.

        Raises:
          ConfigError: no clip has both another of its class and one of another class.
        """
        ranking, batches = rank_clips(
            self._dataset,
            self._encoder,
            self.table,
            self.labels,
            folder,
            margin=self._config.margin,
            unit=unit,
            fraction=self._config.hard_fraction,
            batch_size=self._batch_size,
            threads=self._config.threads,
            stop_after=stop_after,
            show=show,
            description="rank",
        )
        if ranking is not None and not len(ranking.hard):
            raise ConfigError(
                f"none of the {len(ranking.losses)} training clips has another of its class and one of another "
                "class: there is nothing to rank"
            )
        return ranking, batches

    def ranking(self) -> ClipRanking:
        """The ranking that the step has left; ConfigError where it is of other clips, settings or weights."""
        identity = ranking_identity(
            self._encoder,
            self._dataset,
            self.table,
            self.labels,
            margin=self._config.margin,
            unit=self.unit(),
            fraction=self._config.hard_fraction,
        )
        return ClipRanking.load(step_folder(self._run, "rank").path / "ranking.npz", identity)
