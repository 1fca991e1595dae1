"""The loop: resume bit for bit, early stop, best and last checkpoint, bad losses, many devices and processes."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from flax import nnx

from jaxret.data.batches.plans import ShuffledBatches
from jaxret.errors import ConfigError, NonFiniteLossError
from jaxret.training import (
    Checkpoints,
    ClassificationTripletObjective,
    FitTask,
    LoopConfig,
    OptimiserConfig,
    RunContext,
    RunFolder,
    Validation,
    fit_model,
    process_batch_size,
    read_run_log,
)

TOY = Path(__file__).with_name("toy_run.py")
_spec = importlib.util.spec_from_file_location("toy_run", TOY)
toy_run = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(toy_run)


def run_toy(folder: Path, *options: str, devices: int = 1, wait: bool = True):
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
    environment = {**os.environ, "XLA_FLAGS": flags}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    process = subprocess.Popen(
        [sys.executable, str(TOY), str(folder), *options],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    return finish(process) if wait else process


def finish(process: subprocess.Popen):
    try:
        output, errors = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        output, errors = process.communicate()
    assert process.returncode == 0, errors
    return json.loads(output.splitlines()[-1])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The digest of a training that nothing stops."""
    return toy_run.digest(toy_run.toy_fit(tmp_path_factory.mktemp("whole")))


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What that training prints in a process of its own, on one device."""
    return run_toy(tmp_path_factory.mktemp("alone"))


def test_the_loss_goes_down_and_is_logged_by_epoch(tmp_path: Path) -> None:
    result = toy_run.toy_fit(tmp_path, epochs=8, optimiser=OptimiserConfig(learning_rate=3e-2))
    rows = read_run_log(tmp_path / "metrics.jsonl")
    assert [row["step"] for row in rows] == [5 * e for e in range(1, 9)]
    assert rows[-1]["loss"] < 0.6 * rows[0]["loss"]
    assert rows[-1]["train_accuracy"] > rows[0]["train_accuracy"]
    assert {"gradient_norm", "cross_entropy", "triplet", "items_per_second", "mAP"} <= set(rows[0])
    assert result.finished
    assert result.steps == 40


@pytest.mark.parametrize("stop_after", [1, 5, 7])
def test_stop_and_resume_equals_one_run_bit_for_bit(whole: str, tmp_path: Path, stop_after: int) -> None:
    first = toy_run.toy_fit(tmp_path / "parts", stop_after=stop_after)
    assert not first.finished
    assert first.steps == stop_after
    second = toy_run.toy_fit(tmp_path / "parts")
    assert second.finished
    assert toy_run.digest(second) == whole
    assert toy_run.digest(first) != whole
    steps = [row["step"] for row in read_run_log(tmp_path / "parts" / "metrics.jsonl")]
    assert steps == [5, 10, 15, 20]


def test_a_stop_within_a_shortened_warm_up_does_not_change_the_rates(tmp_path: Path) -> None:
    warm = OptimiserConfig(warmup_steps=50, warmup_share=0.125)  # 5 of the 40 steps that the schedule is of
    expected = toy_run.digest(toy_run.toy_fit(tmp_path / "whole", optimiser=warm))
    toy_run.toy_fit(tmp_path / "parts", optimiser=warm, stop_after=3)
    assert toy_run.digest(toy_run.toy_fit(tmp_path / "parts", optimiser=warm)) == expected


def test_early_stop_keeps_the_best_and_the_last_checkpoint(tmp_path: Path) -> None:
    scores = iter([0.1, 0.6, 0.3, 0.2, 0.9])
    result = toy_run.toy_fit(tmp_path, epochs=5, patience=2, evaluate=lambda state: {"mAP": next(scores)})
    assert (result.best_score, result.best_step, result.steps) == (0.6, 10, 20)
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        assert (checkpoints.best_step, checkpoints.last_step) == (10, 20)
    kept = sorted(int(folder.name) for folder in (tmp_path / "checkpoints").iterdir())
    assert kept == [10, 20]


def test_the_smallest_figure_can_be_the_best(tmp_path: Path) -> None:
    errors = iter([0.6, 0.1, 0.3, 0.2, 0.05])
    result = toy_run.toy_fit(
        tmp_path, epochs=5, patience=2, evaluate=lambda state: {"mAP": next(errors)}, lower_is_better=True
    )
    assert (result.best_score, result.best_step, result.steps) == (0.1, 10, 20)
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        assert (checkpoints.best_step, checkpoints.last_step) == (10, 20)


def test_an_early_accident_is_not_the_best_where_figures_are_averaged(tmp_path: Path) -> None:
    figures = [0.9, 0.1, 0.4, 0.6, 0.6, 0.2]  # means of three: 0.467, 0.367, 0.533, 0.467
    scores = iter(figures)
    settings = {"epochs": 6, "average_over": 3, "evaluate": lambda state: {"mAP": next(scores)}}
    result = toy_run.toy_fit(tmp_path / "whole", **settings)
    assert (result.best_score, result.best_step) == (pytest.approx(1.6 / 3), 25)
    # Stopped and resumed, it averages over the same figures.
    scores = iter(figures)
    toy_run.toy_fit(tmp_path / "parts", stop_after=15, **settings)
    again = toy_run.toy_fit(tmp_path / "parts", **settings)
    assert (again.best_score, again.best_step) == (result.best_score, result.best_step)
    with Checkpoints(tmp_path / "parts" / "checkpoints") as checkpoints:
        assert (checkpoints.best_step, checkpoints.last_step) == (25, 30)


def test_fewer_figures_than_are_averaged_are_no_score(tmp_path: Path) -> None:
    result = toy_run.toy_fit(tmp_path, epochs=2, average_over=3)
    assert (result.finished, result.steps, result.best_score) == (True, 10, None)


def test_without_a_score_the_run_goes_on_to_the_end(tmp_path: Path) -> None:
    result = toy_run.toy_fit(tmp_path, epochs=3, patience=1, evaluate=lambda state: {})
    assert (result.finished, result.steps, result.best_score) == (True, 15, None)


def test_a_loss_that_is_not_finite_stops_the_run_with_its_step(tmp_path: Path) -> None:
    with pytest.raises(NonFiniteLossError, match="nan at step 8"):
        toy_run.toy_fit(tmp_path, poison_step=7)
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        assert checkpoints.last_step == 5


@pytest.mark.parametrize(("patience", "steps"), [(2, 15), (0, 40), (4, 25)])
def test_a_run_that_stopped_early_goes_on_with_more_patience(tmp_path: Path, patience: int, steps: int) -> None:
    first = toy_run.toy_fit(tmp_path, epochs=8, patience=2)  # the figure never rises
    assert (first.finished, first.steps) == (True, 15)
    again = toy_run.toy_fit(tmp_path, epochs=8, patience=patience)
    assert (again.finished, again.steps) == (True, steps)


# Orbax gives up at the first damaged array while others are still being read.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_damaged_checkpoint_is_called_that_and_the_run_goes_on_without_it(tmp_path: Path) -> None:
    scores = iter([0.9, 0.1, 0.2])
    toy_run.toy_fit(tmp_path, epochs=2, evaluate=lambda state: {"mAP": next(scores)})
    newest = tmp_path / "checkpoints" / "10"
    for name in ("state/d/*", "state/_METADATA"):  # of arrays, and what they are
        file = max(newest.glob(name), key=lambda path: path.stat().st_size)
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(ConfigError, match=r"10 is damaged; without that folder --resume goes on from step 5"):
            toy_run.toy_fit(tmp_path, epochs=2)
        file.write_bytes(whole)
    shutil.rmtree(newest)
    again = toy_run.toy_fit(tmp_path, epochs=2, evaluate=lambda state: {"mAP": next(scores)})
    assert (again.finished, again.steps) == (True, 10)


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    toy_run.toy_fit(tmp_path, epochs=1)
    with pytest.raises(ConfigError, match="does not fit this run's settings"):
        toy_run.toy_fit(tmp_path, epochs=2, optimiser=OptimiserConfig(algorithm="sgd"))


def test_a_batch_that_the_devices_cannot_share_names_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax, "device_count", lambda: 2)
    assert process_batch_size(8) == 8
    with pytest.raises(ConfigError, match="batch_size must be a multiple of the 2 devices that share a batch, got 9"):
        process_batch_size(9)


def test_two_devices_give_the_single_device_result(alone: dict, tmp_path: Path) -> None:
    two = run_toy(tmp_path / "two", devices=2)
    # Sums are cut differently over two devices; anything beyond rounding would be a bug of the sharding.
    np.testing.assert_allclose(two["norms"], alone["norms"], rtol=2e-4)


def test_two_processes_train_as_one(alone: dict, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    both = [run_toy(tmp_path / "both", "--distributed", str(port), str(rank), wait=False) for rank in range(2)]
    results = [finish(process) for process in both]
    assert results[0]["norms"] == results[1]["norms"]
    np.testing.assert_allclose(results[0]["norms"], alone["norms"], rtol=2e-4)


def test_a_kill_during_a_save_loses_only_that_save(alone: dict, tmp_path: Path) -> None:
    killed = run_toy(tmp_path / "killed", "--kill-during-save", "10", wait=False)
    killed.communicate(timeout=60)
    assert killed.returncode == -signal.SIGKILL
    with Checkpoints(tmp_path / "killed" / "checkpoints") as checkpoints:
        assert checkpoints.last_step == 5
    assert run_toy(tmp_path / "killed")["digest"] == alone["digest"]


def test_ctrl_c_saves_and_the_next_call_goes_on(whole: str, tmp_path: Path) -> None:
    def interrupt(state):
        if int(state.step) == 10:
            os.kill(os.getpid(), signal.SIGINT)
        return {"mAP": 0.5}

    first = toy_run.toy_fit(tmp_path / "parts", evaluate=interrupt)
    assert (first.finished, first.steps) == (False, 10)
    second = toy_run.toy_fit(tmp_path / "parts")
    assert toy_run.digest(second) == whole
    assert jax.process_count() == 1


@pytest.mark.parametrize(
    ("steps", "told"), [(2, ["warm-up: 1 of at most 8 steps, as warmup_share=0.125 allows"]), (1, [])]
)
def test_a_warm_up_that_is_shortened_is_told(steps: int, told: list[str], tmp_path: Path) -> None:
    lines: list[str] = []
    task = FitTask(
        toy_run.ToyModel(nnx.Rngs(0)),
        ClassificationTripletObjective(triplet_weight=0.5),
        lambda row, rng: {"inputs": np.full(6, row, np.float32), "labels": np.int32(row % 3)},
        ShuffledBatches(16, 8),
        Validation(dict, "mAP"),
    )
    config = SimpleNamespace(
        optimiser=OptimiserConfig(warmup_steps=steps, warmup_share=0.125), loop=LoopConfig(epochs=4), seed=0, threads=1
    )
    assert fit_model(task, config, RunContext(RunFolder(tmp_path), log=lines.append, show_progress=False)).steps == 8
    assert [line for line in lines if line.startswith("warm-up")] == told
