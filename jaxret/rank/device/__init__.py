"""Galleries on accelerators. This room brings JAX; `jaxret.rank` loads it for who uses it."""

from jaxret.rank.device.gallery import DeviceGallery
from jaxret.rank.device.sequences import DeviceSequences

__all__ = ["DeviceGallery", "DeviceSequences"]
