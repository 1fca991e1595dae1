"""Published encoders against Hugging Face's `transformers`, on random tiny configurations in its own files.

It needs the extra `parity` (PyTorch and transformers), and is skipped without it; the slow twins beside these tests
hold the same ground without.
"""

from __future__ import annotations

import json
import warnings

import jax
import numpy as np
import pytest
from foundation_making import tokenizer_json
from PIL import Image
from tokenizers import Tokenizer
from tokenizers.pre_tokenizers import ByteLevel

from jaxret.data.decode.image import ImageReader
from jaxret.data.sampling.transforms import centre_geometry
from jaxret.models import FrozenSettings, frozen_encoder
from jaxret.models.foundation import open_published
from jaxret.models.text.byte_pairs import byte_pair_tokenizer
from jaxret.models.transformer.packed import PackedPatches

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # theirs
    torch = pytest.importorskip("torch", reason="needs PyTorch: the extra parity")
    transformers = pytest.importorskip("transformers", reason="needs transformers: the extra parity")

pytestmark = pytest.mark.filterwarnings("ignore")
TOLERANCE = 1e-4
COMMON = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}


def relative(ours, theirs) -> float:
    theirs = theirs.numpy() if hasattr(theirs, "numpy") else np.asarray(theirs)
    assert ours.shape == theirs.shape
    return float(np.abs(np.asarray(ours, np.float64) - theirs).max() / np.abs(theirs).max())


def saved(model, folder):
    """The model with weights of which every one counts, in a folder."""
    torch.manual_seed(0)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.1)
        else:
            torch.nn.init.normal_(parameter, mean=0.5, std=0.2)
    model.save_pretrained(folder)
    return model.eval()


def normalised(pixels, sizing):
    values = (pixels / 255 - np.array(sizing.mean)) / np.array(sizing.deviation)
    return torch.tensor(np.moveaxis(values, -1, -3).astype(np.float32))


def compare_images(model, folder, size, **arguments) -> float:
    """The largest relative difference over all stages."""
    found = open_published(folder)
    pixels = np.random.default_rng(0).integers(0, 256, (2, *size, 3), np.uint8)
    ours = jax.jit(lambda net, x: net(x).stages)(found.backbone, pixels)
    with torch.no_grad():
        theirs = model(pixel_values=normalised(pixels, found.sizing), output_hidden_states=True, **arguments)
    grid = ours["patch_grid"].reshape(2, -1, ours["patch_grid"].shape[-1])
    worst = [relative(grid, theirs.last_hidden_state[:, -grid.shape[1] :])]
    worst += [relative(ours[f"block_{n + 1}"], state) for n, state in enumerate(theirs.hidden_states[1:])]
    worst += [relative(ours["pooled"], theirs.pooler_output)]
    return max(worst)


@pytest.mark.parametrize("size", [(56, 56), (42, 70)])
@pytest.mark.parametrize("gated", [False, True])
def test_dinov2(tmp_path, size, gated):
    config = transformers.Dinov2Config(image_size=56, patch_size=14, mlp_ratio=2, use_swiglu_ffn=gated, **COMMON)
    assert compare_images(saved(transformers.Dinov2Model(config), tmp_path), tmp_path, size) <= TOLERANCE


@pytest.mark.parametrize("size", [(56, 56), (84, 42)])
def test_dinov2_with_registers(tmp_path, size):
    config = transformers.Dinov2WithRegistersConfig(image_size=56, patch_size=14, num_register_tokens=3, **COMMON)
    assert compare_images(saved(transformers.Dinov2WithRegistersModel(config), tmp_path), tmp_path, size) <= TOLERANCE


@pytest.mark.parametrize("size", [(32, 32), (24, 40)])
@pytest.mark.parametrize("gated", [False, True])
def test_dinov3(tmp_path, size, gated):
    config = transformers.DINOv3ViTConfig(
        image_size=32, patch_size=8, intermediate_size=64, num_register_tokens=4, use_gated_mlp=gated, **COMMON
    )
    assert compare_images(saved(transformers.DINOv3ViTModel(config), tmp_path), tmp_path, size) <= TOLERANCE


VISION = {"image_size": 32, "patch_size": 8, "intermediate_size": 64, **COMMON}
TEXT = {"vocab_size": 30, "intermediate_size": 48, "max_position_embeddings": 6, **COMMON}
TOKENS = [[3, 4, 5, 1, 1, 1], [0, 11, 29, 29, 29, 29]]


def compare_both(model, folder, size, **arguments) -> tuple[float, float]:
    """The relative differences of images' and of words' embeddings."""
    words = open_published(folder).words
    found = open_published(folder)
    pixels = np.random.default_rng(0).integers(0, 256, (2, *size, 3), np.uint8)
    tokens = np.array(TOKENS, np.int32)
    with torch.no_grad():
        images = model.get_image_features(pixel_values=normalised(pixels, found.sizing), **arguments).pooler_output
        texts = model.get_text_features(input_ids=torch.tensor(tokens, dtype=torch.long)).pooler_output
    return relative(found.backbone(pixels).embedding, images), relative(words.tower(tokens).embedding, texts)


@pytest.mark.parametrize("size", [(32, 32), (24, 40)])
def test_siglip(tmp_path, size):
    config = transformers.SiglipConfig(vision_config=VISION, text_config=TEXT)
    model = saved(transformers.SiglipModel(config), tmp_path)
    (tmp_path / "tokenizer.json").write_text(tokenizer_json())
    assert max(compare_both(model, tmp_path, size, interpolate_pos_encoding=True)) <= TOLERANCE


@pytest.mark.parametrize("shape", [(301, 467), (640, 333), (64, 900), (200, 200)])
def test_siglip_naflex_from_the_photograph_to_the_vector(tmp_path, shape):
    """Their image processor and ours, patches that their model masks, and words."""
    vision = {**VISION, "num_patches": 16}
    del vision["image_size"]
    config = transformers.Siglip2Config(vision_config=vision, text_config=TEXT)
    model = saved(transformers.Siglip2Model(config), tmp_path)
    processor = transformers.Siglip2ImageProcessorPil(patch_size=8, max_num_patches=36)
    processor.save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text(tokenizer_json())
    coarse = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 11, 3), np.uint8))
    coarse.resize(shape[::-1], Image.Resampling.BICUBIC).save(tmp_path / "photo.png")
    found = frozen_encoder(FrozenSettings(str(tmp_path)))
    with ImageReader(tmp_path / "photo.png") as reader:
        pixels = np.stack(list(reader.frames([0], centre_geometry(*shape, found.preprocessing))))
    net = found.backbone.backbone
    ours = net(PackedPatches.of_images(pixels, *net.packing)).embedding
    with Image.open(tmp_path / "photo.png") as image, torch.no_grad():
        inputs = processor(images=image.convert("RGB"), return_tensors="pt")
        assert inputs["spatial_shapes"][0].tolist() == [pixels.shape[1] // 8, pixels.shape[2] // 8]
        theirs = model.get_image_features(**inputs).pooler_output
        texts = model.get_text_features(input_ids=torch.tensor(TOKENS)).pooler_output
    assert relative(ours, theirs) <= TOLERANCE
    assert relative(found.text(np.array(TOKENS, np.int32)).embedding, texts) <= TOLERANCE


@pytest.mark.parametrize("size", [(32, 32), (24, 40)])
def test_clip(tmp_path, size):
    config = transformers.CLIPConfig(vision_config=VISION, text_config={**TEXT, "eos_token_id": 29}, projection_dim=24)
    model = saved(transformers.CLIPModel(config), tmp_path)
    (tmp_path / "tokenizer.json").write_text(tokenizer_json(start="<start>", end="<end>"))
    assert max(compare_both(model, tmp_path, size, interpolate_pos_encoding=True)) <= TOLERANCE


@pytest.mark.parametrize("kind", ["SiglipVision", "CLIPVision"])
def test_towers_of_images_alone(tmp_path, kind):
    config = getattr(transformers, f"{kind}Config")(**VISION)
    model = saved(getattr(transformers, f"{kind}Model")(config), tmp_path)
    found = open_published(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    with torch.no_grad():
        theirs = model(pixel_values=normalised(pixels, found.sizing)).pooler_output
    assert relative(found.backbone(pixels).stages["pooled"], theirs) <= TOLERANCE


CHUNKS = {
    "image_size": 36,
    "num_frames": 4,
    "tubelet_size": [1, 18, 18],
    "hidden_size": 32,
    "num_spatial_layers": 2,
    "num_temporal_layers": 2,
    "num_auxiliary_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Dinov2", "DINOv3ViT", "SiglipVision"])
def test_shapes_as_they_are_published(tmp_path, name):
    """S/14 of DINOv2, S/16 of DINOv3 without registers, and B/16 of SigLIP, at 224 x 224."""
    small = {"hidden_size": 384, "num_attention_heads": 6}
    patches = {"patch_size": 14, "image_size": 518} if name.startswith("Dinov2") else {"patch_size": 16}
    config = getattr(transformers, f"{name}Config")(**patches, **(small if name.lower().startswith("dino") else {}))
    model = getattr(transformers, f"{name}Model")(config).eval()
    model.save_pretrained(tmp_path)
    assert compare_images(model, tmp_path, (224, 224)) <= TOLERANCE


@pytest.mark.parametrize(("size", "time"), [((36, 36), 4), ((54, 36), 6)])
def test_videoprism(tmp_path, size, time):
    config = transformers.VideoPrismVisionConfig(**CHUNKS)
    model = saved(transformers.VideoPrismVisionModel(config), tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (2, time, *size, 3), np.uint8)
    ours = jax.jit(lambda net, x: net(x).stages)(open_published(tmp_path).backbone, pixels)
    values = torch.tensor(np.moveaxis(pixels / 255, -1, 2).astype(np.float32))
    with torch.no_grad():
        theirs = model(pixel_values_videos=values, interpolate_pos_encoding=True)
    for stage, expected in (
        ("patch_grid", theirs.last_hidden_state),
        ("spatial_2", theirs.last_spatial_hidden_state),
        ("temporal_2", theirs.last_temporal_hidden_state),
    ):
        assert relative(ours[stage].reshape(expected.shape), expected) <= TOLERANCE


@pytest.mark.parametrize("part", ["Clip", "Video", "ForVideoClassification"])
def test_videoprism_with_a_head(tmp_path, part):
    """The encoder of videos and words, its encoder of videos alone, and one with the head of a classifier."""
    vision = transformers.VideoPrismVisionConfig(**CHUNKS)
    whole = transformers.VideoPrismConfig(text_config={**TEXT, "hidden_act": "relu"}, vision_config=vision)
    name = "VideoPrismForVideoClassification" if part.startswith("For") else f"VideoPrism{part}Model"
    model = saved(getattr(transformers, name)(whole if part == "Clip" else vision), tmp_path)
    (tmp_path / "tokenizer.json").write_text(tokenizer_json())
    found = open_published(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 36, 36, 3), np.uint8)
    values = torch.tensor(np.moveaxis(pixels / 255, -1, 2).astype(np.float32))
    ours = jax.jit(lambda net, x: net(x))(found.backbone, pixels)
    with torch.no_grad():
        if part == "ForVideoClassification":
            seen = model.vision_model(pixel_values_videos=values).last_hidden_state
            theirs = model.head_layernorm(model.head(seen)[0]).reshape(2, -1)
        else:
            videos = model.video_model if part == "Clip" else model
            theirs = videos(pixel_values_videos=values)
            assert relative(ours.stages["auxiliary_2"], theirs.last_hidden_state) <= TOLERANCE
            lengths = np.linalg.norm(ours.embedding, axis=-1, keepdims=True)
            theirs = theirs.pooler_output.reshape(2, -1) * lengths  # theirs are of length 1
        assert relative(ours.embedding, theirs) <= TOLERANCE
        if part == "Clip":
            tokens = np.array([[3, 4, 5, 0, 0, 0], [7, 11, 29, 8, 2, 1]], np.int32)
            mask = torch.tensor(tokens != 0, dtype=torch.long)
            theirs = model.text_model(torch.tensor(tokens, dtype=torch.long), mask).last_hidden_state[:, -1]
            assert relative(found.words.tower(tokens).embedding, theirs) <= TOLERANCE


@pytest.mark.parametrize("shape", [(301, 467), (640, 333)])
def test_photographs_of_odd_sizes_are_prepared_alike(tmp_path, shape):
    """From a JPEG file to the vector, by their image processor and by ours."""
    config = transformers.Dinov2Config(image_size=56, patch_size=14, mlp_ratio=2, **COMMON)
    model = saved(transformers.Dinov2Model(config), tmp_path)
    processor = transformers.BitImageProcessorPil(
        size={"shortest_edge": 64},
        crop_size={"height": 56, "width": 56},
        resample=3,
        image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
    )
    processor.save_pretrained(tmp_path)
    path = tmp_path / "photo.jpg"
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 11, 3), np.uint8))
    coarse.resize(shape[::-1], Image.Resampling.BICUBIC).save(path, quality=90)
    found = open_published(tmp_path)
    size = found.sizing.preprocessing()
    with ImageReader(path) as reader:
        pixels = np.stack(list(reader.frames([0], centre_geometry(*shape, size))))
    ours = found.backbone(pixels).embedding
    with Image.open(path) as image, torch.no_grad():
        inputs = processor(images=image.convert("RGB"), return_tensors="pt")
        theirs = model(**inputs).pooler_output
    assert relative(ours, theirs) <= TOLERANCE


def test_byte_pairs_make_the_same_tokens(tmp_path):
    """From CLIP's `vocab.json` and `merges.txt`, by their tokenizer and by the file that we make of them."""
    letters = sorted(ByteLevel.alphabet())
    merges = [
        "t h",
        "th e</w>",
        "a n",
        "an d</w>",
        "r e",
        "re d</w>",
        "' s</w>",
        "c a",
        "ca r</w>",
        "Ã ©</w>",
        "! !</w>",
    ]
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), *(merge.replace(" ", "") for merge in merges)]
    vocabulary = {token: number for number, token in enumerate([*tokens, "<|startoftext|>", "<|endoftext|>"])}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    (tmp_path / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]), encoding="utf-8")
    theirs = transformers.CLIPTokenizer.from_pretrained(str(tmp_path))
    ours = Tokenizer.from_str(byte_pair_tokenizer(tmp_path).decode())
    for text in (
        "the red car's",
        "É é  日本語 12 3a4",
        "!! !!? <|endoftext|> ok",
        "a\tb\n c",
        "don't",
        "x 😀",
        "_a-b",
        "",
    ):
        assert ours.encode(text).ids == theirs(text)["input_ids"], text
