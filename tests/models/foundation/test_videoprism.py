"""VideoPrism from its authors' file and from a folder, against a slow twin; and an index of its chunks."""

from __future__ import annotations

import numpy as np
import pytest
from flax import nnx
from foundation_making import VOCABULARY, tokenizer_json
from PIL import Image
from reference import transformers_twin as twin
from reference.stages import assert_close, stages_of
from videoprism_making import videoprism_arrays, videoprism_folder

from jaxret import Retriever
from jaxret.__main__ import dispatch
from jaxret.data.decode.write import write_video
from jaxret.errors import ConfigError
from jaxret.models import create_backbone
from jaxret.models.foundation import open_published

POSITIONS = np.random.default_rng(0).normal(size=(6, 16)).astype(np.float32)  # of words


def chunks(time: int = 4, height: int = 36, width: int = 36) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, time, height, width, 3), np.uint8)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    path = tmp_path_factory.mktemp("videoprism") / "flax_base_f16r288_repeated.npz"
    np.savez(path, **videoprism_arrays())
    return path


def test_every_stage_is_that_of_the_twin(published, tmp_path):
    pixels = chunks()
    expected = twin.videoprism(videoprism_arrays(), pixels[1] / 255)
    for path in (published, videoprism_folder(tmp_path, videoprism_arrays())):
        found = open_published(path)
        assert (found.family, found.sizing.height, found.backbone.frames) == ("videoprism", 36, 4)
        ours = stages_of(found.backbone, pixels)
        assert sorted(ours) == sorted(expected)
        for stage, values in expected.items():
            assert_close(ours[stage][1], values)


def test_the_cap_of_the_logits_counts(published):
    """The twin caps them: an encoder without a cap must not agree with it."""
    found = open_published(published)
    plain = create_backbone(**found.backbone.config | {"softcap": 0.0}, rngs=nnx.Rngs(0))
    nnx.update(plain, nnx.state(found.backbone))
    ours, capped = (stages_of(net, chunks())["embedding"] for net in (plain, found.backbone))
    assert np.abs(ours - capped).max() > 1e-3 * np.abs(capped).max()


@pytest.fixture(scope="module")
def with_words(tmp_path_factory):
    """A file of the authors and a folder of Hugging Face, each with a tokenizer: one puts a token behind a text."""
    folder = tmp_path_factory.mktemp("lvt")
    arrays = videoprism_arrays(words=True)
    np.savez(folder / "flax_lvt_base_f16r288_repeated.npz", **arrays)
    (folder / "tokenizer.json").write_text(tokenizer_json())
    return folder / "flax_lvt_base_f16r288_repeated.npz", videoprism_folder(
        folder / "folder", arrays, POSITIONS, tokenizer=tokenizer_json()
    )


def test_every_stage_of_the_encoder_of_videos_and_words_is_that_of_the_twin(with_words):
    arrays, pixels = videoprism_arrays(words=True), chunks()
    expected = twin.videoprism_lvt(arrays, pixels[1] / 255)
    for path in with_words:
        found = open_published(path)
        ours = stages_of(found.backbone, pixels)
        assert sorted(ours) == sorted(expected)
        for stage, values in expected.items():
            assert_close(ours[stage][1], values)


def test_words_are_those_of_the_twin(with_words):
    """Punctuation is spaces, a full stop ends a text, padding is not looked at, and nothing is put behind."""
    pytest.importorskip("tokenizers", reason="needs the extra text")
    arrays = videoprism_arrays(words=True)
    known = [VOCABULARY.index(word) for word in ("a", "red", "<unk>")]  # "car." is none
    for path, places in zip(with_words, (None, POSITIONS), strict=True):
        found = open_published(path)
        tokens = found.words.tokenizer(["A  red, CAR?!"])
        assert tokens[0].tolist() == [*known, *[0] * (tokens.shape[1] - 3)]
        ours = np.asarray(found.words.tower(tokens).embedding)[0]
        assert_close(ours, twin.videoprism_text(arrays, np.array(known), places))


def test_words_find_chunks(with_words, tmp_path):
    pytest.importorskip("tokenizers", reason="needs the extra text")
    rng = np.random.default_rng(0)
    films = tmp_path / "films"
    films.mkdir()
    for number in range(3):
        frames = rng.integers(0, 256, (3, 36, 36, 3), np.uint8).repeat(6, axis=0)
        write_video(films / f"{number}.mp4", frames, 12)
    Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8)).save(films / "still.png")
    index = tmp_path / "index"
    assert dispatch(["index", str(films), str(index), "--weights", str(with_words[1]), "--quiet"]) == 0
    retriever = Retriever.open(index)
    vector = np.asarray(retriever.encoder.encode_text(["a red car turning"]))[0]
    rows = retriever.index.rows("frame", np.arange(4))
    nearest = np.argsort(np.linalg.norm(rows.vectors - vector, axis=1))
    expected = [retriever.index.items[int(rows.items[row])].key for row in nearest]
    assert [hit.item.key for hit in retriever.search("a red car turning", k=4)] == expected


def test_a_query_looks_at_patches_without_blocks_between():
    """What a classifier of videos is published with."""
    sizes = {"units": 8, "heads": 2, "patch_size": 18, "image_size": 36, "spatial_depth": 1, "temporal_depth": 1}
    net = create_backbone("video-prism", **sizes, pooling="attention", auxiliary_depth=0, rngs=nnx.Rngs(0))
    stages = stages_of(net, chunks())
    patches = stages["patch_grid"].reshape(2, -1, 8)
    assert_close(stages["pooled"], np.asarray(net.pool(patches)))


def test_chunks_of_other_lengths_and_sizes_are_encoded(published):
    backbone = open_published(published).backbone
    assert stages_of(backbone, chunks(6, 54, 36))["patch_grid"].shape == (2, 6, 3, 2, 16)
    with pytest.raises(ValueError, match=r"chunks must have shape \(B, T, H, W, 3\) for this video-prism"):
        backbone(np.zeros((2, 36, 36, 3), np.uint8))
    for settings, message in (
        ({"heads": 5}, "units must be a multiple of the 5 heads, got 16"),
        ({"pooling": "max"}, "pooling must be one of mean, attention, got 'max'"),
        ({"auxiliary_depth": 1}, "auxiliary_depth must be at least 0, and 0 where the mean is pooled, got 1 with"),
    ):
        with pytest.raises(ConfigError, match=message):
            create_backbone("video-prism", **{"units": 16, "heads": 2, **settings}, rngs=nnx.Rngs(0))


def test_an_index_of_its_chunks_finds_copies(published, tmp_path):
    rng = np.random.default_rng(0)
    films, copies = tmp_path / "films", tmp_path / "copies"
    for folder in (films, copies):
        folder.mkdir()
    for number in range(4):
        steps = rng.integers(0, 256, (3, 4, 4, 3), np.uint8)
        frames = np.stack([np.asarray(Image.fromarray(step).resize((48, 48))) for step in steps]).repeat(6, axis=0)
        write_video(films / f"{number}.mp4", frames, 12)
        write_video(copies / f"{number}.mp4", (frames * 0.9).astype(np.uint8), 12)
    Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8)).save(films / "still.png")
    index = tmp_path / "index"
    assert dispatch(["index", str(films), str(index), "--weights", str(published), "--quiet"]) == 0
    retriever = Retriever.open(index)
    assert retriever.encoder.preprocessing.frames == 4
    first = [retriever.search(copies / f"{number}.mp4", k=1)[0].item.key for number in range(4)]
    assert first == [f"{number}.mp4" for number in range(4)]
    assert retriever.search(films / "still.png", k=1)[0].item.key == "still.png"
