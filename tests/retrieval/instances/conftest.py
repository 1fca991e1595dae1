"""Indexes that several files of tests search."""

from __future__ import annotations

from pathlib import Path

import pytest
from instance_making import make_film, make_pictures, map_encoder, region_encoder

from jaxret.data.open import open_dataset
from jaxret.recipes.instances.fit_words import fit_words
from jaxret.retrieval import Retriever
from jaxret.training.pca import fit_whitening


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven images and a file that is none."""
    folder = make_pictures(tmp_path_factory.mktemp("instances") / "pictures")
    (folder / "broken.png").write_bytes(b"no image")
    return folder


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two films of three seconds."""
    folder = tmp_path_factory.mktemp("instance_films")
    make_film(folder / "x.mp4", [None, "flag", None], seed=1)
    make_film(folder / "y.mp4", ["sea", None, "wood"], seed=2)
    return folder


@pytest.fixture(scope="session")
def word_retriever(images: Path, films: Path, tmp_path_factory: pytest.TempPathFactory) -> Retriever:
    """Images and films in words of feature maps, the images first."""
    encoder, dataset = map_encoder(40), open_dataset(images)
    fit_words(encoder, dataset, range(len(dataset)), log=lambda line: None)
    retriever = Retriever.create(tmp_path_factory.mktemp("words") / "index", encoder)
    retriever.add(dataset)
    retriever.add(open_dataset(films))
    return retriever


@pytest.fixture(scope="session")
def region_retriever(images: Path, films: Path, tmp_path_factory: pytest.TempPathFactory) -> Retriever:
    """The same in vectors of regions, whitened."""
    encoder, dataset = region_encoder(whitened_size=8), open_dataset(images)
    frames = [dataset.open(number).read([0]) for number in range(len(dataset))]
    fit_whitening(encoder.backbone, frames)
    retriever = Retriever.create(tmp_path_factory.mktemp("regions") / "index", encoder)
    retriever.add(dataset)
    retriever.add(open_dataset(films))
    return retriever
