"""Initial weights, drawn by NumPy: JAX would compile a program for every new shape, seconds for a large model.

Functions have the signature of JAX's initialisers, `(key, shape, dtype)`, and the same key gives the same
weights. Inside a traced function (`nnx.eval_shape`, `jax.jit`) the key has no value yet; there JAX's own
initialisers of the same distribution stand in, and the numbers differ.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

__all__ = ["Initialiser", "centred_he_normal", "glorot_uniform", "he_normal", "normal", "orthogonal"]


Initialiser = Callable[..., jax.Array]
"""`initialiser(key, shape, dtype)`, dtype float32 by default."""


def he_normal(key: jax.Array, shape: Sequence[int], dtype: DTypeLike = jnp.float32) -> jax.Array:
    """Normal with variance 2 / fan-in, for layers followed by a rectifier (He et al. 2015, arXiv:1502.01852).

    The last axis is the output's; all others together are the fan-in, also of a depthwise kernel (*window, C).

    Example:
      >>> weights = he_normal(jax.random.key(0), (3, 3, 64, 128))
      >>> weights.shape, bool(abs(weights.std() - (2 / (9 * 64)) ** 0.5) < 1e-3)
      ((3, 3, 64, 128), True)
    """
    deviation = math.sqrt(2 / math.prod(shape[:-1]))
    if isinstance(key, jax.core.Tracer):
        return deviation * jax.random.normal(key, tuple(shape), dtype)
    return jnp.asarray(deviation * _generator(key).standard_normal(shape, np.float32), dtype)


def centred_he_normal(key: jax.Array, shape: Sequence[int], dtype: DTypeLike = jnp.float32) -> jax.Array:
    """As `he_normal`, and the weights of each output sum to 0, so that what all inputs have in common is not passed on.

    Rectified values are never negative, and so each layer of ordinary weights makes the outputs of different inputs
    more alike; in a deep network without normalisation they are all but the same, and training begins with a long wait.
    After A. Brock et al., "Characterizing signal propagation to close the performance gap in unnormalized ResNets",
    ICLR 2021 (arXiv:2101.08692), who keep the sums at 0 all along.

    Example:
      >>> weights = centred_he_normal(jax.random.key(0), (3, 3, 64, 128))
      >>> weights.shape, bool(abs(weights.sum(axis=(0, 1, 2))).max() < 1e-4)
      ((3, 3, 64, 128), True)
    """
    weights = he_normal(key, shape, jnp.float32)
    return (weights - weights.mean(axis=tuple(range(len(shape) - 1)), keepdims=True)).astype(dtype)


def glorot_uniform(key: jax.Array, shape: Sequence[int], dtype: DTypeLike = jnp.float32) -> jax.Array:
    """Uniform with variance 2 / (fan-in + fan-out) (Glorot and Bengio 2010).

    Of a matrix these are rows and columns, of a kernel (*window, C_in, C_out) its channels times the window's size.

    Example:
      >>> bool(abs(glorot_uniform(jax.random.key(0), (300, 100))).max() <= (6 / 400) ** 0.5)
      True
    """
    window = math.prod(shape[:-2])
    limit = math.sqrt(6 / (window * (shape[-2] + shape[-1])))
    if isinstance(key, jax.core.Tracer):
        return jax.random.uniform(key, tuple(shape), dtype, -limit, limit)
    return jnp.asarray(_generator(key).uniform(-limit, limit, tuple(shape)), dtype)


def normal(deviation: float) -> Callable[..., jax.Array]:
    """An initialiser: normal with mean 0 and this standard deviation, whatever the shape.

    Example:
      >>> weights = normal(0.01)(jax.random.key(0), (100, 100))
      >>> bool(abs(weights.std() - 0.01) < 1e-3)
      True
    """

    def draw(key: jax.Array, shape: Sequence[int], dtype: DTypeLike = jnp.float32) -> jax.Array:
        if isinstance(key, jax.core.Tracer):
            return deviation * jax.random.normal(key, tuple(shape), dtype)
        return jnp.asarray(deviation * _generator(key).standard_normal(shape, np.float32), dtype)

    return draw


def orthogonal(key: jax.Array, shape: Sequence[int], dtype: DTypeLike = jnp.float32) -> jax.Array:
    """A matrix with orthonormal rows, or columns if it is tall (Saxe et al. 2014, arXiv:1312.6120).

    All axes but the last of a kernel (*window, C_in, C_out) count as the rows.

    Example:
      >>> matrix = orthogonal(jax.random.key(0), (2, 3))
      >>> bool(jnp.allclose(matrix @ matrix.T, jnp.eye(2), atol=1e-6))
      True
    """
    if isinstance(key, jax.core.Tracer):
        return jax.nn.initializers.orthogonal()(key, tuple(shape), dtype)
    rows, columns = math.prod(shape[:-1]), shape[-1]
    normal = _generator(key).standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(normal)
    q *= np.sign(np.diag(r))  # else the distribution depends on the routine's choice of signs
    return jnp.asarray((q if rows >= columns else q.T).reshape(shape), dtype)


def _generator(key: jax.Array) -> np.random.Generator:
    return np.random.default_rng(np.asarray(jax.random.key_data(key)))
