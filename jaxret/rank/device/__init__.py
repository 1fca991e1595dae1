"""Galleries on accelerators. This room brings JAX; `jaxret.rank` loads it for who uses it."""

from jaxret.rank.device.gallery import DeviceGallery

__all__ = ["DeviceGallery"]
