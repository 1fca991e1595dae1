"""Objectives as pure functions of arrays: a batch goes in, a scalar comes out."""

from jaxret.losses.cosine_margin import cosine_margin_loss, pair_cosines
from jaxret.losses.cross_entropy import cross_entropy
from jaxret.losses.detection import objectness_loss, region_box_loss, region_class_loss
from jaxret.losses.hashing import bit_balance_loss, quantisation_loss
from jaxret.losses.pairwise_distances import squared_euclidean_distances
from jaxret.losses.reconstruction import binary_cross_entropy, intensity_cross_entropy, mean_squared_error
from jaxret.losses.triplet import Mining, TripletOrder, triplet_loss, triplet_order

__all__ = [
    "Mining",
    "TripletOrder",
    "binary_cross_entropy",
    "bit_balance_loss",
    "cosine_margin_loss",
    "cross_entropy",
    "intensity_cross_entropy",
    "mean_squared_error",
    "objectness_loss",
    "pair_cosines",
    "quantisation_loss",
    "region_box_loss",
    "region_class_loss",
    "squared_euclidean_distances",
    "triplet_loss",
    "triplet_order",
]
