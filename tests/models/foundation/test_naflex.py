"""SigLIP 2 NaFlex: images keep their shape, and those of all shapes are encoded by one program."""

from __future__ import annotations

import math
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from foundation_making import naflex_folder, siglip_arrays, tokenizer_json
from PIL import Image
from reference import transformers_twin as twin
from reference.stages import assert_close, random_images, stages_of

import jaxret
from jaxret import Retriever
from jaxret.data.sampling.transforms import centre_geometry
from jaxret.errors import ConfigError, WeightsError
from jaxret.models import FrozenSettings, create_backbone, encoder, frozen_encoder, load_encoder, save_encoder
from jaxret.models.foundation import open_published
from jaxret.models.foundation.sizing import read_sizing
from jaxret.models.transformer.packed import PackedPatches
from jaxret.preprocessing import Preprocessing

PROCESSOR = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "resample": 2, "patch_size": 8, "max_num_patches": 16}


@pytest.fixture(scope="module")
def naflex(tmp_path_factory):
    return naflex_folder(tmp_path_factory.mktemp("naflex"), processor=PROCESSOR, tokenizer=tokenizer_json())


@pytest.mark.parametrize("size", [(24, 40), (8, 64)])
def test_every_stage_is_that_of_the_twin(naflex, size):
    found, pixels = open_published(naflex), random_images(*size)
    ours = stages_of(found.backbone, pixels)
    for stage, values in twin.siglip(siglip_arrays(), pixels[1] / 127.5 - 1, heads=2, naflex=True).items():
        assert_close(ours[stage][1], values)


@pytest.mark.parametrize(("pooling", "channels"), [("attention", 3), ("mean", 1)])
def test_images_of_several_shapes_in_one_batch(pooling, channels):
    net = create_backbone(
        "vision-transformer",
        patch_size=8,
        image_size=32,
        units=16,
        heads=2,
        depth=1,
        pooling=pooling,
        first_norm=True,
        interpolation="bilinear-antialias",
        most_patches=16,
        channels=channels,
        rngs=nnx.Rngs(0),
    )
    images = [random_images(*size)[:, :, :, :channels] for size in ((24, 40), (8, 88), (16, 16))]
    packed = [PackedPatches.of_images(image, *net.packing) for image in images]
    together = jax.tree.map(lambda *parts: jnp.concatenate(parts), *packed)
    ours = stages_of(net, together)
    for number, image in enumerate(images):
        alone, rows = stages_of(net, image), slice(2 * number, 2 * number + 2)
        assert_close(ours["embedding"][rows], alone["embedding"])
        count = image.shape[1] * image.shape[2] // 64
        assert_close(ours["patch_grid"][rows, :count], np.asarray(alone["patch_grid"]).reshape(2, count, 16))
    with pytest.raises(ValueError, match="images must have at most 16 patches of 8 pixels, got 5 x 4"):
        PackedPatches.of_images(random_images(40, 32), *net.packing)


def test_packing_is_for_models_that_have_nothing_but_patches():
    with pytest.raises(ConfigError, match=r"most_patches=4 is for learned .* got learned positions, bicubic,"):
        create_backbone("vision-transformer", units=8, heads=2, depth=1, most_patches=4, rngs=nnx.Rngs(0))


@pytest.mark.parametrize("size", [(1080, 1920), (3000, 4000), (333, 640), (50, 5000), (7, 9), (100, 100)])
@pytest.mark.parametrize("most", [16, 256])
def test_as_many_patches_as_there_may_be(size, most):
    """Of all scales at which a side begins another patch, the largest that fits."""
    side = math.isqrt(most) * 16
    geometry = centre_geometry(*size, Preprocessing(height=side, width=side, resize="patches", side_step=16))
    fitting = (1, 1)
    for scale in sorted(Fraction(16 * count, edge) for edge in size for count in range(1, most + 1)):
        patches = tuple(math.ceil(edge * scale / 16) for edge in size)
        if math.prod(patches) <= most and scale <= 100:
            fitting = max(fitting, patches, key=math.prod)
    assert (geometry.height, geometry.width) == (16 * fitting[0], 16 * fitting[1])
    assert (geometry.scaled_height, geometry.scaled_width) == (geometry.height, geometry.width)


def test_an_index_of_many_shapes_by_one_program(naflex, tmp_path):
    rng = np.random.default_rng(0)
    photos = tmp_path / "photos"
    photos.mkdir()
    sizes = [(40, 40), (30, 50), (50, 30), (24, 64), (64, 24), (20, 80)]
    for number, size in enumerate(sizes):
        Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(photos / f"{number}.png")
    found = frozen_encoder(FrozenSettings(str(naflex)))
    assert (found.preprocessing.resize, found.preprocessing.side_step) == ("patches", 8)
    before = encoder._encode_frames._cache_size()
    retriever = Retriever.create(tmp_path / "index", found)
    retriever.add(jaxret.open_dataset(str(photos)))
    assert encoder._encode_frames._cache_size() == before + 1
    plain = open_published(naflex).backbone
    rows = retriever.index.rows("frame", np.arange(len(sizes)))
    for number in (0, 3):
        geometry = centre_geometry(*sizes[number], found.preprocessing)
        with Image.open(photos / f"{number}.png") as image:
            pixels = np.asarray(image.resize((geometry.width, geometry.height), Image.Resampling.BILINEAR))
        own = stages_of(plain, pixels[None])["embedding"][0]
        np.testing.assert_allclose(rows.vectors[number], own / np.linalg.norm(own), atol=1e-5)
        assert retriever.search(photos / f"{number}.png", k=1)[0].item.key == f"{number}.png"
    assert len(retriever.search("a red car", k=3)) == 3
    opened = Retriever.open(tmp_path / "index", programs=tmp_path / "programs")
    for number in range(2):
        (hit,) = opened.search(photos / f"{number}.png", k=1)
        assert (hit.item.key, hit.distance) == (f"{number}.png", pytest.approx(0, abs=1e-3))
    save_encoder(found, tmp_path / "encoder")
    assert load_encoder(tmp_path / "encoder").config == found.config


def test_more_patches_than_the_file_says(naflex):
    larger = frozen_encoder(FrozenSettings(str(naflex), image_size=64))
    assert larger.backbone.backbone.most_patches == 64
    assert larger.encode_frames(random_images(64, 64)).shape == (2, 16)
    with pytest.raises(ConfigError, match="with resize='patches' height and width must be multiples of 8, got 60 x 60"):
        frozen_encoder(FrozenSettings(str(naflex), image_size=60))


def test_what_its_image_processor_says(tmp_path):
    assert open_published(naflex_folder(tmp_path)).sizing.resize == "patches"  # no file: as it was trained
    for most, size in ((1024, (512, 512)), (512, (256, 512)), (7, (16, 112))):
        sizing = read_sizing({**PROCESSOR, "patch_size": 16, "max_num_patches": most}, "a file")
        assert (sizing.height, sizing.width, sizing.patch_size) == (*size, 16)
    with pytest.raises(WeightsError, match=r"a file: a setting is missing or of no known kind: .*at least 1, got 0"):
        read_sizing({**PROCESSOR, "max_num_patches": 0}, "a file")
