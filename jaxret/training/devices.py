"""The device mesh: parameters on every device, batches cut along their first axis.

One device and many, one process and many, run the same code.
"""

from __future__ import annotations

import math
from typing import TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxret.errors import ConfigError

__all__ = ["barrier", "batch_mesh", "process_batch_size", "put_batch", "put_replicated", "shared_batch_size"]

BATCH_AXIS = "batch"
Tree = TypeVar("Tree")


def batch_mesh() -> Mesh:
    """All devices of all processes along one axis."""
    return jax.make_mesh((jax.device_count(),), (BATCH_AXIS,), axis_types=(AxisType.Auto,))


def process_batch_size(batch_size: int) -> int:
    """How many of a batch's items this process reads.

    Raises:
      ConfigError: the batch cannot be cut evenly over the devices.
    """
    devices = jax.device_count()
    if batch_size % devices:
        raise ConfigError(
            f"batch_size must be a multiple of the {devices} devices that share a batch, got {batch_size}"
        )
    return batch_size // jax.process_count()


def shared_batch_size(most: int, multiple: int = 1) -> int:
    """The largest batch of at most so many items that all devices share evenly, a multiple of `multiple`.

    Raises:
      ConfigError: there is none.
    """
    step = math.lcm(jax.device_count(), multiple)
    if most < step:
        raise ConfigError(f"{most} items make no batch that {jax.device_count()} devices share: use fewer devices")
    return most // step * step


def barrier(name: str) -> None:
    """Wait for all processes, so that each sees what the first has written."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def put_replicated(tree: Tree, mesh: Mesh) -> Tree:
    """A copy of every array of `tree` on every device of `mesh`."""
    sharding = NamedSharding(mesh, PartitionSpec())
    if jax.process_count() == 1:
        return jax.device_put(tree, sharding)
    # By way of the host: an array that belongs to one device cannot be put on those of other processes.
    return jax.tree.map(lambda array: jax.make_array_from_process_local_data(sharding, np.asarray(array)), tree)


def put_batch(batch: dict[str, np.ndarray], mesh: Mesh) -> dict[str, jax.Array]:
    """This process's share of a batch, as global arrays cut along their first axis."""
    sharding = NamedSharding(mesh, PartitionSpec(BATCH_AXIS))
    return {name: jax.make_array_from_process_local_data(sharding, array) for name, array in batch.items()}
