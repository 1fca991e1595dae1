"""SigLIP (Zhai et al. 2023, arXiv:2303.15343) and SigLIP 2 (Tschannen et al. 2025, arXiv:2502.14786).

Both have the same towers: no class token, attention pooling, and a text tower without a causal mask whose last token
counts. SigLIP 2 of one image size has the layout of SigLIP; its NaFlex models keep an image's shape.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from jaxret.models.foundation.family import Family, TextFamily, settings_with, square
from jaxret.models.foundation.files import Arrays, WeightFiles, split_fused
from jaxret.models.foundation.sizing import Sizing
from jaxret.models.foundation.towers import block_names, image_settings, in_vision_model, text_settings
from jaxret.models.text.tokens import SENTENCE_PIECES, Cleaning
from jaxret.models.weights.patterns import Named, Patterns, flax_heads, leading_axes, torch_patches

__all__ = ["SIGLIP", "SIGLIP_NAFLEX", "SIGLIP_ORIGINAL"]

_VISION: dict[str, Any] = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "image_size": 224,
    "patch_size": 16,
    "hidden_act": "gelu_pytorch_tanh",
    "layer_norm_eps": 1e-6,
    "vision_use_head": True,
}
_TEXT: dict[str, Any] = {
    "vocab_size": 32000,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "max_position_embeddings": 64,
    "hidden_act": "gelu_pytorch_tanh",
    "layer_norm_eps": 1e-6,
}
_HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
_GEMMA = 256_000  # tokens of SigLIP 2's vocabulary


def _sizing(settings: dict[str, Any]) -> Sizing:
    side = settings["image_size"]
    return Sizing(side, side, "squash", None, "bilinear", *_HALF)


def _naflex_sizing(settings: dict[str, Any]) -> Sizing:
    side = settings["image_size"]
    return Sizing(side, side, "patches", None, "bilinear", *_HALF, patch_size=settings["patch_size"])


def _settings(files: WeightFiles) -> dict[str, Any]:
    config = settings_with(_VISION, files, part="vision_config")
    return {
        **image_settings(config, files),
        "pooling": "attention" if config["vision_use_head"] else "mean",
    }


def _naflex_settings(files: WeightFiles) -> dict[str, Any]:
    patches = settings_with({"num_patches": 256}, files, part="vision_config")["num_patches"]
    settings = _settings(files)
    side = settings["patch_size"] * square(patches, files)
    return {**settings, "image_size": side, "interpolation": "bilinear-antialias"}


def _prepare(arrays: Arrays) -> Arrays:
    arrays = in_vision_model(arrays)
    parts = ("q_proj", "k_proj", "v_proj")
    return split_fused(
        arrays, {f"in_proj_{role}": tuple(f"{part}.{role}" for part in parts) for role in ("weight", "bias")}
    )


def _patterns(settings: dict[str, Any]) -> Patterns:
    flat = settings.get("interpolation") == "bilinear-antialias"  # NaFlex takes patches that are vectors already
    patches = "vision_model.embeddings.patch_embedding"
    head = "vision_model.head"
    return {
        **({} if flat else {"patches.kernel": torch_patches(f"{patches}.weight", settings["patch_size"])}),
        "patches": patches,
        "positions": Named("vision_model.embeddings.position_embedding.weight"),
        **block_names("blocks.*", "vision_model.encoder.layers.*"),
        "last_norm": "vision_model.post_layernorm",
        "pool.probe": leading_axes(f"{head}.probe", 2),
        "pool.attention.query": f"{head}.attention.q_proj",
        "pool.attention.key": f"{head}.attention.k_proj",
        "pool.attention.value": f"{head}.attention.v_proj",
        "pool.attention.out": f"{head}.attention.out_proj",
        "pool.norm": f"{head}.layernorm",
        "pool.mlp.widen": f"{head}.mlp.fc1",
        "pool.mlp.narrow": f"{head}.mlp.fc2",
    }


def _text_settings(files: WeightFiles) -> dict[str, Any] | None:
    if files.config is None or "text_config" not in files.config:
        return None
    config = settings_with(_TEXT, files, part="text_config")
    projection = settings_with({"projection_size": config["hidden_size"]}, files, part="text_config")
    return {
        **text_settings(config, files),
        "projection": projection["projection_size"],
        "projection_bias": True,
        "causal": False,
        "end_token": None,
    }


def _text_patterns(settings: dict[str, Any]) -> Patterns:
    return {
        "tokens": Named("text_model.embeddings.token_embedding.weight"),
        "positions": Named("text_model.embeddings.position_embedding.weight"),
        **block_names("blocks.*", "text_model.encoder.layers.*"),
        "last_norm": "text_model.final_layer_norm",
        "project": "text_model.head",
    }


def _cleaning(settings: dict[str, Any]) -> Cleaning:
    """SigLIP reads lower-case words without punctuation, SigLIP 2 lower-case text."""
    return "lower" if settings["vocabulary"] >= _GEMMA else "canonical"


_WORDS = TextFamily(
    _text_settings,
    _text_patterns,
    tokenizer=SENTENCE_PIECES,
    cleaning=_cleaning,
    unused=r"^vision_model\.|^logit_|position_ids$",
)
_UNUSED = r"^text_model\.|^logit_|position_ids$"
SIGLIP = Family(
    "siglip",
    lambda files: files.kind in ("siglip", "siglip_vision_model"),
    _settings,
    _prepare,
    _patterns,
    _sizing,
    unused=_UNUSED,
    text=_WORDS,
)
"""Folders of Hugging Face, of SigLIP and of SigLIP 2 with one image size."""
SIGLIP_NAFLEX = Family(
    "siglip2-naflex",
    lambda files: files.kind in ("siglip2", "siglip2_vision_model"),
    _naflex_settings,
    _prepare,
    _patterns,
    _naflex_sizing,
    unused=_UNUSED,
    text=_WORDS,
)
"""Folders of Hugging Face of SigLIP 2 NaFlex."""

_IMAGE, _TEXTS = "params/img/", "params/txt/"
_STACKED = re.compile(rf"^({_IMAGE}Transformer|{_TEXTS}Encoder_0)/encoderblock/")


def _original_prepare(arrays: Arrays) -> Arrays:
    """Blocks that are stacked along their first axis, one by one."""
    parted: Arrays = {}
    for name, array in arrays.items():
        if not _STACKED.match(name):
            parted[name] = array
            continue
        for number, block in enumerate(array):
            parted[name.replace("encoderblock/", f"encoderblock_{number}/")] = np.asarray(block)
    return parted


def _original_tower(arrays: Arrays, stack: str) -> dict[str, Any]:
    """The sizes of a tower, from the arrays of its blocks."""
    first = f"{stack}/encoderblock_0"
    units, heads, _ = arrays[f"{first}/MultiHeadDotProductAttention_0/query/kernel"].shape
    return {
        "units": units,
        "depth": sum(
            name.startswith(f"{stack}/encoderblock_") and name.endswith("/LayerNorm_0/scale") for name in arrays
        ),
        "heads": heads,
        "wide": arrays[f"{first}/MlpBlock_0/Dense_0/kernel"].shape[1],
        "activation": "gelu-tanh",
    }


def _original_settings(files: WeightFiles) -> dict[str, Any]:
    arrays = _original_prepare(files.arrays)
    patch_size = arrays[f"{_IMAGE}embedding/kernel"].shape[0]
    return {
        "patch_size": patch_size,
        "image_size": patch_size * square(arrays[f"{_IMAGE}pos_embedding"].shape[1], files),
        **_original_tower(arrays, f"{_IMAGE}Transformer"),
        "pooling": "attention" if f"{_IMAGE}MAPHead_0/probe" in arrays else "mean",
    }


def _original_attention(ours: str, theirs: str, heads: int) -> dict[str, str | Named]:
    parts = [("query", False), ("key", False), ("value", False), ("out", True)]
    kernels = {f"{ours}.{part}.kernel": flax_heads(f"{theirs}/{part}/kernel", heads, out=out) for part, out in parts}
    biases = {f"{ours}.{part}.bias": flax_heads(f"{theirs}/{part}/bias", heads) for part, out in parts if not out}
    return {**kernels, **biases, f"{ours}.out.bias": Named(f"{theirs}/out/bias")}


def _original_blocks(stack: str, heads: int) -> dict[str, str | Named]:
    block = f"{stack}/encoderblock_*"
    return {
        "blocks.*.attention_norm": f"{block}/LayerNorm_0",
        **_original_attention("blocks.*.attention", f"{block}/MultiHeadDotProductAttention_0", heads),
        "blocks.*.mlp_norm": f"{block}/LayerNorm_1",
        "blocks.*.mlp.widen": f"{block}/MlpBlock_0/Dense_0",
        "blocks.*.mlp.narrow": f"{block}/MlpBlock_0/Dense_1",
        "last_norm": f"{stack}/encoder_norm",
    }


def _original_patterns(settings: dict[str, Any]) -> Patterns:
    size, heads, head = settings["patch_size"], settings["heads"], f"{_IMAGE}MAPHead_0"
    return {
        "patches.kernel": Named(
            f"{_IMAGE}embedding/kernel",
            lambda a: a.reshape(-1, a.shape[-1]),
            lambda a: a.reshape(size, size, -1, a.shape[-1]),
        ),
        "patches": f"{_IMAGE}embedding",
        "positions": leading_axes(f"{_IMAGE}pos_embedding", 1),
        **_original_blocks(f"{_IMAGE}Transformer", heads),
        "pool.probe": leading_axes(f"{head}/probe", 2),
        **_original_attention("pool.attention", f"{head}/MultiHeadDotProductAttention_0", heads),
        "pool.norm": f"{head}/LayerNorm_0",
        "pool.mlp.widen": f"{head}/MlpBlock_0/Dense_0",
        "pool.mlp.narrow": f"{head}/MlpBlock_0/Dense_1",
    }


def _original_text_settings(files: WeightFiles) -> dict[str, Any] | None:
    arrays = _original_prepare(files.arrays)
    if f"{_TEXTS}Embed_0/embedding" not in arrays:
        return None
    return {
        "vocabulary": len(arrays[f"{_TEXTS}Embed_0/embedding"]),
        "length": arrays[f"{_TEXTS}pos_embedding"].shape[1],
        **_original_tower(arrays, f"{_TEXTS}Encoder_0"),
        "projection": arrays[f"{_TEXTS}head/kernel"].shape[1],
        "projection_bias": True,
        "causal": False,
        "end_token": None,
    }


def _original_text_patterns(settings: dict[str, Any]) -> Patterns:
    return {
        "tokens": Named(f"{_TEXTS}Embed_0/embedding"),
        "positions": leading_axes(f"{_TEXTS}pos_embedding", 1),
        **_original_blocks(f"{_TEXTS}Encoder_0", settings["heads"]),
        "project": f"{_TEXTS}head",
    }


SIGLIP_ORIGINAL = Family(
    "siglip",
    lambda files: files.config is None and f"{_IMAGE}embedding/kernel" in files.arrays,
    _original_settings,
    _original_prepare,
    _original_patterns,
    _sizing,
    unused=r"^params/(txt/|t$|b$)",
    torch=False,
    text=TextFamily(
        _original_text_settings,
        _original_text_patterns,
        tokenizer=SENTENCE_PIECES,
        cleaning=_cleaning,
        unused=r"^params/(img/|t$|b$)",
    ),
)
"""The `.npz` files of its authors (big_vision), with the sentencepiece model of their words beside them."""
