"""Fitting an open-set encoder, with training classes that are held out in turn."""

from jaxret.training.open_set.choices import OpenSetFit, OpenSetSettings
from jaxret.training.open_set.fit import fit_open_set

__all__ = ["OpenSetFit", "OpenSetSettings", "fit_open_set"]
