"""A tiny training on made-up data, run by the tests in this process or in others.

As a program: `python toy_run.py FOLDER [--stop-after N] [--epochs N] [--distributed PORT RANK] [--kill-during-save]`
prints the final parameters' SHA-256 and, one a line, the losses.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
from pathlib import Path

import jax
import numpy as np
from flax import nnx

from jaxret.training import (
    Checkpoints,
    ClassificationTripletObjective,
    FitResult,
    LoopConfig,
    OptimiserConfig,
    RunContext,
    RunFolder,
    SplitModel,
    Validation,
    make_optimiser,
    make_train_step,
    process_batch_size,
    train_loop,
)

BATCH, STEPS_PER_EPOCH = 8, 5


class ToyModel(nnx.Module):
    """Dense, batch norm, dropout, dense: everything a step must carry or reseed."""

    def __init__(self, rngs: nnx.Rngs):
        # No bias before a batch norm: its gradient is pure rounding noise, which Adam would blow up.
        self.first = nnx.Linear(6, 16, use_bias=False, rngs=rngs)
        self.norm = nnx.BatchNorm(16, rngs=rngs)
        self.dropout = nnx.Dropout(0.25, rngs=rngs)
        self.layers = nnx.List([nnx.Linear(16, 16, rngs=rngs) for _ in range(2)])
        self.head = nnx.Linear(16, 3, rngs=rngs)

    def __call__(self, inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
        embedding = self.dropout(nnx.relu(self.norm(self.first(inputs))))
        for layer in self.layers:
            embedding = nnx.relu(layer(embedding))
        return embedding, self.head(embedding)


class ToyBatches:
    """Batch n is a pure function of n, cut over the processes."""

    def __init__(self, poison_step: int | None = None):
        self.position = 0
        self.poison_step = poison_step

    def __next__(self) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(self.position)
        labels = np.arange(BATCH) % 3
        inputs = rng.normal(size=(BATCH, 6)).astype(np.float32) + labels[:, None]
        if self.position == self.poison_step:
            inputs[0, 0] = np.nan
        self.position += 1
        share = process_batch_size(BATCH)
        mine = slice(jax.process_index() * share, (jax.process_index() + 1) * share)
        return {"inputs": inputs[mine], "labels": labels[mine].astype(np.int32)}

    def get_state(self) -> dict[str, int]:
        return {"position": self.position}

    def set_state(self, state: dict[str, int]) -> None:
        self.position = state["position"]


def toy_fit(
    folder: Path,
    *,
    epochs: int = 4,
    stop_after: int | None = None,
    patience: int = 0,
    average_over: int = 1,
    evaluate=None,
    poison_step: int | None = None,
    optimiser: OptimiserConfig | None = None,
    lower_is_better: bool = False,
) -> FitResult:
    folder.mkdir(parents=True, exist_ok=True)
    config = LoopConfig(epochs=epochs, patience=patience, average_over=average_over)
    split = SplitModel(ToyModel(nnx.Rngs(0)))
    chain = make_optimiser(
        optimiser or OptimiserConfig(learning_rate=1e-2, clip_norm=1.0, schedule="cosine"),
        total_steps=40,
        steps_per_epoch=STEPS_PER_EPOCH,
    )
    objective = ClassificationTripletObjective(triplet_weight=0.5)
    with Checkpoints(folder / "checkpoints") as checkpoints:
        return train_loop(
            split.initial_state(chain, seed=7),
            make_train_step(split, objective, chain),
            ToyBatches(poison_step),
            checkpoints,
            config=config,
            steps_per_epoch=STEPS_PER_EPOCH,
            validation=Validation(evaluate or (lambda state: {"mAP": 0.5}), "mAP", lower_is_better),
            context=RunContext(RunFolder(folder), show_progress=False, stop_after=stop_after),
        )


def digest(result: FitResult) -> str:
    leaves = jax.tree.leaves((result.state.parameters, result.state.statistics, result.state.optimiser))
    return hashlib.sha256(b"".join(np.asarray(x.addressable_data(0)).tobytes() for x in leaves)).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--stop-after", type=int)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--distributed", nargs=2, type=int, metavar=("PORT", "RANK"))
    parser.add_argument("--kill-during-save", type=int, help="SIGKILL self while checkpoint N is written")
    args = parser.parse_args()
    if args.distributed:
        port, rank = args.distributed
        jax.distributed.initialize(f"127.0.0.1:{port}", num_processes=2, process_id=rank)
    if args.kill_during_save is not None:
        from orbax.checkpoint._src.path import atomicity

        commit = atomicity.AtomicRenameTemporaryPath.finalize
        saves = []

        async def die(self, *rest, **names):
            if f"/{args.kill_during_save}." in str(self.get()) or str(self.get_final()).endswith(
                f"/{args.kill_during_save}"
            ):
                os.kill(os.getpid(), signal.SIGKILL)
            saves.append(self)
            return await commit(self, *rest, **names)

        atomicity.AtomicRenameTemporaryPath.finalize = die
    result = toy_fit(args.folder, epochs=args.epochs, stop_after=args.stop_after)
    parameters = [np.asarray(x.addressable_data(0)) for x in jax.tree.leaves(result.state.parameters)]
    norms = [float(np.linalg.norm(x)) for x in parameters]
    print(json.dumps({"digest": digest(result), "steps": result.steps, "norms": norms}))


if __name__ == "__main__":
    main()
