"""An index and the encoder that lies in it, so that the folder stands alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxret.cli.shell import command_line_of
from jaxret.errors import ConfigError
from jaxret.files import is_there
from jaxret.index import EncoderRecord, MediaIndex, Space
from jaxret.models.store import fingerprint, load_encoder, save_encoder

__all__ = ["create_with_encoder", "index_folder", "open_with_encoder"]


def create_with_encoder(folder: str | Path, encoder: Any, spaces: Sequence[Space]) -> MediaIndex:
    """An empty index in a new folder, with a copy of the encoder.

    Raises:
      ConfigError: the folder holds something.
    """
    folder = Path(folder)
    MediaIndex.check_new(folder)  # the encoder of another index stays what it is
    save_encoder(encoder, folder / "encoder")
    record = EncoderRecord(fingerprint(encoder), encoder.preprocessing, encoder.config)
    return MediaIndex.create(folder, spaces=spaces, encoder=record)


def open_with_encoder(folder: str | Path) -> tuple[Any, MediaIndex]:
    """The encoder that lies in an index, and the index.

    Raises:
      IndexFormatError: the folder is not an index, or damaged.
      WeightsError: the encoder in it is damaged.
      EncoderMismatchError: the encoder is not the one that made the index.
    """
    index = MediaIndex.open(folder)
    encoder = load_encoder(Path(folder) / "encoder")
    index.check_encoder(fingerprint(encoder), encoder.preprocessing)
    return encoder, index


def index_folder(path: str | Path) -> Path:
    """The index that `path` is, or that lies in the run folder `path`; `path` itself where there is neither.

    Raises:
      ConfigError: it is the folder of a run that has not come to its end.
    """
    path = Path(path)
    inside = path / "index"
    if is_there(path / "manifest.json"):
        return path
    if not is_there(inside) and is_there(path / "config.json"):
        go_on = command_line_of("train", "--resume", path)
        raise ConfigError(f"{path} has no index yet: its training has not come to its end. To go on: {go_on}")
    return inside if is_there(inside) else path
