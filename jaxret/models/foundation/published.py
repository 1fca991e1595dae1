"""Published encoders by their files: which family they are of, and the encoder that they hold."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from flax import nnx

from jaxret.errors import ConfigError, WeightsError
from jaxret.files import is_there
from jaxret.models.base import Backbone
from jaxret.models.foundation.dinov2 import DINOV2, DINOV2_ORIGINAL
from jaxret.models.foundation.family import Family
from jaxret.models.foundation.files import WeightFiles, read_files
from jaxret.models.foundation.sizing import Sizing, read_sizing
from jaxret.models.registry import create_backbone
from jaxret.models.weights.load import fill_module
from jaxret.models.weights.names import WeightTable
from jaxret.models.weights.patterns import slots_by_pattern

__all__ = ["Foundation", "is_published", "open_published"]

FAMILIES: tuple[Family, ...] = (DINOV2, DINOV2_ORIGINAL)
_FILES = (".pth", ".pt", ".bin", ".npz", ".safetensors")


@dataclasses.dataclass(frozen=True)
class Foundation:
    """A published encoder, read.

    Attributes:
      family: its name.
      backbone: with the published weights, in evaluation mode.
      sizing: how images are prepared for it.
      checksum: SHA-256, in hex, of the files of its weights.
    """

    family: str
    backbone: Backbone
    sizing: Sizing
    checksum: str


def is_published(path: str | Path) -> bool:
    """Whether a path is that of a folder, which is read as a published encoder and as nothing else."""
    return is_there(path) and Path(path).is_dir()


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
    if family is None:
        known = ", ".join(dict.fromkeys(one.name for one in FAMILIES))
        told = f"model_type {files.kind!r}" if files.config is not None else "arrays that no family has"
        raise WeightsError(f"{path} has {told}: published encoders of the families {known} are known")
    try:
        settings = family.settings(files)
        sizing = family.sizing(settings["image_size"])
        if files.processor is not None:
            sizing = read_sizing(files.processor, str(files.path / "preprocessor_config.json"))
        settings |= {"mean": sizing.mean, "deviation": sizing.deviation, "dtype": dtype, "channels": channels}
        # Shapes alone: the weights come from the files.
        backbone: Backbone = nnx.eval_shape(lambda: create_backbone(family.backbone, rngs=nnx.Rngs(0), **settings))
    except (KeyError, IndexError, ConfigError, ValueError) as error:
        raise WeightsError(f"{path} describes no {family.name} encoder: {error}") from error
    slots = slots_by_pattern(backbone, family.patterns(settings), torch=family.torch)
    table = WeightTable(family.name, slots, family.leaves_out, "")
    fill_module(backbone, table, family.prepare(files.arrays), source=str(path), name=backbone.name)
    return Foundation(family.name, backbone, sizing, files.checksum)


def _family_of(files: WeightFiles) -> Family | None:
    return next((family for family in FAMILIES if family.recognises(files)), None)
