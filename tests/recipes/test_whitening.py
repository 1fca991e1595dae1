"""Whitening of pooled features: what is fitted, and that it is put in."""

from __future__ import annotations

import numpy as np
import pytest
from flax import nnx

from jaxret.errors import ConfigError
from jaxret.models import PooledBackbone, create_backbone
from jaxret.training.pca import fit_pca, fit_whitening

CHANNELS = 5


def pooled(size: int | None = 4, **settings) -> PooledBackbone:
    backbone = create_backbone("small-convnet", widths=[CHANNELS], rngs=nnx.Rngs(0))
    return PooledBackbone(backbone, "conv_1", whitened_size=size, **settings)


def batches() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (3, *size, 3), np.uint8) for size in ((32, 48), (48, 32), (32, 48))]


@pytest.mark.parametrize("pooling", ["rmac", "spoc"])
def test_the_vectors_of_all_regions_come_out_white(pooling):
    made = pooled(pooling=pooling)
    fitted = fit_whitening(made, iter(batches()))
    vectors = np.concatenate(
        [np.asarray(made(batch).stages["regional_vectors"]).reshape(-1, CHANNELS) for batch in batches()]
    )
    assert len(vectors) == 9 * (20 if pooling == "rmac" else 1)
    white = np.asarray(made.whitening(vectors), np.float64)
    np.testing.assert_allclose(white.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(np.cov(white.T), np.eye(4), atol=2e-3)
    assert 0.5 < fitted.kept < 1
    np.testing.assert_allclose(np.linalg.norm(made(batches()[0]).embedding, axis=1), 1, atol=1e-5)


def test_a_limit_takes_an_even_draw_that_follows_from_the_seed():
    made, whole = pooled(), pooled()
    everything = fit_whitening(whole, batches())
    drawn = [fit_whitening(made, batches(), limit=60, seed=seed) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(drawn[0].components, drawn[1].components)
    assert not np.array_equal(drawn[0].mean, drawn[2].mean)
    assert 0 < np.abs(drawn[0].mean - everything.mean).max() < 0.1
    vectors = np.concatenate(
        [np.asarray(made(batch).stages["regional_vectors"]).reshape(-1, CHANNELS) for batch in batches()]
    )
    keys = np.random.default_rng(1).random(len(vectors))
    expected = fit_pca(vectors[np.sort(np.argsort(keys)[:60])], components=4, whiten=True)
    np.testing.assert_allclose(drawn[0].mean, expected.mean, atol=1e-6)
    np.testing.assert_allclose(drawn[0].components, expected.components, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("make", "frames", "options", "message"),
    [
        (lambda: pooled(None), batches, {}, "no whitening to fit: make it with whitened_size"),
        (pooled, list, {}, "the frames gave 0: give more frames"),
        (pooled, batches, {"limit": 0}, "limit must be at least 1 vector, got 0"),
        (pooled, batches, {"limit": 3}, "components must be 1 .. 3"),
        (pooled, lambda: [np.zeros((2, 32, 32, 3), np.uint8)], {}, "give more|equal|of the 4 wanted only"),
    ],
)
def test_what_cannot_be_fitted_is_refused(make, frames, options, message):
    with pytest.raises(ConfigError, match=message):
        fit_whitening(make(), frames(), **options)
