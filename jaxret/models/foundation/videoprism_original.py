"""VideoPrism (Zhao et al. 2024, arXiv:2402.13217) in its authors' `.npz` files: the encoder of videos, and the one of
videos and words (LvT), with their sentencepiece model beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from jaxret.models.foundation.family import Family, TextFamily, square
from jaxret.models.foundation.files import Arrays, WeightFiles
from jaxret.models.foundation.videoprism import per_number_scale, shifted_norm, unscaled_tokens, videoprism_sizing
from jaxret.models.text.tokens import SENTENCE_PIECES
from jaxret.models.weights.patterns import Named, Patterns, flax_heads, leading_axes

__all__ = ["VIDEOPRISM_ORIGINAL"]

_STACK = "transformers_stack/x_layers/"
_SPATIAL, _TEMPORAL, _AUXILIARY = (f"params/{part}_encoder/{_STACK}" for part in ("spatial", "temporal", "auxiliary"))
_TEXT = "params/text_encoder"
_WORDS = f"{_TEXT}/unimodal_transformer/x_layers/"
_HEAD = "params/contrastive_vision_pooler"
_SCALE = f"{_HEAD}/pooling_attention/per_dim_scale/per_dim_scale"
_LENGTH = 64  # tokens of a text, in all of its authors' models


def _prepare(arrays: Arrays) -> Arrays:
    """Blocks, which are stacked along their first axis, one by one; the positions of words, which are not stored; the
    scale of the head's queries in these."""
    parted: Arrays = {}
    for name, array in arrays.items():
        name = name.replace("params/vision_encoder/", "params/")
        if "/x_layers/" not in name:
            parted[name] = array
            continue
        for number, block in enumerate(array):
            parted[name.replace("/x_layers/", f"/x_layers/{number}/")] = np.asarray(block)
    if f"{_TEXT}/cls_emb" in parted:
        units = parted[f"{_TEXT}/cls_emb"].shape[-1]
        parted[f"{_TEXT}/positions"] = _sinusoids(_LENGTH, units)
    if _SCALE in parted:
        scale = per_number_scale(parted.pop(_SCALE))
        for role in "wb":
            query = f"{_HEAD}/pooling_attention/query/{role}"
            parted[query] = parted[query] * scale  # (..., heads, d)
    return parted


def _sinusoids(length: int, units: int) -> npt.NDArray[np.float32]:
    """Positions (length, units): sines, then cosines, of wavelengths 2 pi .. 20,000 pi, the longest included."""
    count = units // 2
    angles = np.arange(length)[:, None] / 10_000.0 ** (np.arange(count) / max(count - 1, 1))
    return np.concatenate([np.sin(angles), np.cos(angles), np.zeros((length, units % 2))], axis=1).astype(np.float32)


def _tower(arrays: Arrays, stack: str) -> dict[str, Any]:
    units, heads, _ = arrays[f"{stack}0/self_attention/query/w"].shape
    return {
        "units": units,
        "heads": heads,
        "wide": arrays[f"{stack}0/ff_layer/ffn_layer1/linear/kernel"].shape[-1],
    }


def _depth(arrays: Arrays, stack: str) -> int:
    return sum(name.startswith(stack) and name.endswith("/self_attention/query/w") for name in arrays)


def _settings(files: WeightFiles) -> dict[str, Any]:
    arrays = _prepare(files.arrays)
    patch_size = square(arrays["params/patch_projection/linear/kernel"].shape[0] // 3, files)
    return {
        "patch_size": patch_size,
        "image_size": patch_size * square(len(arrays["params/spatial_pos_emb/emb_var"]), files),
        "frames": len(arrays["params/temporal_pos_emb/emb_var"]),
        **_tower(arrays, _SPATIAL),
        "spatial_depth": _depth(arrays, _SPATIAL),
        "temporal_depth": _depth(arrays, _TEMPORAL),
        "auxiliary_depth": _depth(arrays, _AUXILIARY),
        "pooling": "attention" if f"{_HEAD}/pooling_attention_query" in arrays else "mean",
    }


def _norm(ours: str, theirs: str) -> dict[str, Named]:
    return shifted_norm(ours, theirs, gain="/scale", bias="/bias")


def _attention(ours: str, theirs: str, heads: int) -> dict[str, Named]:
    patterns = {}
    for layer in ("query", "key", "value"):
        patterns[f"{ours}.{layer}.kernel"] = flax_heads(f"{theirs}/{layer}/w", heads)
        patterns[f"{ours}.{layer}.bias"] = flax_heads(f"{theirs}/{layer}/b", heads)
    # (D, heads, d), though it goes from heads to D.
    patterns[f"{ours}.out.kernel"] = Named(
        f"{theirs}/post/w", lambda a: a.reshape(len(a), -1).T, lambda a: a.T.reshape(a.shape[1], heads, -1)
    )
    return {**patterns, f"{ours}.out.bias": Named(f"{theirs}/post/b")}


def _blocks(ours: str, stack: str, heads: int) -> dict[str, str | Named]:
    theirs = f"{stack}*"
    return {
        **_norm(f"{ours}.attention_norm", f"{theirs}/layer_norm"),
        **_norm(f"{ours}.mlp_norm", f"{theirs}/ff_layer/layer_norm"),
        **_attention(f"{ours}.attention", f"{theirs}/self_attention", heads),
        f"{ours}.mlp.widen": f"{theirs}/ff_layer/ffn_layer1/linear",
        f"{ours}.mlp.narrow": f"{theirs}/ff_layer/ffn_layer2/linear",
    }


def _patterns(settings: dict[str, Any]) -> Patterns:
    heads = settings["heads"]
    return {
        "patches": "params/patch_projection/linear",
        "spatial_positions": Named("params/spatial_pos_emb/emb_var"),
        "temporal_positions": Named("params/temporal_pos_emb/emb_var"),
        **_norm("spatial_norm", "params/spatial_ln"),
        **_norm("temporal_norm", "params/temporal_ln"),
        **_blocks("spatial_blocks.*", _SPATIAL, heads),
        **_blocks("temporal_blocks.*", _TEMPORAL, heads),
        **_blocks("auxiliary_blocks.*", _AUXILIARY, heads),
        "pool.probe": leading_axes(f"{_HEAD}/pooling_attention_query", 1),
        **_attention("pool.attention", f"{_HEAD}/pooling_attention", heads),
        **_norm("pool.norm", f"{_HEAD}/pooling_attention_layer_norm"),
    }


def _text_settings(files: WeightFiles) -> dict[str, Any] | None:
    arrays = _prepare(files.arrays)
    if f"{_TEXT}/cls_emb" not in arrays:
        return None
    return {
        "vocabulary": len(arrays[f"{_TEXT}/token_emb/emb_var"]),
        "length": _LENGTH,
        **_tower(arrays, _WORDS),
        "depth": _depth(arrays, _WORDS),
        "activation": "relu",
        "projection": 0,
        "causal": True,
        "class_token": True,
        "padding": 0,
        "softcap": 50.0,
    }


def _text_patterns(settings: dict[str, Any]) -> Patterns:
    units = settings["units"]
    return {
        "tokens": unscaled_tokens(f"{_TEXT}/token_emb/emb_var", units),
        "positions": Named(f"{_TEXT}/positions"),
        "class_token": unscaled_tokens(f"{_TEXT}/cls_emb", units, axes=2),
        **_blocks("blocks.*", _WORDS, settings["heads"]),
        **_norm("last_norm", f"{_TEXT}/unimodal_ln"),
    }


_FIRST = ("params/patch_projection/linear/kernel", "params/vision_encoder/patch_projection/linear/kernel")
VIDEOPRISM_ORIGINAL = Family(
    "videoprism",
    lambda files: files.config is None and any(name in files.arrays for name in _FIRST),
    _settings,
    _prepare,
    _patterns,
    videoprism_sizing,
    unused=rf"^{_TEXT}/",
    torch=False,
    backbone="video-prism",
    text=TextFamily(
        _text_settings,
        _text_patterns,
        tokenizer=SENTENCE_PIECES,
        cleaning=lambda settings: "sentence",
        unused=rf"^(?!{_TEXT}/)",
        marked=False,
    ),
)
