"""Small VideoPrisms with random weights, as their authors and Hugging Face lay them out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from foundation_making import Arrays, Drawn, write_folder

__all__ = ["videoprism_arrays", "videoprism_folder"]


def _videoprism_blocks(drawn: Drawn, root: str, depth: int, units: int, heads: int) -> None:
    for norm in ("layer_norm", "ff_layer/layer_norm"):
        drawn.add(f"{root}/{norm}/scale", depth, units)
        drawn.add(f"{root}/{norm}/bias", depth, units)
    for layer in ("query", "key", "value"):
        drawn.add(f"{root}/self_attention/{layer}/w", depth, units, heads, units // heads)
        drawn.add(f"{root}/self_attention/{layer}/b", depth, heads, units // heads)
    drawn.add(f"{root}/self_attention/post/w", depth, units, heads, units // heads)
    drawn.add(f"{root}/self_attention/post/b", depth, units)
    for layer, into, out in (("ffn_layer1", units, 2 * units), ("ffn_layer2", 2 * units, units)):
        drawn.add(f"{root}/ff_layer/{layer}/linear/kernel", depth, into, out)
        drawn.add(f"{root}/ff_layer/{layer}/linear/bias", depth, out)


def videoprism_arrays(
    *, units: int = 16, heads: int = 2, side: int = 2, frames: int = 4, words: bool = False
) -> Arrays:
    """Arrays of a VideoPrism by the names of its authors' file: 2 spatial blocks, 1 temporal, MLPs twice as wide; with
    words an auxiliary block and a head, and a tower of 2 blocks."""
    drawn = Drawn()
    root = "params/vision_encoder" if words else "params"
    drawn.add(f"{root}/patch_projection/linear/kernel", 18 * 18 * 3, units)
    drawn.arrays[f"{root}/patch_projection/linear/kernel"] *= 0.3
    drawn.add(f"{root}/patch_projection/linear/bias", units)
    drawn.add(f"{root}/spatial_pos_emb/emb_var", side * side, units)
    drawn.add(f"{root}/temporal_pos_emb/emb_var", frames, units)
    for part, depth in (("spatial", 2), ("temporal", 1)):
        _videoprism_blocks(drawn, f"{root}/{part}_encoder/transformers_stack/x_layers", depth, units, heads)
        drawn.add(f"{root}/{part}_ln/scale", units)
        drawn.add(f"{root}/{part}_ln/bias", units)
    if words:
        _videoprism_words(drawn, units, heads)
    for name, array in drawn.arrays.items():  # logits large enough for their cap to count
        array *= (
            40
            if name.endswith(("self_attention/query/w", "self_attention/key/w"))
            else 3
            if name.endswith(("/w", "kernel"))
            else 1
        )
    return drawn.arrays


def _videoprism_words(drawn: Drawn, units: int, heads: int) -> None:
    head, text, inside = "params/contrastive_vision_pooler", "params/text_encoder", 2 * units
    _videoprism_blocks(drawn, "params/auxiliary_encoder/transformers_stack/x_layers", 1, units, heads)
    drawn.add(f"{head}/pooling_attention_query", 1, units)
    for layer in ("query", "key", "value"):
        drawn.add(f"{head}/pooling_attention/{layer}/w", units, heads, inside // heads)
        drawn.add(f"{head}/pooling_attention/{layer}/b", heads, inside // heads)
    drawn.add(f"{head}/pooling_attention/post/w", units, heads, inside // heads)
    drawn.add(f"{head}/pooling_attention/post/b", units)
    drawn.add(f"{head}/pooling_attention/per_dim_scale/per_dim_scale", inside // heads)
    _videoprism_blocks(drawn, f"{text}/unimodal_transformer/x_layers", 2, units, heads)
    for norm in (f"{head}/pooling_attention_layer_norm", f"{text}/unimodal_ln"):
        drawn.add(f"{norm}/scale", units)
        drawn.add(f"{norm}/bias", units)
    drawn.add(f"{text}/token_emb/emb_var", 30, units)
    drawn.add(f"{text}/cls_emb", 1, 1, units)


def videoprism_folder(folder: Path, arrays: Arrays, positions: np.ndarray | None = None, **others: str) -> Path:
    """The same arrays as Hugging Face lays them out; positions are those of words, (6, units)."""
    words = positions is not None
    root, video = ("params/vision_encoder", "video_model.vision_model.") if words else ("params", "")
    out: Arrays = {}

    def put(theirs: str, ours: str, array: np.ndarray) -> None:
        """A layer's array: kernels of Flax, (D, heads, d) or (into, out), as those of PyTorch, (out, into)."""
        role = ours.rsplit("/", 1)[1]
        if role in ("w", "kernel"):
            array = array.reshape(len(array), -1) if ours.endswith("post/w") else array.reshape(len(array), -1).T
        out[f"{theirs}.{'bias' if role in ('b', 'bias') else 'weight'}"] = array.reshape(-1) if role == "b" else array

    def put_blocks(theirs: str, stack: str) -> None:
        names = {"layer_norm": "layernorm_before", "ff_layer/layer_norm": "layernorm_after"}
        names |= {f"ff_layer/ffn_layer{n}/linear": f"mlp.fc{n}" for n in (1, 2)}
        names |= {f"self_attention/{part}": f"attention.{part[0]}_proj" for part in ("query", "key", "value")}
        names["self_attention/post"] = "attention.o_proj"
        for name, array in arrays.items():
            if name.startswith(f"{stack}/"):
                layer, role = name.removeprefix(f"{stack}/").rsplit("/", 1)
                for number, block in enumerate(array):
                    put(f"{theirs}.{number}.{names[layer]}", f"{layer}/{role}", block)

    kernel = arrays[f"{root}/patch_projection/linear/kernel"]
    projection = f"{video}spatial_embeddings.patch_embeddings.projection"
    out[f"{projection}.weight"] = kernel.reshape(18, 18, 3, -1).transpose(3, 2, 0, 1)[:, :, None]
    out[f"{projection}.bias"] = arrays[f"{root}/patch_projection/linear/bias"]
    for number, part in enumerate(("spatial", "temporal"), start=1):
        out[f"{video}{part}_embeddings.position_embeddings"] = arrays[f"{root}/{part}_pos_emb/emb_var"][None]
        put_blocks(f"{video}{part}_layers", f"{root}/{part}_encoder/transformers_stack/x_layers")
        for role in ("scale", "bias"):
            put(f"{video}layernorm{number}", f"/{role}", arrays[f"{root}/{part}_ln/{role}"])
    tower = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}
    vision = {
        "model_type": "videoprism_vision_model",
        **tower,
        "num_spatial_layers": 2,
        "num_temporal_layers": 1,
        "num_auxiliary_layers": 1,
        "num_frames": 4,
        "image_size": 36,
        "tubelet_size": [1, 18, 18],
    }
    config: dict[str, Any] = vision
    if words:
        head, text = "params/contrastive_vision_pooler", "params/text_encoder"
        put_blocks("video_model.auxiliary_layers", "params/auxiliary_encoder/transformers_stack/x_layers")
        for part in ("query", "key", "value", "post"):
            short = "o" if part == "post" else part[0]
            for role in "wb":
                put(
                    f"video_model.head.{short}_proj",
                    f"{part}/{role}",
                    arrays[f"{head}/pooling_attention/{part}/{role}"],
                )
        out["video_model.head.per_dim_scale"] = arrays[f"{head}/pooling_attention/per_dim_scale/per_dim_scale"]
        out["video_model.head.pooling_attention_query"] = arrays[f"{head}/pooling_attention_query"][None]
        put_blocks("text_model.layers", f"{text}/unimodal_transformer/x_layers")
        for role in ("scale", "bias"):
            put("video_model.head_layernorm", f"/{role}", arrays[f"{head}/pooling_attention_layer_norm/{role}"])
            put("text_model.layernorm", f"/{role}", arrays[f"{text}/unimodal_ln/{role}"])
        out["text_model.embeddings.token_embedding.weight"] = arrays[f"{text}/token_emb/emb_var"]
        out["text_model.embeddings.cls_emb"] = arrays[f"{text}/cls_emb"]
        out["text_model.embeddings.position_embedding"] = positions
        out["text_model.embeddings.position_ids"] = np.arange(len(positions))[None]
        text_config = {**tower, "num_hidden_layers": 2, "vocab_size": 30, "max_position_embeddings": len(positions)}
        config = {"model_type": "videoprism", "vision_config": vision, "text_config": text_config}
    return write_folder(folder, config, {name: np.ascontiguousarray(array) for name, array in out.items()}, **others)
