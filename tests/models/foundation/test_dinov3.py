"""DINOv3 from its published files gives what its equations give, without their PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
from foundation_making import dinov3_arrays, dinov3_config, write_folder
from reference import transformers_twin as twin
from reference.stages import assert_close, random_images, stages_of
from safetensors.numpy import save_file

from jaxret.models.foundation import open_published


@pytest.mark.parametrize(("gated", "size"), [(False, (32, 32)), (True, (24, 44))])
def test_every_stage_is_that_of_the_twin(tmp_path, gated, size):
    arrays = dinov3_arrays(gated=gated)
    found = open_published(write_folder(tmp_path, dinov3_config(gated=gated), arrays))
    assert (found.family, found.sizing.resize, found.sizing.resampling) == ("dinov3", "squash", "bilinear")
    pixels = random_images(*size)
    ours = stages_of(found.backbone, pixels)
    for place, image in enumerate(pixels):
        expected = twin.dinov3(arrays, (image / 255 - found.sizing.mean) / found.sizing.deviation, heads=2)
        for stage, values in expected.items():
            assert_close(ours[stage][place], values)


@pytest.mark.parametrize("gated", [False, True])
def test_the_authors_own_file_gives_the_same(tmp_path, gated):
    arrays = dinov3_arrays(units=128, depth=1, gated=gated)
    own = {}
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
    q, k, v = (f"layer.0.attention.{part}_proj" for part in "qkv")
    own["blocks.0.attn.qkv.weight"] = np.concatenate([arrays[f"{part}.weight"] for part in (q, k, v)])
    masked = np.full(128, 7.0, np.float32)  # a bias of keys that the mask takes away
    own["blocks.0.attn.qkv.bias"] = np.concatenate([arrays[f"{q}.bias"], masked, arrays[f"{v}.bias"]])
    own["blocks.0.attn.qkv.bias_mask"] = np.zeros(3 * 128, np.float32)
    own["rope_embed.periods"] = np.ones(16, np.float32)
    save_file(own, tmp_path / "dinov3_vits16_pretrain.safetensors")
    found = open_published(tmp_path / "dinov3_vits16_pretrain.safetensors")
    pixels = random_images(16, 24)
    ours = stages_of(found.backbone, pixels)
    expected = twin.dinov3(arrays, (pixels[0] / 255 - found.sizing.mean) / found.sizing.deviation, heads=2)
    for stage, values in expected.items():
        assert_close(ours[stage][0], values)
