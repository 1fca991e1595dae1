"""Networks from images or chunks of video to vectors and named maps; `create_backbone` makes them by name.

A class is imported on first use: a small network does not wait for large ones.
"""

import importlib
from typing import Any

_MODULES = {
    "C3D": "c3d",
    "EfficientNetLite0": "efficientnet_lite",
    "MaxPooledLayers": "pooled",
    "MobileNetV1": "mobilenet_v1",
    "ThumbnailBackbone": "thumbnail",
    "PooledBackbone": "pooled",
    "ResNet50": "resnet50",
    "SmallConvNet": "small_convnet",
    "UnitLengthBackbone": "unit_length",
    "VGG16": "vgg16",
    "VideoPrism": "video_prism",
    "VisionTransformer": "vision_transformer",
}

__all__ = [
    "C3D",
    "VGG16",
    "EfficientNetLite0",
    "MaxPooledLayers",
    "MobileNetV1",
    "PooledBackbone",
    "ResNet50",
    "SmallConvNet",
    "ThumbnailBackbone",
    "UnitLengthBackbone",
    "VideoPrism",
    "VisionTransformer",
]


def __getattr__(name: str) -> Any:
    """The class of that name."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
