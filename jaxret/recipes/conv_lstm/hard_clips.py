"""Step 3 of system 2's training: the clips whose triplets an encoder has learned worst, over the whole training set.

Embeddings go to a file while they are made, and pairs are measured block by block, so that memory does not grow with
the number of clips; a run that is stopped goes on at the batch of clips it was at.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import optax
from flax import nnx
from scipy.spatial.distance import cdist

from jaxret.data.dataset import MediaDataset
from jaxret.data.sampling.frames import evenly_spaced
from jaxret.errors import ConfigError
from jaxret.files import write_atomically
from jaxret.models.encoder import VideoEncoder
from jaxret.models.store import fingerprint
from jaxret.progress import progress_bar
from jaxret.recipes.conv_lstm.clip_table import ClipTable, batches_of_clips
from jaxret.training import RunContext, SplitModel, TrainState, hardest_distances
from jaxret.training.stop_signal import StopSignal

__all__ = ["ClipRanking", "RankingSettings", "mean_distance", "rank_clips", "ranking_identity"]

_SAVE_EVERY = 64  # batches between notes of how far the embedding has come


@dataclasses.dataclass(frozen=True)
class ClipRanking:
    """How badly each training clip is embedded.

    Attributes:
      losses: float64 (N,), max(0, gap + margin) of each clip's hardest triplet; NaN where it has none, for no
        other clip is of its class, or it could not be read.
      gaps: float64 (N,), squared distance to the farthest positive less that to the nearest negative, in units of the
        margin.
      hard: int64, the hardest clips, the hardest first.
    """

    losses: npt.NDArray[np.float64]
    gaps: npt.NDArray[np.float64]
    hard: npt.NDArray[np.int64]

    @classmethod
    def of_gaps(cls, gaps: npt.NDArray[np.float64], *, margin: float, fraction: float) -> ClipRanking:
        """The ranking by `gaps`, NaN for clips that have none.

        Clips that keep the margin have a loss of 0 all alike; among them the smaller distance from it is the harder.

        Args:
          gaps: float64 (N,).
          margin: of the loss.
          fraction: of the clips with a triplet that are hard, rounded up.
        """
        order = np.argsort(-gaps, kind="stable")  # NaN last
        count = math.ceil(fraction * int(np.isfinite(gaps).sum()) - 1e-9)
        return cls(np.maximum(gaps + margin, 0), gaps, order[:count].astype(np.int64))

    def save(self, path: Path, identity: str) -> None:
        """Write it as NPZ; the file appears whole or not at all."""
        with write_atomically(path) as partial:
            np.savez(partial, losses=self.losses, gaps=self.gaps, hard=self.hard, identity=np.array(identity))

    @classmethod
    def load(cls, path: Path, identity: str) -> ClipRanking:
        """What `save` wrote.

        Raises:
          ConfigError: there is no such file, it is damaged, or it ranks other clips, or ranks them by another encoder
            or with other settings.
        """
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                found, ranking = str(arrays["identity"]), cls(arrays["losses"], arrays["gaps"], arrays["hard"])
        except FileNotFoundError:
            raise ConfigError(f"{path}: no such file") from None
        except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile) as error:
            raise ConfigError(f"{path} is damaged: {error!r}") from error
        if found != identity:
            raise ConfigError(
                f"{path} is not the ranking of this run's clips by its encoder: the data, the encoder or the settings "
                f"of the ranking are others. To rank anew, delete {path.parent}"
            )
        return ranking


@dataclasses.dataclass(frozen=True)
class RankingSettings:
    """What clips are ranked by.

    Attributes:
      margin: of the triplet loss.
      unit: of the margin, as a squared distance.
      fraction: of the clips with a triplet that are hard.
    """

    margin: float
    unit: float
    fraction: float


def ranking_identity(
    encoder: VideoEncoder,
    dataset: MediaDataset,
    table: ClipTable,
    labels: npt.NDArray[np.int64],
    settings: RankingSettings,
) -> str:
    """SHA-256, in hex, over all that a ranking follows from: encoder, clips with their classes, settings."""
    margin, unit, fraction = settings.margin, settings.unit, settings.fraction
    digest = hashlib.sha256(f"{fingerprint(encoder)} {margin!r} {unit!r} {fraction!r}".encode())
    for index in np.unique(table.items).tolist():
        digest.update(f"\0{index}\0{dataset.items[index].key}".encode())
    for array in (table.items, table.spans, np.asarray(labels, np.int64)):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def rank_clips(
    dataset: MediaDataset,
    encoder: VideoEncoder,
    table: ClipTable,
    labels: npt.NDArray[np.int64],
    settings: RankingSettings,
    context: RunContext,
    *,
    batch_size: int,
    threads: int,
) -> tuple[ClipRanking | None, int]:
    """Embed all clips as they are indexed, and rank them; the ranking is `ranking.npz` in the context's folder.

    Args:
      dataset: the media.
      encoder: of chunks.
      table: the training clips.
      labels: int64 (N,), their classes.
      settings: margin and share of the hard clips.
      context: its folder holds the ranking and what a stopped call leaves for the next; `stop_after` counts batches
        of this call, if they are not the last.
      batch_size: clips embedded at once.
      threads: files decoded at once.

    Returns:
      The ranking, or None where it was stopped before the end; and the batches of this call.
    """
    folder, stop_after = context.run.path, context.stop_after
    identity = ranking_identity(encoder, dataset, table, labels, settings)
    stored, note = folder / "embeddings.npy", folder / "progress.json"
    with contextlib.suppress(ConfigError):  # of a call that was killed right after it
        ranking = ClipRanking.load(folder / "ranking.npz", identity)
        stored.unlink(missing_ok=True)
        note.unlink(missing_ok=True)
        return ranking, 0
    folder.mkdir(parents=True, exist_ok=True)
    shape = (len(table), encoder.frame_embedding_size)
    first = _batches_done(note, stored, identity, shape)
    embeddings = np.lib.format.open_memmap(stored, mode="r+" if first else "w+", dtype=np.float32, shape=shape)
    total, done = -(-len(table) // batch_size), first

    def save() -> None:
        embeddings.flush()
        with write_atomically(note) as partial:
            partial.write_text(json.dumps({"identity": identity, "batches": done}) + "\n", encoding="utf-8")

    batches = batches_of_clips(
        dataset, table, encoder.preprocessing, batch_size=batch_size, threads=threads, first=first
    )
    bar = progress_bar(context.description, "batch", total=total, done=first, shown=context.show_progress)
    with StopSignal() as stop, bar:
        for batch, clips, readable in batches:
            vectors = np.asarray(encoder.encode_frames(clips), np.float32)
            vectors = np.where(readable[:, None], vectors, np.nan)
            rows = slice(batch * batch_size, min((batch + 1) * batch_size, len(table)))
            embeddings[rows] = vectors[: rows.stop - rows.start]
            done = batch + 1
            bar.update()
            stopping = stop.requested or (stop_after is not None and done - first >= stop_after)
            if (stopping and done < total) or done % _SAVE_EVERY == 0:
                save()
            if stopping and done < total:
                batches.close()
                return None, done - first
    farthest, nearest = hardest_distances(embeddings, labels)
    ranking = ClipRanking.of_gaps(
        (farthest - nearest) / settings.unit, margin=settings.margin, fraction=settings.fraction
    )
    ranking.save(folder / "ranking.npz", identity)
    stored.unlink()
    note.unlink(missing_ok=True)
    return ranking, done - first


def mean_distance(
    dataset: MediaDataset,
    encoder: VideoEncoder,
    table: ClipTable,
    labels: npt.NDArray[np.int64],
    *,
    batch_size: int,
    threads: int,
    untrained: bool = False,
    limit: int = 256,
) -> float:
    """The mean squared Euclidean distance of clips of different classes.

    Args:
      dataset: the media.
      encoder: of chunks.
      table: the clips; about `limit` are taken, evenly chosen.
      labels: int64 (N,), their classes.
      batch_size: clips embedded at once.
      threads: files decoded at once.
      untrained: embed as a step of training does, with batch norm's statistics of each batch: the running ones of an
        encoder that has not been trained say nothing, and its distances would be off by orders of magnitude.

    Raises:
      ConfigError: no two of the clips that read are of different classes, or all are embedded alike.
    """
    rows = evenly_spaced(len(table), limit)
    embed: Callable[[npt.NDArray[np.uint8]], jax.Array] = encoder.encode_frames
    if untrained:
        rows = np.random.default_rng(0).permutation(rows)  # batches of all classes
        embed = _embedding_in_training(encoder.backbone)
    batches = batches_of_clips(dataset, table.take(rows), encoder.preprocessing, batch_size=batch_size, threads=threads)
    found = [(np.asarray(embed(clips), np.float64), readable) for _, clips, readable in batches]
    readable = np.concatenate([which for _, which in found])[: len(rows)]
    vectors = np.concatenate([part for part, _ in found])[: len(rows)][readable]
    classes = np.asarray(labels)[rows][readable]
    squares = cdist(vectors, vectors, "sqeuclidean")
    different = classes[:, None] != classes[None]
    mean = float(squares[different].mean()) if different.any() else 0.0
    if not 0 < mean < math.inf:
        raise ConfigError(
            f"the triplet loss compares clips of different classes, and the mean squared distance of {len(vectors)} "
            f"training clips is {mean}: too few of them can be read, or the encoder tells none of them from another"
        )
    return mean


def _embedding_in_training(backbone: nnx.Module) -> Callable[[npt.NDArray[np.uint8]], jax.Array]:
    split = SplitModel(backbone)
    state = split.initial_state(optax.identity(), seed=0)

    @jax.jit
    def embed(state: TrainState, clips: jax.Array) -> jax.Array:
        model: Any = split.merge(state.parameters, state.statistics, jax.random.key(0))
        model.train()
        return model(clips).embedding

    return lambda clips: embed(state, jnp.asarray(clips))


def _batches_done(note: Path, stored: Path, identity: str, shape: tuple[int, int]) -> int:
    """How many batches a stopped call has embedded; 0 where none has, or it was of other clips or another encoder."""
    try:
        found = json.loads(note.read_text(encoding="utf-8"))
        fits = found["identity"] == identity and np.load(stored, mmap_mode="r", allow_pickle=False).shape == shape
        return int(found["batches"]) if fits else 0
    except (OSError, ValueError, KeyError, TypeError):
        return 0
