"""Objectives as pure functions of arrays: a batch goes in, a scalar comes out."""

from jaxret.losses.cross_entropy import cross_entropy
from jaxret.losses.pairwise_distances import squared_euclidean_distances
from jaxret.losses.triplet import Mining, triplet_loss

__all__ = ["Mining", "cross_entropy", "squared_euclidean_distances", "triplet_loss"]
