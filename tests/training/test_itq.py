"""Iterative quantisation: planes that are a rotation, that quantise better than a random one, and that a code takes."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxret.errors import ConfigError
from jaxret.models import HashLayer, Mean
from jaxret.rank import pack_bits
from jaxret.training.itq import fit_itq
from jaxret.training.pca import fit_pca

N, D, BITS = 300, 24, 16


def vectors(seed: int = 0) -> np.ndarray:
    """Clusters in a few directions more than there are bits, far from the origin."""
    rng = np.random.default_rng(seed)
    return (5 + rng.normal(size=(12, D))[rng.integers(12, size=N)] + 0.3 * rng.normal(size=(N, D))).astype(np.float32)


def quantisation_error(projected: np.ndarray) -> float:
    return float(((projected - np.where(projected >= 0, 1, -1) * np.abs(projected).mean()) ** 2).mean())


def test_the_planes_are_a_rotation_of_the_principal_components() -> None:
    found = fit_itq(vectors(), BITS, seed=0)
    components = fit_pca(vectors(), components=BITS).components
    np.testing.assert_allclose(found.mean, vectors().astype(np.float64).mean(axis=0))
    rotation = components.T @ found.normals
    scale = np.linalg.norm(rotation[:, 0])
    np.testing.assert_allclose(rotation.T @ rotation / scale**2, np.eye(BITS), atol=1e-6)
    projected = (vectors() - found.mean) @ found.normals
    assert np.mean(projected**2) == pytest.approx(1)


def test_they_quantise_better_than_random_rotations() -> None:
    found = fit_itq(vectors(), BITS, seed=0)
    fitted = fit_pca(vectors(), components=BITS)
    projected = (vectors() - fitted.mean) @ fitted.components
    projected /= np.sqrt(np.mean(projected**2))
    rng = np.random.default_rng(1)
    random = [quantisation_error(projected @ np.linalg.qr(rng.normal(size=(BITS, BITS)))[0]) for _ in range(20)]
    assert quantisation_error((vectors() - found.mean) @ found.normals) < min(random)


def test_more_bits_than_directions_come_from_further_rotations() -> None:
    found = fit_itq(vectors(), 3 * D, seed=0)
    assert found.normals.shape == (D, 3 * D)
    assert len(np.unique(found.normals.round(6), axis=1).T) == 3 * D
    np.testing.assert_array_equal(found.normals, fit_itq(vectors(), 3 * D, seed=0).normals)


def test_a_hash_layer_takes_them() -> None:
    found = fit_itq(vectors(), BITS, seed=0)
    layer = HashLayer(Mean(D, rngs=nnx.Rngs(0)), BITS, rngs=nnx.Rngs(0))
    offsets = np.linspace(-1, 1, BITS)
    layer.assign(found.mean, found.normals, offsets)
    activations = np.asarray(layer(jnp.asarray(vectors()[:, None])).embedding)
    expected = (vectors() - found.mean) @ found.normals + offsets
    np.testing.assert_allclose(activations, 1 / (1 + np.exp(-expected)), atol=1e-5)
    clear = np.abs(expected) > 1e-4  # float32 decides the others
    np.testing.assert_array_equal(
        (np.unpackbits(pack_bits(activations), axis=1, bitorder="little") == (expected >= 0))[clear], True
    )
    wanted = r"must have shapes \(24,\), \(24, 16\) and \(16,\), "
    with pytest.raises(ValueError, match=wanted + r"got \(24,\), \(24, 8\) and \(16,\)"):
        layer.assign(found.mean, found.normals[:, :8], offsets)
    with pytest.raises(ValueError, match=wanted + r"got \(24,\), \(24, 16\) and \(8,\)"):
        layer.assign(found.mean, found.normals, offsets[:8])
    with pytest.raises(ValueError, match="mean, normals and offsets must be finite in float32"):
        layer.assign(found.mean, np.full((D, BITS), np.nan), offsets)


def test_bits_can_be_made_constant() -> None:
    found = fit_itq(vectors(), BITS, seed=0)
    constant = found.constant(slice(12, 16))
    rows = vectors(1).astype(np.float64)
    np.testing.assert_array_equal(constant(rows)[:, :12], found(rows)[:, :12])
    np.testing.assert_array_equal(constant(rows)[:, 12:], 1)


def test_what_does_not_vary_is_refused() -> None:
    with pytest.raises(ConfigError, match="all 5 vectors are equal"):
        fit_itq(np.ones((5, 8), np.float32), 8, seed=0)
