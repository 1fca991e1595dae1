"""Which Ray cluster works, and with how many workers."""

from __future__ import annotations

import dataclasses
import importlib.util
from typing import Any

from jaxret.errors import ConfigError
from jaxret.rank.validation import check_count

__all__ = ["RayCluster", "answer_of", "ended_workers"]

_MOST_WORKERS = 1 << 16


@dataclasses.dataclass(frozen=True)
class RayCluster:
    """A Ray cluster.

    Attributes:
      address: "local", which starts one on this machine for this process; "auto", the one that this machine is part of;
        or where one is, such as "ray://head:10001".
      workers: processes that work at once, each on one core or, where the cluster has GPUs, with one of them.

    Raises:
      TypeError, ValueError: `workers` is no whole number of at least 1, or the address is empty.
    """

    address: str = "local"
    workers: int = 2

    def __post_init__(self) -> None:
        check_count(self.workers, "workers", most=_MOST_WORKERS)
        if not isinstance(self.address, str) or not self.address:
            raise ValueError(f"address must be 'local', 'auto' or where a Ray cluster is, got {self.address!r}")

    def connected(self) -> Any:
        """The package `ray`, connected to the cluster; a connection that the process has already is used.

        Raises:
          ConfigError: Ray is not installed, or there is no cluster at the address.
        """
        if importlib.util.find_spec("ray") is None:
            raise ConfigError("work on several machines needs Ray: install the extra `ray`")
        import ray

        if ray.is_initialized():
            return ray
        settings: dict[str, Any] = {"log_to_driver": False, "configure_logging": False, "namespace": "jaxret"}
        if self.address == "local":
            settings |= {"include_dashboard": False}
        try:
            ray.init(address=self.address, **settings)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise ConfigError(f"no Ray cluster at {self.address!r}: {str(error).splitlines()[0]}") from error
        return ray

    def resources(self, ray: Any) -> dict[str, Any]:
        """What an actor of one worker takes.

        Raises:
          ConfigError: the cluster has fewer cores than workers, which would wait for each other.
        """
        if self.address == "local":
            return {"num_cpus": 0}
        found = ray.cluster_resources()
        if (cores := int(found.get("CPU", 0))) < self.workers:
            raise ConfigError(f"workers must be at most the {cores} cores of the Ray cluster, got {self.workers}")
        return {"num_cpus": 1, "num_gpus": 1 if found.get("GPU", 0) >= self.workers else 0}


def answer_of(ray: Any, sent: Any) -> Any:
    """What a worker gave back; its errors are raised as if they had been raised here."""
    try:
        return ray.get(sent)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None


def ended_workers(ray: Any) -> tuple[type[Exception], ...]:
    """The errors that tell that a worker, or the machine that it ran on, is no more."""
    # The last is of a worker that Ray itself ended for its memory.
    names = ("RayActorError", "WorkerCrashedError", "ObjectLostError", "OutOfMemoryError")
    return tuple(getattr(ray.exceptions, name) for name in names if hasattr(ray.exceptions, name))
