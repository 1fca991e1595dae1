"""Backbones, encoders of sequences and whole encoders by name.

A class registers itself with a decorator, under its own `name` or `kind`. Built-in classes are imported when their name
is looked up, so that a small model does not wait for large ones. A class of another package is known once its module is
imported; a package that lists the module in the entry-point group `jaxret.models` spares its users that import.

Example, a backbone in a module of its own:

    @register_backbone(image_size=224, stages={"rmac": "block_12", "words": "block_12", "detector": "block_12"})
    class ViT(Backbone):
        name = "my-vit"
        ...
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from flax import nnx

from jaxret.errors import ConfigError, unknown_name_message
from jaxret.models.base import Backbone, SequenceEncoder, Unit

__all__ = [
    "BackboneInfo",
    "PackagedWeights",
    "backbone_info",
    "create_backbone",
    "create_encoder",
    "create_sequence_encoder",
    "known_backbones",
    "register_backbone",
    "register_encoder",
    "register_sequence_encoder",
]

_ENTRY_POINTS = "jaxret.models"

AnyBackbone = TypeVar("AnyBackbone", bound=type[Backbone])
AnySequenceEncoder = TypeVar("AnySequenceEncoder", bound=type[SequenceEncoder])
AnyEncoder = TypeVar("AnyEncoder", bound=type[Any])


@dataclasses.dataclass(frozen=True)
class PackagedWeights:
    """ImageNet weights that an ordinary Python package brings.

    Attributes:
      package: the module that holds the file; it is looked up and never imported.
      file: path of the weights file inside the package.
      install: how to install the package, for messages.
    """

    package: str
    file: str
    install: str

    @property
    def installed(self) -> bool:
        """Whether the package is on this machine."""
        return find_spec(self.package) is not None


@dataclasses.dataclass(frozen=True)
class BackboneInfo:
    """What recipes read of a backbone without creating it.

    Attributes:
      name: the name under which `create_backbone` makes it.
      unit: what one vector stands for, a frame or a chunk.
      image_size: side in pixels of the images that it is usually given; None: it wraps another backbone.
      stages: the stage to use by purpose: "rmac" (pooled to a vector of the whole image), "words" (places described one
        by one, for visual words and regions), "detector" (where a detector's heads begin), "convolutions" (all its
        convolutions). A value may be a pattern of `fnmatch`, such as "conv_*".
      imagenet: the package that brings its ImageNet weights, or None.
    """

    name: str
    unit: Unit
    image_size: int | None
    stages: Mapping[str, str]
    imagenet: PackagedWeights | None

    def stage(self, purpose: str) -> str:
        """The stage for a purpose.

        Raises:
          ConfigError: the backbone names none.
        """
        if purpose not in self.stages:
            raise ConfigError(f"{self.name} names no stage for {purpose!r}: choose one with the setting stage")
        return self.stages[purpose]


class _Registry:
    """Classes by name, the built-in ones imported on demand.

    Args:
      what: what the classes are, for messages.
      modules: where the built-in classes are registered, by name.
    """

    def __init__(self, what: str, modules: Mapping[str, str]):
        self.what, self.modules = what, modules
        self.classes: dict[str, Any] = {}

    def add(self, name: str, added: type[Any]) -> None:
        """Register a class; running its definition again, as a notebook does, replaces it.

        Raises:
          ConfigError: another class has that name.
        """
        module = self.classes[name].__module__ if name in self.classes else self.modules.get(name, added.__module__)
        if module != added.__module__:
            raise ConfigError(f"the {self.what} {name!r} of {added.__module__} has the name of one of {module}")
        self.classes[name] = added

    def find(self, name: str) -> Any:
        """The class of that name.

        Raises:
          ConfigError: it is unknown; the message gives the nearest one.
        """
        if name not in self.classes and name in self.modules:
            importlib.import_module(self.modules[name])
        if name not in self.classes and name not in self.names():
            raise ConfigError(unknown_name_message(self.what, name, self.names()))
        return self.classes[name]

    def names(self) -> tuple[str, ...]:
        """All names, the built-in ones first."""
        _import_extensions()
        return tuple(dict.fromkeys((*self.modules, *self.classes)))


@functools.cache
def _import_extensions() -> None:
    for entry_point in entry_points(group=_ENTRY_POINTS):
        entry_point.load()


_BACKBONES = _Registry(
    "backbone",
    {
        "small-convnet": "jaxret.models.backbones.small_convnet",
        "mobilenet-v1": "jaxret.models.backbones.mobilenet_v1",
        "efficientnet-lite0": "jaxret.models.backbones.efficientnet_lite",
        "vgg16": "jaxret.models.backbones.vgg16",
        "resnet50": "jaxret.models.backbones.resnet50",
        "vision-transformer": "jaxret.models.backbones.vision_transformer",
        "c3d": "jaxret.models.backbones.c3d",
        "video-prism": "jaxret.models.backbones.video_prism",
        "conv-lstm": "jaxret.models.conv_lstm.encoder",
        "streams": "jaxret.models.multi_stream",
        "projected": "jaxret.models.projection",
        "unit-length": "jaxret.models.backbones.unit_length",
        "pooled": "jaxret.models.backbones.pooled",
        "layer-maxima": "jaxret.models.backbones.pooled",
        "map-grid": "jaxret.models.backbones.map_grid",
        "with-pixel-statistics": "jaxret.models.backbones.with_pixel_statistics",
        "beside-thumbnail": "jaxret.models.backbones.thumbnail",
    },
)
_SEQUENCE_ENCODERS = _Registry(
    "encoder of sequences",
    {
        "recurrent": "jaxret.models.temporal.recurrent",
        "mean": "jaxret.models.temporal.pooling",
        "open-set": "jaxret.models.temporal.open_set",
        "open-set-hash": "jaxret.models.temporal.open_set_hash",
        "sum": "jaxret.models.temporal.pooling",
        "max": "jaxret.models.temporal.pooling",
        "unit-length": "jaxret.models.temporal.pooling",
        "weighted-average": "jaxret.models.temporal.fusion",
        "convolution": "jaxret.models.temporal.fusion",
        "convolution-3d": "jaxret.models.temporal.convolution_3d",
        "attention": "jaxret.models.temporal.attention",
        "sum-residual": "jaxret.models.temporal.residual",
        "dense-embedding": "jaxret.models.temporal.heads",
        "hash": "jaxret.models.temporal.heads",
        "tanh-head": "jaxret.models.temporal.heads",
        "projected": "jaxret.models.projection",
        "streams": "jaxret.models.multi_stream",
    },
)
_ENCODERS = _Registry(
    "kind of encoder",
    {
        "frames-then-sequence": "jaxret.models.encoder",
        "faster-rcnn": "jaxret.models.detection.faster_rcnn",
        "faster-rcnn-pyramid": "jaxret.models.detection.pyramid_rcnn",
        "grid-patches": "jaxret.models.descriptors.grid",
        "map-words": "jaxret.models.descriptors.visual_words",
        "regional-maxima": "jaxret.models.descriptors.rmac",
        "sift-words": "jaxret.models.descriptors.visual_words",
        "images-and-text": "jaxret.models.text.encoder",
    },
)
_INFO: dict[str, BackboneInfo] = {}


def register_backbone(
    *,
    image_size: int | None = None,
    stages: Mapping[str, str] | None = None,
    imagenet: PackagedWeights | None = None,
) -> Callable[[AnyBackbone], AnyBackbone]:
    """A decorator that makes a `Backbone` known under its `name`: to `create_backbone`, recipes and `--help`.

    Args:
      image_size: side in pixels of the images that recipes give it where nothing else is set; None: it wraps another
        backbone, and recipes do not offer it.
      stages: the stage for each purpose, see `BackboneInfo`; where the one that a recipe needs is missing, its setting
        `stage` must be given.
      imagenet: the package that brings its ImageNet weights.

    Raises:
      ConfigError: the name is taken.
    """

    def register(backbone_class: AnyBackbone) -> AnyBackbone:
        name = backbone_class.name
        _BACKBONES.add(name, backbone_class)
        _INFO[name] = BackboneInfo(name, backbone_class.unit, image_size, dict(stages or {}), imagenet)
        return backbone_class

    return register


def register_sequence_encoder(encoder_class: AnySequenceEncoder) -> AnySequenceEncoder:
    """A decorator that makes a `SequenceEncoder` known to `create_sequence_encoder` under its `kind`.

    Raises:
      ConfigError: the kind is taken.
    """
    _SEQUENCE_ENCODERS.add(encoder_class.kind, encoder_class)
    return encoder_class


def register_encoder(encoder_class: AnyEncoder) -> AnyEncoder:
    """A decorator that makes a whole encoder known to `create_encoder` under its `kind`.

    The class has `config`, JSON-able settings with its `kind`, and `from_config(config, rngs)`.

    Raises:
      ConfigError: the kind is taken.
    """
    _ENCODERS.add(encoder_class.kind, encoder_class)
    return encoder_class


def backbone_info(name: str) -> BackboneInfo:
    """What is known of a backbone without creating it.

    Raises:
      ConfigError: the name is unknown; the message gives the nearest one.

    Example:
      >>> info = backbone_info("vgg16")
      >>> info.unit, info.image_size, info.stage("rmac")
      ('frame', 224, 'block5_conv3')
    """
    _BACKBONES.find(name)
    return _INFO[name]


def known_backbones(unit: Unit | None = None) -> dict[str, BackboneInfo]:
    """All backbones that do not wrap another one, by name.

    Args:
      unit: "frame" or "chunk": only those whose vectors stand for one.

    Example:
      >>> list(known_backbones("frame"))[:4]
      ['small-convnet', 'mobilenet-v1', 'efficientnet-lite0', 'vgg16']
    """
    found = {name: backbone_info(name) for name in _BACKBONES.names()}
    return {name: info for name, info in found.items() if info.image_size is not None and unit in (None, info.unit)}


def create_backbone(name: str, *, rngs: nnx.Rngs, **settings: Any) -> Backbone:
    """A backbone with random weights, in evaluation mode.

    Args:
      name: one of `known_backbones()`, or one that wraps others: `streams`, `projected`, `pooled`,
        `layer-maxima`, `map-grid` or `with-pixel-statistics`.
      rngs: source of the initial weights.
      settings: of that backbone, such as `width` of mobilenet-v1; see its class.

    Raises:
      ConfigError: the name or a setting is unknown (the message gives the nearest one), or a value is bad.

    Example:
      >>> from flax import nnx
      >>> backbone = create_backbone("small-convnet", embedding_size=32, rngs=nnx.Rngs(0))
      >>> backbone.embedding_size, backbone.config["widths"]
      (32, [16, 32, 32])
    """
    backbone: Backbone = _BACKBONES.find(name).from_config({"name": name, **settings}, rngs)
    backbone.eval()
    return backbone


def create_sequence_encoder(kind: str, *, rngs: nnx.Rngs, **settings: Any) -> SequenceEncoder:
    """An encoder of frame-vector sequences of the shape that its `config` describes, with random weights.

    Raises:
      ConfigError: the kind is unknown, or a value is bad.
      TypeError, KeyError: a setting is missing or unknown.

    Example:
      >>> from flax import nnx
      >>> create_sequence_encoder("weighted-average", input_size=8, rngs=nnx.Rngs(0)).embedding_size
      8
    """
    encoder: SequenceEncoder = _SEQUENCE_ENCODERS.find(kind).from_config({"kind": kind, **settings}, rngs)
    return encoder


def create_encoder(config: Mapping[str, Any], *, rngs: nnx.Rngs, folder: Path | None = None) -> Any:
    """A whole encoder of the shape that `config` describes, with random weights, in evaluation mode.

    Args:
      config: with its `kind`.
      rngs: source of the initial weights.
      folder: where the files lie that an encoder with `stored_files` needs beside its settings.

    Raises:
      ConfigError: the kind is unknown, or a setting is missing, unknown or bad.
    """
    kind = str(config.get("kind"))
    encoder_class = _ENCODERS.find(kind)
    try:
        needs = hasattr(encoder_class, "stored_files")
        encoder = encoder_class.from_config(config, rngs, *([folder] if needs else []))
    except (KeyError, TypeError) as error:
        raise ConfigError(f"the settings of this {kind} encoder are incomplete or malformed: {error!r}") from error
    encoder.eval()
    return encoder
