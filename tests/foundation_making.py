"""Small published encoders with random weights, written as their authors lay them out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

Arrays = dict[str, np.ndarray]


class Drawn:
    """Random arrays by name, in the order they are wanted."""

    def __init__(self, seed: int = 0):
        self._rng = np.random.default_rng(seed)
        self.arrays: Arrays = {}

    def add(self, name: str, *shape: int, around: float = 0.0) -> None:
        deviation = 0.3 if len(shape) < 2 else 0.6 / np.sqrt(np.prod(shape[1:]))
        self.arrays[name] = (around + deviation * self._rng.standard_normal(shape)).astype(np.float32)

    def dense(self, name: str, into: int, out: int, *, bias: bool = True) -> None:
        self.add(f"{name}.weight", out, into)
        if bias:
            self.add(f"{name}.bias", out)

    def norm(self, name: str, units: int) -> None:
        self.add(f"{name}.weight", units, around=1.0)
        self.add(f"{name}.bias", units)


def write_folder(
    folder: Path, config: dict[str, Any], arrays: Arrays, processor: dict[str, Any] | None = None, **others: str
) -> Path:
    """A folder as Hugging Face lays it out."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(arrays, folder / "model.safetensors")
    if processor is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    for name, text in others.items():
        (folder / name).write_text(text)
    return folder


def dinov2_arrays(*, units: int = 16, depth: int = 2, patch: int = 14, side: int = 3, registers: int = 0, gated=False):
    """Arrays of a DINOv2 by Hugging Face's names; MLPs are twice as wide, gated ones 24."""
    drawn = Drawn()
    drawn.add("embeddings.cls_token", 1, 1, units)
    drawn.add("embeddings.mask_token", 1, units)
    drawn.add("embeddings.position_embeddings", 1, side * side + 1, units)
    if registers:
        drawn.add("embeddings.register_tokens", 1, registers, units)
    drawn.add("embeddings.patch_embeddings.projection.weight", units, 3, patch, patch)
    drawn.add("embeddings.patch_embeddings.projection.bias", units)
    for number in range(depth):
        block = f"encoder.layer.{number}"
        drawn.norm(f"{block}.norm1", units)
        for part in ("query", "key", "value"):
            drawn.dense(f"{block}.attention.attention.{part}", units, units)
        drawn.dense(f"{block}.attention.output.dense", units, units)
        drawn.add(f"{block}.layer_scale1.lambda1", units, around=1.0)
        drawn.norm(f"{block}.norm2", units)
        if gated:
            drawn.dense(f"{block}.mlp.weights_in", units, 2 * 24)
            drawn.dense(f"{block}.mlp.weights_out", 24, units)
        else:
            drawn.dense(f"{block}.mlp.fc1", units, 2 * units)
            drawn.dense(f"{block}.mlp.fc2", 2 * units, units)
        drawn.add(f"{block}.layer_scale2.lambda1", units, around=1.0)
    drawn.norm("layernorm", units)
    return drawn.arrays


def dinov2_original(arrays: Arrays) -> Arrays:
    """The same arrays by the names of the authors' `.pth` files, where queries, keys and values are one array."""
    renamed = {}
    for name, array in arrays.items():
        for theirs, ours in (
            ("encoder.layer.", "blocks."),
            ("layernorm.", "norm."),
            ("embeddings.position_embeddings", "pos_embed"),
            ("embeddings.patch_embeddings.projection", "patch_embed.proj"),
            ("embeddings.", ""),
            ("attention.output.dense", "attn.proj"),
            ("layer_scale", "ls"),
            ("lambda1", "gamma"),
            ("weights_in", "w12"),
            ("weights_out", "w3"),
        ):
            name = name.replace(theirs, ours)
        renamed[name] = array
    for name in [name for name in renamed if ".attention.attention.query" in name]:
        parts = [renamed.pop(name.replace("query", part)) for part in ("query", "key", "value")]
        renamed[name.replace("attention.attention.query", "attn.qkv")] = np.concatenate(parts)
    return renamed


def dinov2_config(*, registers: int = 0, gated: bool = False, side: int = 3, **others: Any) -> dict[str, Any]:
    return {
        "model_type": "dinov2_with_registers" if registers else "dinov2",
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "mlp_ratio": 2,
        "image_size": 14 * side,
        "patch_size": 14,
        "use_swiglu_ffn": gated,
        **({"num_register_tokens": registers} if registers else {}),
        **others,
    }


CROPPED = {
    "do_resize": True,
    "size": {"shortest_edge": 36},
    "do_center_crop": True,
    "crop_size": {"height": 28, "width": 28},
    "resample": 3,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
}
