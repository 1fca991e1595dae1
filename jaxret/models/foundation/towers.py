"""What the towers of CLIP and SigLIP have in common in Hugging Face's folders: settings and names of arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxret.models.foundation.family import activation_name
from jaxret.models.foundation.files import Arrays, WeightFiles

__all__ = ["block_names", "image_settings", "in_vision_model", "text_settings"]


def image_settings(config: Mapping[str, Any], files: WeightFiles) -> dict[str, Any]:
    """The settings of a tower of images from its part of `config.json`."""
    return {"patch_size": config["patch_size"], "image_size": config["image_size"], **_tower_settings(config, files)}


def text_settings(config: Mapping[str, Any], files: WeightFiles) -> dict[str, Any]:
    """The settings of a tower of texts from its part of `config.json`."""
    return {
        "vocabulary": config["vocab_size"],
        "length": config["max_position_embeddings"],
        **_tower_settings(config, files),
    }


def _tower_settings(config: Mapping[str, Any], files: WeightFiles) -> dict[str, Any]:
    return {
        "units": config["hidden_size"],
        "depth": config["num_hidden_layers"],
        "heads": config["num_attention_heads"],
        "wide": config["intermediate_size"],
        "activation": activation_name(config["hidden_act"], files),
        "epsilon": config["layer_norm_eps"],
    }


def in_vision_model(arrays: Arrays) -> Arrays:
    """The arrays as a file of both towers names them, where it is one of the tower of images alone."""
    if not any(name.startswith("vision_model.") for name in arrays):
        arrays = {f"vision_model.{name}": array for name, array in arrays.items()}
    return arrays


def block_names(ours: str, theirs: str) -> dict[str, str]:
    """The names of the blocks of a tower."""
    return {
        f"{ours}.attention_norm": f"{theirs}.layer_norm1",
        f"{ours}.attention.query": f"{theirs}.self_attn.q_proj",
        f"{ours}.attention.key": f"{theirs}.self_attn.k_proj",
        f"{ours}.attention.value": f"{theirs}.self_attn.v_proj",
        f"{ours}.attention.out": f"{theirs}.self_attn.out_proj",
        f"{ours}.mlp_norm": f"{theirs}.layer_norm2",
        f"{ours}.mlp.widen": f"{theirs}.mlp.fc1",
        f"{ours}.mlp.narrow": f"{theirs}.mlp.fc2",
    }
