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
        deviation = 0.3 if len(shape) < 2 else 0.6 / np.sqrt(max(1, np.prod(shape[1:])))
        self.arrays[name] = np.asarray(around + deviation * self._rng.standard_normal(shape), np.float32)

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
    for name, text in others.items():  # such as tokenizer=
        (folder / f"{name}.json").write_text(text)
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


def dinov3_arrays(
    *, units: int = 16, depth: int = 2, patch: int = 8, registers: int = 2, gated: bool = False
) -> Arrays:
    """Arrays of a DINOv3 by Hugging Face's names; MLPs are twice as wide, keys have no bias."""
    drawn = Drawn()
    drawn.add("embeddings.cls_token", 1, 1, units)
    drawn.add("embeddings.mask_token", 1, 1, units)
    drawn.add("embeddings.register_tokens", 1, registers, units)
    drawn.add("embeddings.patch_embeddings.weight", units, 3, patch, patch)
    drawn.add("embeddings.patch_embeddings.bias", units)
    for number in range(depth):
        block = f"layer.{number}"
        drawn.norm(f"{block}.norm1", units)
        for part in "qkvo":
            drawn.dense(f"{block}.attention.{part}_proj", units, units, bias=part != "k")
        drawn.add(f"{block}.layer_scale1.lambda1", units, around=1.0)
        drawn.norm(f"{block}.norm2", units)
        for part in ("up_proj", *(("gate_proj",) if gated else ())):
            drawn.dense(f"{block}.mlp.{part}", units, 2 * units)
        drawn.dense(f"{block}.mlp.down_proj", 2 * units, units)
        drawn.add(f"{block}.layer_scale2.lambda1", units, around=1.0)
    drawn.norm("norm", units)
    return drawn.arrays


def dinov3_config(*, registers: int = 2, gated: bool = False, patch: int = 8) -> dict[str, Any]:
    return {
        "model_type": "dinov3_vit",
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "patch_size": patch,
        "image_size": 4 * patch,
        "num_register_tokens": registers,
        "use_gated_mlp": gated,
        "hidden_act": "silu" if gated else "gelu",
    }


def _tower(drawn: Drawn, prefix: str, units: int, depth: int) -> None:
    for number in range(depth):
        block = f"{prefix}.encoder.layers.{number}"
        drawn.norm(f"{block}.layer_norm1", units)
        for part in ("q", "k", "v", "out"):
            drawn.dense(f"{block}.self_attn.{part}_proj", units, units)
        drawn.norm(f"{block}.layer_norm2", units)
        drawn.dense(f"{block}.mlp.fc1", units, 2 * units)
        drawn.dense(f"{block}.mlp.fc2", 2 * units, units)


def _words(drawn: Drawn, vocabulary: int, length: int, units: int) -> None:
    drawn.add("text_model.embeddings.token_embedding.weight", vocabulary, units)
    drawn.arrays["text_model.embeddings.token_embedding.weight"] *= 4
    drawn.add("text_model.embeddings.position_embedding.weight", length, units)
    _tower(drawn, "text_model", units, 2)
    drawn.norm("text_model.final_layer_norm", units)


def siglip_arrays(*, units: int = 16, patch: int = 8, side: int = 4) -> Arrays:
    """Arrays of a SigLIP by Hugging Face's names, both towers."""
    drawn = Drawn()
    drawn.add("vision_model.embeddings.patch_embedding.weight", units, 3, patch, patch)
    drawn.add("vision_model.embeddings.patch_embedding.bias", units)
    drawn.add("vision_model.embeddings.position_embedding.weight", side * side, units)
    _tower(drawn, "vision_model", units, 2)
    drawn.norm("vision_model.post_layernorm", units)
    head = "vision_model.head"
    drawn.add(f"{head}.probe", 1, 1, units)
    drawn.add(f"{head}.attention.in_proj_weight", 3 * units, units)
    drawn.add(f"{head}.attention.in_proj_bias", 3 * units)
    drawn.dense(f"{head}.attention.out_proj", units, units)
    drawn.norm(f"{head}.layernorm", units)
    drawn.dense(f"{head}.mlp.fc1", units, 2 * units)
    drawn.dense(f"{head}.mlp.fc2", 2 * units, units)
    _words(drawn, 30, 6, units)
    drawn.dense("text_model.head", units, units)
    drawn.add("logit_scale", 1)
    drawn.add("logit_bias", 1)
    return drawn.arrays


_SIZES = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
_VISION = {**_SIZES, "image_size": 32, "patch_size": 8}
_TEXT = {**_SIZES, "vocab_size": 30, "max_position_embeddings": 6}


def siglip_config(**others: Any) -> dict[str, Any]:
    return {"model_type": "siglip", "vision_config": _VISION, "text_config": _TEXT, **others}


def naflex_folder(folder: Path, **others: Any) -> Path:
    """The same arrays as a SigLIP 2 NaFlex, whose patches are vectors already."""
    arrays = siglip_arrays()
    kernel = arrays["vision_model.embeddings.patch_embedding.weight"]
    arrays["vision_model.embeddings.patch_embedding.weight"] = kernel.transpose(0, 2, 3, 1).reshape(16, -1)
    config = siglip_config(model_type="siglip2")
    config["vision_config"] = {**config["vision_config"], "num_patches": 16}
    return write_folder(folder, config, arrays, **others)


def clip_arrays(*, units: int = 16, patch: int = 8, side: int = 4, projection: int = 12) -> Arrays:
    """Arrays of a CLIP by Hugging Face's names, both towers."""
    drawn = Drawn()
    drawn.add("vision_model.embeddings.class_embedding", units)
    drawn.add("vision_model.embeddings.patch_embedding.weight", units, 3, patch, patch)
    drawn.add("vision_model.embeddings.position_embedding.weight", side * side + 1, units)
    drawn.norm("vision_model.pre_layrnorm", units)
    _tower(drawn, "vision_model", units, 2)
    drawn.norm("vision_model.post_layernorm", units)
    drawn.dense("visual_projection", units, projection, bias=False)
    _words(drawn, 30, 6, units)
    drawn.dense("text_projection", units, projection, bias=False)
    drawn.add("logit_scale")
    return drawn.arrays


def clip_config(*, end: int = 29, **others: Any) -> dict[str, Any]:
    return {
        "model_type": "clip",
        "projection_dim": 12,
        "vision_config": _VISION,
        "text_config": {**_TEXT, "eos_token_id": end},
        **others,
    }


_WORDS = ("a", "red", "car", "turning", "on", "the", "road", "man", "dog", "runs", "in", "green", "field")
VOCABULARY = ["<start>", "</s>", "<unk>", *_WORDS, "<end>"]


def tokenizer_json(*, start: str | None = None, end: str = "</s>") -> str:
    """A tokenizer of whole words, which puts a token before and one behind; the last word of the vocabulary is 29."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    numbers = {word: number for number, word in enumerate(VOCABULARY[:-1])} | {VOCABULARY[-1]: 29}
    tokenizer = Tokenizer(models.WordLevel(numbers, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(["<start>", "</s>", "<unk>", "<end>"])
    template = f"{start} $A {end}" if start else f"$A {end}"
    specials = [(token, numbers[token]) for token in (start, end) if token]
    tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=specials)
    return tokenizer.to_str()


CROPPED = {
    "do_resize": True,
    "size": {"shortest_edge": 36},
    "do_center_crop": True,
    "crop_size": {"height": 28, "width": 28},
    "resample": 3,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
}
