"""The index that `jaxret index` adds to: the one that exists, or a new one of the encoder that was named."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from jaxret.errors import ConfigError
from jaxret.files import is_there

if TYPE_CHECKING:
    from jaxret.data.dataset import MediaDataset
    from jaxret.retrieval import Retriever

__all__ = ["NewIndex", "open_or_create"]


@dataclasses.dataclass(frozen=True)
class NewIndex:
    """What a new index is made with.

    Attributes:
      encoder: a run folder, an encoder folder or another index, whose encoder it gets.
      weights, backbone, image_size: of an encoder that is used as it is, see `jaxret.models.frozen.FrozenSettings`.
      whiten: components that its frame vectors are whitened to; 0: they stay as they are.
      frames: keep single frames.
      threads: files decoded at once, where it is fitted.

    Raises:
      ConfigError: two encoders are named, or settings of one that is not.
    """

    encoder: Path | None
    weights: str | None
    backbone: str
    image_size: int | None
    whiten: int
    frames: bool
    threads: int

    def __post_init__(self) -> None:
        if self.encoder is not None and self.weights is not None:
            raise ConfigError("--encoder is one that was trained, --weights one that is used as it is: give one")
        if self.weights is None:
            given = {"--backbone": self.backbone != "auto", "--image-size": self.image_size, "--whiten": self.whiten}
            for flag, value in given.items():
                if value:
                    raise ConfigError(f"{flag} belongs to --weights: name the weights, or leave it out")
        if self.whiten < 0:
            raise ConfigError(f"whiten must be at least 0 components, got {self.whiten}")


def open_or_create(folder: Path, new: NewIndex, dataset: MediaDataset | None) -> Retriever:
    """The index in a folder, or a new one.

    Args:
      folder: of the index, or of a run that holds one.
      new: what a new one is made with; of one that exists it must be true as well.
      dataset: what the whitening is fitted on.

    Raises:
      ConfigError: no encoder was named for a new index, or another one for an index that exists.
    """
    from jaxret.index import refuse_copies
    from jaxret.models.store import load_encoder
    from jaxret.retrieval import Retriever
    from jaxret.retrieval.store import index_folder

    folder = index_folder(folder)
    refuse_copies(folder)
    if is_there(folder / "manifest.json"):
        retriever = Retriever.open(folder)
        _check_same(retriever, new, folder)
        return retriever
    if new.weights is not None:
        return Retriever.create(folder, _frozen(new, dataset), frames=new.frames)
    if new.encoder is None:
        raise ConfigError(
            f"{folder} does not exist yet: name the encoder of the new index with --weights FOLDER (one that is used "
            "as it is) or --encoder RUN_FOLDER (one that was trained)"
        )
    return Retriever.create(folder, load_encoder(_encoder_folder(new.encoder)), frames=new.frames)


def _check_same(retriever: Retriever, new: NewIndex, folder: Path) -> None:
    """The command that made the index, given once more, goes on with it; another one is refused."""
    from jaxret.models.encoder_files import fingerprint_in
    from jaxret.models.frozen import projected_size, weights_origin

    record = retriever.index.encoder
    if new.encoder is not None and fingerprint_in(_encoder_folder(new.encoder)) != record.fingerprint:
        raise ConfigError(f"{folder} exists and has an encoder of its own, another one: leave --encoder out")
    if new.weights is not None:
        own, named = record.description.get("weights", {}), weights_origin(new.weights, new.backbone)
        if own.get("sha256") != named.sha256 or (named.family and named.family != own["family"]):
            raise ConfigError(f"{folder} exists and has an encoder of its own, of other weights: leave --weights out")
        side, whitened = retriever.encoder.preprocessing.height, projected_size(retriever.encoder)
        if new.image_size not in (None, side):
            raise ConfigError(f"{folder} exists, with images of {side} pixels: leave --image-size {new.image_size} out")
        if new.whiten not in (0, whitened):
            was = f"whitened to {whitened} numbers" if whitened else "not whitened"
            raise ConfigError(f"{folder} exists, and its vectors are {was}: leave --whiten {new.whiten} out")
    if not new.frames and "frame" in retriever.index.spaces:
        raise ConfigError(f"{folder} exists, and keeps frames: leave --without-frames out")


def _frozen(new: NewIndex, dataset: MediaDataset | None) -> object:
    from jaxret.models.frozen import FrozenSettings, frozen_encoder
    from jaxret.retrieval.whitening import whiten_frames
    from jaxret.training import check_pixels

    assert new.weights is not None
    encoder = frozen_encoder(FrozenSettings(new.weights, new.backbone, new.image_size))
    check_pixels(encoder.preprocessing)
    if not new.whiten:
        return encoder
    if dataset is None:
        raise ConfigError(f"whiten={new.whiten} is fitted on the media, and there are none")
    return whiten_frames(encoder, dataset, new.whiten, threads=new.threads)


def _encoder_folder(path: Path) -> Path:
    """The encoder folder in a run folder or index, or `path` itself if it is one."""
    for candidate in (path, path / "encoder"):
        if is_there(candidate / "encoder.json"):
            return candidate
    raise ConfigError(f"{path} holds no encoder: give a run folder whose training is finished, or an index")
