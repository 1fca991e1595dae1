"""The labelled clips of a training in steps: their batches, the unit of the margin, and which of them are hard."""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Sequence

import jax
import numpy as np

from jaxret.data.batches.plans import BatchPlan, ChallengingBatches, ClassBatches, TwiceBatches
from jaxret.errors import ConfigError
from jaxret.files import write_atomically
from jaxret.models.encoder import VideoEncoder
from jaxret.recipes.conv_lstm.clip_table import StepsData
from jaxret.recipes.conv_lstm.hard_clips import (
    ClipRanking,
    RankingSettings,
    mean_distance,
    rank_clips,
    ranking_identity,
)
from jaxret.recipes.conv_lstm.settings import StepsConfig, step_folder
from jaxret.training import RunContext, RunFolder, barrier, shared_batch_size

__all__ = ["LabelledClips", "triplet_batches"]


class LabelledClips:
    """What the triplet loss learns from.

    Args:
      data: the media, their splits and the clips that train.
      encoder: of videos, as the steps leave it.
      config: resolved settings.
      run: the unit is kept in its folder, the ranking in that of the step.

    Attributes:
      table: the clips with a label.
      labels: int64 (N,), class indices.
    """

    def __init__(
        self,
        data: StepsData,
        encoder: VideoEncoder,
        config: StepsConfig,
        run: RunFolder,
    ):
        assert config.batch_size is not None
        self._dataset, self._encoder, self._config, self._run = data.dataset, encoder, config, run
        table, splits = data.table, data.splits
        self._batch_size = config.batch_size
        labelled = np.isin(table.items, splits.splits.train) if splits.labelled else np.zeros(len(table), bool)
        self.table = table.take(np.flatnonzero(labelled))
        class_of = {label: index for index, label in enumerate(splits.splits.seen)}
        self.labels = np.array(
            [class_of[str(data.dataset.items[n].label)] for n in self.table.items.tolist()], np.int64
        )

    def batches(self) -> BatchPlan:
        """Of several classes with several clips each; ConfigError where there are too few."""
        views = self._config.views
        plan = triplet_batches(
            self.labels.tolist(),
            self._batch_size // views,
            self._config.samples_per_class // views,
            devices=jax.device_count(),
        )
        return self._viewed(plan)

    def challenging_batches(self) -> BatchPlan:
        """As large, half of them hard clips; ConfigError where the ranking is none of this encoder."""
        size = shared_batch_size(self.batches().batch_size // self._config.views, multiple=2)
        return self._viewed(ChallengingBatches(self.labels.tolist(), self.ranking().hard, size))

    def _viewed(self, plan: BatchPlan) -> BatchPlan:
        return TwiceBatches(plan) if self._config.views == 2 else plan

    @functools.cached_property
    def unit(self) -> float:
        """The unit of the margin: measured once in a run, by the first step that needs it.

        All processes wait here for the first one, so all of them must read it at the same step.
        """
        path = self._run.path / "margin.json"
        if jax.process_index() == 0 and not path.exists():
            mean = mean_distance(
                self._dataset,
                self._encoder,
                self.table,
                self.labels,
                batch_size=self._batch_size,
                threads=self._config.threads,
                untrained=self._config.steps[0] != "pretrain" and self._config.initial_run is None,
            )
            with write_atomically(path) as partial:
                partial.write_text(json.dumps({"unit of the margin": mean}) + "\n", encoding="utf-8")
        barrier("unit of the margin")
        try:
            return float(json.loads(path.read_text(encoding="utf-8"))["unit of the margin"])
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{path} is damaged: {error!r}") from error

    def rank(self, context: RunContext) -> tuple[ClipRanking | None, int]:
        """Rank the clips as the encoder is now, in the step's own folder; see `rank_clips`.

        Raises:
          ConfigError: no clip has both another of its class and one of another class.
        """
        ranking, batches = rank_clips(
            self._dataset,
            self._encoder,
            self.table,
            self.labels,
            self._ranking_settings(),
            context,
            batch_size=self._batch_size,
            threads=self._config.threads,
        )
        if ranking is not None and not len(ranking.hard):
            raise ConfigError(
                f"none of the {len(ranking.losses)} training clips has another of its class and one of another "
                "class: there is nothing to rank"
            )
        return ranking, batches

    def ranking(self) -> ClipRanking:
        """The ranking that the step has left; ConfigError where it is of other clips, settings or weights."""
        identity = ranking_identity(self._encoder, self._dataset, self.table, self.labels, self._ranking_settings())
        return ClipRanking.load(step_folder(self._run, "rank").path / "ranking.npz", identity)

    def _ranking_settings(self) -> RankingSettings:
        return RankingSettings(self._config.margin, self.unit, self._config.hard_fraction)


def triplet_batches(
    labels: Sequence[int], batch_size: int, samples_per_class: int, *, devices: int = 1
) -> ClassBatches:
    """Batches for the triplet loss.

    Args:
      labels: the class of each clip, of two classes or more.
      batch_size: at most so many clips, at least 2 `samples_per_class`.
      samples_per_class: of each class; more where there are too few classes to fill a batch, as far as they have clips.
      devices: that share each batch evenly.

    Raises:
      ConfigError: no class has two clips, or the devices can share no batch.

    Example:
      >>> plan = triplet_batches([0] * 9 + [1] * 3, batch_size=16, samples_per_class=4)
      >>> plan.classes_per_batch, plan.samples_per_class
      (2, 8)
    """
    sizes = Counter(labels)
    if max(sizes.values()) < 2:
        raise ConfigError(
            f"the triplet loss needs positives, and each of {len(sizes)} training classes has one clip: add videos, "
            "or make chunk_seconds smaller"
        )
    for classes in range(min(batch_size // samples_per_class, len(sizes)), 1, -1):
        most = max(samples_per_class, min(batch_size // classes, max(sizes.values())))
        for samples in range(most, samples_per_class - 1, -1):
            if classes * samples % devices == 0:
                return ClassBatches(labels, classes, samples)
    raise ConfigError(
        f"no batch of at most {batch_size} clips, {samples_per_class} or more of a class, can be cut evenly over "
        f"{devices} devices: change batch_size or samples_per_class"
    )
