"""An index made with a published encoder as it is: one command, no training."""

from __future__ import annotations

import json

import numpy as np
import pytest
from foundation_making import (
    CROPPED,
    clip_arrays,
    clip_config,
    dinov2_arrays,
    dinov2_config,
    dinov3_arrays,
    dinov3_config,
    siglip_arrays,
    siglip_config,
    write_folder,
)
from PIL import Image
from readme_commands import run_readme_commands

import jaxret
from jaxret.__main__ import dispatch
from jaxret.errors import ConfigError
from jaxret.models.frozen import FrozenSettings, frozen_encoder
from jaxret.retrieval.whitening import whiten_frames


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights") / "dinov2-tiny"
    return write_folder(folder, dinov2_config(), dinov2_arrays(), CROPPED)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Twelve photographs and, in another folder, a smaller and brighter copy of each."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for number in range(12):
        image = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8)).resize((80, 60), Image.Resampling.BICUBIC)
        (folder / "originals").mkdir(exist_ok=True)
        image.save(folder / "originals" / f"{number}.png")
        (folder / "copies").mkdir(exist_ok=True)
        image.resize((64, 48)).point(lambda v: min(255, int(v * 1.05))).save(folder / "copies" / f"{number}.png")
    return folder


def ranks(retriever, photos) -> list[int]:
    """Where the original of each copy stands."""
    places = []
    for number in range(12):
        hits = retriever.search(photos / "copies" / f"{number}.png", k=12)
        places.append([hit.item.key for hit in hits].index(f"{number}.png") + 1)
    return places


@pytest.mark.parametrize("whiten", [pytest.param(0, marks=pytest.mark.slow), 6])
def test_random_features_find_copies(weights, photos, tmp_path, whiten):
    flags = ["--whiten", str(whiten)] if whiten else []
    words = ["index", str(photos / "originals"), str(tmp_path / "index"), "--weights", str(weights), *flags, "--quiet"]
    assert dispatch(words) == 0
    retriever = jaxret.Retriever.open(tmp_path / "index")
    assert retriever.encoder.frame_embedding_size == (whiten or 16)
    places = ranks(retriever, photos)
    assert np.mean(np.array(places) == 1) >= 0.75, places  # chance: 1 of 12
    described = json.loads((tmp_path / "index" / "manifest.json").read_text())["encoder"]["description"]
    assert described["weights"]["family"] == "dinov2"
    assert dispatch(words) == 0  # the same command goes on
    assert len(retriever.index) == 12


@pytest.mark.parametrize(
    ("config", "arrays"),
    [(dinov3_config, dinov3_arrays), (siglip_config, siglip_arrays), (clip_config, clip_arrays)],
    ids=["dinov3", "siglip", "clip"],
)
def test_every_family_goes_the_whole_road(photos, tmp_path, config, arrays):
    """From files over media and an index to hits; VideoPrism's chunks have a test of their own."""
    small = {**CROPPED, "size": {"shortest_edge": 32}, "crop_size": 32}
    weights = write_folder(tmp_path / "weights", config(), arrays(), small)
    words = ["index", str(photos / "originals"), str(tmp_path / "index"), "--weights", str(weights), "--quiet"]
    assert dispatch(words) == 0
    places = ranks(jaxret.Retriever.open(tmp_path / "index"), photos)
    assert np.mean(np.array(places) == 1) >= 0.5, places  # chance: 1 of 12


def test_the_readme_commands_run(weights, photos, tmp_path):
    places = {"FOLDER": photos, "WEIGHTS": weights, "QUERY.jpg": photos / "copies" / "3.png"}
    run_readme_commands("without training", places, [], tmp_path)


def test_what_does_not_go_together_is_refused(weights, photos, tmp_path):
    media, index = str(photos / "originals"), str(tmp_path / "index")
    for flags, message in (
        (["--weights", str(weights), "--encoder", "run"], "--encoder is one that was trained, --weights one that"),
        (["--whiten", "4"], "--whiten belongs to --weights: name the weights"),
        (["--backbone", "vgg16"], "--backbone belongs to --weights"),
        ([], "name the encoder of the new index with --weights FOLDER"),
        (["--weights", str(weights), "--whiten", "-1"], "whiten must be at least 0, got -1"),
        (["--weights", str(weights), "--whiten", "12"], "--whiten 12 needs more than 12 frames to be fitted on"),
        (["--weights", str(weights), "--backbone", "vgg17"], "unknown backbone 'vgg17': did you mean 'vgg16'"),
        (["--weights", str(weights), "--backbone", "pooled"], "pooled wraps another backbone"),
    ):
        with pytest.raises(ConfigError, match=message):
            dispatch(["index", media, index, *flags, "--quiet"])
    assert dispatch(["index", media, index, "--weights", str(weights), "--quiet"]) == 0
    other = write_folder(tmp_path / "other", dinov2_config(registers=2), dinov2_arrays(registers=2), CROPPED)
    for flags, message in (
        (["--weights", str(other)], "an encoder of its own, of other weights: leave --weights out"),
        (["--weights", str(weights), "--image-size", "96"], "with images of [0-9]+ pixels: leave --image-size 96 out"),
        (["--weights", str(weights), "--whiten", "4"], "its vectors are not whitened: leave --whiten 4 out"),
    ):
        with pytest.raises(ConfigError, match=message):
            dispatch(["index", media, index, *flags, "--quiet"])


def test_whitened_vectors_vary_alike_along_all_components(weights, photos):
    encoder = frozen_encoder(FrozenSettings(str(weights)))
    whitened = whiten_frames(encoder, jaxret.open_dataset(str(photos / "originals")), 3)
    frames = np.stack([np.asarray(Image.open(photos / "originals" / f"{n}.png").resize((28, 28))) for n in range(12)])
    projected = whitened.backbone.backbone(frames)
    before = np.asarray(encoder.encode_frames(frames))
    direction = projected.stages["unprojected"]
    np.testing.assert_allclose(direction, before, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(whitened.encode_frames(frames), axis=1), 1, atol=1e-5)
    with pytest.raises(ConfigError, match="size must be at most the 16 numbers"):
        whiten_frames(encoder, jaxret.open_dataset(str(photos / "originals")), 17)
