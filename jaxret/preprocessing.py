"""What is done to pixels before an encoder sees them; written into every checkpoint and index.

Queries and galleries share one road: the same `Preprocessing` drives training, indexing and searching.
Normalisation is not part of it: pixels stay uint8 until inside the model, which knows its own range.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, get_args

from jaxret.errors import ConfigError, unknown_name_message

__all__ = [
    "SIDE_STEP",
    "DepthPlanes",
    "FixedResize",
    "FreeResize",
    "Modality",
    "Preprocessing",
    "Resampling",
    "Resize",
    "ShotSampling",
]

FixedResize = Literal["crop", "squash", "pad"]
"""The ways of resizing that give frames of one size, whatever the source: what batches of training need."""
FreeResize = Literal["limit", "fit", "patches"]
"""The ways that keep the whole image and let the size follow its shape."""
Resize = FixedResize | FreeResize
Resampling = Literal["fast", "bilinear", "bicubic"]
"""How pixels are scaled. "fast": bilinear, and large JPEG files are decoded at a half, a quarter or an eighth of their
size where that is above twice what is wanted. "bilinear" and "bicubic" scale the whole image, as Pillow does it and as
the published encoders were trained."""
_STORED_IMAGE_SIDE = "picture_side"  # what files call it
SIDE_STEP = 32
"""Sides of frames resized with `limit`, `fit` or `patches` are multiples of this many pixels."""
Modality = Literal["rgb", "flow", "difference", "dynamic-image"]
"""How a sampled moment of a video becomes an image; `jaxret.data.sampling.modalities` makes them."""


@dataclasses.dataclass(frozen=True)
class ShotSampling:
    """How a video is sampled and cut for an encoder of shots.

    Attributes:
      rate: frames a second of the video.
      cut_threshold: cosine distance of the vectors of consecutive frames above which they lie in different shots.
      max_frames: frames that stand for a shot; a longer one is thinned out evenly.
      image_side: the longer side of an image is scaled down to this many pixels, a multiple of 32.

    Raises:
      ConfigError: a setting is out of range.
    """

    rate: float = 3.0
    cut_threshold: float = 0.5
    max_frames: int = 50
    image_side: int = 960

    def __post_init__(self) -> None:
        if not 0 < self.rate < float("inf"):
            raise ConfigError(f"rate must be a number of frames a second above 0, got {self.rate!r}")
        if not 0 <= self.cut_threshold <= 2:
            raise ConfigError(f"cut_threshold must be a cosine distance in 0..2, got {self.cut_threshold!r}")
        if not isinstance(self.max_frames, int) or self.max_frames < 1:
            raise ConfigError(f"max_frames must be a whole number of at least 1, got {self.max_frames!r}")
        if not isinstance(self.image_side, int) or self.image_side < 1 or self.image_side % SIDE_STEP:
            raise ConfigError(f"image_side must be a multiple of {SIDE_STEP} pixels, got {self.image_side!r}")

    def to_json(self) -> dict[str, Any]:
        """The settings as a dict of JSON values."""
        settings = dataclasses.asdict(self)
        settings[_STORED_IMAGE_SIDE] = settings.pop("image_side")
        return settings

    @classmethod
    def from_json(cls, settings: dict[str, Any]) -> ShotSampling:
        """The inverse of `to_json`; TypeError for an unknown or missing setting."""
        names = {_STORED_IMAGE_SIDE: "image_side"}
        return cls(**{names.get(name, name): value for name, value in settings.items()})


@dataclasses.dataclass(frozen=True)
class DepthPlanes:
    """How the depth of an RGB-D video is cut into planes, for an encoder with depth as its third spatial axis.

    The range near..far is divided evenly: plane k of 1..count holds the depths from near + (k - 1) w up to near + k w,
    w = (far - near) / count. What lies nearer or farther goes to the first or last plane (a decision: its colour has
    been seen, and left out it could not be told from what the sensor has missed). 0 is for no reading.

    Attributes:
      count: planes Z, 1 to 255.
      near, far: metres. The defaults are the range of the first structured-light cameras, in planes of 25 cm.

    Raises:
      ConfigError: a setting is out of range.
    """

    count: int = 16
    near: float = 0.5
    far: float = 4.5

    def __post_init__(self) -> None:
        if not isinstance(self.count, int) or not 1 <= self.count <= 255:
            raise ConfigError(f"count must be a whole number of planes in 1..255, got {self.count!r}")
        if not 0 <= self.near < self.far < float("inf"):
            raise ConfigError(f"near and far must be metres, 0 <= near < far, got {self.near!r} and {self.far!r}")


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """Frame size, frame count and chunking that an encoder expects.

    Attributes:
      height, width: pixels of a frame as the encoder sees it; with `limit` and `fit` the most that it has.
      channels: 3 for RGB, 1 for grey (ITU-R BT.601 luma): what `rgb` is turned into.
      frames: frames sampled, evenly spaced, from each chunk of a video.
      chunk_seconds: a video is cut into equal chunks of about this many seconds.
      resize: `crop` scales the frame to cover (height, width) and cuts the centre; `squash` ignores the
        aspect ratio; `pad` scales it to fit inside and fills with black; `limit` scales it down (never up) to fit
        inside and leaves the rest away, so that the size follows the source's shape: for encoders that pool maps of
        any size. Both sides are then rounded to multiples of 32 pixels, at least 32: the aspect ratio is kept up
        to that, whole cells of a network that halves its input five times are filled, and the few sizes that
        videos have give few shapes to compile. `fit` is like `limit`, but scales smaller sources up, so that their maps
        have as many cells. `patches` scales it up or down to as many squares of `side_step` pixels as fit into the area
        of (height, width), for encoders that take so many patches of any shape (NaFlex).
      modalities: the images that each sampled moment is seen as, stacked along the channel axis in this
        order: `rgb` is the frame itself, the others show the motion that begins with it.
      shots: videos are sampled at a steady rate and cut into shots, not into equal chunks: `frames` and
        `chunk_seconds` then say nothing. Goes with `limit`. None: chunks.
      chunk_overlap: the share of a chunk that the next one shows again, at least 0 (chunks follow each other) and
        below 1.
      shortest: with `crop`, pixels of the frame's shorter side when the window is cut from it, at least those of the
        window's longer side; None: the frame just covers the window.
      side_step: with `limit`, `fit` and `patches`, sides are multiples of this many pixels: 32, which fills the cells
        of most networks, or another number for a network of other cells (patches of 14 pixels: 28).
      resampling: see `Resampling`; videos know bilinear and bicubic alone.
      depth: of RGB-D videos: after the channels of the modalities comes one with the number of the depth plane that
        each pixel lies in, 1..Z, 0 for no reading. None: colour alone.

    Raises:
      ConfigError: a size, count or duration is not positive, or with `limit` or `fit` no multiple of 32; `resize`,
        `channels` or a modality is unknown; no modality or one twice; a modality of motion, which has 3 channels,
        beside channels=1; shots without `limit`, or with an overlap; `shortest` without `crop`, or too small.

    Example:
      >>> Preprocessing(height=224, width=224, frames=16).to_json()["chunk_seconds"]
      10.0
      >>> Preprocessing(modalities=("rgb", "flow")).pixel_channels
      6
      >>> Preprocessing(depth=DepthPlanes(count=8)).pixel_channels
      4
    """

    height: int = 224
    width: int = 224
    channels: int = 3
    frames: int = 16
    chunk_seconds: float = 10.0
    resize: Resize = "crop"
    modalities: tuple[Modality, ...] = ("rgb",)
    shots: ShotSampling | None = None
    chunk_overlap: float = 0.0
    depth: DepthPlanes | None = None
    shortest: int | None = None
    resampling: Resampling = "fast"
    side_step: int = SIDE_STEP

    def __post_init__(self) -> None:
        for name in ("height", "width", "frames"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ConfigError(f"{name} must be a whole number of at least 1, got {value!r}")
        if self.channels not in (1, 3):
            raise ConfigError(f"channels must be 1 (grey) or 3 (RGB), got {self.channels!r}")
        if not self.chunk_seconds > 0:
            raise ConfigError(f"chunk_seconds must be above 0, got {self.chunk_seconds!r}")
        if not 0 <= self.chunk_overlap < 1:
            raise ConfigError(f"chunk_overlap must be a share of at least 0 and below 1, got {self.chunk_overlap!r}")
        known = (*get_args(FixedResize), *get_args(FreeResize))
        if self.resize not in known:
            raise ConfigError(f"resize must be one of {', '.join(known)}, got {self.resize!r}")
        step = self.side_step
        if not isinstance(step, int) or step < 1:
            raise ConfigError(f"side_step must be a whole number of at least 1 pixel, got {step!r}")
        if self.resize in get_args(FreeResize) and (self.height % step or self.width % step):
            raise ConfigError(
                f"with resize={self.resize!r} height and width must be multiples of {step}, "
                f"got {self.height} x {self.width}"
            )
        if self.resampling not in get_args(Resampling):
            raise ConfigError(f"resampling must be one of {', '.join(get_args(Resampling))}, got {self.resampling!r}")
        if self.shortest is not None and self.resize != "crop":
            raise ConfigError(f"shortest={self.shortest} is of resize='crop', got {self.resize!r}: leave it out")
        window = max(self.height, self.width)
        if self.shortest is not None and (not isinstance(self.shortest, int) or self.shortest < window):
            raise ConfigError(
                f"shortest must be a whole number of at least the window's {window} pixels, got {self.shortest!r}"
            )
        if isinstance(self.shots, dict):  # from JSON
            object.__setattr__(self, "shots", ShotSampling.from_json(self.shots))
        if isinstance(self.depth, dict):
            object.__setattr__(self, "depth", DepthPlanes(**self.depth))
        if self.shots is not None and self.resize != "limit":
            raise ConfigError(f"frames of shots keep their shape: resize must be limit, got {self.resize!r}")
        if self.shots is not None and self.chunk_overlap:
            raise ConfigError(
                f"chunk_overlap is for chunks, and shots do not overlap: leave it at 0, got {self.chunk_overlap!r}"
            )
        self._check_modalities()

    def _check_modalities(self) -> None:
        if isinstance(self.modalities, list):  # JSON has no tuples
            object.__setattr__(self, "modalities", tuple(self.modalities))
        chosen, known = self.modalities, get_args(Modality)
        if not isinstance(chosen, tuple) or not chosen:
            raise ConfigError(f"modalities must be a tuple of one or more of {', '.join(known)}, got {chosen!r}")
        for name in chosen:
            if name not in known:
                raise ConfigError(unknown_name_message("modality", name, known))
        if len(set(chosen)) < len(chosen):
            twice = next(name for name in chosen if chosen.count(name) > 1)
            raise ConfigError(f"modality {twice!r} is there twice: {', '.join(chosen)}")
        if self.channels == 1 and self.motion:
            raise ConfigError(f"the modality {self.motion[0]!r} has 3 channels: it does not go with channels=1")

    @property
    def motion(self) -> tuple[Modality, ...]:
        """The modalities that need more than the sampled frame, in order: all but `rgb`."""
        return tuple(name for name in self.modalities if name != "rgb")

    @property
    def pixel_channels(self) -> int:
        """C of the pixels (T, H, W, C) that the encoder sees: `channels` for `rgb`, 3 for each other modality, and
        1 for depth."""
        return sum(self.channels if name == "rgb" else 3 for name in self.modalities) + (self.depth is not None)

    @property
    def of_images(self) -> Preprocessing:
        """What is done to images: the same, but for the size where there is one of their own."""
        if self.shots is None:
            return self
        return dataclasses.replace(self, height=self.shots.image_side, width=self.shots.image_side)

    def to_json(self) -> dict[str, Any]:
        """The settings as a dict of JSON values; `modalities` is a list. Settings that came later are left out where
        they are at their defaults, so that what was written before them keeps its fingerprint."""
        settings = {**dataclasses.asdict(self), "modalities": list(self.modalities)}
        if self.shots is not None:
            settings["shots"] = self.shots.to_json()
        for name, default in _LATER.items():
            if settings[name] == default:
                del settings[name]
        return settings

    @classmethod
    def from_json(cls, settings: dict[str, Any]) -> Preprocessing:
        """The inverse of `to_json`; an unknown or missing key is a ConfigError that names it."""
        known = {field.name for field in dataclasses.fields(cls)}
        if odd := sorted((set(settings) ^ known) - set(_LATER)):
            raise ConfigError(f"preprocessing has missing or unknown settings: {', '.join(odd)}")
        try:
            return cls(**settings)
        except TypeError as error:
            raise ConfigError(f"the settings of shots or depth are malformed: {error}") from error


_LATER = {
    "shots": None,
    "chunk_overlap": 0.0,
    "depth": None,
    "shortest": None,
    "resampling": "fast",
    "side_step": SIDE_STEP,
}
