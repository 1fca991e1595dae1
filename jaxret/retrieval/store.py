"""An index and the encoder that lies in it, so that the folder stands alone."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxret.cli.shell import command_line_of
from jaxret.errors import ConfigError
from jaxret.files import is_there
from jaxret.index import EncoderRecord, MediaIndex, Space, copy_of_file, copy_of_index, read_manifest
from jaxret.index.write_lock import addition_lock
from jaxret.models.encoder_files import fingerprint_in, stored_names
from jaxret.remote import remote_state, url_of

__all__ = ["create_with_encoder", "index_folder", "open_with_encoder"]

_LOCK_SECONDS = 10.0


def create_with_encoder(folder: str | Path, encoder: Any, spaces: Sequence[Space]) -> MediaIndex:
    """An empty index in a new folder, with a copy of the encoder.

    Raises:
      ConfigError: the folder holds something.
      IndexBusyError: another is being made there.
    """
    folder = Path(folder)
    from jaxret.models.store import fingerprint, save_encoder  # brings Flax

    MediaIndex.check_new(folder)  # the encoder of another index stays what it is
    folder.mkdir(parents=True, exist_ok=True)
    with addition_lock(folder, _LOCK_SECONDS):
        MediaIndex.check_new(folder)  # another may have been made meanwhile
        save_encoder(encoder, folder / "encoder")
        record = EncoderRecord(fingerprint(encoder), encoder.preprocessing, encoder.config)
        return MediaIndex.create(folder, spaces=spaces, encoder=record)


def open_with_encoder(folder: str | Path, programs: Path | None = None) -> tuple[Any, MediaIndex]:
    """The encoder that lies in an index, and the index.

    Args:
      folder: of the index.
      programs: see `jaxret.retrieval.Retriever.open`.

    Raises:
      IndexFormatError: the folder is not an index, or damaged.
      WeightsError: the encoder in it is damaged.
      EncoderMismatchError: the encoder is not the one that made the index.
    """
    index = MediaIndex.open(folder)
    encoder = _opened(Path(folder) / "encoder", programs)
    # What opens has the fingerprint that its settings name.
    index.check_encoder(fingerprint_in(Path(folder) / "encoder"), encoder.preprocessing)
    return encoder, index


def _opened(folder: Path, programs: Path | None) -> Any:
    if programs is not None:
        from jaxret.models.kept_encoder import KeptEncoder, can_be_kept
        from jaxret.models.kept_programs import KeptPrograms

        if can_be_kept(folder):
            return KeptEncoder(folder, KeptPrograms(programs))
    from jaxret.models.store import load_encoder

    return load_encoder(folder)


def index_folder(path: str | Path) -> Path:
    """The index that `path` is, or that lies in the run folder `path`; `path` itself where there is neither.

    Of an index or run behind a URL it is a copy of the index in the user's cache folder, with its encoder.

    Raises:
      IndexFormatError: there is no index at the URL, or it is damaged.
      MediaError: the store does not answer.
      ConfigError: it is the folder of a run that has not come to its end.
    """
    if (url := url_of(path)) is not None:
        return _copy(url)
    path = Path(path)
    inside = path / "index"
    if is_there(path / "manifest.json"):
        return path
    if not is_there(inside) and is_there(path / "config.json"):
        go_on = command_line_of("train", "--resume", path)
        raise ConfigError(f"{path} has no index yet: its training has not come to its end. To go on: {go_on}")
    return inside if is_there(inside) else path


def _copy(url: str) -> Path:
    base = url.rstrip("/")
    if remote_state(f"{base}/manifest.json") is None and remote_state(f"{base}/index/manifest.json") is not None:
        base += "/index"
    folder = copy_of_index(base)
    encoder = folder / "encoder"
    if not _is_whole(encoder) or fingerprint_in(encoder) != read_manifest(folder).encoder.fingerprint:
        shutil.rmtree(encoder, ignore_errors=True)
        copy_of_file(base, "encoder/encoder.json", folder)
        for name in stored_names(encoder):
            copy_of_file(base, f"encoder/{name}", folder)
    return folder


def _is_whole(encoder: Path) -> bool:
    settings = encoder / "encoder.json"
    return is_there(settings) and all(is_there(encoder / name) for name in stored_names(encoder))
