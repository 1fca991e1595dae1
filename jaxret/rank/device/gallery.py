"""`DeviceGallery`: vectors or codes that stay on GPUs or TPUs and are searched there, with the CPU's results."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxret.rank._hamming import MAX_CODE_BYTES
from jaxret.rank.device.bounds import MOST_DIMENSIONS, Rows, finite_rows, prepared_rows, sample_centre
from jaxret.rank.device.in_groups import power_of_two
from jaxret.rank.device.placement import Devices, mesh_of, placed
from jaxret.rank.device.scan import rows_of
from jaxret.rank.device.selection import NO_ID
from jaxret.rank.validation import (
    as_array,
    check_code_matrix,
    check_float_matrix,
    check_working_bytes,
    raise_if_not_finite,
    to_float32,
)

__all__ = ["DeviceGallery"]

_KEPT_AS = ("float32", "float16", "bfloat16")  # other floats are kept as float32
_MOST_QUERIES = 1024  # compared at once
_SAMPLE = 256  # rows whose mean is the centre


class DeviceGallery:
    """A gallery on accelerators: it takes the place of `gallery` in `euclidean_topk`, `cosine_topk`, `par` and
    `hamming_topk`, which then search where it lies.

    Ids, distances and cosines are those that the CPU's kernels give for the same gallery, bit for bit: the devices rule
    out all rows that provably are none of the k nearest, and the few that are left come back to be measured by these
    kernels. Where that proof fails for a query, because more rows than were kept lie as near as float32 can tell, more
    are kept; and where the k nearest are a large part of the gallery, the CPU searches it, reading it back. Hamming
    distances are exact on every device.

    The rows lie in equal parts on all devices, each of which searches its own. A search is compiled once for each k and
    for each power of two of queries. One thread may search at a time.

    Attributes:
        is_of_codes: whether it holds codes.
        shape: (N, D), or (N, bytes) of codes.
        dtype: of the rows: a float, or uint8 of codes.
        mesh: of the devices, one axis.
        working_bytes: as given.

    Example:
        >>> gallery = DeviceGallery(np.array([[3.0, 4.0], [0.0, 1.0], [1.0, 0.0]]), "cpu")
        >>> from jaxret.rank import euclidean_topk
        >>> euclidean_topk(np.zeros(2), gallery, 2).ids
        array([[1, 2]])
    """

    def __init__(self, rows: ArrayLike | jax.Array, devices: Devices = None, *, working_bytes: int = 256 << 20):
        """Sends the rows to the devices, a block at a time.

        Args:
            rows: (N, D) of any float dtype, D up to 2^18, or packed codes uint8 (N, bytes) of up to 2^20 bytes, of
                NumPy or JAX; N in [1, 2^31 - 2]. They may be memory-mapped. float16 and bfloat16 are kept as they are,
                other floats as float32. A float array of JAX that lies on the one device already is not copied.
            devices: None for all of JAX's default kind; "gpu", "tpu" or "cpu" for all of that kind; a device, several,
                or a mesh.
            working_bytes: about how much a device may use beside its rows and those found for one query, at least
                1 MiB.

        Raises:
            TypeError: the dtype is neither a float nor uint8, or devices are none.
            ValueError: the shape is no matrix, a number is not finite in float32, a limit is exceeded, or there are no
                such devices here.
        """
        matrix = rows if isinstance(rows, jax.Array) else as_array(rows, "rows")
        outline = np.broadcast_to(np.zeros((), matrix.dtype), matrix.shape)  # what checks look at; nothing is copied
        self.is_of_codes = outline.dtype == np.uint8
        checked = check_code_matrix(outline, "rows") if self.is_of_codes else check_float_matrix(outline, "rows")
        self.shape: tuple[int, ...] = checked.shape
        self.dtype = outline.dtype
        self.working_bytes = check_working_bytes(working_bytes)
        self.mesh = mesh_of(devices)
        size, width = self.shape
        if size + self.mesh.devices.size > NO_ID:
            raise ValueError(f"rows must be fewer than 2^31 - 1 with devices, got {size}")
        if not self.is_of_codes and width > MOST_DIMENSIONS:
            raise ValueError(f"rows must have at most {MOST_DIMENSIONS} dimensions on devices, got {width}")
        if self.is_of_codes and width > MAX_CODE_BYTES:
            raise ValueError(f"codes must have at most {MAX_CODE_BYTES} bytes, got {width}")
        if self.is_of_codes:
            self._rows = placed(matrix, self.mesh, jnp.dtype("uint32"), -(-width // 4))
        else:
            kept = self.dtype.name if self.dtype.name in _KEPT_AS else "float32"
            self._rows = placed(matrix, self.mesh, jnp.dtype(kept), width)
        self._prepared: dict[bool, tuple[Rows, NDArray[np.float32]]] = {}
        if not self.is_of_codes:
            self._check_finite()

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, *_: Any, **__: Any) -> NDArray[Any]:
        """Refuses to be read back unasked, by functions that have no form for devices.

        Raises:
            TypeError: always.
        """
        searches = "euclidean_topk, cosine_topk, par and hamming_topk"
        raise TypeError(f"{searches} search it where it lies; others need the rows themselves")

    def __repr__(self) -> str:
        kind = self.mesh.devices.flat[0].device_kind
        return f"DeviceGallery({self.shape[0]} x {self.shape[1]} {self.dtype} on {self.mesh.devices.size} x {kind})"

    @property
    def nbytes(self) -> int:
        """Bytes of the rows on all devices together."""
        return int(self._rows.nbytes)

    @property
    def shard_rows(self) -> int:
        """Rows on each device, padding included."""
        return int(self._rows.shape[0]) // int(self.mesh.devices.size)

    def queries_at_once(self, count: int, width: int) -> int:
        """How many of `count` queries to search with together, for `width` results each: a power of two."""
        fitting = self.working_bytes // (8 * width * self.shape[1])
        return power_of_two(max(1, min(count, fitting, _MOST_QUERIES)))

    def chunk(self, queries: int, most: int = NO_ID) -> int:
        """How many rows, at most `most`, to compare with so many queries at once: a power of two, or all."""
        fitting = min(self.working_bytes // (8 * max(queries, self.shape[1])), most)
        return min(self.shard_rows, 1 << max(0, fitting.bit_length() - 1))

    def bounded_rows(self, *, unit: bool) -> tuple[Rows, NDArray[np.float32]]:
        """The rows with what bounds need, and the centre; found once for each of the two distances."""
        if unit not in self._prepared:
            sample = np.linspace(0, len(self) - 1, min(len(self), _SAMPLE)).astype(np.int64)
            centre = sample_centre(self.vectors(sample), unit=unit)
            rows = prepared_rows(self._rows, centre, self.mesh, self.chunk(1), unit=unit)
            self._prepared[unit] = rows, centre
        return self._prepared[unit]

    @property
    def words(self) -> jax.Array:
        """The codes as uint32 (shards * R, words)."""
        return self._rows

    def vectors(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """float32 (K, D): some vectors, read back."""
        found = rows_of(self._rows, jnp.asarray(ids[None], jnp.int32), mesh=self.mesh)
        return to_float32(np.asarray(found[0]))

    def blocks(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """All vectors, read back a block at a time, each with the number of its first row."""
        step = max(1, self.working_bytes // (4 * self.shape[1]))
        for start in range(0, len(self), step):
            yield start, self.vectors(np.arange(start, min(start + step, len(self))))

    def _check_finite(self) -> None:
        """Refuses vectors that are not finite, with the first place and its value."""
        finite = np.asarray(finite_rows(self._rows, mesh=self.mesh, chunk=self.chunk(1)))
        if not finite.all():
            first = int(np.argmin(finite))
            raise_if_not_finite(self.vectors(np.array([first])), "rows", first)
