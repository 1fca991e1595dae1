"""Convolutions in the forms that are fast on a CPU, each with a gradient of its own; `layers.dispatch` chooses."""
