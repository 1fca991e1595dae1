"""Training: settings, state, one step for any objective, one loop, checkpoints and the run log.

Names are loaded on first use, so that settings and run folders come without what trains.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jaxret.lazy import lazy_names

if TYPE_CHECKING:
    from jaxret.training.checkpoint import Checkpoint, Checkpoints
    from jaxret.training.config import (
        LoopConfig,
        OptimiserConfig,
        changed_settings,
        check_numbers,
        config_from_json,
        config_to_json,
        refuse_idle,
        refuse_unused,
        replace_settings,
    )
    from jaxret.training.devices import barrier, batch_mesh, process_batch_size, shared_batch_size
    from jaxret.training.fit import FitConfig, FitTask, Read, fit_model, restore_best
    from jaxret.training.hard_triplets import hardest_distances
    from jaxret.training.host_memory import give_back_memory, keep_freed_memory
    from jaxret.training.loop import Batches, FitResult, Validation, train_loop
    from jaxret.training.memory_estimate import (
        MemoryEstimate,
        available_memory,
        check_memory,
        check_pixels,
        compile_step,
    )
    from jaxret.training.objectives import (
        ClassificationTripletObjective,
        CosineMarginObjective,
        DetectionObjective,
        HashingObjective,
        ReconstructionObjective,
        TrainedDetector,
        TripletObjective,
        objective_class,
        objective_name,
        objective_names,
        register_objective,
    )
    from jaxret.training.optimiser import make_optimiser, make_schedule
    from jaxret.training.run import RunContext, RunFolder, RunLog, read_run_log
    from jaxret.training.step import Objective, SplitModel, TrainState, TrainStep, make_train_step

__all__ = [
    "Batches",
    "Checkpoint",
    "Checkpoints",
    "ClassificationTripletObjective",
    "CosineMarginObjective",
    "DetectionObjective",
    "FitConfig",
    "FitResult",
    "FitTask",
    "HashingObjective",
    "LoopConfig",
    "MemoryEstimate",
    "Objective",
    "OptimiserConfig",
    "Read",
    "ReconstructionObjective",
    "RunContext",
    "RunFolder",
    "RunLog",
    "SplitModel",
    "TrainState",
    "TrainStep",
    "TrainedDetector",
    "TripletObjective",
    "Validation",
    "available_memory",
    "barrier",
    "batch_mesh",
    "changed_settings",
    "check_memory",
    "check_numbers",
    "check_pixels",
    "compile_step",
    "config_from_json",
    "config_to_json",
    "fit_model",
    "give_back_memory",
    "hardest_distances",
    "keep_freed_memory",
    "make_optimiser",
    "make_schedule",
    "make_train_step",
    "objective_class",
    "objective_name",
    "objective_names",
    "process_batch_size",
    "read_run_log",
    "refuse_idle",
    "refuse_unused",
    "register_objective",
    "replace_settings",
    "restore_best",
    "shared_batch_size",
    "train_loop",
]

_NAMES = {
    "jaxret.training.checkpoint": ("Checkpoint", "Checkpoints"),
    "jaxret.training.config": (
        "LoopConfig",
        "OptimiserConfig",
        "changed_settings",
        "check_numbers",
        "config_from_json",
        "config_to_json",
        "refuse_idle",
        "refuse_unused",
        "replace_settings",
    ),
    "jaxret.training.devices": ("barrier", "batch_mesh", "process_batch_size", "shared_batch_size"),
    "jaxret.training.fit": ("FitConfig", "FitTask", "Read", "fit_model", "restore_best"),
    "jaxret.training.hard_triplets": ("hardest_distances",),
    "jaxret.training.host_memory": ("give_back_memory", "keep_freed_memory"),
    "jaxret.training.loop": ("Batches", "FitResult", "Validation", "train_loop"),
    "jaxret.training.memory_estimate": (
        "MemoryEstimate",
        "available_memory",
        "check_memory",
        "check_pixels",
        "compile_step",
    ),
    "jaxret.training.objectives": (
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
    ),
    "jaxret.training.optimiser": ("make_optimiser", "make_schedule"),
    "jaxret.training.run": ("RunContext", "RunFolder", "RunLog", "read_run_log"),
    "jaxret.training.step": ("Objective", "SplitModel", "TrainState", "TrainStep", "make_train_step"),
}
__getattr__, __dir__ = lazy_names(__name__, _NAMES)
