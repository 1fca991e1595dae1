"""Search by the mean colour of frames: an encoder of a new kind, and its system."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxret import Hit
from jaxret.data.dataset import MediaDataset
from jaxret.data.rows import Rows
from jaxret.errors import MediaError
from jaxret.index import MediaIndex, Space
from jaxret.models import register_encoder
from jaxret.preprocessing import Preprocessing
from jaxret.retrieval import System, register_system
from jaxret.retrieval.encode import FrameVectors, frame_rows
from jaxret.retrieval.hit import best_per_item, hits_of_rows


@register_encoder
class MeanColour(nnx.Module):
    """Frames (B, H, W, 3) to their mean colours (B, 3) in 0..1."""

    kind = "mean-colour"
    unit = "frame"

    def __init__(self, preprocessing: Preprocessing):
        self.preprocessing = preprocessing
        self.scale = nnx.Param(jnp.full(3, 1 / 255))

    @property
    def config(self) -> dict[str, Any]:
        """JSON-able settings, which an index records."""
        return {"kind": self.kind, "preprocessing": self.preprocessing.to_json()}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], rngs: nnx.Rngs) -> MeanColour:
        """The inverse of `config`."""
        return cls(Preprocessing.from_json(config["preprocessing"]))

    def encode_frames(self, frames: Any) -> Any:
        """Frames uint8 (B, H, W, 3) to (B, 3) float32."""
        return jnp.asarray(frames, jnp.float32).mean(axis=(1, 2)) * self.scale[...][None]


@dataclasses.dataclass(frozen=True)
class ColourSearch:
    """Search by colour.

    Attributes:
      brightness: multiply the query's colour by this before the search.
    """

    brightness: float = 1.0


@register_system("mean-colour")
class ColourSystem(System):
    """Each frame is a colour; an item counts by the frame whose colour is nearest."""

    title = "colours"
    options = (ColourSearch,)

    def spaces(self, *, frames: bool = True) -> list[Space]:
        """See `System.spaces`."""
        return [Space("colour", 3)]

    def rows(self, vectors: Mapping[int, FrameVectors]) -> dict[str, Rows]:
        """See `System.rows`."""
        return {"colour": frame_rows(vectors)}

    def search(
        self,
        index: MediaIndex,
        query: MediaDataset,
        k: int,
        options: ColourSearch,
        kinds: frozenset[str] | None,
        where: str | None,
        threads: int | None,
    ) -> list[Hit]:
        """See `System.search`."""
        ((_, vectors),) = self.vectors(query, [0], threads=1)
        if isinstance(vectors, MediaError):
            raise vectors
        rows = frame_rows({0: vectors})
        colours = rows.vectors * np.float32(options.brightness)
        found = index.search("colour", colours, k, kinds=kinds, where=where, threads=threads)
        return best_per_item(hits_of_rows(found, rows, "euclidean"), k, index)
