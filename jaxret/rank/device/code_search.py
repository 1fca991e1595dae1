"""The k nearest codes of a gallery on devices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from numpy.typing import NDArray

from jaxret.rank.device.codes import PRODUCTS_ON, counted_bits, multiplied_signs
from jaxret.rank.device.gallery import DeviceGallery
from jaxret.rank.device.in_groups import filled_up, groups_of, one_ahead, rounded_up
from jaxret.rank.device.placement import as_words
from jaxret.rank.device.scan import Score, nearest_rows
from jaxret.rank.search_result import SearchResult

__all__ = ["by_counting", "by_products", "nearest_codes_on_devices"]

Progress = Callable[[int, int], None]


def nearest_codes_on_devices(
    queries: NDArray[np.uint8], gallery: DeviceGallery, k: int, progress: Progress | None, score: Score | None = None
) -> SearchResult:
    """As `hamming_topk`, with the same results; queries and k are checked.

    `score` is `by_counting` or `by_products`; None is what suits the platform, see `PRODUCTS_ON`.
    """
    if score is None:
        score = by_products if gallery.mesh.devices.flat[0].platform in PRODUCTS_ON else by_counting
    ids = np.empty((len(queries), k), np.int64)
    distances = np.empty((len(queries), k), np.float32)
    for some, bits, found, _ in one_ahead(_searches(queries, gallery, k, score)):
        ids[some] = np.asarray(found)[: len(some), :k]
        distances[some] = np.asarray(bits)[: len(some), :k]
        if progress is not None:
            progress(len(gallery) * int(some[-1] + 1) // len(queries), len(gallery))
    return SearchResult(ids, distances)


def _searches(
    queries: NDArray[np.uint8], gallery: DeviceGallery, k: int, score: Score
) -> Iterator[tuple[NDArray[np.int64], jax.Array, jax.Array, Any]]:
    """Starts the search of one group of queries after the other."""
    width = rounded_up(k)
    size = gallery.queries_at_once(len(queries), width)
    bits = 32 * gallery.words.shape[1]
    chunk = gallery.chunk(size, (2**31 - 1) // (bits + 2))
    everywhere = NamedSharding(gallery.mesh, PartitionSpec())
    for some in groups_of(np.arange(len(queries)), size):
        words = as_words(jnp.asarray(filled_up(queries[some], size)), gallery.words.shape[1])
        found = nearest_rows(
            jax.device_put(words, everywhere),
            (gallery.words,),
            score=score,
            mesh=gallery.mesh,
            size=len(gallery),
            chunk=chunk,
            width=width,
        )
        yield (some, *found)


def by_counting(queries: jax.Array, rows: tuple[jax.Array]) -> jax.Array:
    """Hamming distances as `nearest_rows` wants them, by XOR and population count."""
    return counted_bits(queries, rows[0])


def by_products(queries: jax.Array, rows: tuple[jax.Array]) -> jax.Array:
    """The same by int8 products."""
    return multiplied_signs(queries, rows[0])
