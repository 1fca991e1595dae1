"""Published encoders that are known to be readable, and how one gets their files; nothing is fetched."""

from __future__ import annotations

import dataclasses

__all__ = ["KNOWN_WEIGHTS", "KnownWeights"]


@dataclasses.dataclass(frozen=True)
class KnownWeights:
    """One published encoder.

    Attributes:
      name: of its repository at Hugging Face, or of its file.
      family: see `jaxret.models.foundation`; of torchvision's detector faster-rcnn.
      parameters: millions, of both towers where it has one of words.
      image_size: pixels a side that it was made for; of a detector of the shorter side.
      dimensions: numbers of a frame's vector; of a detector of a region's.
      words: whether it has a tower of words.
      licence: of the weights.
      access: "open", or "gated": its owner wants a form to be filled in first.
    """

    name: str
    family: str
    parameters: int
    image_size: int
    dimensions: int
    words: bool
    licence: str
    access: str = "open"

    @property
    def megabytes(self) -> int:
        """Of the weights in float32."""
        return 4 * self.parameters


_DINO, _APACHE = "DINOv3 licence", "Apache-2.0"

KNOWN_WEIGHTS: tuple[KnownWeights, ...] = (
    KnownWeights("facebook/dinov2-small", "dinov2", 22, 224, 384, False, _APACHE),
    KnownWeights("facebook/dinov2-base", "dinov2", 87, 224, 768, False, _APACHE),
    KnownWeights("facebook/dinov2-large", "dinov2", 304, 224, 1024, False, _APACHE),
    KnownWeights("facebook/dinov2-giant", "dinov2", 1136, 224, 1536, False, _APACHE),
    KnownWeights("facebook/dinov2-with-registers-small", "dinov2", 22, 224, 384, False, _APACHE),
    KnownWeights("facebook/dinov2-with-registers-base", "dinov2", 87, 224, 768, False, _APACHE),
    KnownWeights("facebook/dinov2-with-registers-large", "dinov2", 304, 224, 1024, False, _APACHE),
    KnownWeights("facebook/dinov3-vits16-pretrain-lvd1689m", "dinov3", 22, 224, 384, False, _DINO, "gated"),
    KnownWeights("facebook/dinov3-vits16plus-pretrain-lvd1689m", "dinov3", 29, 224, 384, False, _DINO, "gated"),
    KnownWeights("facebook/dinov3-vitb16-pretrain-lvd1689m", "dinov3", 86, 224, 768, False, _DINO, "gated"),
    KnownWeights("facebook/dinov3-vitl16-pretrain-lvd1689m", "dinov3", 303, 224, 1024, False, _DINO, "gated"),
    KnownWeights("google/siglip-base-patch16-224", "siglip", 203, 224, 768, True, _APACHE),
    KnownWeights("google/siglip-so400m-patch14-384", "siglip", 878, 384, 1152, True, _APACHE),
    KnownWeights("google/siglip2-base-patch16-224", "siglip", 375, 224, 768, True, _APACHE),
    KnownWeights("google/siglip2-base-patch16-naflex", "siglip2-naflex", 375, 256, 768, True, _APACHE),
    KnownWeights("google/videoprism-base-f16r288", "videoprism", 114, 288, 768, False, _APACHE),
    KnownWeights("google/videoprism-lvt-base-f16r288", "videoprism", 248, 288, 768, True, _APACHE),
    KnownWeights("openai/clip-vit-base-patch32", "clip", 151, 224, 512, True, "MIT"),
    KnownWeights("openai/clip-vit-base-patch16", "clip", 150, 224, 512, True, "MIT"),
    KnownWeights("openai/clip-vit-large-patch14", "clip", 428, 224, 768, True, "MIT"),
    KnownWeights("fasterrcnn_resnet50_fpn_coco-258fb6c6.pth", "faster-rcnn", 42, 800, 256, False, "BSD-3-Clause"),
)
"""What `jaxret weights` lists."""
