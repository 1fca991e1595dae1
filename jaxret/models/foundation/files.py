"""The files of a published encoder: a folder as Hugging Face lays it out, or one file of arrays."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from jaxret.errors import WeightsError
from jaxret.files import is_there
from jaxret.models.weights.load import read_weights

__all__ = ["Arrays", "WeightFiles", "checksum_of", "read_files", "read_settings", "split_fused", "weights_files"]

Arrays = dict[str, npt.NDArray[Any]]

_WHOLE = ("model.safetensors", "pytorch_model.bin")
_SHARDED = ("model.safetensors.index.json", "pytorch_model.bin.index.json")


@dataclasses.dataclass(frozen=True)
class WeightFiles:
    """What lies there, read.

    Attributes:
      path: the folder or the file.
      arrays: by name.
      checksum: SHA-256, in hex, of the files of arrays, one after the other in the order of their names.
      config: of `config.json`; None: a single file has none.
      processor: of `preprocessor_config.json`; None: there is none.
    """

    path: Path
    arrays: Arrays
    checksum: str
    config: Mapping[str, Any] | None = None
    processor: Mapping[str, Any] | None = None

    @property
    def kind(self) -> str:
        """The kind of model that `config.json` names; "" without it."""
        return "" if self.config is None else str(self.config.get("model_type", ""))


def read_files(path: str | Path) -> WeightFiles:
    """Read a folder with `config.json` and arrays (`.safetensors` or `.bin`, whole or in shards), or a file of arrays.

    Raises:
      WeightsError: a file is missing or damaged; the message names it.
      FileNotFoundError: there is nothing at the path.
    """
    path = Path(path)
    if not path.is_dir():
        arrays = read_weights(path)
        return WeightFiles(path, arrays, checksum_of([path]))
    settings = read_settings(path)
    parts = weights_files(path)
    arrays = {}
    for part in parts:
        arrays |= read_weights(part)
    return dataclasses.replace(settings, arrays=arrays, checksum=checksum_of(parts))


def read_settings(folder: Path) -> WeightFiles:
    """What a folder holds, without its arrays.

    Raises:
      WeightsError: `config.json` is missing, or a file of settings is damaged.
    """
    config, processor = _json(folder / "config.json"), folder / "preprocessor_config.json"
    return WeightFiles(folder, {}, "", config, _json(processor) if is_there(processor) else None)


def weights_files(path: str | Path) -> list[Path]:
    """The files of arrays: the file itself, or those of a folder, whole or in shards.

    Raises:
      WeightsError: the folder holds none, or a shard is missing.
    """
    folder = Path(path)
    if not folder.is_dir():
        return [folder]
    for name in _WHOLE:
        if is_there(folder / name):
            return [folder / name]
    for name in _SHARDED:
        if not is_there(folder / name):
            continue
        names = _json(folder / name).get("weight_map")
        if not isinstance(names, dict) or not all(isinstance(part, str) for part in names.values()):
            raise WeightsError(f"{folder / name} has no weight_map from arrays to files")
        shards = sorted(set(names.values()))
        for shard in shards:
            if Path(shard).name != shard:
                raise WeightsError(f"{folder / name} names the file {shard!r}, which is not in its folder")
            if not is_there(folder / shard):
                raise WeightsError(f"{folder / shard} is missing, which {name} names")
        return [folder / shard for shard in shards]
    raise WeightsError(f"{folder} holds no weights: one of {', '.join((*_WHOLE, *_SHARDED))} must be there")


def _json(path: Path) -> dict[str, Any]:
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WeightsError(
            f"{path} is missing: give a folder as Hugging Face lays it out, or a file of arrays"
        ) from None
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} is damaged: {error}") from error
    if not isinstance(settings, dict):
        raise WeightsError(f"{path} is damaged: it holds no settings")
    return settings


def checksum_of(paths: list[Path]) -> str:
    """SHA-256, in hex, of files one after the other."""
    digest = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            while block := file.read(1 << 22):
                digest.update(block)
    return digest.hexdigest()


def split_fused(arrays: Arrays, fused: Mapping[str, tuple[str, ...]]) -> Arrays:
    """Arrays of several layers in one, taken apart along their first axis.

    Args:
      arrays: by name; others are passed on.
      fused: the ending of a name to the endings of its parts, which are equally large.

    Example:
      >>> split_fused({"a.qkv": np.arange(6)}, {"qkv": ("q", "k", "v")})["a.k"].tolist()
      [2, 3]
    """
    parted: Arrays = {}
    for name, array in arrays.items():
        ending = next((ending for ending in fused if name.endswith(ending)), None)
        if ending is None or not array.ndim or array.shape[0] % len(fused[ending]):
            parted[name] = array
            continue
        parts = np.split(array, len(fused[ending]))
        parted |= {name.removesuffix(ending) + part: piece for part, piece in zip(fused[ending], parts, strict=True)}
    return parted
