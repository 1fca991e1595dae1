"""Small published encoders by the names and in the layouts of their authors' own files."""

from __future__ import annotations

import numpy as np
from foundation_making import Arrays
from weights_making import Script, Storage, tensor, zip_file

__all__ = ["clip_original", "dinov2_original", "dinov3_original", "siglip_original"]


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


def dinov3_original(arrays: Arrays) -> Arrays:
    """A DINOv3 by the names of the authors' `.pth` files, with a bias of keys that their mask takes away."""
    gated = any("gate_proj" in name for name in arrays)
    own: Arrays = {}
    for name, array in arrays.items():
        for theirs, ours in (
            ("embeddings.register_tokens", "storage_tokens"),
            ("embeddings.patch_embeddings", "patch_embed.proj"),
            ("embeddings.", ""),
            ("layer.", "blocks."),
            ("attention.o_proj", "attn.proj"),
            ("layer_scale", "ls"),
            ("lambda1", "gamma"),
            ("gate_proj", "w1"),
            ("up_proj", "w2" if gated else "fc1"),
            ("down_proj", "w3" if gated else "fc2"),
        ):
            name = name.replace(theirs, ours)
        if ".attention." not in name:
            own[name] = array
    for number in range(sum(name.endswith("norm1.weight") for name in arrays)):
        q, k, v = (f"layer.{number}.attention.{part}_proj" for part in "qkv")
        fused, units = f"blocks.{number}.attn.qkv", len(arrays[f"{q}.bias"])
        own[f"{fused}.weight"] = np.concatenate([arrays[f"{part}.weight"] for part in (q, k, v)])
        masked = np.full(units, 7.0, np.float32)
        own[f"{fused}.bias"] = np.concatenate([arrays[f"{q}.bias"], masked, arrays[f"{v}.bias"]])
        own[f"{fused}.bias_mask"] = np.zeros(3 * units, np.float32)
    own["rope_embed.periods"] = np.ones(16, np.float32)
    return own


def siglip_original(arrays: Arrays, *, stacked: bool) -> Arrays:
    """A SigLIP by the names and in the layouts of big_vision; blocks one by one, or all in one array."""
    arrays, own = dict(arrays), {}
    layers = {"self_attn": "MultiHeadDotProductAttention_0", "layer_norm1": "LayerNorm_0", "layer_norm2": "LayerNorm_1"}
    parts = {"q_proj": "query", "k_proj": "key", "v_proj": "value", "out_proj": "out"}

    def put(place: str, name: str, part: str) -> None:
        """A dense layer of PyTorch as one of Flax, heads apart."""
        kernel, bias = arrays[f"{name}.weight"].T, arrays[f"{name}.bias"]
        if part in ("query", "key", "value"):
            kernel, bias = kernel.reshape(16, 2, 8), bias.reshape(2, 8)
        elif part == "out":
            kernel = kernel.reshape(2, 8, 16)
        own[f"{place}/kernel"], own[f"{place}/bias"] = kernel, bias

    def put_norm(place: str, name: str) -> None:
        own[f"{place}/scale"], own[f"{place}/bias"] = arrays[f"{name}.weight"], arrays[f"{name}.bias"]

    root, head = "params/img", "params/img/MAPHead_0"
    stacks = {f"{root}/Transformer": "vision_model", "params/txt/Encoder_0": "text_model"}
    for stack, tower in stacks.items():
        for number in range(2):
            theirs, ours = f"{stack}/encoderblock_{number}", f"{tower}.encoder.layers.{number}"
            for part, new in parts.items():
                put(f"{theirs}/{layers['self_attn']}/{new}", f"{ours}.self_attn.{part}", new)
            for part in ("layer_norm1", "layer_norm2"):
                put_norm(f"{theirs}/{layers[part]}", f"{ours}.{part}")
            for place, part in enumerate(("fc1", "fc2")):
                put(f"{theirs}/MlpBlock_0/Dense_{place}", f"{ours}.mlp.{part}", "")
    put_norm(f"{root}/Transformer/encoder_norm", "vision_model.post_layernorm")
    embeddings = "vision_model.embeddings"
    own[f"{root}/embedding/kernel"] = arrays[f"{embeddings}.patch_embedding.weight"].transpose(2, 3, 1, 0)
    own[f"{root}/embedding/bias"] = arrays[f"{embeddings}.patch_embedding.bias"]
    own[f"{root}/pos_embedding"] = arrays[f"{embeddings}.position_embedding.weight"][None]
    own[f"{head}/probe"] = arrays["vision_model.head.probe"]
    for role in ("weight", "bias"):
        pieces = np.split(arrays[f"vision_model.head.attention.in_proj_{role}"], 3)
        arrays |= {f"head.{part}.{role}": piece for part, piece in zip("qkv", pieces, strict=True)}
    for part, new in zip("qkv", ("query", "key", "value"), strict=True):
        put(f"{head}/MultiHeadDotProductAttention_0/{new}", f"head.{part}", new)
    put(f"{head}/MultiHeadDotProductAttention_0/out", "vision_model.head.attention.out_proj", "out")
    put_norm(f"{head}/LayerNorm_0", "vision_model.head.layernorm")
    for place, part in enumerate(("fc1", "fc2")):
        put(f"{head}/MlpBlock_0/Dense_{place}", f"vision_model.head.mlp.{part}", "")
    own["params/txt/Embed_0/embedding"] = arrays["text_model.embeddings.token_embedding.weight"]
    own["params/txt/pos_embedding"] = arrays["text_model.embeddings.position_embedding.weight"][None]
    put_norm("params/txt/Encoder_0/encoder_norm", "text_model.final_layer_norm")
    put("params/txt/head", "text_model.head", "")
    own |= {"params/t": np.zeros(1, np.float32), "params/b": np.zeros(1, np.float32)}
    if stacked:
        for name in [name for name in own if "encoderblock_0" in name]:
            both = [own.pop(name), own.pop(name.replace("encoderblock_0", "encoderblock_1"))]
            own[name.replace("encoderblock_0", "encoderblock")] = np.stack(both)
    return own


def clip_original(arrays: Arrays) -> bytes:
    """A CLIP as its authors store it: a module of TorchScript, by their names, projections turned."""
    own, blocks = {}, {"vision_model.": "visual.transformer.", "text_model.": "transformer."}
    for tower, prefix in blocks.items():
        for number in range(2):
            layer, block = f"{tower}encoder.layers.{number}.", f"{prefix}resblocks.{number}."
            for role in ("weight", "bias"):
                fused = [arrays[f"{layer}self_attn.{part}_proj.{role}"] for part in "qkv"]
                own[f"{block}attn.in_proj_{role}"] = np.concatenate(fused)
                own[f"{block}attn.out_proj.{role}"] = arrays[f"{layer}self_attn.out_proj.{role}"]
                own[f"{block}mlp.c_fc.{role}"] = arrays[f"{layer}mlp.fc1.{role}"]
                own[f"{block}mlp.c_proj.{role}"] = arrays[f"{layer}mlp.fc2.{role}"]
                for norm in (1, 2):
                    own[f"{block}ln_{norm}.{role}"] = arrays[f"{layer}layer_norm{norm}.{role}"]
    for role in ("weight", "bias"):
        own[f"visual.ln_pre.{role}"] = arrays[f"vision_model.pre_layrnorm.{role}"]
        own[f"visual.ln_post.{role}"] = arrays[f"vision_model.post_layernorm.{role}"]
        own[f"ln_final.{role}"] = arrays[f"text_model.final_layer_norm.{role}"]
    own["visual.class_embedding"] = arrays["vision_model.embeddings.class_embedding"]
    own["visual.conv1.weight"] = arrays["vision_model.embeddings.patch_embedding.weight"]
    own["visual.positional_embedding"] = arrays["vision_model.embeddings.position_embedding.weight"]
    own["visual.proj"] = arrays["visual_projection.weight"].T
    own["token_embedding.weight"] = arrays["text_model.embeddings.token_embedding.weight"]
    own["positional_embedding"] = arrays["text_model.embeddings.position_embedding.weight"]
    own["text_projection"] = arrays["text_projection.weight"].T
    own["logit_scale"] = arrays["logit_scale"]
    own |= {name: np.array(7) for name in ("input_resolution", "context_length", "vocab_size")}
    assert sum(array.size for array in own.values()) == sum(array.size for array in arrays.values()) + 3
    storages, top = [], Script("__torch__.multimodal.model Multimodal", training=False)
    for number, (name, array) in enumerate(own.items()):
        *path, leaf = name.split(".")
        module = top
        for part in path:
            module = module.attributes.setdefault(part, Script("__torch__ Part", training=False))
        kind = "LongStorage" if array.dtype.kind == "i" else "FloatStorage"
        storages.append(Storage(kind, str(number), np.ascontiguousarray(array)))
        module.attributes[leaf] = tensor(storages[-1])
    return zip_file(top, storages, code="def forward(self): return 1\n" * 100)
