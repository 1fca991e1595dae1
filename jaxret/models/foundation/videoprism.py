"""VideoPrism (Zhao et al. 2024, arXiv:2402.13217) in Hugging Face's folders: the encoder of videos alone, with the head
of its classifier, or with auxiliary blocks, a head and a tower of words (LvT)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from jaxret.models.foundation.family import Family, TextFamily, activation_name, settings_with
from jaxret.models.foundation.files import Arrays, WeightFiles
from jaxret.models.foundation.sizing import Sizing
from jaxret.models.text.tokens import SENTENCE_PIECES
from jaxret.models.weights.patterns import Named, Patterns, leading_axes, plus_one, video_patches

__all__ = ["VIDEOPRISM", "per_number_scale", "shifted_norm", "unscaled_tokens", "videoprism_sizing"]

_VISION: dict[str, Any] = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_attention_heads": 12,
    "num_spatial_layers": 12,
    "num_temporal_layers": 4,
    "num_frames": 16,
    "image_size": 288,
    "tubelet_size": [1, 18, 18],
    "layer_norm_eps": 1e-6,
    "attn_logit_softcapping": 50.0,
}
_TEXT: dict[str, Any] = {
    "vocab_size": 32000,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "max_position_embeddings": 64,
    "hidden_act": "relu",
    "layer_norm_eps": 1e-6,
    "attn_logit_softcapping": 50.0,
    "pad_token_id": 0,
}


def videoprism_sizing(settings: dict[str, Any]) -> Sizing:
    """Frames are squares of any shape before, in 0..1."""
    side = settings["image_size"]
    return Sizing(side, side, "squash", None, "bilinear", (0.0,) * 3, (1.0,) * 3)


def shifted_norm(ours: str, theirs: str, *, gain: str = ".weight", bias: str = ".bias") -> dict[str, Named]:
    """A norm whose gain is stored as its distance from 1."""
    return {f"{ours}.scale": plus_one(f"{theirs}{gain}"), f"{ours}.bias": Named(f"{theirs}{bias}")}


def per_number_scale(learned: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """What the head's queries are multiplied by, beside 1 / sqrt(d): softplus(p) / softplus(0), each of d numbers."""
    softplus = np.logaddexp(0, learned.astype(np.float64))
    return np.asarray(1.442695041 * softplus, np.float32)


def unscaled_tokens(name: str, units: int, *, axes: int = 0) -> Named:
    """Vectors of tokens, which are multiplied by the square root of their width where they are used."""
    scale, flat = np.float32(units**0.5), leading_axes(name, axes)
    return Named(name, lambda a: flat.change(a) * scale, lambda a: flat.change_back(a) / scale)


def _settings(files: WeightFiles) -> dict[str, Any]:
    config = settings_with(_VISION, files, part="vision_config")
    arrays = _prepare(files.arrays)
    return {
        "patch_size": int(config["tubelet_size"][-1]),
        "image_size": config["image_size"],
        "frames": config["num_frames"],
        "units": config["hidden_size"],
        "spatial_depth": config["num_spatial_layers"],
        "temporal_depth": config["num_temporal_layers"],
        "heads": config["num_attention_heads"],
        "wide": config["intermediate_size"],
        "pooling": "attention" if "head.q_proj.weight" in arrays else "mean",
        "auxiliary_depth": sum(
            name.startswith("auxiliary_layers.") and name.endswith(".layernorm_before.weight") for name in arrays
        ),
        "softcap": config["attn_logit_softcapping"],
        "epsilon": config["layer_norm_eps"],
    }


def _prepare(arrays: Arrays) -> Arrays:
    """The encoder of videos by its own names, whatever it is a part of; the scale of the head's queries in these."""
    inner = next((name.removesuffix(_FIRST) for name in arrays if name.endswith(_FIRST)), "")
    outer = inner.removesuffix("vision_model.")
    arrays = {name.removeprefix(inner).removeprefix(outer): array for name, array in arrays.items()}
    if "head.per_dim_scale" in arrays:
        scale = per_number_scale(arrays.pop("head.per_dim_scale"))
        for role in ("weight", "bias"):
            query = arrays[f"head.q_proj.{role}"]
            repeated = np.tile(scale, len(query) // len(scale))
            arrays[f"head.q_proj.{role}"] = query * (repeated[:, None] if query.ndim == 2 else repeated)
    return arrays


_FIRST = "spatial_layers.0.layernorm_before.weight"


def _blocks(ours: str, theirs: str) -> dict[str, str | Named]:
    return {
        **shifted_norm(f"{ours}.attention_norm", f"{theirs}.layernorm_before"),
        **shifted_norm(f"{ours}.mlp_norm", f"{theirs}.layernorm_after"),
        **_attention(f"{ours}.attention", f"{theirs}.attention"),
        f"{ours}.mlp.widen": f"{theirs}.mlp.fc1",
        f"{ours}.mlp.narrow": f"{theirs}.mlp.fc2",
    }


def _attention(ours: str, theirs: str) -> dict[str, str]:
    return {f"{ours}.{part}": f"{theirs}.{part[0]}_proj" for part in ("query", "key", "value", "out")}


def _patterns(settings: dict[str, Any]) -> Patterns:
    projection = "spatial_embeddings.patch_embeddings.projection"
    return {
        "patches.kernel": video_patches(f"{projection}.weight", settings["patch_size"]),
        "patches": projection,
        "spatial_positions": leading_axes("spatial_embeddings.position_embeddings", 1),
        "temporal_positions": leading_axes("temporal_embeddings.position_embeddings", 1),
        **shifted_norm("spatial_norm", "layernorm1"),
        **shifted_norm("temporal_norm", "layernorm2"),
        **_blocks("spatial_blocks.*", "spatial_layers.*"),
        **_blocks("temporal_blocks.*", "temporal_layers.*"),
        **_blocks("auxiliary_blocks.*", "auxiliary_layers.*"),
        "pool.probe": leading_axes("head.pooling_attention_query", 2),
        **_attention("pool.attention", "head"),
        **shifted_norm("pool.norm", "head_layernorm"),
    }


def _text_settings(files: WeightFiles) -> dict[str, Any] | None:
    if files.config is None or "text_config" not in files.config:
        return None
    config = settings_with(_TEXT, files, part="text_config")
    return {
        "vocabulary": config["vocab_size"],
        "length": config["max_position_embeddings"],
        "units": config["hidden_size"],
        "depth": config["num_hidden_layers"],
        "heads": config["num_attention_heads"],
        "wide": config["intermediate_size"],
        "activation": activation_name(config["hidden_act"], files),
        "epsilon": config["layer_norm_eps"],
        "projection": 0,
        "causal": True,
        "class_token": True,
        "padding": config["pad_token_id"],
        "softcap": config["attn_logit_softcapping"],
    }


def _text_patterns(settings: dict[str, Any]) -> Patterns:
    embeddings, units = "text_model.embeddings", settings["units"]
    return {
        "tokens": unscaled_tokens(f"{embeddings}.token_embedding.weight", units),
        "positions": Named(f"{embeddings}.position_embedding"),
        "class_token": unscaled_tokens(f"{embeddings}.cls_emb", units, axes=2),
        **_blocks("blocks.*", "text_model.layers.*"),
        **shifted_norm("last_norm", "text_model.layernorm"),
    }


VIDEOPRISM = Family(
    "videoprism",
    lambda files: files.kind in ("videoprism_vision_model", "videoprism"),
    _settings,
    _prepare,
    _patterns,
    videoprism_sizing,
    unused=r"^text_model\.|^classifier\.",
    backbone="video-prism",
    text=TextFamily(
        _text_settings,
        _text_patterns,
        tokenizer=SENTENCE_PIECES,
        cleaning=lambda settings: "sentence",
        unused=r"^(?!text_model\.)|position_ids$",
        marked=False,
    ),
)
"""Folders of Hugging Face."""
