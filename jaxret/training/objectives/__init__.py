"""Objectives: what a training step minimises for a batch, one class a family.

An objective is called as `objective(model, batch)`, with the model in training mode, and returns the loss and
the other values to log (see `jaxret.training.step.Objective`). Those that are registered by name can be chosen in any
training on clips.
"""

from jaxret.training.objectives.classification import ClassificationTripletObjective, HashingObjective
from jaxret.training.objectives.detection import DetectionObjective, TrainedDetector
from jaxret.training.objectives.distances import CosineMarginObjective, TripletObjective
from jaxret.training.objectives.reconstruction import ReconstructionObjective
from jaxret.training.objectives.registry import objective_class, objective_name, objective_names, register_objective

__all__ = [
    "ClassificationTripletObjective",
    "CosineMarginObjective",
    "DetectionObjective",
    "HashingObjective",
    "ReconstructionObjective",
    "TrainedDetector",
    "TripletObjective",
    "objective_class",
    "objective_name",
    "objective_names",
    "register_objective",
]
