"""CLIP (Radford et al. 2021, arXiv:2103.00020)."""

from __future__ import annotations

from typing import Any

from jaxret.models.foundation.family import Family, TextFamily, settings_with
from jaxret.models.foundation.files import WeightFiles
from jaxret.models.foundation.sizing import Sizing
from jaxret.models.foundation.towers import block_names, image_settings, in_vision_model, text_settings
from jaxret.models.weights.patterns import Named, Patterns, torch_patches

__all__ = ["CLIP"]

_VISION: dict[str, Any] = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "image_size": 224,
    "patch_size": 32,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
}
_TEXT: dict[str, Any] = {
    "vocab_size": 49408,
    "hidden_size": 512,
    "intermediate_size": 2048,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
    "max_position_embeddings": 77,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
    "eos_token_id": 49407,
}
_MEAN, _DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
_END = 49407  # of text, in CLIP's own vocabulary
_MISTAKEN_END = 2  # what early files say: the end is then the token of the highest number


def _sizing(image_size: int) -> Sizing:
    return Sizing(image_size, image_size, "crop", image_size, "bicubic", _MEAN, _DEVIATION)


def _projection(files: WeightFiles) -> int:
    array = files.arrays.get("visual_projection.weight")
    return 0 if array is None else array.shape[0]


def _settings(files: WeightFiles) -> dict[str, Any]:
    config = settings_with(_VISION, files, part="vision_config")
    return {
        **image_settings(config, files),
        "first_norm": True,
        "patch_bias": False,
        "projection": _projection(files),
    }


def _patterns(settings: dict[str, Any]) -> Patterns:
    embeddings = "vision_model.embeddings"
    return {
        "class_token": Named(f"{embeddings}.class_embedding"),
        "positions": Named(f"{embeddings}.position_embedding.weight"),
        "patches.kernel": torch_patches(f"{embeddings}.patch_embedding.weight", settings["patch_size"]),
        "first_norm": "vision_model.pre_layrnorm",
        **block_names("blocks.*", "vision_model.encoder.layers.*"),
        "last_norm": "vision_model.post_layernorm",
        "project": "visual_projection",
    }


def _text_settings(files: WeightFiles) -> dict[str, Any] | None:
    if files.config is None or "text_config" not in files.config or not _projection(files):
        return None
    config = settings_with(_TEXT, files, part="text_config")
    end = config["eos_token_id"]
    return {
        **text_settings(config, files),
        "projection": _projection(files),
        "projection_bias": False,
        "causal": True,
        "end_token": min(_END, config["vocab_size"] - 1) if end == _MISTAKEN_END else end,
    }


def _text_patterns(settings: dict[str, Any]) -> Patterns:
    return {
        "tokens": Named("text_model.embeddings.token_embedding.weight"),
        "positions": Named("text_model.embeddings.position_embedding.weight"),
        **block_names("blocks.*", "text_model.encoder.layers.*"),
        "last_norm": "text_model.final_layer_norm",
        "project": "text_projection",
    }


CLIP = Family(
    "clip",
    lambda files: files.kind in ("clip", "clip_vision_model"),
    _settings,
    in_vision_model,
    _patterns,
    _sizing,
    unused=r"^text_model\.|^text_projection\.|^logit_scale$|position_ids$",
    text=TextFamily(
        _text_settings,
        _text_patterns,
        cleaning=lambda settings: "none",
        unused=r"^vision_model\.|^visual_projection\.|^logit_scale$|position_ids$",
    ),
)
"""Folders of Hugging Face."""
