"""The recipe `conv-lstm` with the optimiser, the rate and the schedule of its paper.

SGD with momentum 0.9 and L2 of 1e-3; the learning rate of 1e-3 is divided by 10 every 10 epochs, of 50 at most. It is
of a loss in squared distances, so the loss is measured in these (`loss_unit`), not in the unit of the margin: the
gradient of that is smaller by the unit, some hundred times, and hardly anything is learnt with such a rate. Where the
paper sums the losses of a batch's triplets (its formula 5), it is the mean of those above 0; gradients are scaled down
to a norm of 5, without which the first updates may go astray, and L2 adds 1e-3 of a parameter to its gradient (that of
the formula would be twice as much).

Run: `python -m jaxret.train conv-lstm-paper --data FOLDER`.
"""

from __future__ import annotations

from jaxret.recipes.conv_lstm.recipe import ConvLstmConfig, train
from jaxret.recipes.recipe import Recipe
from jaxret.training import LoopConfig, OptimiserConfig

__all__ = ["PAPER", "RECIPE"]

PAPER = ConvLstmConfig(
    loss_unit="distance",
    split_shares=(0.7, 0.15, 0.15),
    optimiser=OptimiserConfig(
        algorithm="sgd", learning_rate=1e-3, schedule="step", momentum=0.9, weight_decay=1e-3, clip_norm=5.0
    ),
    loop=LoopConfig(epochs=50, evaluate_every=1, patience=5),
    zoom=1.0,
)
"""The settings of the paper, save for sizes, which `conv-lstm` tells."""

RECIPE = Recipe("conv-lstm-paper", "conv-lstm with its paper's optimiser, rate and schedule", PAPER, train)
