"""A thumbnail beside the vectors: its share, and when there is none."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from tiny_conv_lstm import encoder_of, tiny_config

from jaxret.data.open import open_dataset
from jaxret.data.splits import split_for_autoencoder
from jaxret.recipes.conv_lstm.clip_table import StepsData, batches_of_clips, clip_table
from jaxret.recipes.conv_lstm.thumbnail import with_thumbnail
from jaxret.retrieval.encode import frame_vectors

CONFIG = tiny_config(thumbnail_share=None)


@pytest.fixture(scope="module")
def data(media: Path) -> StepsData:
    dataset = open_dataset(media)
    splits = split_for_autoencoder(dataset, steps_with_labels=("triplet",), unseen_fraction=0.0, seed=0)
    return StepsData(dataset, splits, clip_table(dataset, splits.splits.train, CONFIG.preprocessing(), threads=1)[0])


@pytest.mark.parametrize(
    ("scores", "share"),
    [
        ((0.4, 0.48, 0.9, 0.9, 0.9, 0.9, 0.9), 0.2),
        ((0.6, 0.5, 0.9, 0.9, 0.9, 0.9, 0.9), 0.3),
        ((0.1, 0.2, 0.3, 0.4, 0.476, 0.474, 0.9), 0.03),
        ((0.1, 0.2, 0.3, 0.4, 0.45, 0.46, 0.47), 0),
    ],
)
def test_a_thumbnail_takes_the_largest_share_that_costs_validation_a_twentieth(
    data: StepsData, monkeypatch: pytest.MonkeyPatch, scores: tuple[float, ...], share: float
) -> None:
    encoder = encoder_of(CONFIG)
    left, seen, lines = iter((0.5, *scores)), [], []

    def figures(dataset: object, queries: dict, searched: dict, encoder: object) -> dict[str, float]:
        seen.append(queries)
        return {"mAP": next(left)}

    monkeypatch.setattr("jaxret.recipes.conv_lstm.thumbnail.validation_figures", figures)
    made = with_thumbnail(encoder, data, CONFIG, lines.append)
    assert len(seen) == 1 + len(scores)
    if not share:
        assert made is encoder
        assert [line[:39] for line in lines] == ["thumbnails beside the vectors: share 0;"]
        return
    assert made.backbone.share == share
    assert f"share {share}; validation mAP 0.5 without, {scores[0]} with a share of 0.3" in lines[0]
    tried = seen[{0.3: 1, 0.2: 2, 0.03: 5}[share]]  # the vectors that were judged are those that it gives
    for number, found in frame_vectors(data.dataset, made, indices=list(tried)):
        np.testing.assert_allclose(tried[number].vectors, found.vectors, rtol=1e-4, atol=1e-5)
    units = np.asarray(made.backbone.units)
    ((_, clips, _),) = batches_of_clips(
        data.dataset, data.table, CONFIG.preprocessing(), batch_size=len(data.table), threads=1
    )
    vectors = made.backbone(clips).stages
    for unit, name in zip(units, ("vector", "thumbnail"), strict=True):
        points = np.asarray(vectors[name], np.float64)
        pairs = ((points[:, None] - points[None]) ** 2).sum(axis=-1)
        assert unit == pytest.approx(pairs.mean(), rel=1e-4)


def test_where_nothing_tells_the_share_or_clips_apart_there_is_none_and_the_log_says_so(
    data: StepsData, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    encoder = encoder_of(CONFIG)
    monkeypatch.setattr("jaxret.recipes.conv_lstm.thumbnail.validation_figures", lambda *arguments: {})
    assert with_thumbnail(encoder, data, CONFIG, lines.append) is encoder
    assert "share 0, since no validation video has a training video of its class; thumbnail_share names" in lines.pop()
    named = dataclasses.replace(CONFIG, thumbnail_share=0.25)
    alike = dataclasses.replace(data, table=data.table.take([0, 0, 0]))
    assert with_thumbnail(encoder, alike, named, lines.append) is encoder
    assert "share 0, since all training clips have one vector: there is no distance to share" in lines.pop()
    assert with_thumbnail(encoder, data, named, lines.append).backbone.share == 0.25
    assert not lines
