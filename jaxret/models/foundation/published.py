"""Published encoders by their files: which family they are of, and the encoder that they hold."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flax import nnx

from jaxret.errors import ConfigError, WeightsError
from jaxret.files import is_there
from jaxret.models.base import Backbone
from jaxret.models.foundation.clip import CLIP, CLIP_ORIGINAL
from jaxret.models.foundation.dinov2 import DINOV2, DINOV2_ORIGINAL
from jaxret.models.foundation.dinov3 import DINOV3, DINOV3_ORIGINAL
from jaxret.models.foundation.family import Family, TextFamily
from jaxret.models.foundation.files import WeightFiles, read_files, read_settings
from jaxret.models.foundation.siglip import SIGLIP, SIGLIP_NAFLEX, SIGLIP_ORIGINAL
from jaxret.models.foundation.sizing import Sizing, read_sizing
from jaxret.models.foundation.videoprism import VIDEOPRISM
from jaxret.models.foundation.videoprism_original import VIDEOPRISM_ORIGINAL
from jaxret.models.registry import create_backbone
from jaxret.models.text import TextTower, Words, has_tokenizer, read_tokenizer, tokenizer_files
from jaxret.models.weights.load import fill_module
from jaxret.models.weights.names import WeightTable
from jaxret.models.weights.patterns import Patterns, slots_by_pattern

__all__ = ["Foundation", "PublishedKind", "is_published", "open_published", "published_kind"]

FAMILIES: tuple[Family, ...] = (
    DINOV2,
    DINOV2_ORIGINAL,
    DINOV3,
    DINOV3_ORIGINAL,
    SIGLIP,
    SIGLIP_NAFLEX,
    SIGLIP_ORIGINAL,
    CLIP,
    CLIP_ORIGINAL,
    VIDEOPRISM,
    VIDEOPRISM_ORIGINAL,
)


@dataclasses.dataclass(frozen=True)
class Foundation:
    """A published encoder, read.

    Attributes:
      family: its name.
      backbone: with the published weights, in evaluation mode.
      sizing: how images are prepared for it.
      checksum: SHA-256, in hex, of the files of its weights.
      words: its tower of words and their tokenizer; None: it has none, or no tokenizer lies beside it.
      missing_tokenizer: the files, in words, of the tokenizer that its tower of words lacks; "": it lacks none.
    """

    family: str
    backbone: Backbone
    sizing: Sizing
    checksum: str
    words: Words | None = None
    missing_tokenizer: str = ""


@dataclasses.dataclass(frozen=True)
class PublishedKind:
    """What a folder tells before its weights are read.

    Attributes:
      family: its name.
      backbone: the name of its class.
      image_size: height of the images that it is shown.
    """

    family: str
    backbone: str
    image_size: int


def published_kind(path: str | Path) -> PublishedKind:
    """What the settings in a folder are of; its weights are not read.

    Raises:
      WeightsError: the settings are missing, damaged, or of no known family.
    """
    files = read_settings(Path(path))
    family = _family_of(files)
    with _described(family, files):
        sizing = _sizing(family, family.settings(files), files)
    return PublishedKind(family.name, family.backbone, sizing.height)


def is_published(path: str | Path) -> bool:
    """Whether a path is that of a folder, which is read as a published encoder and as nothing else.

    The words "imagenet" and "none" of settings are no paths: folders of these names are "./imagenet" and "./none".
    """
    return path not in ("imagenet", "none") and is_there(path) and Path(path).is_dir()


def open_published(path: str | Path, *, dtype: str = "float32", channels: int = 3) -> Foundation:
    """Read a published encoder: architecture, weights and preprocessing come from its files.

    Args:
      path: a folder as Hugging Face lays it out, or a file of arrays of a known family.
      dtype: compute dtype.
      channels: 3 for RGB, 1 for grey.

    Raises:
      WeightsError: the files are of no known family, damaged, or have arrays that are missing, extra or of another
        shape; the message lists them.
      FileNotFoundError: there is nothing at the path.
    """
    files = read_files(path)
    family = _family_of(files)
    with _described(family, files):
        settings = family.settings(files)
        sizing = _sizing(family, settings, files)
        of_words = None if family.text is None else family.text.settings(files)
        settings |= {"dtype": dtype, "channels": channels}
        if family.backbone == "vision-transformer":  # VideoPrism sees 0..1, whatever its processor says
            settings |= {"mean": sizing.mean, "deviation": sizing.deviation}
        # Shapes alone: the weights come from the files.
        backbone: Backbone = nnx.eval_shape(lambda: create_backbone(family.backbone, rngs=nnx.Rngs(0), **settings))
    _fill(backbone, family.patterns(settings), family, family.unused, files)
    words, missing_tokenizer = None, ""
    if family.text is not None and of_words is not None:
        folder = files.path if files.config is not None else files.path.parent  # a file's tokenizer lies beside it
        if has_tokenizer(folder, family.text.tokenizer):
            words = _words(family, family.text, of_words, files, folder, dtype=dtype)
        else:
            missing_tokenizer = tokenizer_files(family.text.tokenizer)
    return Foundation(family.name, backbone, sizing, files.checksum, words, missing_tokenizer)


def _words(
    family: Family, text: TextFamily, settings: dict[str, Any], files: WeightFiles, folder: Path, *, dtype: str
) -> Words:
    """The tower of words of these settings, and the tokenizer in the folder."""
    try:
        tower: TextTower = nnx.eval_shape(lambda: TextTower(**settings, dtype=dtype, rngs=nnx.Rngs(0)))
    except (ConfigError, ValueError) as error:
        raise WeightsError(f"{files.path} describes no tower of words: {error}") from error
    _fill(tower, text.patterns(settings), family, text.unused, files)
    end, padding = settings.get("end_token"), settings.get("padding")
    filler = end if padding is None else padding
    tokenizer = read_tokenizer(
        folder,
        text.tokenizer,
        length=settings["length"],
        cleaning=text.cleaning(settings),
        padding=1 if filler is None else filler,
        marked=text.marked,
    )
    return Words(tower, tokenizer)


def _fill(module: nnx.Module, patterns: Patterns, family: Family, unused: str, files: WeightFiles) -> None:
    slots = slots_by_pattern(module, patterns, torch=family.torch)
    table = WeightTable(family.name, slots, lambda name: re.search(unused, name) is not None, "")
    name = getattr(module, "name", "the tower of words")
    fill_module(module, table, family.prepare(files.arrays), source=str(files.path), name=name)


@contextlib.contextmanager
def _described(family: Family, files: WeightFiles) -> Iterator[None]:
    """What files say of an encoder is read here: where it makes none, they are named."""
    try:
        yield
    except (LookupError, TypeError, ValueError) as error:
        raise WeightsError(f"{files.path} describes no {family.name} encoder: {error}") from error


def _sizing(family: Family, settings: dict[str, Any], files: WeightFiles) -> Sizing:
    if files.processor is None:
        return family.sizing(settings)
    return read_sizing(files.processor, str(files.path / "preprocessor_config.json"))


def _family_of(files: WeightFiles) -> Family:
    for family in FAMILIES:
        if family.recognises(files):
            return family
    known = ", ".join(dict.fromkeys(one.name for one in FAMILIES))
    told = f"model_type {files.kind!r}" if files.config is not None else "arrays that no family has"
    raise WeightsError(
        f"{files.path} has {told}: published encoders of the families {known} are known. Weights of a backbone, such"
        " as mobilenet-v1, are named with it: --backbone"
    )
