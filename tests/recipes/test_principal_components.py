"""Principal components against scikit-learn's own transform, and what is refused."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from jaxret.errors import ConfigError
from jaxret.models import LinearProjection
from jaxret.training.pca import fit_pca, singular_values


def cloud(count: int, dimension: int, seed: int = 0, rank: int | None = None) -> np.ndarray:
    """Gaussian vectors of unequal spread, far from the origin, in a subspace of `rank` directions."""
    rng = np.random.default_rng(seed)
    inside = rng.normal(size=(count, rank or dimension)) * 0.8 ** np.arange(rank or dimension)
    turned = inside @ np.linalg.qr(rng.normal(size=(dimension, dimension)))[0][: inside.shape[1]]
    return (turned + rng.normal(size=dimension)).astype(np.float32)


def project(fitted, vectors) -> np.ndarray:
    projection = LinearProjection(*fitted.components.shape)
    projection.assign(fitted.mean, fitted.components)
    return np.asarray(projection(jnp.asarray(vectors)))


@settings(deadline=None, max_examples=15)
@given(
    count=st.integers(2, 60),
    dimension=st.integers(1, 40),
    share=st.one_of(st.floats(0.05, 0.99), st.none()),
    whiten=st.booleans(),
    seed=st.integers(0, 99),
)
def test_the_projection_is_that_of_scikit_learn(count, dimension, share, whiten, seed):
    vectors = cloud(count, dimension, seed)
    if share is None:
        kept = max(1, min(count - 1, dimension) // 2)
        fitted = fit_pca(vectors, components=kept, whiten=whiten)
        reference = PCA(kept, svd_solver="full", whiten=whiten)
    else:
        fitted = fit_pca(vectors, variance=share, whiten=whiten)
        reference = PCA(share, svd_solver="full", whiten=whiten)
    expected = reference.fit_transform(vectors.astype(np.float64))
    asked = cloud(7, dimension, seed + 1)
    for given_vectors, wanted in ((vectors, expected), (asked, reference.transform(asked.astype(np.float64)))):
        # As `LinearProjection` computes it; JAX would compile anew for every size.
        found = (given_vectors - fitted.mean.astype(np.float32)) @ fitted.components.astype(np.float32)
        assert found.shape == wanted.shape
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5 * max(1.0, np.abs(wanted).max()))
    assert fitted.kept == pytest.approx(reference.explained_variance_ratio_.sum())


def test_many_vectors_keep_the_fewest_components_of_that_share():
    vectors = cloud(4000, 30) + 1000  # many vectors of few numbers: scikit-learn takes another solver
    variances = np.sort(np.linalg.eigvalsh(np.cov(vectors.T.astype(np.float64))))[::-1]
    shares = np.cumsum(variances) / variances.sum()
    for share in (0.5, 0.9, 0.99):
        fitted = fit_pca(vectors, variance=share)
        kept = fitted.components.shape[1]
        assert shares[kept - 1] >= share > shares[kept - 2]
        assert fitted.kept == pytest.approx(shares[kept - 1])


@pytest.mark.parametrize("whiten", [False, True])
def test_the_projection_of_an_encoder_is_that_of_scikit_learn(whiten):
    vectors = cloud(80, 24)
    found = project(fit_pca(vectors, variance=0.9, whiten=whiten), vectors)
    expected = PCA(0.9, svd_solver="full", whiten=whiten).fit_transform(vectors.astype(np.float64))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_whitened_vectors_have_variance_one_and_no_correlation():
    vectors = cloud(500, 12)
    white = project(fit_pca(vectors, variance=0.95, whiten=True), vectors)
    np.testing.assert_allclose(np.cov(white.T), np.eye(white.shape[1]), atol=1e-4)
    np.testing.assert_allclose(white.mean(axis=0), 0, atol=1e-4)


def test_all_of_the_variance_is_what_varies():
    vectors = cloud(50, 12, rank=5).astype(np.float64)
    fitted = fit_pca(vectors, variance=1.0, whiten=True)
    assert fitted.components.shape == (12, 5)
    assert fitted.kept == pytest.approx(1.0)
    kept = project(fit_pca(vectors, variance=1.0), vectors)
    between = np.linalg.norm(vectors[:, None] - vectors, axis=-1)
    np.testing.assert_allclose(np.linalg.norm(kept[:, None] - kept, axis=-1), between, atol=1e-5)


@pytest.mark.parametrize(
    ("vectors", "options", "message"),
    [
        (cloud(1, 4), {"variance": 0.9}, "need at least 2 vectors, got 1: fit them on more media"),
        (cloud(9, 4), {"variance": 0.0}, "variance must be a share above 0 and up to 1, such as 0.9, got 0.0"),
        (cloud(9, 4), {"variance": 90}, "up to 1, such as 0.9, got 90"),
        (cloud(9, 4), {"variance": float("nan")}, "got nan"),
        (cloud(9, 4), {"components": 5}, "components must be 1 .. 4 for 9 vectors of 4 dimensions, got 5: keep fewer"),
        (cloud(3, 4), {"components": 4}, "components must be 1 .. 3 for 3 vectors of 4 dimensions, got 4"),
        (cloud(9, 4), {"components": 0}, "got 0"),
        (cloud(9, 4), {}, "either variance or components, got variance=None, components=None"),
        (cloud(9, 4), {"variance": 0.9, "components": 2}, "either variance or components"),
        (np.full((9, 4), 0.1), {"variance": 0.9}, "all 9 vectors are equal, so nothing varies"),
        (cloud(9, 8, rank=3), {"components": 5, "whiten": True}, "wanted only 3 have any: keep at most 3 "),
        (cloud(3, 8), {"components": 3, "whiten": True}, "keep at most 2 components, fit on more vectors, or do not"),
    ],
)  # fmt: skip
def test_what_cannot_be_fitted_says_what_to_change(vectors, options, message):
    with pytest.raises(ConfigError, match=message):
        fit_pca(vectors, **options)


def test_vectors_that_are_none_are_named():
    with pytest.raises(ValueError, match=r"vectors must be finite in float32, got nan at \[1, 0\]"):
        fit_pca(np.array([[0.0, 1.0], [np.nan, 0.0]]), variance=0.9)
    with pytest.raises(TypeError, match="vectors must have a float dtype"):
        fit_pca(np.ones((3, 2), int), variance=0.9)


def test_where_divide_and_conquer_gives_up_the_components_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = np.random.default_rng(0).normal(size=(20, 6)) * [5, 4, 3, 2, 1, 0.5] + 7
    expected, whole, failed = fit_pca(vectors, variance=0.95), scipy.linalg.svd, []

    def only_the_older(matrix: NDArray[np.float64], *, full_matrices: bool, lapack_driver: str = "gesdd") -> object:
        if lapack_driver != "gesvd":
            failed.append(lapack_driver)
            raise np.linalg.LinAlgError("SVD did not converge")
        return whole(matrix, full_matrices=full_matrices, lapack_driver=lapack_driver)

    monkeypatch.setattr("scipy.linalg.svd", only_the_older)
    found = fit_pca(vectors, variance=0.95)
    assert failed == ["gesdd"]
    np.testing.assert_allclose(found.components, expected.components, atol=1e-12)
    assert found.kept == pytest.approx(expected.kept)
    left, values, right = singular_values(vectors)
    np.testing.assert_allclose((left * values) @ right, vectors, atol=1e-12)
    np.testing.assert_allclose(left.T @ left, np.eye(6), atol=1e-12)


@pytest.mark.parametrize("far", [0.0, 1e3])
def test_many_vectors_have_the_components_that_few_have(monkeypatch: pytest.MonkeyPatch, far: float) -> None:
    """By their covariance instead of their singular values; the signs are the same, too."""
    vectors = np.random.default_rng(0).normal(size=(200, 6)) * [5, 4, 3, 2, 1, 0.5] + far
    found = fit_pca(vectors, components=6, whiten=True)
    monkeypatch.setattr("jaxret.training.pca._TALL", 1000)
    monkeypatch.setattr("numpy.linalg.eigh", None)
    expected = fit_pca(vectors, components=6, whiten=True)
    np.testing.assert_allclose(found.components, expected.components, rtol=1e-6, atol=1e-9)
    assert (np.take_along_axis(found.components, np.abs(found.components).argmax(axis=0)[None], axis=0) > 0).all()
