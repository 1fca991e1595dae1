"""Training: settings, state, one step for any objective, one loop, checkpoints and the run log."""

from jaxret.training.checkpoint import Checkpoint, Checkpoints
from jaxret.training.config import LoopConfig, OptimiserConfig, config_from_json, config_to_json, refuse_unused
from jaxret.training.devices import batch_mesh, meet, process_batch_size, shared_batch_size
from jaxret.training.hard_triplets import hardest_distances
from jaxret.training.host_memory import give_back_memory, keep_freed_memory
from jaxret.training.loop import Batches, FitResult, train_loop
from jaxret.training.memory_estimate import MemoryEstimate, available_memory, check_memory, compile_step
from jaxret.training.objectives import (
    ClassificationTripletObjective,
    CosineMarginObjective,
    DetectionObjective,
    HashingObjective,
    ReconstructionObjective,
    TrainedDetector,
    TripletObjective,
)
from jaxret.training.optimiser import make_optimiser, make_schedule
from jaxret.training.run import RunFolder, RunLog, read_run_log
from jaxret.training.step import Objective, SplitModel, TrainState, TrainStep, make_train_step

__all__ = [
    "Batches",
    "Checkpoint",
    "Checkpoints",
    "ClassificationTripletObjective",
    "CosineMarginObjective",
    "DetectionObjective",
    "FitResult",
    "HashingObjective",
    "LoopConfig",
    "MemoryEstimate",
    "Objective",
    "OptimiserConfig",
    "ReconstructionObjective",
    "RunFolder",
    "RunLog",
    "SplitModel",
    "TrainState",
    "TrainStep",
    "TrainedDetector",
    "TripletObjective",
    "available_memory",
    "batch_mesh",
    "check_memory",
    "compile_step",
    "config_from_json",
    "config_to_json",
    "give_back_memory",
    "hardest_distances",
    "keep_freed_memory",
    "make_optimiser",
    "make_schedule",
    "make_train_step",
    "meet",
    "process_batch_size",
    "read_run_log",
    "refuse_unused",
    "shared_batch_size",
    "train_loop",
]
