"""The files of a stored encoder, read without Flax: its settings, its arrays, and whether they belong together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from jaxret.errors import WeightsError
from jaxret.models.weights.safe import read_safetensors

__all__ = [
    "FORMAT",
    "SETTINGS",
    "WEIGHTS",
    "Arrays",
    "check_fingerprint",
    "fingerprint_in",
    "fingerprint_of",
    "read_encoder",
    "read_settings",
    "stored_names",
]

FORMAT = 1
SETTINGS = "encoder.json"
WEIGHTS = "weights.safetensors"

Arrays = dict[str, npt.NDArray[Any]]
"""Weights by dotted name."""


def read_encoder(folder: Path) -> tuple[dict[str, Any], Arrays]:
    """The settings of an encoder that is stored in a folder, and its weights.

    Raises:
      WeightsError: a file is missing, truncated, altered or of a later format.
    """
    settings, path = read_settings(folder), folder / WEIGHTS
    try:
        with open(path, "rb"):  # safetensors tells of a file that may not be read that there is none
            arrays = read_safetensors(path)
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such file") from None
    except PermissionError as error:
        raise WeightsError(f"{path}: {error.strerror}") from error
    except OSError as error:
        raise WeightsError(f"{path} is damaged: {error}") from error
    return settings, arrays


def check_fingerprint(folder: Path, settings: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """WeightsError where settings and weights do not belong together."""
    if fingerprint_of(settings["encoder"], arrays) != settings["fingerprint"]:
        raise WeightsError(f"{folder / WEIGHTS} and {folder / SETTINGS} do not belong together, or one was altered")


def fingerprint_of(config: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> str:
    """SHA-256, in hex, over settings, names, shapes and every byte of the weights."""
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def fingerprint_in(folder: Path) -> str:
    """The fingerprint of the encoder that lies in a folder, as its settings tell it; errors as `read_encoder`."""
    return str(read_settings(folder)["fingerprint"])


def stored_names(folder: Path) -> list[str]:
    """The names of the files that lie beside `encoder.json` in an encoder's folder; errors as `read_encoder`."""
    tokenizer = read_settings(folder)["encoder"].get("tokenizer")
    names = [WEIGHTS, *([] if tokenizer is None else [str(tokenizer["file"])])]
    if odd := [name for name in names if Path(name).name != name]:
        raise WeightsError(f"{folder / SETTINGS} names a file outside its folder: {odd[0]!r}")
    return names


def read_settings(folder: Path) -> dict[str, Any]:
    """What `encoder.json` in a folder holds: `format`, `fingerprint` and `encoder`, the config; errors as
    `read_encoder`.
    """
    path = folder / SETTINGS
    try:
        settings: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version, _, _ = settings["format"], settings["fingerprint"], settings["encoder"]
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such file") from None
    except OSError as error:
        raise WeightsError(f"{path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{path} is damaged: {error!r}") from error
    if version != FORMAT:
        raise WeightsError(f"{path} has format {version!r}; this version of jaxret reads format {FORMAT}")
    return settings
