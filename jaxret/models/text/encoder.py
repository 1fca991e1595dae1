"""An encoder of images and videos that encodes words into the space of its frames."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
from flax import nnx

from jaxret.errors import ConfigError
from jaxret.models.base import Backbone, SequenceEncoder
from jaxret.models.encoder import VideoEncoder
from jaxret.models.layers.l2_norm import l2_normalise
from jaxret.models.origin import WeightsOrigin
from jaxret.models.registry import register_encoder
from jaxret.models.text.tokens import Tokenizer
from jaxret.models.text.tower import TextTower
from jaxret.preprocessing import Preprocessing

__all__ = ["TextVideoEncoder", "Words"]


@dataclasses.dataclass(frozen=True, eq=False)
class Words:
    """How words become vectors.

    Attributes:
      tower: tokens to vectors.
      tokenizer: text to tokens.
    """

    tower: TextTower
    tokenizer: Tokenizer


@register_encoder
class TextVideoEncoder(VideoEncoder):
    """A `VideoEncoder` beside a tower of words, whose vectors lie in the space of the frame vectors.

    Args:
      backbone, temporal, preprocessing, origin: see `VideoEncoder`.
      words: the tower and its tokenizer.

    Raises:
      ConfigError: the parts do not fit together.
    """

    kind: ClassVar[str] = "images-and-text"

    def __init__(
        self,
        backbone: Backbone,
        temporal: SequenceEncoder,
        preprocessing: Preprocessing,
        origin: WeightsOrigin | None,
        words: Words,
    ):
        super().__init__(backbone, temporal, preprocessing, origin)
        if words.tower.embedding_size != backbone.embedding_size:
            raise ConfigError(
                f"words have vectors of {words.tower.embedding_size} numbers, the frames of {backbone.name} of "
                f"{backbone.embedding_size}: they are not of one space"
            )
        self.text = words.tower
        self.tokenizer = words.tokenizer

    @property
    def config(self) -> dict[str, Any]:
        """JSON-able settings; those of the tokenizer name the file that `stored_files` gives."""
        return {**super().config, "text": self.text.config, "tokenizer": self.tokenizer.config}

    @property
    def stored_files(self) -> dict[str, bytes]:
        """What is stored beside settings and weights, by file name."""
        return {self.tokenizer.file: self.tokenizer.content}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], rngs: nnx.Rngs, folder: Path | None = None) -> Self:
        """An encoder of the shape that `config` describes, with random weights, and the tokenizer in a folder.

        Raises:
          ConfigError: no folder is given.
          WeightsError: the tokenizer in it is missing or altered.
        """
        if folder is None:
            raise ConfigError("an encoder of words is read from its folder, where the tokenizer lies: load_encoder")
        plain = VideoEncoder.from_config(config, rngs)
        words = Words(TextTower(**config["text"], rngs=rngs), Tokenizer.from_folder(folder, config["tokenizer"]))
        return cls(plain.backbone, plain.temporal, plain.preprocessing, plain.origin, words)

    def encode_text(self, texts: Sequence[str]) -> jax.Array:
        """Texts to vectors (B, D) float32 of length 1, which frame vectors of length 1 are compared with.

        Raises:
          ConfigError: the extra `text` is not installed.
          WeightsError: the tokenizer's file is damaged, or that of another encoder.
          ValueError: a text is empty.
        """
        tokens = self.tokenizer(texts, vocabulary=self.text.vocabulary, end=self.text.end_token)
        return _encode_tokens(self.text, jnp.asarray(tokens))


@jax.jit
def _encode_tokens(tower: TextTower, tokens: jax.Array) -> jax.Array:
    return l2_normalise(tower(tokens).embedding)
