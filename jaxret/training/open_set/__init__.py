"""Fitting an open-set encoder, with training classes that are held out in turn."""

from jaxret.training.open_set.choices import OpenSetFit, OpenSetSettings
from jaxret.training.open_set.deals import Deal, HeldOut, hold_out
from jaxret.training.open_set.fit import LearnedWithout, fit_open_set

__all__ = ["Deal", "HeldOut", "LearnedWithout", "OpenSetFit", "OpenSetSettings", "fit_open_set", "hold_out"]
