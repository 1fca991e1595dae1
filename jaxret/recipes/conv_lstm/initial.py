"""A training that begins with the encoder of another run."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flax import nnx

from jaxret.errors import ConfigError
from jaxret.models.base import Backbone
from jaxret.models.conv_lstm.autoencoder import AUTOENCODERS
from jaxret.models.encoder import VideoEncoder
from jaxret.models.store import load_encoder
from jaxret.recipes.conv_lstm.thumbnail import without_thumbnail
from jaxret.training import RunFolder

__all__ = ["InitialEncoder", "first_or_kept"]

_FREE = ("dtype", "remat", "pixel_mean", "pixel_deviation", "standardise_by")  # settings that are no shapes
_SETTINGS = {"height": "image_size", "width": "image_size"}  # what sets the shapes that have other names


def _architectures(sizes: Mapping[str, Any]) -> str:
    """Those whose encoder has the layers and the axes of these."""
    kind = (sizes["layer"], bool(sizes["depth_planes"]))
    return ", ".join(name for name, form in AUTOENCODERS.items() if (form.encoder, form.depth) == kind)


@dataclasses.dataclass(frozen=True)
class InitialEncoder:
    """The encoder that a run, or one of its steps, has left.

    Attributes:
      run: as the user names it.
      encoder: of clips, its backbone of a ConvLSTM autoencoder.
    """

    run: Path
    encoder: VideoEncoder

    @classmethod
    def load(cls, run: Path, folder: Path | None = None) -> InitialEncoder:
        """Load it.

        Args:
          run: the run, or one of its steps.
          folder: where it lies; None: in the run.

        Raises:
          ConfigError: there is none, or it is not of clips.
          WeightsError: it is damaged.
        """
        path = RunFolder(run if folder is None else folder).encoder
        if not path.is_dir():
            raise ConfigError(
                f"initial_run={run} holds no encoder to begin with: name a finished run or the folder of one of its"
                " steps"
            )
        encoder = without_thumbnail(load_encoder(path))  # what stands beside the vectors is measured anew
        if (name := getattr(encoder.backbone, "name", "another")) != "conv-lstm":
            raise ConfigError(f"initial_run={run} is no run of conv-lstm: its backbone is {name}")
        return cls(run, encoder)

    @property
    def pixels(self) -> dict[str, Any]:
        """How it standardises pixels, as settings of a training."""
        backbone: Any = self.encoder.backbone
        by_data = backbone.standardise_by == "data"
        return {
            "standardise_by": backbone.standardise_by,
            "pixel_mean": float(backbone.pixel_mean) if by_data else None,
            "pixel_deviation": float(backbone.pixel_deviation) if by_data else None,
        }

    def check_sizes(self, backbone: Backbone) -> None:
        """Refuse to begin a backbone of other sizes.

        Args:
          backbone: of which only the shapes count.

        Raises:
          ConfigError: the option of the first one that differs is named.
        """
        ours, theirs = dict(backbone.config), dict(self.encoder.backbone.config)
        begun = f"initial_run={self.run} was trained with"
        if (others := _architectures(theirs)) != (fitting := _architectures(ours)):
            raise ConfigError(
                f"{begun} an architecture of another encoder ({others}), and this training's is of {fitting}: take one"
                f" of the first, such as architecture={others.split(', ')[0]}"
            )
        if theirs["channels"] != ours["channels"]:
            grey = theirs["channels"] == 1
            raise ConfigError(f"{begun} grey={grey}, and this training has grey={not grey}: both must be the same")
        for name, value in theirs.items():
            if name not in _FREE and ours.get(name) != value:
                raise ConfigError(
                    f"{begun} {_SETTINGS.get(name, name)} {value}, and this training has {ours.get(name)}: sizes must"
                    " agree"
                )

    def give(self, backbone: Backbone) -> None:
        """Give a backbone of the same sizes its weights."""
        nnx.update(backbone, nnx.state(self.encoder.backbone))


def first_or_kept(run: Path | None, own: Path) -> InitialEncoder | None:
    """The encoder that a training begins with: its own copy, so that it resumes without the other run, if there is one.

    Args:
      run: the other run, or one of its steps; None where the training begins with random weights.
      own: where the training keeps its copy.

    Raises:
      ConfigError, WeightsError: as `InitialEncoder.load`.
    """
    if run is None:
        return None
    kept = (RunFolder(own).encoder / "encoder.json").is_file()  # what is written last
    return InitialEncoder.load(run, own if kept else None)
