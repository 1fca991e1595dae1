"""`DeviceSequences`: sequences of vectors that stay on GPUs or TPUs and are compared there by DTW."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from numpy.typing import NDArray

from jaxret.rank.device.bounds import MOST_DIMENSIONS
from jaxret.rank.device.in_groups import filled_up, groups_of, power_of_two
from jaxret.rank.device.placement import SHARDS, Devices, mesh_of, placed
from jaxret.rank.device.scan import rows_of
from jaxret.rank.device.sequence_bounds import Summaries, summaries
from jaxret.rank.dtw_search import Collection, as_collection, dimensions_of, kernel_view
from jaxret.rank.threads import available_threads
from jaxret.rank.validation import check_working_bytes

__all__ = ["DeviceSequences", "filled_length"]

_SAMPLE = 256  # sequences whose means' mean is the centre
_READ_AT_ONCE = 32  # at least, so that few sizes are compiled


@dataclass(frozen=True)
class LengthGroup:
    """Sequences of about one length, filled up to it.

    Attributes:
        ids: int64 (n,), their numbers in the gallery, ascending.
        length: T, frames that each takes.
        frames: (shards * R, T * D), in equal parts on the devices.
        lengths: int32 (shards * R,), frames that each has; 0 of padding.
    """

    ids: NDArray[np.int64]
    length: int
    frames: jax.Array
    lengths: jax.Array

    @property
    def rows(self) -> int:
        """Sequences, padding included."""
        return int(self.frames.shape[0])


class DeviceSequences(Sequence[NDArray[np.float32]]):
    """A gallery of sequences on accelerators: it takes the place of `gallery` in `dtw_topk` and `rank_sequences`.

    Ids and distances are those that the CPU's kernels give for the same gallery, bit for bit. The devices bound all
    distances from the means of the sequences, then those that are left by DTW in float32; what neither rules out comes
    back to be measured by these kernels. A search is compiled once for each length of queries and of sequences, of
    which two to each power of two are told apart. One thread may search at a time.

    It is itself a sequence of arrays: `len(gallery)`, and `gallery[i]`, float32 (T_i, D), which is read back.

    Attributes:
        dimensions: D.
        mesh: of the devices, one axis.
        working_bytes: as given.

    Example:
        >>> from jaxret.rank import dtw_topk
        >>> gallery = DeviceSequences([np.zeros((3, 1)), np.array([[1.0], [2.0]])], "cpu")
        >>> dtw_topk(np.array([[2.0], [1.0]]), gallery, 1).ids
        array([[1]])
    """

    def __init__(self, sequences: Any, devices: Devices = None, *, working_bytes: int = 256 << 20):
        """Sends the sequences to the devices, a block at a time.

        Args:
            sequences: a `SequenceTable`, or a sequence of N arrays (T_i, D) of any float dtype; kept as float32.
            devices: None for all of JAX's default kind; "gpu", "tpu" or "cpu" for all of that kind; a device, several,
                or a mesh.
            working_bytes: about how much a device may use beside its sequences and one of them once more, at least
                1 MiB. A query of A frames with a sequence of T takes 12 (A (A + T) + T D) bytes, both filled up; where
                a single pair takes more than there is, the CPU measures it.

        Raises:
            TypeError: a dtype is not a float, or devices are none.
            ValueError: as `dtw_topk` of its gallery, D is above 2^18, or there are no such devices here.
        """
        members = as_collection(sequences, "sequences")
        kernel_view(members, "sequences", available_threads())  # checks every number
        self.dimensions = dimensions_of(members)
        if self.dimensions > MOST_DIMENSIONS:
            raise ValueError(
                f"sequences must have at most {MOST_DIMENSIONS} dimensions on devices, got {self.dimensions}"
            )
        self.working_bytes = check_working_bytes(working_bytes)
        self.mesh = mesh_of(devices)
        self.lengths = np.fromiter(map(len, members), np.int64, len(members))
        chosen = np.linspace(0, len(members) - 1, min(len(members), _SAMPLE)).astype(np.int64).tolist()
        sample = np.stack([members[number].mean(axis=0, dtype=np.float64) for number in chosen])
        self.centre = sample.mean(axis=0).astype(np.float32)
        filled = np.array([filled_length(length) for length in self.lengths.tolist()])
        self.groups = [self._group(members, np.flatnonzero(filled == length)) for length in np.unique(filled).tolist()]
        self._place = np.empty((len(members), 2), np.int64)  # of each sequence its group, and its row there
        for number, group in enumerate(self.groups):
            self._place[group.ids, 0], self._place[group.ids, 1] = number, np.arange(len(group.ids))
        self.summaries = self._summaries()

    def _group(self, members: Collection, ids: NDArray[np.int64]) -> LengthGroup:
        length = filled_length(int(self.lengths[ids[0]]))
        filled = _FilledUp(members, ids, length, self.dimensions)
        frames = placed(filled, self.mesh, jnp.dtype("float32"), length * self.dimensions)
        lengths = placed(self.lengths[ids][:, None].astype(np.int32), self.mesh, jnp.dtype("int32"), 1)
        return LengthGroup(ids, length, frames, lengths[:, 0])

    def _summaries(self) -> Summaries:
        """Of all groups, one after the other, padding included."""
        found = []
        for group in self.groups:
            chunk = max(1, self.working_bytes // (16 * group.length * self.dimensions))
            centre = jnp.asarray(self.centre)
            found.append(summaries(group.frames, group.lengths, centre, mesh=self.mesh, chunk=chunk))
        sharding = NamedSharding(self.mesh, P(SHARDS))
        parts = (jnp.concatenate([getattr(one, name) for one in found]) for name in Summaries._fields)
        return Summaries(*(jax.device_put(part, sharding) for part in parts))

    def by_id(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """What is known of each row of the summaries, (rows,), in the order of the ids, (N,)."""
        starts = np.cumsum([0, *(group.rows for group in self.groups)])
        return values[starts[self._place[:, 0]] + self._place[:, 1]]

    def rows_in_groups(self, ids: NDArray[np.int64]) -> list[tuple[LengthGroup, NDArray[np.int64], NDArray[np.int64]]]:
        """For each group that has some of the sequences: the group, where they stand in `ids`, and their rows there."""
        places = self._place[ids]
        found = []
        for number in np.unique(places[:, 0]).tolist():
            which = np.flatnonzero(places[:, 0] == number)
            found.append((self.groups[number], which, places[which, 1]))
        return found

    def __len__(self) -> int:
        return len(self.lengths)

    @overload
    def __getitem__(self, index: int) -> NDArray[np.float32]: ...
    @overload
    def __getitem__(self, index: slice) -> list[NDArray[np.float32]]: ...
    def __getitem__(self, index: int | slice) -> NDArray[np.float32] | list[NDArray[np.float32]]:
        if isinstance(index, slice):
            return self.read_back(np.arange(*index.indices(len(self))))
        return self.read_back(np.array([range(len(self))[index]]))[0]

    def read_back(self, ids: NDArray[np.int64]) -> list[NDArray[np.float32]]:
        """Some sequences, float32 (T_i, D)."""
        found: list[NDArray[np.float32]] = [np.zeros((0, self.dimensions), np.float32)] * len(ids)
        for group, which, rows in self.rows_in_groups(ids):
            fitting = self.working_bytes // (12 * group.length * self.dimensions)
            size = min(power_of_two(len(rows), least=_READ_AT_ONCE), 1 << max(0, fitting.bit_length() - 1))
            for some in groups_of(np.arange(len(rows)), size):
                filled = filled_up(rows[some], size).astype(np.int32)
                frames = np.asarray(rows_of(group.frames, jnp.asarray(filled[None]), mesh=self.mesh)[0])
                for place, values in zip(which[some].tolist(), frames, strict=False):
                    length = self.lengths[ids[place]]
                    found[place] = values.reshape(group.length, self.dimensions)[:length]
        return found

    def __repr__(self) -> str:
        kind = self.mesh.devices.flat[0].device_kind
        return f"DeviceSequences({len(self)} of dimension {self.dimensions} on {self.mesh.devices.size} x {kind})"


class _FilledUp:
    """Some sequences as rows (n, T * D), zeros behind their last frames, made when they are sent."""

    dtype = np.dtype(np.float32)

    def __init__(self, members: Collection, ids: NDArray[np.int64], length: int, dimensions: int):
        self._members, self._ids, self._length = members, ids, length
        self.shape = len(ids), length * dimensions

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, some: slice) -> NDArray[np.float32]:
        ids = self._ids[some].tolist()
        rows = np.zeros((len(ids), self.shape[1]), np.float32)
        for row, number in zip(rows, ids, strict=True):
            member = self._members[number]
            row[: member.size] = member.reshape(-1)
        return rows


def filled_length(length: int) -> int:
    """The length that a sequence is filled up to: 8, 12, 16, 24, 32, ..., two to each power of two."""
    whole = max(8, 1 << (length - 1).bit_length())
    return 3 * whole // 4 if length <= 3 * whole // 4 and whole > 8 else whole
