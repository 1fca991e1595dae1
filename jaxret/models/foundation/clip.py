"""CLIP (Radford et al. 2021, arXiv:2103.00020)."""

from __future__ import annotations

import re
from typing import Any

from jaxret.models.foundation.family import Family, TextFamily, settings_with, square
from jaxret.models.foundation.files import Arrays, WeightFiles, split_fused
from jaxret.models.foundation.sizing import Sizing
from jaxret.models.foundation.towers import block_names, image_settings, in_vision_model, text_settings
from jaxret.models.text.tokens import BYTE_PAIRS
from jaxret.models.weights.patterns import Named, Patterns, torch_patches

__all__ = ["CLIP", "CLIP_ORIGINAL"]

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


def _sizing(settings: dict[str, Any]) -> Sizing:
    side = settings["image_size"]
    return Sizing(side, side, "crop", side, "bicubic", _MEAN, _DEVIATION)


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
        tokenizer=BYTE_PAIRS,
        cleaning=lambda settings: "none",
        unused=r"^vision_model\.|^visual_projection\.|^logit_scale$|position_ids$",
    ),
)
"""Folders of Hugging Face."""


# Names of the authors' files and of Hugging Face's; `visual.` stands before those of the tower of images.
_RENAMED = (
    (r"^visual\.class_embedding$", "vision_model.embeddings.class_embedding"),
    (r"^visual\.conv1\.", "vision_model.embeddings.patch_embedding."),
    (r"^visual\.positional_embedding$", "vision_model.embeddings.position_embedding.weight"),
    (r"^visual\.ln_pre\.", "vision_model.pre_layrnorm."),
    (r"^visual\.ln_post\.", "vision_model.post_layernorm."),
    (r"^visual\.proj$", "visual_projection.weight"),
    (r"^visual\.transformer\.resblocks\.", "vision_model.encoder.layers."),
    (r"^token_embedding\.", "text_model.embeddings.token_embedding."),
    (r"^positional_embedding$", "text_model.embeddings.position_embedding.weight"),
    (r"^ln_final\.", "text_model.final_layer_norm."),
    (r"^text_projection$", "text_projection.weight"),
    (r"^transformer\.resblocks\.", "text_model.encoder.layers."),
    (r"\.attn\.", ".self_attn."),
    (r"\.ln_([12])\.", r".layer_norm\1."),
    (r"\.mlp\.c_fc\.", ".mlp.fc1."),
    (r"\.mlp\.c_proj\.", ".mlp.fc2."),
)
_OF_ARCHIVE = ("input_resolution", "context_length", "vocab_size")
_HEAD = 64  # units of a head, in all of its authors' models


def _original_prepare(arrays: Arrays) -> Arrays:
    renamed = {}
    for name, array in arrays.items():
        if name in ("visual.proj", "text_projection"):
            array = array.T
        for theirs, ours in _RENAMED:
            name = re.sub(theirs, ours, name)
        renamed[name] = array
    roles = ("weight", "bias")
    parts = ("q_proj", "k_proj", "v_proj")
    return split_fused(
        renamed, {f"self_attn.in_proj_{role}": tuple(f"self_attn.{part}.{role}" for part in parts) for role in roles}
    )


def _original_tower(arrays: Arrays, prefix: str) -> dict[str, Any]:
    units, wide = (arrays[f"{prefix}resblocks.0.mlp.c_fc.weight"].shape[axis] for axis in (1, 0))
    depth = sum(bool(re.fullmatch(re.escape(prefix) + r"resblocks\.\d+\.ln_1\.weight", name)) for name in arrays)
    return {"units": units, "depth": depth, "heads": units // _HEAD, "wide": wide, "activation": "quick-gelu",
            "epsilon": 1e-5}  # fmt: skip


def _original_settings(files: WeightFiles) -> dict[str, Any]:
    arrays = files.arrays
    patch_size = arrays["visual.conv1.weight"].shape[-1]
    return {
        **_original_tower(arrays, "visual.transformer."),
        "patch_size": patch_size,
        "image_size": patch_size * square(len(arrays["visual.positional_embedding"]) - 1, files),
        "first_norm": True,
        "patch_bias": False,
        "projection": arrays["visual.proj"].shape[1],
    }


def _original_text_settings(files: WeightFiles) -> dict[str, Any]:
    arrays = files.arrays
    vocabulary = len(arrays["token_embedding.weight"])
    return {
        **_original_tower(arrays, "transformer."),
        "vocabulary": vocabulary,
        "length": len(arrays["positional_embedding"]),
        "projection": arrays["text_projection"].shape[1],
        "projection_bias": False,
        "causal": True,
        "end_token": vocabulary - 1,
    }


CLIP_ORIGINAL = Family(
    "clip",
    # Others train with these names and the exact GELU; only the authors' archives hold their settings.
    lambda files: files.config is None and all(name in files.arrays for name in ("visual.conv1.weight", *_OF_ARCHIVE)),
    _original_settings,
    _original_prepare,
    _patterns,
    _sizing,
    unused=rf"^text_model\.|^text_projection\.|^logit_scale$|^({'|'.join(_OF_ARCHIVE)})$",
    text=TextFamily(
        _original_text_settings,
        _text_patterns,
        tokenizer=BYTE_PAIRS,
        cleaning=lambda settings: "none",
        unused=rf"^vision_model\.|^visual_projection\.|^logit_scale$|^({'|'.join(_OF_ARCHIVE)})$",
    ),
)
"""The `.pt` archives of its authors."""
