"""Codebooks fitted on pictures: what is drawn, that fitting and encoding see the same, and what goes wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from instance_making import make_film, make_pictures, map_encoder, sift_encoder
from PIL import Image

from jaxret.data.dataset import MediaDataset
from jaxret.data.open import open_dataset
from jaxret.data.sampling.reading import read_chunks
from jaxret.errors import ConfigError
from jaxret.models.store import encoder_arrays
from jaxret.recipes.instances import descriptions
from jaxret.recipes.instances import fit_words as module
from jaxret.recipes.instances.fit_words import fit_words
from jaxret.retrieval.systems.base import system_of
from jaxret.retrieval.systems.words import WordSystem
from jaxret.visual_words import Codebook, bags_of_words, inverse_document_frequency


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> MediaDataset:
    return open_dataset(make_pictures(tmp_path_factory.mktemp("words") / "pictures"))


def fitted(dataset: MediaDataset, encoder=None, **settings):
    encoder = map_encoder(10) if encoder is None else encoder
    fit_words(encoder, dataset, range(len(dataset)), log=lambda line: None, **settings)
    return encoder


def frames_of(dataset: MediaDataset, encoder) -> list[np.ndarray]:
    return [
        frame
        for number in range(len(dataset))
        for chunk in read_chunks(dataset, number, encoder.preprocessing)
        for frame in chunk.pixels
    ]


def stored_records(system: WordSystem, frames: list[np.ndarray]) -> list[np.ndarray]:
    return [system.encode_frames(frame[None])[0] for frame in frames]


def test_a_seed_repeats(dataset: MediaDataset) -> None:
    first, again, other = (encoder_arrays(fitted(dataset, seed=seed)) for seed in (3, 3, 4))
    for name, array in first.items():
        np.testing.assert_array_equal(array, again[name], err_msg=name)
    assert not np.array_equal(first["centres"], other["centres"])


@pytest.mark.parametrize("make", [lambda: map_encoder(90), lambda: map_encoder(90, descriptor_size=6), sift_encoder])
def test_fitting_and_encoding_see_the_same(dataset: MediaDataset, make) -> None:
    """The weights are counted while fitting; counted anew from what an index would keep, they are the same."""
    encoder = make()
    if encoder.kind == "sift-words":
        pytest.importorskip("cv2")
    system = system_of(fitted(dataset, encoder))
    assert isinstance(system, WordSystem)
    images = [system.layout.unpack(record) for record in stored_records(system, frames_of(dataset, encoder))]
    bags = bags_of_words([image for image in images if len(image)], encoder.n_words)
    expected = inverse_document_frequency(bags)
    np.testing.assert_allclose(np.asarray(encoder.idf[...]), expected, rtol=1e-6)
    assert len(np.unique(expected)) > 2


def test_words_are_means_of_what_they_name(dataset: MediaDataset) -> None:
    """Also with whitening: were it left out when fitting, the words would lie far from the descriptors."""
    for size in (None, 6):
        encoder = fitted(dataset, map_encoder(10, descriptor_size=size))
        rows = np.concatenate(
            [
                np.asarray(encoder.descriptors(frame[None])).reshape(-1, size or 16)
                for frame in frames_of(dataset, encoder)
            ]
        )
        centres = np.asarray(encoder.centres[...])
        nearest = ((rows[:, None] - centres) ** 2).sum(axis=2)
        words = nearest.argmin(axis=1)
        spread = ((rows - rows.mean(axis=0)) ** 2).sum(axis=1).mean()
        assert nearest.min(axis=1).mean() < 0.75 * spread
        for word in range(10):
            if (words == word).sum() > 20:
                np.testing.assert_allclose(centres[word], rows[words == word].mean(axis=0), atol=0.15)


def test_whitening_makes_components_alike(dataset: MediaDataset) -> None:
    encoder = fitted(dataset, map_encoder(10, descriptor_size=6))
    rows = np.concatenate(
        [np.asarray(encoder.maps(frame[None])).reshape(-1, 16) for frame in frames_of(dataset, encoder)]
    )
    assert encoder.whitening is not None
    projected = (rows - np.asarray(encoder.whitening.mean[...])) @ np.asarray(encoder.whitening.components[...])
    np.testing.assert_allclose(projected.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(np.cov(projected.T), np.eye(6), atol=2e-2)


def test_the_sample_is_bounded(dataset: MediaDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    real = Codebook.fit.__func__  # type: ignore[attr-defined]

    def watched(cls, descriptors, words, **settings):
        seen.append(len(descriptors))
        return real(cls, descriptors, words, **settings)

    monkeypatch.setattr(Codebook, "fit", classmethod(watched))
    said: list[str] = []
    monkeypatch.setattr(module, "_SAMPLE_BYTES", 100 * 16 * 4)
    encoder = map_encoder(10)
    fit_words(encoder, dataset, range(7), log=said.append)
    assert seen == [100]  # of 1,280 places
    assert said[0] == "drawing 100 descriptors at most"
    assert said[1] == "10 words by k-means of 100 descriptors of 7 images and videos"
    fit_words(map_encoder(10, descriptor_size=4), dataset, range(7), log=lambda line: None)
    assert seen.pop() == 100, "what is drawn is as long as before it is whitened"
    monkeypatch.setattr(module, "_SAMPLE_BYTES", 1)
    fit_words(encoder, dataset, range(7), log=said.append)
    assert seen == [100, 40]  # four a word at least


def test_only_the_chosen_pictures_are_seen_and_once(dataset: MediaDataset) -> None:
    done: list[int] = []
    encoder = map_encoder(4)
    fit_words(encoder, dataset, [0, 2], log=lambda line: None, on_item=done.append)
    assert done == [0, 2]
    largest = np.log(2)  # of two documents
    assert set(np.round(np.asarray(encoder.idf[...]), 5)) <= {0.0, round(float(largest), 5)}


def test_what_memory_does_not_hold_is_described_anew(dataset: MediaDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """The encoder is the same, and so is what the index keeps, which is what it would make of each image itself."""
    kept, anew = map_encoder(10), map_encoder(10)
    media = fit_words(kept, dataset, range(7), log=lambda line: None)
    monkeypatch.setattr(descriptions, "_KEPT_BYTES", 3 * 256 * 16 * 4)
    done: list[int] = []
    again = fit_words(anew, dataset, range(7), log=lambda line: None, on_item=done.append)
    assert done[:7] == list(range(7))
    assert 0 < len(done[7:]) < 7
    for name, array in encoder_arrays(kept).items():
        np.testing.assert_array_equal(array, encoder_arrays(anew)[name], err_msg=name)
    direct = dict(system_of(kept).vectors(dataset))
    for number in range(7):
        assert media[number].size == direct[number].size
        np.testing.assert_array_equal(media[number].vectors, direct[number].vectors)
        np.testing.assert_array_equal(again[number].vectors, direct[number].vectors)


def test_films_and_unreadable_pictures(tmp_path: Path, dataset: MediaDataset) -> None:
    folder = make_pictures(tmp_path / "pictures")
    make_film(folder / "x.mp4", ["flag", "sea", "wood"])
    mixed = open_dataset(folder)
    (folder / "b.png").write_bytes(b"broken since")
    said: list[str] = []
    encoder = map_encoder(10)
    fit_words(encoder, mixed, range(len(mixed)), log=said.append)
    assert said[1].endswith(f"of {len(mixed) - 1} images and videos")
    without = [number for number, item in enumerate(mixed.items) if item.key != "b.png"]
    same = map_encoder(10)
    fit_words(same, mixed, without, log=lambda line: None)
    np.testing.assert_array_equal(np.asarray(encoder.centres[...]), np.asarray(same.centres[...]))
    np.testing.assert_array_equal(np.asarray(encoder.idf[...]), np.asarray(same.idf[...]))
    assert float(np.asarray(encoder.idf[...]).max()) <= np.log(6 + 3) + 1e-6  # six pictures, three frames


def test_what_cannot_be_fitted(tmp_path: Path, dataset: MediaDataset) -> None:
    folder = make_pictures(tmp_path / "pictures", ["a.png", "b.png"])
    lost = open_dataset(folder)
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(b"broken since")
    with pytest.raises(ConfigError, match=r"none of the 2 training images can be read; the first: .*a\.png"):
        fitted(lost)
    with pytest.raises(ConfigError, match=r"the codebook: 2000 words need at least as many descriptors, got 1280: use"):
        fitted(dataset, map_encoder(2000))
    Image.new("RGB", (64, 64)).save(tmp_path / "black.png")
    black = open_dataset(tmp_path / "black.png")
    with pytest.raises(
        ConfigError, match=r"the codebook: 20 words need as many different descriptors, and of the 256 "
    ):
        fitted(black, map_encoder(20))
    with pytest.raises(ConfigError, match=r"of the 16 wanted only|all 256 vectors are equal"):
        fitted(black, map_encoder(2, descriptor_size=16))
    pytest.importorskip("cv2")
    with pytest.raises(ConfigError, match="none of the 1 training images has a key point: take others, or larger ones"):
        fitted(black, sift_encoder())
