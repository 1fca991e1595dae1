"""Where a gallery lies: its rows in equal parts, one after the other, on the devices of a mesh of one axis."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

Devices: TypeAlias = str | jax.Device | Sequence[jax.Device] | Mesh | None

SHARDS = "shards"
"""The name of the mesh's axis."""

_BLOCK_BYTES = 64 << 20  # sent at once


def mesh_of(devices: Devices) -> Mesh:
    """The mesh, of the one axis `SHARDS`, of some devices.

    Args:
        devices: None for all of JAX's default kind; a kind, such as "gpu", "tpu" or "cpu", for all of it; a device,
            several, or those of a mesh of any shape.

    Raises:
        TypeError: it is none of these.
        ValueError: this machine has no device of the kind, none is given, one is given twice, or one belongs to
            another process.
    """
    chosen: list[Any]
    if devices == "":  # to JAX as None
        raise ValueError("devices must name a kind, or be None for all of JAX's default kind, got ''")
    if devices is None or isinstance(devices, str):
        chosen = _all_of(devices)
    elif isinstance(devices, Mesh):
        chosen = list(devices.devices.flat)
    else:
        chosen = list(devices) if isinstance(devices, Iterable) else [devices]
    if odd := [device for device in chosen if not isinstance(device, jax.Device)]:
        raise TypeError(f"devices must be a kind, devices of JAX or a mesh, got {odd[0]!r}")
    if not chosen:
        raise ValueError("devices must name at least one device, got none")
    if len(set(chosen)) < len(chosen):
        raise ValueError(f"devices must differ, got {chosen}")
    if foreign := [device for device in chosen if device.process_index != jax.process_index()]:
        raise ValueError(f"devices must be those of this process, got {foreign[0]}")
    return Mesh(np.array(chosen), (SHARDS,))


def _all_of(kind: str | None) -> list[jax.Device]:
    try:
        return list(jax.local_devices(backend=kind))
    except RuntimeError as error:
        here = sorted({device.platform for device in jax.local_devices()} | {"cpu"})
        extra = "; a GPU needs an extra such as jaxret[cuda13]" if kind in ("gpu", "cuda") else ""
        raise ValueError(
            f"devices must be of a kind that JAX finds here ({', '.join(here)}), got {kind!r}{extra}: {error}"
        ) from error


def placed(rows: Any, mesh: Mesh, dtype: Any, width: int) -> jax.Array:
    """Rows on the devices of a mesh, (shards * R, width), zeros behind the last.

    They are sent a block at a time, so that memory-mapped ones are never whole in this machine's memory.

    Args:
        rows: (N, ...), an array of NumPy or JAX; `uint8` codes are packed into `uint32` words.
        mesh: of `mesh_of`.
        dtype: as which they are kept.
        width: numbers in a row as it is kept.
    """
    parts = mesh.devices.size
    size = -(-len(rows) // parts)
    sharding = NamedSharding(mesh, PartitionSpec(SHARDS))
    if isinstance(rows, jax.Array) and parts == 1 and rows.dtype == dtype and rows.devices() == set(mesh.devices.flat):
        return jax.device_put(rows, sharding)  # as they lie
    sent_as = np.dtype(np.uint8) if dtype == jnp.uint32 else dtype
    shards = []
    for number, device in enumerate(mesh.devices.flat):
        with jax.default_device(device):
            whole = jnp.zeros((size, width), dtype)
        for start, block in _blocks(rows, number * size, min((number + 1) * size, len(rows)), sent_as):
            whole = _write(whole, jax.device_put(block, device), jnp.int32(start - number * size))
        shards.append(jax.device_put(whole, device))
    return jax.make_array_from_single_device_arrays((parts * size, width), sharding, shards)


def _blocks(rows: Any, start: int, end: int, dtype: Any) -> Iterator[tuple[int, Any]]:
    """Consecutive blocks of rows [start, end) with the numbers of their first.

    Rows of another dtype come to this machine, which turns them into it: a device may lose subnormals.
    """
    bytes_a_row = max(1, rows.dtype.itemsize * rows.shape[1])
    step = max(1, _BLOCK_BYTES // bytes_a_row)
    for at in range(start, end, step):
        block = rows[at : min(at + step, end)]
        if isinstance(block, jax.Array) and block.dtype == dtype:
            yield at, block
            continue
        with np.errstate(over="ignore"):
            yield at, np.ascontiguousarray(block, dtype)


def _written(whole: jax.Array, block: jax.Array, at: jax.Array) -> jax.Array:
    kept = as_words(block, whole.shape[1]) if whole.dtype == jnp.uint32 else block
    return jax.lax.dynamic_update_slice_in_dim(whole, kept, at, 0)


_write = jax.jit(_written, donate_argnums=0)


def as_words(codes: jax.Array, words: int) -> jax.Array:
    """uint8 (N, bytes) as uint32 (N, words), zeros behind the last byte."""
    padded = jnp.pad(codes, ((0, 0), (0, 4 * words - codes.shape[1])))
    return jax.lax.bitcast_convert_type(padded.reshape(len(codes), words, 4), jnp.uint32)


def as_bits(floats: jax.Array) -> jax.Array:
    """The bits of floats as whole numbers without a sign, of the same shape."""
    return jax.lax.bitcast_convert_type(floats, f"uint{8 * floats.dtype.itemsize}")
