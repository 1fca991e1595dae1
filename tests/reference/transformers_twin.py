"""Slow twins of published encoders, in float64 NumPy, on arrays by the names of their files."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.special import erf

Arrays = dict[str, np.ndarray]


def gelu(x: np.ndarray) -> np.ndarray:
    return x * 0.5 * (1 + erf(x / math.sqrt(2)))


def gelu_tanh(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def quick_gelu(x: np.ndarray) -> np.ndarray:
    return x / (1 + np.exp(-1.702 * x))


def silu(x: np.ndarray) -> np.ndarray:
    return x / (1 + np.exp(-x))


def norm(x: np.ndarray, arrays: Arrays, name: str, epsilon: float) -> np.ndarray:
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + epsilon)
    return scaled * arrays[f"{name}.weight"] + arrays[f"{name}.bias"]


def dense(x: np.ndarray, arrays: Arrays, name: str) -> np.ndarray:
    out = x @ arrays[f"{name}.weight"].astype(np.float64).T
    return out + arrays[f"{name}.bias"] if f"{name}.bias" in arrays else out


def attention(
    x: np.ndarray,
    arrays: Arrays,
    names: tuple[str, str, str, str],
    heads: int,
    *,
    context: np.ndarray | None = None,
    turn: Callable[[np.ndarray], np.ndarray] = lambda head: head,
    causal: bool = False,
    cap: float = 0.0,
) -> np.ndarray:
    """Of one sequence (T, D), a head after the other; `turn` is what is done to queries and keys of a head."""
    seen = x if context is None else context
    q, k, v = dense(x, arrays, names[0]), dense(seen, arrays, names[1]), dense(seen, arrays, names[2])
    size = x.shape[-1] // heads
    outs = []
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        logits = turn(q[:, part]) @ turn(k[:, part]).T / math.sqrt(size)
        if cap:
            logits = cap * np.tanh(logits / cap)
        if causal:
            logits = np.where(np.tri(len(x), dtype=bool), logits, -np.inf)
        weights = np.exp(logits - logits.max(-1, keepdims=True))
        outs.append(weights / weights.sum(-1, keepdims=True) @ v[:, part])
    return dense(np.concatenate(outs, -1), arrays, names[3])


def patches(image: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
    """An image (H, W, 3), normalised, by a convolution (D, 3, p, p) of stride p: (h, w, D)."""
    p = kernel.shape[-1]
    grid = np.zeros((image.shape[0] // p, image.shape[1] // p, len(kernel)))
    for row in range(grid.shape[0]):
        for column in range(grid.shape[1]):
            cell = image[row * p : (row + 1) * p, column * p : (column + 1) * p].transpose(2, 0, 1)
            grid[row, column] = (kernel.astype(np.float64) * cell).sum((1, 2, 3))
    return grid if bias is None else grid + bias


def cubic(x: float, a: float) -> float:
    x = abs(x)
    if x < 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0


def resized(grid: np.ndarray, height: int, width: int, *, antialias: bool, offset: float = 0.0) -> np.ndarray:
    """Positions (h, w, D) bicubically at another size, pixel by pixel."""

    def row_of(values: np.ndarray, new: int) -> np.ndarray:
        old = len(values)
        step = old / (new + offset)
        out = np.zeros((new, *values.shape[1:]))
        for place in range(new):
            centre = (place + 0.5) * step
            if not antialias:
                first = math.floor(centre - 0.5)
                for cell in range(first - 1, first + 3):
                    out[place] += cubic(centre - 0.5 - cell, -0.75) * values[min(max(cell, 0), old - 1)]
                continue
            stretch = max(step, 1.0)
            low, high = max(int(centre - 2 * stretch + 0.5), 0), min(int(centre + 2 * stretch + 0.5), old)
            weights = [cubic((cell + 0.5 - centre) / stretch, -0.5) for cell in range(low, high)]
            for cell, weight in zip(range(low, high), weights, strict=True):
                out[place] += weight / sum(weights) * values[cell]
        return out

    return row_of(row_of(grid, height).swapaxes(0, 1), width).swapaxes(0, 1)


def resized_bilinear(grid: np.ndarray, height: int, width: int) -> np.ndarray:
    """Positions (h, w, D) bilinearly at another size; of a smaller one each is a mean over as many as it stands for."""

    def row_of(values: np.ndarray, new: int) -> np.ndarray:
        step = len(values) / new
        reach = max(step, 1.0)
        out = np.zeros((new, *values.shape[1:]))
        for place in range(new):
            weights = [max(0.0, 1 - abs(cell + 0.5 - (place + 0.5) * step) / reach) for cell in range(len(values))]
            out[place] = sum(weight * value for weight, value in zip(weights, values, strict=True)) / sum(weights)
        return out

    return row_of(row_of(grid, height).swapaxes(0, 1), width).swapaxes(0, 1)


def dinov2(
    arrays: Arrays, image: np.ndarray, heads: int, *, epsilon: float = 1e-6, offset: float = 0.0
) -> dict[str, np.ndarray]:
    """One normalised image (H, W, 3) through a DINOv2 of Hugging Face's names: tokens after each block, and normed."""
    grid = patches(
        image,
        arrays["embeddings.patch_embeddings.projection.weight"],
        arrays["embeddings.patch_embeddings.projection.bias"],
    )
    height, width, _ = grid.shape
    places = arrays["embeddings.position_embeddings"][0].astype(np.float64)
    side = math.isqrt(len(places) - 1)
    registers = arrays.get("embeddings.register_tokens")
    square = places[1:].reshape(side, side, -1)
    if (height, width) != (side, side):
        square = resized(square, height, width, antialias=registers is not None, offset=offset)
    x = (grid + square).reshape(height * width, -1)
    before = [arrays["embeddings.cls_token"][0] + places[:1]]
    before += [] if registers is None else [registers[0]]
    x = np.concatenate([*before, x])
    stages = {}
    for number in range(sum(name.endswith("norm1.weight") for name in arrays)):
        block = f"encoder.layer.{number}"
        names = tuple(f"{block}.attention.attention.{part}" for part in ("query", "key", "value"))
        attended = attention(
            norm(x, arrays, f"{block}.norm1", epsilon), arrays, (*names, f"{block}.attention.output.dense"), heads
        )
        x = x + arrays[f"{block}.layer_scale1.lambda1"] * attended
        inner = norm(x, arrays, f"{block}.norm2", epsilon)
        if f"{block}.mlp.weights_in.weight" in arrays:
            gate, wide = np.split(dense(inner, arrays, f"{block}.mlp.weights_in"), 2, axis=-1)
            out = dense(silu(gate) * wide, arrays, f"{block}.mlp.weights_out")
        else:
            out = dense(gelu(dense(inner, arrays, f"{block}.mlp.fc1")), arrays, f"{block}.mlp.fc2")
        x = stages[f"block_{number + 1}"] = x + arrays[f"{block}.layer_scale2.lambda1"] * out
    x = norm(x, arrays, "layernorm", epsilon)
    return {**stages, "cls": x[0], "patch_grid": x[len(x) - height * width :].reshape(height, width, -1)}


def turned(head: np.ndarray, height: int, width: int, base: float = 100.0) -> np.ndarray:
    """The last height * width tokens (T, d) of a head, number i turned with number i + d / 2, token by token."""
    size = head.shape[-1]
    out, first = head.copy(), len(head) - height * width
    for row in range(height):
        for column in range(width):
            place = first + row * width + column
            for number in range(size // 2):
                along = (2 * (row + 0.5) / height - 1, 2 * (column + 0.5) / width - 1)[number >= size // 4]
                angle = 2 * math.pi * along / base ** (4 * (number % (size // 4)) / size)
                a, b = head[place, number], head[place, number + size // 2]
                out[place, number] = a * math.cos(angle) - b * math.sin(angle)
                out[place, number + size // 2] = b * math.cos(angle) + a * math.sin(angle)
    return out


def dinov3(arrays: Arrays, image: np.ndarray, heads: int, *, epsilon: float = 1e-5) -> dict[str, np.ndarray]:
    """One normalised image (H, W, 3) through a DINOv3 of Hugging Face's names."""
    patch = "embeddings.patch_embeddings"
    grid = patches(image, arrays[f"{patch}.weight"], arrays[f"{patch}.bias"])
    height, width, units = grid.shape
    x = np.concatenate(
        [arrays["embeddings.cls_token"][0], arrays["embeddings.register_tokens"][0], grid.reshape(-1, units)]
    )
    stages = {}
    for number in range(sum(name.endswith("norm1.weight") for name in arrays)):
        block = f"layer.{number}"
        names = tuple(f"{block}.attention.{part}_proj" for part in "qkvo")
        inner = norm(x, arrays, f"{block}.norm1", epsilon)
        attended = attention(inner, arrays, names, heads, turn=lambda head: turned(head, height, width))
        x = x + arrays[f"{block}.layer_scale1.lambda1"] * attended
        inner = norm(x, arrays, f"{block}.norm2", epsilon)
        wide = dense(inner, arrays, f"{block}.mlp.up_proj")
        gated = f"{block}.mlp.gate_proj.weight" in arrays
        wide = silu(dense(inner, arrays, f"{block}.mlp.gate_proj")) * wide if gated else gelu(wide)
        out = dense(wide, arrays, f"{block}.mlp.down_proj")
        x = stages[f"block_{number + 1}"] = x + arrays[f"{block}.layer_scale2.lambda1"] * out
    x = norm(x, arrays, "norm", epsilon)
    return {**stages, "cls": x[0], "patch_grid": x[len(x) - height * width :].reshape(height, width, -1)}


def tower(x: np.ndarray, arrays: Arrays, prefix: str, heads: int, activate, *, epsilon: float, causal: bool = False):
    """Tokens (T, D) through the blocks of a tower of SigLIP or CLIP: the stages, and the tokens after the last."""
    stages = {}
    for number in range(sum(name.startswith(prefix) and name.endswith("layer_norm1.weight") for name in arrays)):
        block = f"{prefix}.encoder.layers.{number}"
        names = tuple(f"{block}.self_attn.{part}_proj" for part in ("q", "k", "v", "out"))
        x = x + attention(norm(x, arrays, f"{block}.layer_norm1", epsilon), arrays, names, heads, causal=causal)
        wide = activate(dense(norm(x, arrays, f"{block}.layer_norm2", epsilon), arrays, f"{block}.mlp.fc1"))
        x = stages[f"block_{number + 1}"] = x + dense(wide, arrays, f"{block}.mlp.fc2")
    return stages, x


def siglip(
    arrays: Arrays, image: np.ndarray, heads: int, *, epsilon: float = 1e-6, naflex: bool = False
) -> dict[str, np.ndarray]:
    """One normalised image (H, W, 3) through the tower of images of a SigLIP; positions of NaFlex are resized in
    another way."""
    embeddings, head = "vision_model.embeddings", "vision_model.head"
    grid = patches(image, arrays[f"{embeddings}.patch_embedding.weight"], arrays[f"{embeddings}.patch_embedding.bias"])
    height, width, units = grid.shape
    places = arrays[f"{embeddings}.position_embedding.weight"].astype(np.float64)
    side = math.isqrt(len(places))
    square = places.reshape(side, side, units)
    if (height, width) != (side, side):
        square = resized_bilinear(square, height, width) if naflex else resized(square, height, width, antialias=False)
    stages, x = tower((grid + square).reshape(-1, units), arrays, "vision_model", heads, gelu_tanh, epsilon=epsilon)
    x = norm(x, arrays, "vision_model.post_layernorm", epsilon)
    split = dict(arrays)
    for role in ("weight", "bias"):
        for part, piece in zip("qkv", np.split(arrays[f"{head}.attention.in_proj_{role}"], 3), strict=True):
            split[f"{head}.attention.{part}.{role}"] = piece
    names = (*(f"{head}.attention.{part}" for part in "qkv"), f"{head}.attention.out_proj")
    pooled = attention(arrays[f"{head}.probe"][0].astype(np.float64), split, names, heads, context=x)
    wide = gelu_tanh(dense(norm(pooled, arrays, f"{head}.layernorm", epsilon), arrays, f"{head}.mlp.fc1"))
    pooled = (pooled + dense(wide, arrays, f"{head}.mlp.fc2"))[0]
    return {**stages, "patch_grid": x.reshape(height, width, units), "pooled": pooled, "embedding": pooled}


def siglip_text(arrays: Arrays, tokens: np.ndarray, heads: int) -> np.ndarray:
    """The embedding of one text, (L,) tokens."""
    embeddings = "text_model.embeddings"
    x = arrays[f"{embeddings}.token_embedding.weight"][tokens] + arrays[f"{embeddings}.position_embedding.weight"]
    _, x = tower(x.astype(np.float64), arrays, "text_model", heads, gelu_tanh, epsilon=1e-6)
    return dense(norm(x, arrays, "text_model.final_layer_norm", 1e-6)[-1], arrays, "text_model.head")


def clip(arrays: Arrays, image: np.ndarray, heads: int) -> dict[str, np.ndarray]:
    """One normalised image (H, W, 3) through the tower of images of a CLIP."""
    embeddings = "vision_model.embeddings"
    grid = patches(image, arrays[f"{embeddings}.patch_embedding.weight"], None)
    height, width, units = grid.shape
    places = arrays[f"{embeddings}.position_embedding.weight"].astype(np.float64)
    side = math.isqrt(len(places) - 1)
    square = places[1:].reshape(side, side, units)
    if (height, width) != (side, side):
        square = resized(square, height, width, antialias=False)
    first = arrays[f"{embeddings}.class_embedding"] + places[:1]
    x = norm(np.concatenate([first, (grid + square).reshape(-1, units)]), arrays, "vision_model.pre_layrnorm", 1e-5)
    stages, x = tower(x, arrays, "vision_model", heads, quick_gelu, epsilon=1e-5)
    cls = norm(x, arrays, "vision_model.post_layernorm", 1e-5)[0]
    return {**stages, "cls": cls, "embedding": dense(cls, arrays, "visual_projection")}


def clip_text(arrays: Arrays, tokens: np.ndarray, heads: int, end: int) -> np.ndarray:
    """The embedding of one text, (L,) tokens of which the first `end` counts."""
    embeddings = "text_model.embeddings"
    x = arrays[f"{embeddings}.token_embedding.weight"][tokens] + arrays[f"{embeddings}.position_embedding.weight"]
    _, x = tower(x.astype(np.float64), arrays, "text_model", heads, quick_gelu, epsilon=1e-5, causal=True)
    last = norm(x, arrays, "text_model.final_layer_norm", 1e-5)[list(tokens).index(end)]
    return dense(last, arrays, "text_projection")


def videoprism(arrays: Arrays, chunk: np.ndarray, *, root: str = "params") -> dict[str, np.ndarray]:
    """One chunk (T, H, W, 3) in 0..1, as large as the positions, through a VideoPrism by its authors' names."""
    time, side = len(chunk), math.isqrt(len(arrays[f"{root}/spatial_pos_emb/emb_var"]))
    size = chunk.shape[1] // side
    cells = chunk.reshape(time, side, size, side, size, 3).transpose(0, 1, 3, 2, 4, 5).reshape(time, side * side, -1)
    x = cells @ arrays[f"{root}/patch_projection/linear/kernel"] + arrays[f"{root}/patch_projection/linear/bias"]
    stack = f"{root}/{{}}_encoder/transformers_stack/x_layers"
    spatial, x = shifted_stack(x + arrays[f"{root}/spatial_pos_emb/emb_var"], arrays, stack.format("spatial"), gelu)
    x = shifted_norm(x, arrays, f"{root}/spatial_ln").transpose(1, 0, 2)
    temporal, x = shifted_stack(x + arrays[f"{root}/temporal_pos_emb/emb_var"], arrays, stack.format("temporal"), gelu)
    x = shifted_norm(x, arrays, f"{root}/temporal_ln").transpose(1, 0, 2)
    stages = {f"spatial_{number + 1}": state for number, state in enumerate(spatial)}
    stages |= {f"temporal_{number + 1}": state for number, state in enumerate(temporal)}
    return {**stages, "patch_grid": x.reshape(time, side, side, -1), "embedding": x.mean((0, 1))}


def videoprism_lvt(arrays: Arrays, chunk: np.ndarray) -> dict[str, np.ndarray]:
    """The same through the encoder of videos of a VideoPrism of videos and words."""
    stages = videoprism(arrays, chunk, root="params/vision_encoder")
    units = stages["patch_grid"].shape[-1]
    tokens = stages["patch_grid"].reshape(1, -1, units)
    states, x = shifted_stack(tokens, arrays, "params/auxiliary_encoder/transformers_stack/x_layers", gelu)
    stages |= {f"auxiliary_{number + 1}": state[0] for number, state in enumerate(states)}
    head = "params/contrastive_vision_pooler"
    part = {name.removeprefix(f"{head}/pooling_attention/"): array.astype(np.float64) for name, array in arrays.items()}
    learned = part["per_dim_scale/per_dim_scale"]
    query = np.einsum("d,dhe->he", part[f"{head}/pooling_attention_query"][0], part["query/w"]) + part["query/b"]
    query = query * 1.442695041 / math.sqrt(len(learned)) * np.log(1 + np.exp(learned))
    key, value = (np.einsum("sd,dhe->she", x[0], part[f"{name}/w"]) + part[f"{name}/b"] for name in ("key", "value"))
    weights = np.exp(np.einsum("he,she->hs", query, key))
    seen = np.einsum("hs,she->he", weights / weights.sum(1, keepdims=True), value)
    pooled = np.einsum("he,dhe->d", seen, part["post/w"]) + part["post/b"]
    pooled = shifted_norm(pooled, arrays, f"{head}/pooling_attention_layer_norm")
    return {**stages, "pooled": pooled, "embedding": pooled}


def videoprism_text(arrays: Arrays, tokens: np.ndarray, places: np.ndarray | None = None) -> np.ndarray:
    """The embedding of one text by the tower of words of a VideoPrism: its tokens alone, without padding; where
    Hugging Face stores their positions, with these."""
    root = "params/text_encoder"
    units = arrays[f"{root}/cls_emb"].shape[-1]
    own = np.zeros((len(tokens), units))
    for place in range(len(tokens)):
        for number in range(units // 2):
            angle = place * math.exp(-number * math.log(10_000) / (units // 2 - 1))
            own[place, number], own[place, number + units // 2] = math.sin(angle), math.cos(angle)
    places = own if places is None else places[: len(tokens)]
    x = arrays[f"{root}/token_emb/emb_var"][tokens].astype(np.float64) * math.sqrt(units) + places
    x = np.concatenate([x, arrays[f"{root}/cls_emb"][0] * math.sqrt(units)])[None]
    relu = lambda x: np.maximum(x, 0)  # noqa: E731
    _, x = shifted_stack(x, arrays, f"{root}/unimodal_transformer/x_layers", relu, causal=True)
    return shifted_norm(x[0, -1], arrays, f"{root}/unimodal_ln")


def shifted_norm(x: np.ndarray, arrays: Arrays, name: str, number: int | None = None) -> np.ndarray:
    """A norm of VideoPrism, whose gain is stored as its distance from 1; of blocks, the one of this number."""
    scale, bias = (arrays[f"{name}/{role}"] if number is None else arrays[f"{name}/{role}"][number] for role in _ROLES)
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6) * (scale + 1) + bias


_ROLES = ("scale", "bias")


def shifted_stack(
    x: np.ndarray, arrays: Arrays, root: str, activate, *, causal: bool = False
) -> tuple[list[np.ndarray], np.ndarray]:
    """Sequences (N, S, D) through the blocks of a part of VideoPrism: what is after each, and after the last."""
    states = []
    get = lambda name, number: arrays[f"{root}/{name}"][number].astype(np.float64)  # noqa: E731
    for number in range(len(arrays[f"{root}/layer_norm/scale"])):
        inner = shifted_norm(x, arrays, f"{root}/layer_norm", number)
        q, k, v = (
            np.einsum("nsd,dhe->nhse", inner, get(f"self_attention/{name}/w", number))
            + get(f"self_attention/{name}/b", number)[None, :, None]
            for name in ("query", "key", "value")
        )
        logits = 50 * np.tanh(np.einsum("nhse,nhte->nhst", q, k) / math.sqrt(q.shape[-1]) / 50)
        if causal:
            logits = np.where(np.tri(x.shape[1], dtype=bool), logits, -np.inf)
        weights = np.exp(logits - logits.max(-1, keepdims=True))
        seen = np.einsum("nhst,nhte->nshe", weights / weights.sum(-1, keepdims=True), v)
        out = np.einsum("nshe,dhe->nsd", seen, get("self_attention/post/w", number))
        x = x + out + get("self_attention/post/b", number)
        inner = shifted_norm(x, arrays, f"{root}/ff_layer/layer_norm", number)
        wide = inner @ get("ff_layer/ffn_layer1/linear/kernel", number)
        wide = activate(wide + get("ff_layer/ffn_layer1/linear/bias", number))
        x = x + wide @ get("ff_layer/ffn_layer2/linear/kernel", number)
        x = x + get("ff_layer/ffn_layer2/linear/bias", number)
        states.append(x)
    return states, x
