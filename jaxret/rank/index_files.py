"""The files of a `HammingIndex`: manifest.json beside .npy arrays, with shapes and checksums; no pickle."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxret.errors import IndexFormatError
from jaxret.rank._multi_index import MAX_SUBSTRING_BITS
from jaxret.rank.substring_tables import table_starts

FORMAT = "jaxret hamming index"
VERSION = 1
_DTYPES = {"codes": "uint8", "bucket_offsets": "uint32", "bucket_ids": "uint32"}


def write(folder: Path, arrays: dict[str, NDArray[Any]], settings: dict[str, Any]) -> None:
    """Writes arrays and manifest into a new folder, all or nothing.

    Raises:
        FileExistsError: `folder` exists.
    """
    if folder.exists():
        raise FileExistsError(f"{folder} exists already")
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        described = {}
        for name, array in arrays.items():
            np.save(beside / f"{name}.npy", array, allow_pickle=False)
            described[name] = {"dtype": str(array.dtype), "shape": list(array.shape), "crc32": _checksum(array)}
        manifest = {"format": FORMAT, "version": VERSION, **settings, "arrays": described}
        (beside / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
        beside.chmod(0o777 & ~_umask())
        beside.rename(folder)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


def read(folder: Path, verify: bool) -> tuple[dict[str, NDArray[Any]], NDArray[np.int64]]:
    """The memory-mapped arrays and the substring bounds of an index folder, checked against its manifest.

    Raises:
        IndexFormatError: anything does not fit; the message names the file.
    """
    path = folder / "manifest.json"
    try:
        manifest = json.loads(path.read_text())
        if manifest["format"] != FORMAT or manifest["version"] != VERSION:
            found = f"{manifest['format']!r} version {manifest['version']!r}"
            raise IndexFormatError(f"{path}: {found} is not {FORMAT!r} version {VERSION}")
        described = {name: manifest["arrays"][name] for name in _DTYPES}
        bounds = np.array([int(bound) for bound in manifest["substring_bounds"]], np.int64)
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise IndexFormatError(f"{path}: not the manifest of a Hamming index ({error!r})") from error
    arrays = {name: _read_array(folder / f"{name}.npy", name, described[name], verify) for name in _DTYPES}
    _check_shapes(folder, arrays, bounds)
    return arrays, bounds


def _read_array(path: Path, name: str, described: Any, verify: bool) -> NDArray[Any]:
    try:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise IndexFormatError(f"{path}: missing, truncated or no .npy file ({error})") from error
    if not isinstance(mapped, np.memmap) or not mapped.flags.c_contiguous or str(mapped.dtype) != _DTYPES[name]:
        raise IndexFormatError(f"{path}: must be a C-ordered {_DTYPES[name]} array")
    if not isinstance(described, dict) or described.get("shape") != list(mapped.shape):
        raise IndexFormatError(f"{path}: shape {mapped.shape} is not the one in the manifest")
    if verify and described.get("crc32") != _checksum(mapped):
        raise IndexFormatError(f"{path}: checksum differs from the manifest: the file was damaged or edited")
    return mapped.view(np.ndarray)


def _check_shapes(folder: Path, arrays: dict[str, NDArray[Any]], bounds: NDArray[np.int64]) -> None:
    """Refuses tables that do not cover exactly the bits of the codes."""
    codes, offsets, ids = arrays["codes"], arrays["bucket_offsets"], arrays["bucket_ids"]
    widths = np.diff(bounds)
    if codes.ndim != 2 or 0 in codes.shape or len(widths) < 1:
        raise IndexFormatError(f"{folder}: codes of shape {codes.shape} and {len(widths)} substrings")
    if bounds[0] != 0 or bounds[-1] != 8 * codes.shape[1] or widths.min() < 1 or widths.max() > MAX_SUBSTRING_BITS:
        raise IndexFormatError(f"{folder}: substrings {bounds.tolist()} do not cover {8 * codes.shape[1]} bits")
    if offsets.shape != (int(table_starts(bounds)[-1]),) or ids.shape != (len(widths), len(codes)):
        raise IndexFormatError(f"{folder}: tables of shapes {offsets.shape} and {ids.shape} do not fit the codes")


def _checksum(array: NDArray[Any]) -> int:
    return zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
