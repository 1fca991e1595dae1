"""DINOv3 (Simeoni et al. 2025, arXiv:2508.10104): rotary positions, registers, keys without bias."""

from __future__ import annotations

from typing import Any

from jaxret.models.foundation.family import IMAGENET_COLOURS, Family, activation_name, settings_with
from jaxret.models.foundation.files import Arrays, WeightFiles, split_fused
from jaxret.models.foundation.sizing import Sizing
from jaxret.models.weights.patterns import Patterns, leading_axes, torch_patches

__all__ = ["DINOV3", "DINOV3_ORIGINAL"]

_DEFAULTS: dict[str, Any] = {
    "patch_size": 16,
    "hidden_size": 384,
    "intermediate_size": 1536,
    "num_hidden_layers": 12,
    "num_attention_heads": 6,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-5,
    "rope_theta": 100.0,
    "image_size": 224,
    "key_bias": False,
    "use_gated_mlp": False,
    "num_register_tokens": 0,
}


def _sizing(settings: dict[str, Any]) -> Sizing:
    return Sizing(224, 224, "squash", None, "bilinear", *IMAGENET_COLOURS)


def _settings(files: WeightFiles) -> dict[str, Any]:
    config = settings_with(_DEFAULTS, files)
    return {
        "patch_size": config["patch_size"],
        "image_size": config["image_size"],
        "units": config["hidden_size"],
        "depth": config["num_hidden_layers"],
        "heads": config["num_attention_heads"],
        "wide": config["intermediate_size"],
        "gated": config["use_gated_mlp"],
        "activation": activation_name(config["hidden_act"], files),
        "epsilon": config["layer_norm_eps"],
        "registers": config["num_register_tokens"],
        "positions": "rotary",
        "rotary_base": config["rope_theta"],
        "key_bias": config["key_bias"],
        "layer_scale": True,
    }


def _prepare(arrays: Arrays) -> Arrays:
    # A model without registers has an array of none.
    return {name.removeprefix("model."): array for name, array in arrays.items() if array.size}


def _patterns(settings: dict[str, Any]) -> Patterns:
    block = "layer.*"
    return {
        "class_token": leading_axes("embeddings.cls_token", 2),
        "register_tokens": leading_axes("embeddings.register_tokens", 1),
        "patches.kernel": torch_patches("embeddings.patch_embeddings.weight", settings["patch_size"]),
        "patches": "embeddings.patch_embeddings",
        "blocks.*.attention_norm": f"{block}.norm1",
        "blocks.*.attention.query": f"{block}.attention.q_proj",
        "blocks.*.attention.key": f"{block}.attention.k_proj",
        "blocks.*.attention.value": f"{block}.attention.v_proj",
        "blocks.*.attention.out": f"{block}.attention.o_proj",
        "blocks.*.attention_scale": f"{block}.layer_scale1.lambda1",
        "blocks.*.mlp_norm": f"{block}.norm2",
        "blocks.*.mlp.gate": f"{block}.mlp.gate_proj",
        "blocks.*.mlp.widen": f"{block}.mlp.up_proj",
        "blocks.*.mlp.narrow": f"{block}.mlp.down_proj",
        "blocks.*.mlp_scale": f"{block}.layer_scale2.lambda1",
        "last_norm": "norm",
    }


DINOV3 = Family(
    "dinov3",
    lambda files: files.kind == "dinov3_vit",
    _settings,
    _prepare,
    _patterns,
    _sizing,
    unused=r"mask_token$",
)
"""Folders of Hugging Face."""


def _original_settings(files: WeightFiles) -> dict[str, Any]:
    arrays = files.arrays
    units, patch_size = arrays["cls_token"].shape[-1], arrays["patch_embed.proj.weight"].shape[-1]
    gated = "blocks.0.mlp.w1.weight" in arrays
    return {
        "patch_size": patch_size,
        "image_size": 14 * patch_size,  # of no consequence to rotary positions
        "units": units,
        "depth": sum(name.endswith(".norm1.weight") for name in arrays),
        "heads": 32 if units == 4096 else units // 64,
        "wide": arrays[f"blocks.0.mlp.{'w1' if gated else 'fc1'}.weight"].shape[0],
        "gated": gated,
        "activation": "silu" if gated else "gelu",
        "epsilon": 1e-5,
        "registers": arrays["storage_tokens"].shape[1],
        "positions": "rotary",
        "key_bias": False,
        "layer_scale": True,
    }


def _original_prepare(arrays: Arrays) -> Arrays:
    fused = {f"attn.qkv.{role}": tuple(f"attn.{part}.{role}" for part in "qkv") for role in ("weight", "bias")}
    return split_fused(arrays, fused)


def _original_patterns(settings: dict[str, Any]) -> Patterns:
    block, gated = "blocks.*", settings["gated"]
    return {
        "class_token": leading_axes("cls_token", 2),
        "register_tokens": leading_axes("storage_tokens", 1),
        "patches.kernel": torch_patches("patch_embed.proj.weight", settings["patch_size"]),
        "patches": "patch_embed.proj",
        "blocks.*.attention_norm": f"{block}.norm1",
        "blocks.*.attention.query": f"{block}.attn.q",
        "blocks.*.attention.key": f"{block}.attn.k",
        "blocks.*.attention.value": f"{block}.attn.v",
        "blocks.*.attention.out": f"{block}.attn.proj",
        "blocks.*.attention_scale": f"{block}.ls1.gamma",
        "blocks.*.mlp_norm": f"{block}.norm2",
        "blocks.*.mlp.gate": f"{block}.mlp.w1",
        "blocks.*.mlp.widen": f"{block}.mlp.w2" if gated else f"{block}.mlp.fc1",
        "blocks.*.mlp.narrow": f"{block}.mlp.w3" if gated else f"{block}.mlp.fc2",
        "blocks.*.mlp_scale": f"{block}.ls2.gamma",
        "last_norm": "norm",
    }


_NEEDED = ("cls_token", "storage_tokens", "patch_embed.proj.weight", "blocks.0.attn.qkv.weight")
DINOV3_ORIGINAL = Family(
    "dinov3",
    lambda files: files.config is None and all(name in files.arrays for name in _NEEDED),
    _original_settings,
    _original_prepare,
    _original_patterns,
    _sizing,
    # The bias of keys is masked out in training; the periods follow from their base.
    unused=r"^mask_token$|attn\.k\.bias$|attn\.qkv\.bias_mask$|^rope_embed\.periods$",
)
"""The `.pth` files of its authors."""
