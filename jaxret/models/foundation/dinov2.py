"""DINOv2 (Oquab et al. 2023, arXiv:2304.07193), with registers or without (Darcet et al. 2023, arXiv:2309.16588)."""

from __future__ import annotations

from typing import Any

from jaxret.models.foundation.family import IMAGENET_COLOURS, Family, activation_name, settings_with, square
from jaxret.models.foundation.files import Arrays, WeightFiles, split_fused
from jaxret.models.foundation.sizing import Sizing
from jaxret.models.weights.patterns import Patterns, leading_axes, torch_patches

__all__ = ["DINOV2", "DINOV2_ORIGINAL"]

_DEFAULTS: dict[str, Any] = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "mlp_ratio": 4.0,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-6,
    "image_size": 224,
    "patch_size": 14,
    "use_swiglu_ffn": False,
    "num_register_tokens": 0,
}
_REGISTERS = "dinov2_with_registers"


def _sizing(settings: dict[str, Any]) -> Sizing:
    return Sizing(224, 224, "crop", 256, "bicubic", *IMAGENET_COLOURS)


def _settings(files: WeightFiles) -> dict[str, Any]:
    with_registers = files.kind == _REGISTERS
    config = settings_with({**_DEFAULTS, "num_register_tokens": 4 if with_registers else 0}, files)
    wide, gated = int(config["hidden_size"] * config["mlp_ratio"]), config["use_swiglu_ffn"]
    return {
        "patch_size": config["patch_size"],
        "image_size": config["image_size"],
        "units": config["hidden_size"],
        "depth": config["num_hidden_layers"],
        "heads": config["num_attention_heads"],
        "wide": (int(wide * 2 / 3) + 7) // 8 * 8 if gated else wide,
        "gated": gated,
        "activation": "silu" if gated else activation_name(config["hidden_act"], files),
        "epsilon": config["layer_norm_eps"],
        "registers": config["num_register_tokens"] if with_registers else 0,
        "interpolation": "bicubic-antialias" if with_registers else "bicubic",
        "layer_scale": True,
    }


def _prepare(arrays: Arrays) -> Arrays:
    arrays = {name.removeprefix("dinov2.").removeprefix("dinov2_with_registers."): a for name, a in arrays.items()}
    halves = {f"mlp.weights_in.{role}": (f"mlp.gate.{role}", f"mlp.fc1.{role}") for role in ("weight", "bias")}
    arrays = split_fused(arrays, halves)
    return {name.replace("mlp.weights_out.", "mlp.fc2."): array for name, array in arrays.items()}


def _patterns(settings: dict[str, Any]) -> Patterns:
    block = "encoder.layer.*"
    return {
        "class_token": leading_axes("embeddings.cls_token", 2),
        "register_tokens": leading_axes("embeddings.register_tokens", 1),
        "positions": leading_axes("embeddings.position_embeddings", 1),
        "patches.kernel": torch_patches("embeddings.patch_embeddings.projection.weight", settings["patch_size"]),
        "patches": "embeddings.patch_embeddings.projection",
        "blocks.*.attention_norm": f"{block}.norm1",
        "blocks.*.attention.query": f"{block}.attention.attention.query",
        "blocks.*.attention.key": f"{block}.attention.attention.key",
        "blocks.*.attention.value": f"{block}.attention.attention.value",
        "blocks.*.attention.out": f"{block}.attention.output.dense",
        "blocks.*.attention_scale": f"{block}.layer_scale1.lambda1",
        "blocks.*.mlp_norm": f"{block}.norm2",
        "blocks.*.mlp.gate": f"{block}.mlp.gate",
        "blocks.*.mlp.widen": f"{block}.mlp.fc1",
        "blocks.*.mlp.narrow": f"{block}.mlp.fc2",
        "blocks.*.mlp_scale": f"{block}.layer_scale2.lambda1",
        "last_norm": "layernorm",
    }


DINOV2 = Family(
    "dinov2",
    lambda files: files.kind in ("dinov2", _REGISTERS),
    _settings,
    _prepare,
    _patterns,
    _sizing,
    unused=r"mask_token$|^classifier\.",
)
"""Folders of Hugging Face."""


def _original_settings(files: WeightFiles) -> dict[str, Any]:
    arrays = files.arrays
    units, patch_size = arrays["cls_token"].shape[-1], arrays["patch_embed.proj.weight"].shape[-1]
    registers = arrays["register_tokens"].shape[1] if "register_tokens" in arrays else 0
    gated = "blocks.0.mlp.w12.weight" in arrays
    wide = arrays["blocks.0.mlp.w12.weight"].shape[0] // 2 if gated else arrays["blocks.0.mlp.fc1.weight"].shape[0]
    return {
        "patch_size": patch_size,
        "image_size": patch_size * square(arrays["pos_embed"].shape[1] - 1, files),
        "units": units,
        "depth": sum(name.endswith(".norm1.weight") for name in arrays),
        "heads": units // 64,
        "wide": wide,
        "gated": gated,
        "activation": "silu" if gated else "gelu",
        "registers": registers,
        "interpolation": "bicubic-antialias" if registers else "bicubic",
        # The models without registers were trained with it; Hugging Face's conversion leaves it out.
        "position_offset": 0.0 if registers else 0.1,
        "layer_scale": True,
    }


def _original_prepare(arrays: Arrays) -> Arrays:
    roles = ("weight", "bias")
    fused = {f"attn.qkv.{role}": tuple(f"attn.{part}.{role}" for part in ("query", "key", "value")) for role in roles}
    fused |= {f"mlp.w12.{role}": (f"mlp.gate.{role}", f"mlp.fc1.{role}") for role in roles}
    return {name.replace("mlp.w3.", "mlp.fc2."): array for name, array in split_fused(arrays, fused).items()}


def _original_patterns(settings: dict[str, Any]) -> Patterns:
    block = "blocks.*"
    return {
        "class_token": leading_axes("cls_token", 2),
        "register_tokens": leading_axes("register_tokens", 1),
        "positions": leading_axes("pos_embed", 1),
        "patches.kernel": torch_patches("patch_embed.proj.weight", settings["patch_size"]),
        "patches": "patch_embed.proj",
        "blocks.*.attention_norm": f"{block}.norm1",
        "blocks.*.attention.query": f"{block}.attn.query",
        "blocks.*.attention.key": f"{block}.attn.key",
        "blocks.*.attention.value": f"{block}.attn.value",
        "blocks.*.attention.out": f"{block}.attn.proj",
        "blocks.*.attention_scale": f"{block}.ls1.gamma",
        "blocks.*.mlp_norm": f"{block}.norm2",
        "blocks.*.mlp.gate": f"{block}.mlp.gate",
        "blocks.*.mlp.widen": f"{block}.mlp.fc1",
        "blocks.*.mlp.narrow": f"{block}.mlp.fc2",
        "blocks.*.mlp_scale": f"{block}.ls2.gamma",
        "last_norm": "norm",
    }


_NEEDED = ("cls_token", "pos_embed", "patch_embed.proj.weight", "blocks.0.attn.qkv.weight", "blocks.0.ls1.gamma")
DINOV2_ORIGINAL = Family(
    "dinov2",
    lambda files: files.config is None and all(name in files.arrays for name in _NEEDED),
    _original_settings,
    _original_prepare,
    _original_patterns,
    _sizing,
    unused=r"^mask_token$",
)
"""The `.pth` files of its authors."""
