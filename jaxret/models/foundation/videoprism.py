"""VideoPrism (Zhao et al. 2024, arXiv:2402.13217): the encoder of videos, without its tower of words."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxret.models.foundation.family import Family, settings_with, square
from jaxret.models.foundation.files import Arrays, WeightFiles
from jaxret.models.foundation.sizing import Sizing
from jaxret.models.weights.patterns import Named, Patterns, flax_heads, leading_axes, plus_one, video_patches

__all__ = ["VIDEOPRISM", "VIDEOPRISM_ORIGINAL"]

_DEFAULTS: dict[str, Any] = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_attention_heads": 12,
    "num_spatial_layers": 12,
    "num_temporal_layers": 4,
    "num_frames": 16,
    "image_size": 288,
    "layer_norm_eps": 1e-6,
    "attn_logit_softcapping": 50.0,
}


def _sizing(image_size: int) -> Sizing:
    return Sizing(image_size, image_size, "squash", None, "bilinear", (0.0,) * 3, (1.0,) * 3)


def _settings(files: WeightFiles) -> dict[str, Any]:
    config = settings_with(_DEFAULTS, files, part="vision_config")
    described = (files.config or {}).get("vision_config", files.config) or {}
    patch_size = described.get("tubelet_size", [1, 18, 18])[-1]
    return {
        "patch_size": int(patch_size),
        "image_size": config["image_size"],
        "frames": config["num_frames"],
        "units": config["hidden_size"],
        "spatial_depth": config["num_spatial_layers"],
        "temporal_depth": config["num_temporal_layers"],
        "heads": config["num_attention_heads"],
        "wide": config["intermediate_size"],
        "softcap": config["attn_logit_softcapping"],
        "epsilon": config["layer_norm_eps"],
    }


def _prepare(arrays: Arrays) -> Arrays:
    """The encoder of videos, of whatever it is a part of."""
    for prefix in ("video_model.vision_model.", "vision_model.vision_model.", "vision_model.", "model."):
        if any(name.startswith(f"{prefix}spatial_layers.") for name in arrays):
            return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
    return arrays


def _norm(ours: str, theirs: str, *, gain: str = ".weight", bias: str = ".bias") -> dict[str, Named]:
    return {f"{ours}.scale": plus_one(f"{theirs}{gain}"), f"{ours}.bias": Named(f"{theirs}{bias}")}


def _patterns(settings: dict[str, Any]) -> Patterns:
    projection = "spatial_embeddings.patch_embeddings.projection"
    patterns: dict[str, str | Named] = {
        "patches.kernel": video_patches(f"{projection}.weight", settings["patch_size"]),
        "patches": projection,
        "spatial_positions": leading_axes("spatial_embeddings.position_embeddings", 1),
        "temporal_positions": leading_axes("temporal_embeddings.position_embeddings", 1),
        **_norm("spatial_norm", "layernorm1"),
        **_norm("temporal_norm", "layernorm2"),
    }
    for part in ("spatial", "temporal"):
        ours, theirs = f"{part}_blocks.*", f"{part}_layers.*"
        patterns |= _norm(f"{ours}.attention_norm", f"{theirs}.layernorm_before")
        patterns |= _norm(f"{ours}.mlp_norm", f"{theirs}.layernorm_after")
        patterns |= {
            f"{ours}.attention.query": f"{theirs}.attention.q_proj",
            f"{ours}.attention.key": f"{theirs}.attention.k_proj",
            f"{ours}.attention.value": f"{theirs}.attention.v_proj",
            f"{ours}.attention.out": f"{theirs}.attention.o_proj",
            f"{ours}.mlp.widen": f"{theirs}.mlp.fc1",
            f"{ours}.mlp.narrow": f"{theirs}.mlp.fc2",
        }
    return patterns


VIDEOPRISM = Family(
    "videoprism",
    lambda files: files.kind in ("videoprism_vision_model", "videoprism"),
    _settings,
    _prepare,
    _patterns,
    _sizing,
    backbone="video-prism",
)
"""Folders of Hugging Face."""

_SPATIAL, _TEMPORAL = (f"params/{part}_encoder/transformers_stack/x_layers/" for part in ("spatial", "temporal"))


def _original_prepare(arrays: Arrays) -> Arrays:
    """Blocks, which are stacked along their first axis, one by one."""
    parted: Arrays = {}
    for name, array in arrays.items():
        stack = next((stack for stack in (_SPATIAL, _TEMPORAL) if name.startswith(stack)), None)
        if stack is None:
            parted[name] = array
            continue
        for number, block in enumerate(array):
            parted[name.replace("x_layers/", f"x_layers/{number}/")] = np.asarray(block)
    return parted


def _original_settings(files: WeightFiles) -> dict[str, Any]:
    arrays = files.arrays
    depth, units, heads, _ = arrays[f"{_SPATIAL}self_attention/query/w"].shape
    pixels = arrays["params/patch_projection/linear/kernel"].shape[0]
    patch_size = square(pixels // 3, files)
    return {
        "patch_size": patch_size,
        "image_size": patch_size * square(len(arrays["params/spatial_pos_emb/emb_var"]), files),
        "frames": len(arrays["params/temporal_pos_emb/emb_var"]),
        "units": units,
        "spatial_depth": depth,
        "temporal_depth": len(arrays[f"{_TEMPORAL}self_attention/query/w"]),
        "heads": heads,
        "wide": arrays[f"{_SPATIAL}ff_layer/ffn_layer1/linear/kernel"].shape[-1],
    }


def _original_patterns(settings: dict[str, Any]) -> Patterns:
    heads = settings["heads"]
    patterns: dict[str, str | Named] = {
        "patches": "params/patch_projection/linear",
        "spatial_positions": Named("params/spatial_pos_emb/emb_var"),
        "temporal_positions": Named("params/temporal_pos_emb/emb_var"),
        **_norm("spatial_norm", "params/spatial_ln", gain="/scale", bias="/bias"),
        **_norm("temporal_norm", "params/temporal_ln", gain="/scale", bias="/bias"),
    }
    for part, stack in (("spatial", _SPATIAL), ("temporal", _TEMPORAL)):
        ours, theirs = f"{part}_blocks.*", f"{stack}*"
        patterns |= _norm(f"{ours}.attention_norm", f"{theirs}/layer_norm", gain="/scale", bias="/bias")
        patterns |= _norm(f"{ours}.mlp_norm", f"{theirs}/ff_layer/layer_norm", gain="/scale", bias="/bias")
        for layer in ("query", "key", "value"):
            place = f"{theirs}/self_attention/{layer}"
            patterns[f"{ours}.attention.{layer}.kernel"] = flax_heads(f"{place}/w", heads)
            patterns[f"{ours}.attention.{layer}.bias"] = flax_heads(f"{place}/b", heads)
        # (D, heads, d), though it goes from heads to D.
        patterns[f"{ours}.attention.out.kernel"] = Named(
            f"{theirs}/self_attention/post/w",
            lambda a: a.reshape(len(a), -1).T,
            lambda a: a.T.reshape(a.shape[1], heads, -1),
        )
        patterns[f"{ours}.attention.out.bias"] = Named(f"{theirs}/self_attention/post/b")
        patterns[f"{ours}.mlp.widen"] = f"{theirs}/ff_layer/ffn_layer1/linear"
        patterns[f"{ours}.mlp.narrow"] = f"{theirs}/ff_layer/ffn_layer2/linear"
    return patterns


VIDEOPRISM_ORIGINAL = Family(
    "videoprism",
    lambda files: files.config is None and "params/patch_projection/linear/kernel" in files.arrays,
    _original_settings,
    _original_prepare,
    _original_patterns,
    _sizing,
    torch=False,
    backbone="video-prism",
)
"""The `.npz` files of its authors."""
