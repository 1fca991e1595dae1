"""Foundation encoders read from their published files: architecture, weights, preprocessing, and the tower of words."""

from jaxret.models.foundation.published import Foundation, is_published, open_published, published_kind
from jaxret.models.foundation.sizing import Sizing

__all__ = ["Foundation", "Sizing", "is_published", "open_published", "published_kind"]
