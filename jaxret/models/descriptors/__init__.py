"""Descriptors of feature maps: pooled to one vector here; R-MAC by regions and visual words in modules of their own."""

from jaxret.models.descriptors.spatial_pooling import Region, gem, mac, regional_grid, regional_maxima, rmac, spoc

__all__ = [
    "Region",
    "gem",
    "mac",
    "regional_grid",
    "regional_maxima",
    "rmac",
    "spoc",
]
