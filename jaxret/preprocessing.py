"""What is done to pixels before an encoder sees them; written into every checkpoint and index.

Queries and galleries share one road: the same `Preprocessing` drives training, indexing and searching.
Normalisation is not part of it: pixels stay uint8 until inside the model, which knows its own range.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, get_args

from jaxret.errors import ConfigError

__all__ = ["Preprocessing", "Resize"]

Resize = Literal["crop", "squash", "pad"]


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """Frame size, frame count and chunking that an encoder expects.

    Attributes:
      height, width: pixels of a frame as the encoder sees it.
      channels: 3 for RGB, 1 for grey (ITU-R BT.601 luma).
      frames: frames sampled, evenly spaced, from each chunk of a video.
      chunk_seconds: a video is cut into equal chunks of about this many seconds.
      resize: `crop` scales the frame to cover (height, width) and cuts the centre; `squash` ignores the
        aspect ratio; `pad` scales it to fit inside and fills with black.

    Raises:
      ConfigError: a size, count or duration is not positive, or `resize` or `channels` is unknown.

    Example:
      >>> Preprocessing(height=224, width=224, frames=16).to_json()["chunk_seconds"]
      10.0
    """

    height: int = 224
    width: int = 224
    channels: int = 3
    frames: int = 16
    chunk_seconds: float = 10.0
    resize: Resize = "crop"

    def __post_init__(self) -> None:
        for name in ("height", "width", "frames"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ConfigError(f"{name} must be a whole number of at least 1, got {value!r}")
        if self.channels not in (1, 3):
            raise ConfigError(f"channels must be 1 (grey) or 3 (RGB), got {self.channels!r}")
        if not self.chunk_seconds > 0:
            raise ConfigError(f"chunk_seconds must be above 0, got {self.chunk_seconds!r}")
        if self.resize not in get_args(Resize):
            raise ConfigError(f"resize must be one of {', '.join(get_args(Resize))}, got {self.resize!r}")

    def to_json(self) -> dict[str, Any]:
        """The settings as a flat dict of JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, settings: dict[str, Any]) -> Preprocessing:
        """The inverse of `to_json`; an unknown or missing key is a ConfigError that names it."""
        known = {field.name for field in dataclasses.fields(cls)}
        if set(settings) != known:
            odd = sorted(set(settings) ^ known)
            raise ConfigError(f"preprocessing has missing or unknown settings: {', '.join(odd)}")
        return cls(**settings)
