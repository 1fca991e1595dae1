"""Codebooks: words against a loop, k-means on clusters that are known, files that are damaged."""

from __future__ import annotations

import json

import numpy as np
import pytest

from jaxret.errors import IndexFormatError
from jaxret.visual_words import Codebook


def slow_words(descriptors, centres, normalise):
    words = []
    for row in descriptors.astype(np.float64):
        length = np.sqrt((row**2).sum())
        scaled = row / length if normalise and length else row
        distances = [((scaled - centre) ** 2).sum() for centre in centres.astype(np.float64)]
        words.append(int(np.argmin(distances)))
    return words


@pytest.mark.parametrize("normalise", [False, True])
def test_words_equal_a_loop(normalise, monkeypatch):
    rng = np.random.default_rng(0)
    codebook = Codebook(rng.normal(size=(37, 5)), normalise=normalise)
    descriptors = rng.normal(size=(4, 9, 5)) * 3
    descriptors[1, 2] = 0
    monkeypatch.setattr("jaxret.visual_words.codebook._BLOCK_BYTES", 100)  # blocks of five
    words = codebook.assign(descriptors)
    assert words.dtype == np.int32
    assert words.shape == (4, 9)
    assert words.ravel().tolist() == slow_words(descriptors.reshape(-1, 5), codebook.centres, normalise)
    assert codebook.assign(descriptors[0, 0]).shape == ()
    assert codebook.assign(np.zeros((0, 5), np.float32)).shape == (0,)


def test_equally_near_centres_give_the_first():
    assert Codebook([[1.0], [1.0], [3.0]]).assign([[1.0], [2.0], [4.0]]).tolist() == [0, 0, 2]


def test_k_means_finds_separate_clusters_and_repeats_itself():
    rng = np.random.default_rng(1)
    true = rng.normal(size=(6, 8)) * 30
    descriptors = np.repeat(true, 50, axis=0) + rng.normal(size=(300, 8)) * 0.1
    first, second = (Codebook.fit(descriptors, 12, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.centres, second.centres)
    assert not np.array_equal(first.centres, Codebook.fit(descriptors, 12, seed=4).centres)
    # Every word lies within one cluster, and descriptors of different clusters never share a word.
    words = first.assign(descriptors).reshape(6, 50)
    assert sum(len(np.unique(row)) for row in words) == len(np.unique(words))


def test_normalised_words_do_not_see_the_length():
    rng = np.random.default_rng(2)
    descriptors = rng.normal(size=(200, 4))
    codebook = Codebook.fit(descriptors, 9, normalise=True)
    np.testing.assert_array_equal(codebook.assign(descriptors), codebook.assign(7 * descriptors))
    assert np.linalg.norm(codebook.centres, axis=1).max() <= 1 + 1e-6


def test_a_sample_that_repeats_descriptors_has_as_many_words_as_differ():
    descriptors = np.repeat(np.eye(5), 40, axis=0)
    assert len(np.unique(Codebook.fit(descriptors, 5).assign(descriptors))) == 5
    with pytest.raises(ValueError, match="6 words need as many different descriptors, and of the 200 read 5 differ"):
        Codebook.fit(descriptors, 6)


def test_wrong_input_is_named():
    with pytest.raises(ValueError, match="9 words need at least as many descriptors, got 8"):
        Codebook.fit(np.ones((8, 2)), 9)
    with pytest.raises(ValueError, match="words must be at least 1, got 0"):
        Codebook.fit(np.ones((8, 2)), 0)
    with pytest.raises(ValueError, match="passes must be at least 1, got 0"):
        Codebook.fit(np.ones((8, 2)), 1, passes=0)
    codebook = Codebook(np.eye(3))
    with pytest.raises(ValueError, match=r"descriptors must be \(..., 3\), got \(2, 4\)"):
        codebook.assign(np.ones((2, 4)))
    with pytest.raises(ValueError, match=r"descriptors must be finite in float32, got nan at \[1, 0\]"):
        codebook.assign([[0.0, 0.0, 1.0], [np.nan, 0.0, 0.0]])
    with pytest.raises(TypeError, match="descriptors must have a float dtype, got int64"):
        codebook.assign(np.ones((2, 3), np.int64))


def test_files_keep_the_words(tmp_path):
    codebook = Codebook(np.random.default_rng(0).normal(size=(11, 6)), normalise=True)
    codebook.save(tmp_path / "words")
    loaded = Codebook.load(tmp_path / "words")
    np.testing.assert_array_equal(loaded.centres, codebook.centres)
    assert loaded.normalise
    assert sorted(path.name for path in (tmp_path / "words").iterdir()) == ["centres.npy", "manifest.json"]
    with pytest.raises(FileExistsError):
        codebook.save(tmp_path / "words")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "centres.npy").unlink(), "missing, truncated"),
        (lambda folder: np.save(folder / "centres.npy", np.zeros((2, 3), np.float32)), "checksum differs"),
        (lambda folder: np.save(folder / "centres.npy", np.zeros((3, 3), np.float32)), "is not the one"),
        (lambda folder: edit(folder, normalise="yes"), "normalise must be true or false"),
        (lambda folder: edit(folder, format="jaxret hamming index"), "is not 'jaxret codebook' version 1"),
    ],
)
def test_damaged_files_are_refused(tmp_path, damage, message):
    folder = tmp_path / "words"
    Codebook(np.ones((2, 3))).save(folder)
    damage(folder)
    with pytest.raises(IndexFormatError, match=message):
        Codebook.load(folder)


def edit(folder, **changes):
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
