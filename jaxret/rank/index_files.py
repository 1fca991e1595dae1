"""An index of `jaxret.rank` as a folder: manifest.json beside .npy arrays, with shapes and checksums; no pickle."""

from __future__ import annotations

import json
import uuid
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxret.errors import IndexFormatError
from jaxret.files import write_folder


@dataclass(frozen=True)
class IndexFormat:
    """One kind of index folder.

    Attributes:
        name: what its manifest says it is, such as "jaxret hamming index".
        what: what to call it in messages, such as "a Hamming index".
        dtypes: of its arrays, by name.
        version: of the format.
    """

    name: str
    what: str
    dtypes: Mapping[str, str]
    version: int = 1

    def write(self, folder: Path, arrays: Mapping[str, NDArray[Any]], settings: Mapping[str, Any]) -> None:
        """Writes arrays and manifest into a new folder, all or nothing.

        Raises:
            FileExistsError: `folder` exists.
            WriteError: the disk is full.
        """
        if folder.exists():
            raise FileExistsError(f"{folder} exists already")
        folder.parent.mkdir(parents=True, exist_ok=True)
        own = folder.with_name(f".{folder.name}-{uuid.uuid4().hex}")  # two may write at once: the first has the name
        with write_folder(folder, partial=own) as beside:
            beside.mkdir()
            described = {}
            for name, array in arrays.items():
                np.save(beside / f"{name}.npy", array, allow_pickle=False)
                described[name] = {"dtype": str(array.dtype), "shape": list(array.shape), "crc32": _checksum(array)}
            manifest = {"format": self.name, "version": self.version, **settings, "arrays": described}
            (beside / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")

    def read(self, folder: Path, verify: bool) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """The memory-mapped arrays of an index folder, checked against its manifest, and the manifest.

        Args:
            folder: to read.
            verify: read all arrays once and compare their checksums.

        Raises:
            IndexFormatError: anything does not fit; the message names the file.
        """
        path = folder / "manifest.json"
        try:
            manifest = json.loads(path.read_text())
            if manifest["format"] != self.name or manifest["version"] != self.version:
                found = f"{manifest['format']!r} version {manifest['version']!r}"
                raise IndexFormatError(f"{path}: {found} is not {self.name!r} version {self.version}")
            described = {name: manifest["arrays"][name] for name in self.dtypes}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise IndexFormatError(f"{path}: not the manifest of {self.what} ({error!r})") from error
        arrays = {
            name: _read_array(folder / f"{name}.npy", dtype, described[name], verify)
            for name, dtype in self.dtypes.items()
        }
        return arrays, manifest


def _read_array(path: Path, dtype: str, described: Any, verify: bool) -> NDArray[Any]:
    try:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise IndexFormatError(f"{path}: missing, truncated or no .npy file ({error})") from error
    if not isinstance(mapped, np.memmap) or not mapped.flags.c_contiguous or str(mapped.dtype) != dtype:
        raise IndexFormatError(f"{path}: must be a C-ordered {dtype} array")
    if not isinstance(described, dict) or described.get("shape") != list(mapped.shape):
        raise IndexFormatError(f"{path}: shape {mapped.shape} is not the one in the manifest")
    if verify and described.get("crc32") != _checksum(mapped):
        raise IndexFormatError(f"{path}: checksum differs from the manifest: the file was damaged or edited")
    return mapped.view(np.ndarray)


def _checksum(array: NDArray[Any]) -> int:
    return zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
