"""How far the figures of several seeds or draws lie apart: one rule for tables, figures and what programs print."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def spread(values: Sequence[float]) -> float:
    """The standard deviation of a sample, with n - 1 in the denominator; 0 of one value.

    Of two or three draws that of a population, with n, would be a third or a fifth smaller than what to expect of
    others.
    """
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
