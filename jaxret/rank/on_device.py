"""Galleries that lie on an accelerator, told from others without importing JAX."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxret.rank.device import DeviceGallery, DeviceSequences

_SEARCHED_BY_THE_KERNELS = "cpu"  # the platform of JAX whose arrays lie in this machine's memory


def device_gallery(gallery: Any) -> DeviceGallery | None:
    """The gallery where it is a `DeviceGallery`, or an array of JAX that lies on an accelerator; None for others.

    An array of JAX in this machine's memory is searched by the CPU's kernels, as it lies.
    """
    jax = sys.modules.get("jax")
    if jax is None:  # then nothing here can be of its making
        return None
    on_accelerator = isinstance(gallery, jax.Array) and any(
        device.platform != _SEARCHED_BY_THE_KERNELS for device in gallery.devices()
    )
    if not on_accelerator and "jaxret.rank.device.gallery" not in sys.modules:
        return None
    from jaxret.rank.device import DeviceGallery

    if isinstance(gallery, DeviceGallery):
        return gallery
    return DeviceGallery(gallery, sorted(gallery.devices(), key=lambda device: device.id)) if on_accelerator else None


def device_sequences(gallery: Any) -> DeviceSequences | None:
    """The gallery where it is a `DeviceSequences`; None for others."""
    if "jaxret.rank.device" not in sys.modules:
        return None
    from jaxret.rank.device import DeviceSequences

    return gallery if isinstance(gallery, DeviceSequences) else None
