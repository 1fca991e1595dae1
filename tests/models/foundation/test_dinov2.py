"""DINOv2 from its published files gives what its equations give."""

from __future__ import annotations

import numpy as np
import pytest
from foundation_making import CROPPED, dinov2_arrays, dinov2_config, write_folder
from foundation_originals import dinov2_original
from reference import transformers_twin as twin
from reference.stages import TOLERANCE, assert_close, random_images, stages_of
from safetensors.numpy import save_file

from jaxret.models.foundation import open_published


@pytest.mark.parametrize(
    ("registers", "gated", "size"), [(0, False, (42, 42)), (0, True, (28, 56)), (3, False, (28, 61))]
)
def test_every_stage_is_that_of_the_twin(tmp_path, registers, gated, size):
    arrays = dinov2_arrays(registers=registers, gated=gated)
    folder = write_folder(tmp_path, dinov2_config(registers=registers, gated=gated), arrays, CROPPED)
    found = open_published(folder)
    pixels = random_images(*size)
    ours = stages_of(found.backbone, pixels)
    for place, image in enumerate(pixels):
        normalised = (image / 255 - CROPPED["image_mean"]) / CROPPED["image_std"]
        expected = twin.dinov2(arrays, normalised, heads=2)
        for stage, values in expected.items():
            assert_close(ours[stage][place], values)
        assert_close(ours["embedding"][place], expected["cls"])
    assert sorted(found.backbone.stage_names) == sorted(set(ours) - {"embedding"})


@pytest.mark.parametrize(("registers", "gated"), [(0, False), (2, True)])
def test_the_authors_own_file_gives_the_same(tmp_path, registers, gated):
    """Without registers positions are sampled with the offset of the training, which the other layout leaves out."""
    arrays = dinov2_arrays(units=128, depth=1, registers=registers, gated=gated)
    path = tmp_path / "dinov2_vits14_pretrain.safetensors"
    save_file(dinov2_original(arrays), path)
    found = open_published(path)
    assert found.backbone.config["heads"] == 2  # of 64 numbers each, as in all of the family
    assert (found.sizing.shortest, found.sizing.height, found.sizing.resampling) == (256, 224, "bicubic")
    pixels = random_images(28, 42)
    ours = stages_of(found.backbone, pixels)
    normalised = (pixels[1] / 255 - found.sizing.mean) / found.sizing.deviation
    for stage, values in twin.dinov2(arrays, normalised, 2, offset=0.0 if registers else 0.1).items():
        assert_close(ours[stage][1], values)
    if not registers:  # a no-op offset would pass above where it does not matter
        without = twin.dinov2(arrays, normalised, 2)
        assert np.abs(without["cls"] - ours["cls"][1]).max() > 3 * TOLERANCE * np.abs(without["cls"]).max()


def test_positions_of_the_authors_own_size_are_not_sampled(tmp_path):
    """Only another grid is sampled with the offset, also one that is as high or as wide."""
    arrays = dinov2_arrays(units=64, depth=1)
    path = tmp_path / "dinov2_vits14_pretrain.safetensors"
    save_file(dinov2_original(arrays), path)
    found = open_published(path)
    for size in ((42, 42), (42, 28)):
        pixels = random_images(*size)
        normalised = (pixels[1] / 255 - found.sizing.mean) / found.sizing.deviation
        expected = twin.dinov2(arrays, normalised, 1, offset=0.1)
        assert_close(stages_of(found.backbone, pixels)["embedding"][1], expected["cls"])
