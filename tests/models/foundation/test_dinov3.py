"""DINOv3 from its published files gives what its equations give, without their PyTorch."""

from __future__ import annotations

import pytest
from foundation_making import dinov3_arrays, dinov3_config, write_folder
from foundation_originals import dinov3_original
from reference import transformers_twin as twin
from reference.stages import assert_close, random_images, stages_of
from safetensors.numpy import save_file

from jaxret.models.foundation import open_published


@pytest.mark.parametrize(("gated", "size", "registers"), [(False, (32, 32), 0), (True, (24, 44), 2)])
def test_every_stage_is_that_of_the_twin(tmp_path, gated, size, registers):
    arrays = dinov3_arrays(gated=gated, registers=registers)
    found = open_published(write_folder(tmp_path, dinov3_config(gated=gated, registers=registers), arrays))
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
    save_file(dinov3_original(arrays), tmp_path / "dinov3_vits16_pretrain.safetensors")
    found = open_published(tmp_path / "dinov3_vits16_pretrain.safetensors")
    pixels = random_images(16, 24)
    ours = stages_of(found.backbone, pixels)
    expected = twin.dinov3(arrays, (pixels[0] / 255 - found.sizing.mean) / found.sizing.deviation, heads=2)
    for stage, values in expected.items():
        assert_close(ours[stage][0], values)
