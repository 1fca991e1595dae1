"""The ranking kernels by themselves, without JAX: nearest vectors, PAR, binary codes, Bi-DTW."""

from __future__ import annotations

import sys

import numpy as np

from jaxret import rank

rng = np.random.default_rng(0)
gallery = rng.normal(size=(10_000, 128)).astype(np.float32)
query = gallery[42] + rng.normal(size=128).astype(np.float32) / 4

nearest = rank.euclidean_topk(query, gallery, k=3)
print("nearest vectors:", nearest.ids[0], nearest.distances[0].round(2))

similar = rank.par(query, gallery, k=3, min_cosine=0.5)  # of the 3 nearest, those that also point the same way
print("and by PAR:     ", similar.ids[0])

codes = rank.pack_bits(gallery, threshold=0.0)  # (10000, 16) bytes: one bit a number
found = rank.hamming_topk(rank.pack_bits(query[None], threshold=0.0), codes, k=3)
print("nearest codes:  ", found.ids[0], found.distances[0], "bits differ")

walk = np.cumsum(rng.normal(size=(40, 16)), axis=0).astype(np.float32)  # a "film" of 40 frame vectors
films = [walk[::2], walk[::-1], rng.normal(size=(30, 16)).astype(np.float32)]
print("forwards:       ", [round(rank.dtw(walk, film), 1) for film in films])
print("either way:     ", [round(rank.bidtw(walk, film), 1) for film in films])

assert nearest.ids[0][0] == found.ids[0][0] == 42
assert "jax" not in sys.modules
