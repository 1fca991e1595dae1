"""PCA in a training: fitted on the training part, carried by the encoder, applied in index and search."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.decomposition import PCA

from jaxret import train
from jaxret.data.datasets.moving_digits import MovingDigits
from jaxret.data.open import open_dataset
from jaxret.data.splits import split_dataset
from jaxret.errors import ConfigError
from jaxret.models import ProjectedEncoder
from jaxret.models.store import load_encoder
from jaxret.recipes.clip_media import embed_items
from jaxret.recipes.clips.cnn_lstm import CnnLstmConfig
from jaxret.recipes.clips.deep_hash import DeepHashConfig
from jaxret.recipes.clips.projection import without_projection
from jaxret.retrieval import Retriever
from jaxret.retrieval.encode import clip_rows

SMALL = ["--image-size", "32", "--frames", "4", "--units", "8", "--batch-size", "8", "--weights", "none", "--quiet"]


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("media")
    digits = MovingDigits(train_clips=10, validation_clips=0, test_clips=0)
    digits.write_media_folder(root, [n for n, item in enumerate(digits.items) if item.label in ("0-up", "1-left")])
    next(root.glob("*.csv")).unlink()
    return root


@pytest.fixture(scope="module", params=["trained end to end", "frozen"])
def run(request, media: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with PCA."""
    out = tmp_path_factory.mktemp("runs") / "run"
    words = ["cnn-lstm", "--data", str(media), "--out", str(out), "--epochs", "1", "--fusion", "lstm", *SMALL]
    words += ["--pca", "0.8", "--whiten", "True"]
    if request.param == "frozen":
        # A random backbone may not be frozen by the settings, so that nobody does it by accident.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("jaxret.recipes.clips.cnn_lstm.resolve", frozen)
            assert train.main(words) == 0
    else:
        assert train.main(words) == 0
    return out


def frozen(config, dataset):
    from jaxret.recipes.clips.model import resolve

    config = resolve(config, dataset)
    object.__setattr__(config, "freeze", True)
    return config


def test_a_run_carries_the_components_of_its_training_part(media: Path, run: Path) -> None:
    encoder = load_encoder(run / "encoder")
    assert isinstance(encoder.temporal, ProjectedEncoder)
    before = without_projection(encoder)
    assert before is not None
    assert without_projection(before) is None
    dataset = open_dataset(str(media))
    splits = split_dataset(dataset, unseen_fraction=0.0, seed=0)
    assert 2 < len(splits.train) < len(dataset)
    embedded, _ = embed_items(dataset, before, range(len(dataset)), threads=1)
    own = clip_rows({n: embedded[n] for n in splits.train.tolist()}, before)
    every = clip_rows(embedded, before)
    reference = PCA(0.8, svd_solver="full", whiten=True).fit(own.vectors.astype(np.float64))
    expected = reference.transform(every.vectors.astype(np.float64))
    assert 0 < expected.shape[1] < 8
    stored = Retriever.open(run / "index").index.rows("clip")
    np.testing.assert_allclose(stored.vectors, expected, atol=2e-3 * np.abs(expected).max())


def test_a_search_projects_its_query(media: Path, run: Path) -> None:
    retriever = Retriever.open(run / "index")
    video = next(media.glob("1-left/*.mp4"))
    first = retriever.search(video, 3)[0]
    assert first.item.path == str(video.resolve())
    assert first.distance == pytest.approx(0, abs=1e-3)


def test_a_run_says_what_was_kept_and_what_it_cost(media: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "run"
    words = ["cnn-lstm", "--data", str(media), "--out", str(out), "--epochs", "1", *SMALL[:-1], "--pca", "0.9"]
    assert train.main(words) == 0
    printed = capsys.readouterr().out
    line = re.search(
        r"PCA: (\d) of 8 dimensions keep (\d+\.\d)% of the variance of (\d+) clips of the training", printed
    )
    assert line is not None
    assert load_encoder(out / "encoder").clip_embedding_size == int(line[1])
    assert 90 <= float(line[2]) <= 100
    assert "whitened" not in printed
    assert "trained, before PCA" in printed


@pytest.mark.parametrize(
    ("base", "settings", "message"),
    [
        (CnnLstmConfig(), {"pca": 90.0}, "pca must be 0 to 1, got 90.0"),
        (CnnLstmConfig(), {"pca": -0.1}, "got -0.1"),
        (CnnLstmConfig(), {"pca": float("nan")}, "got nan"),
        (CnnLstmConfig(), {"whiten": True}, "set pca as well, or leave whiten off"),
        (DeepHashConfig(), {"pca": 0.9}, "pca=0.9 and bits=64 do not go together"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(base, settings, message) -> None:
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(base, **settings)


def test_pictures_have_no_clip_vectors(tmp_path: Path) -> None:
    for label in ("red", "blue"):
        (tmp_path / "data" / label).mkdir(parents=True)
        for number in range(6):
            pixels = np.full((32, 32, 3), 40 * number, np.uint8)
            Image.fromarray(pixels).save(tmp_path / "data" / label / f"{number}.png")
    with pytest.raises(
        ConfigError, match=r"--pca 0.9: it is fitted on the clip vectors of videos, .* holds images only"
    ):
        train.main(["cnn-lstm", "--data", str(tmp_path / "data"), "--out", str(tmp_path / "r"), *SMALL, "--pca", "0.9"])
