"""Encoders of visual words: what describes the places of an image, and the codebook that names the descriptions.

They hold numbers that are fitted from outside (`jaxret.recipes.instances.fit_words`) and stored as an encoder's weights
are; `jaxret.retrieval` assigns the words and ranks by them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import ArrayLike
from numpy.typing import NDArray

from jaxret.errors import ConfigError
from jaxret.models.base import Backbone, Unit, check_sizes
from jaxret.models.descriptors.stage_maps import stage_maps, unit_rows
from jaxret.models.layers.feature_map import feature_map_shape
from jaxret.models.layers.frozen import FixedArray
from jaxret.models.on_backbone import config_on_backbone, parts_on_backbone
from jaxret.models.origin import WeightsOrigin
from jaxret.models.projection import LinearProjection
from jaxret.models.registry import register_encoder
from jaxret.preprocessing import Preprocessing

__all__ = ["MapWordEncoder", "SiftWordEncoder", "WordEncoder"]

_SIFT_SIZE = 128
_LARGEST_SIDE = 4064  # places of key points are kept in sixteenths of a pixel, in 16 bits


class WordEncoder(nnx.Module):
    """Base of the encoders of visual words.

    Args:
      descriptor_size: D, numbers of a local descriptor.
      n_words: W, words of the codebook.
      preprocessing: size of the images; `limit` or `fit`, so that an image is seen whole and boxes keep their
        meaning.

    Attributes:
      centres: float32 (W, D), the codebook, see `jaxret.visual_words.Codebook`.
      idf: float32 (W,), how telling each word is among the images that the codebook was made of. It is part of the
        encoder, so that a gallery may grow without changing what was stored.

    Raises:
      ConfigError: a size is out of range, or the preprocessing cuts or distorts images.
    """

    kind: ClassVar[str]
    unit: ClassVar[Unit] = "frame"

    def __init__(self, descriptor_size: int, n_words: int, preprocessing: Preprocessing):
        check_sizes(n_words=n_words)
        if preprocessing.resize not in ("limit", "fit") or preprocessing.shots is not None:
            raise ConfigError(
                f"words are placed in whole images: resize must be limit or fit, and without shots, "
                f"got {preprocessing.resize!r}"
            )
        self.preprocessing = preprocessing
        self.n_words = n_words
        self.centres = FixedArray(jnp.zeros((n_words, descriptor_size)))
        self.idf = FixedArray(jnp.ones(n_words))

    def assign(self, centres: ArrayLike, idf: ArrayLike) -> None:
        """Take a codebook (W, D) and the words' weights (W,).

        Raises:
          ValueError: a shape does not fit, or a number is not finite in float32, or a weight is negative.
        """
        for name, value, variable in (("centres", centres, self.centres), ("idf", idf, self.idf)):
            array = np.asarray(value, np.float32)
            if array.shape != variable.shape:
                raise ValueError(f"{name} must have shape {variable.shape}, got {array.shape}")
            if not np.isfinite(array).all() or (name == "idf" and array.min() < 0):
                raise ValueError(f"{name} must be finite{' and at least 0' if name == 'idf' else ''}")
            variable[...] = jnp.asarray(array)


@register_encoder
class MapWordEncoder(WordEncoder):
    """Bags of local convolutional features (BLCF, Mohedano et al. 2016, arXiv:1604.04840).

    An image's feature map -> each place l2 -> PCA-whitening, if any -> l2 -> the nearest word.

    Args:
      backbone: of frames; one whose layers up to the map take images of any size.
      stage: the map's name, such as "block5_conv1" of vgg16 (BLCF's) or "conv_pw_11" of mobilenet-v1.
      n_words: W.
      preprocessing: see `WordEncoder`.
      descriptor_size: numbers that the whitening keeps, 1 .. C; None: no whitening.
      origin: of the backbone's weights, where it is known.

    Attributes:
      whitening: a `LinearProjection` whose `assign` gives it its numbers, or None.
      stride: pixels of the image to a place of the map, down and across.

    Raises:
      ConfigError: the stage is unknown or no map, or a size is out of range.

    Example:
      >>> from jaxret.models.registry import create_backbone
      >>> net = create_backbone("small-convnet", widths=[4, 8], rngs=nnx.Rngs(0))
      >>> words = MapWordEncoder(net, "conv_2", 50, Preprocessing(height=64, width=96, resize="fit"))
      >>> words.descriptors(jnp.zeros((1, 64, 96, 3), jnp.uint8)).shape[-1]
      8
    """

    kind: ClassVar[str] = "map-words"

    def __init__(
        self,
        backbone: Backbone,
        stage: str,
        n_words: int,
        preprocessing: Preprocessing,
        *,
        descriptor_size: int | None = None,
        origin: WeightsOrigin | None = None,
    ):
        _, _, channels = feature_map_shape(backbone, stage)
        if descriptor_size is not None and not 1 <= descriptor_size <= channels:
            raise ConfigError(
                f"descriptor_size must be 1..{channels}, the channels of {stage} of {backbone.name}, "
                f"got {descriptor_size}"
            )
        super().__init__(channels if descriptor_size is None else descriptor_size, n_words, preprocessing)
        self.backbone, self.stage, self.origin = backbone, stage, origin
        self.whitening = None if descriptor_size is None else LinearProjection(channels, descriptor_size)

    @property
    def summary(self) -> str:
        """One line for people."""
        whitened = "" if self.whitening is None else f", whitened to {self.whitening.size},"
        size = self.preprocessing
        return (
            f"{self.n_words} words of {self.stage} of {self.backbone.summary}{whitened} on images of at most "
            f"{size.height} x {size.width} pixels"
        )

    @property
    def config(self) -> dict[str, Any]:
        """JSON-able settings; `create_encoder(config)` makes an encoder of the same shape."""
        size = None if self.whitening is None else self.whitening.size
        return config_on_backbone(self, stage=self.stage, n_words=self.n_words, descriptor_size=size)

    @classmethod
    def from_config(cls, config: Mapping[str, Any], rngs: nnx.Rngs) -> Self:
        """An encoder of the shape that `config` describes, its backbone with random weights."""
        return cls(
            **parts_on_backbone(config, rngs),
            stage=config["stage"],
            n_words=config["n_words"],
            descriptor_size=config["descriptor_size"],
        )

    def maps(self, images: ArrayLike, sizes: ArrayLike | None = None) -> jax.Array:
        """Images (B, H, W, C) to maps (B, H', W', C') of length 1 at every place, before the whitening; jitted.

        Args:
          images: uint8, or 0..255.
          sizes: see `jaxret.models.descriptors.stage_maps.stage_maps`.
        """
        return stage_maps(self.backbone, self.stage, images, sizes, unit=True)

    def whitened(self, maps: NDArray[np.float32]) -> NDArray[np.float32]:
        """What `maps` gives, or rows of it (..., C'), as it is compared with the words, (..., D) float32."""
        return maps if self.whitening is None else unit_rows(self.whitening.on_host(maps))

    def descriptors(self, images: ArrayLike) -> NDArray[np.float32]:
        """Images (B, H, W, C), uint8, to what is compared with the words, (B, H', W', D) float32."""
        return self.whitened(np.asarray(self.maps(images)))

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """(H', W') of the map of an image of this size."""
        shape = jax.ShapeDtypeStruct((1, height, width, self.preprocessing.pixel_channels), jnp.uint8)
        found = nnx.eval_shape(lambda net, images: net(images).stages[self.stage], self.backbone, shape).shape
        return int(found[1]), int(found[2])


@register_encoder
class SiftWordEncoder(WordEncoder):
    """Bags of SIFT words (Sivic and Zisserman, ICCV 2003) by OpenCV, the extra `opencv`.

    Args:
      n_words: W.
      preprocessing: see `WordEncoder`; a side of at most 4,064 pixels.
      max_features: strongest key points of an image that are kept.
      root: compare square roots of the shares (RootSIFT, Arandjelovic and Zisserman 2012); False: descriptors as Lowe
        made them.

    Raises:
      ConfigError: a size is out of range.
    """

    kind: ClassVar[str] = "sift-words"

    def __init__(self, n_words: int, preprocessing: Preprocessing, *, max_features: int = 1000, root: bool = True):
        check_sizes(max_features=max_features)
        if max(preprocessing.height, preprocessing.width) > _LARGEST_SIDE:
            raise ConfigError(
                f"images of SIFT words have sides of at most {_LARGEST_SIDE} pixels, got "
                f"{preprocessing.height} x {preprocessing.width}"
            )
        if preprocessing.modalities != ("rgb",):
            raise ConfigError(f"SIFT sees rgb alone, got the modalities {', '.join(preprocessing.modalities)}")
        super().__init__(_SIFT_SIZE, n_words, preprocessing)
        self.max_features, self.root = max_features, root

    @property
    def summary(self) -> str:
        """One line for people."""
        size = self.preprocessing
        return (
            f"{self.n_words} words of at most {self.max_features} {'' if self.root else 'plain '}SIFT key points of "
            f"images of at most "
            f"{size.height} x {size.width} pixels"
        )

    @property
    def config(self) -> dict[str, Any]:
        """JSON-able settings; `create_encoder(config)` makes an encoder of the same shape."""
        settings = {
            "kind": self.kind,
            "n_words": self.n_words,
            "max_features": self.max_features,
            "preprocessing": self.preprocessing.to_json(),
        }
        # Left out where it is as it was before there was a choice: the fingerprint stays.
        return settings if self.root else {**settings, "root": False}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], rngs: nnx.Rngs) -> Self:
        """An encoder of the shape that `config` describes."""
        return cls(
            config["n_words"],
            Preprocessing.from_json(config["preprocessing"]),
            max_features=config["max_features"],
            root=config.get("root", True),
        )
