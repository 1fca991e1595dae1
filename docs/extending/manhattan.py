"""The Manhattan distance as a ranking metric, in NumPy."""

from __future__ import annotations
