"""The estimate of a training step's memory: what it counts, that it grows as it must, and where limits are read."""

from __future__ import annotations

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import psutil
import pytest
from flax import nnx

from jaxret.errors import ConfigError
from jaxret.preprocessing import Preprocessing
from jaxret.training import OptimiserConfig, SplitModel, make_optimiser, make_train_step
from jaxret.training.memory_estimate import MemoryEstimate, available_memory, check_memory, check_pixels, compile_step


def compiled(batch: int):
    """A step of a dense layer of 64 x 1024, and what it takes."""
    split = SplitModel(nnx.Linear(64, 1024, rngs=nnx.Rngs(0)))
    optimiser = make_optimiser(OptimiserConfig(algorithm="sgd"), total_steps=1, steps_per_epoch=1)
    step = make_train_step(split, lambda model, batch: ((model(batch["inputs"]) ** 2).sum(), {}), optimiser)
    state = split.initial_state(optimiser, seed=0)
    shapes = {"inputs": jax.ShapeDtypeStruct((batch, 64), jnp.float32)}
    return state, *compile_step(step, jax.eval_shape(lambda: state), shapes)


def test_the_estimate_counts_the_state_and_grows_with_the_batch():
    (state, step, small), (_, _, large) = compiled(16), compiled(4096)
    parameters = 64 * 1024 + 1024
    assert small.parameters == parameters
    assert small.state == 4 * (2 * parameters) + 4 + 4 + 4  # with momentum; step, seed, and the schedule's count
    assert (small.batch, large.batch) == (4 * 64 * 16, 4 * 64 * 4096)
    assert large.work >= 4 * 1024 * 4096  # the outputs at least
    assert large.work > 10 * small.work
    _, metrics = step(state, {"inputs": jnp.ones((16, 64))})
    assert float(metrics["loss"]) > 0


def test_what_does_not_fit_is_refused_with_what_to_change():
    activations = MemoryEstimate(parameters=10**8, state=10**9, batch=10**7, work=5 * 10**9)
    check_memory(activations, available=activations.further)  # state and batch are there already
    assert activations.further == activations.peak - 10**9 - 10**7
    assert activations.peak > 1.1 * activations.total
    message = (
        r"takes up to 6\.66 GB \(state 1\.00, batch 0\.01, activations and gradients 5\.00, and a tenth beside\), "
        r"5\.65 of them beyond state and batch, and 5\.50 GB are left: make smaller the batch, the frames"
    )
    with pytest.raises(ConfigError, match=message):
        check_memory(activations, available=5_500_000_000)
    with pytest.raises(ConfigError, match=r"make smaller the model \(embedding_size, channels\)"):
        check_memory(MemoryEstimate(10**9, 8 * 10**9, 10**7, 10**9), available=10**9)


def test_frames_that_no_memory_holds_are_refused_before_they_are_read():
    sized = Preprocessing(height=1000, width=2000, channels=1, frames=5, modalities=("rgb",))
    check_pixels(sized, clips=3, available=30_000_000)
    message = (
        r"3 clips of 5 frames of 1000 x 2000 pixels would take 0 GB, and 0\.0 GB are left: make image_size, frames"
    )
    with pytest.raises(ConfigError, match=message):
        check_pixels(sized, clips=3, available=29_999_999)
    with pytest.raises(
        ConfigError, match=r"1 clip of 16 frames of 100000 x 100000 pixels would take 480 GB, and 8\.0 GB"
    ):
        check_pixels(Preprocessing(height=100_000, width=100_000), available=8 * 10**9)
    check_pixels(Preprocessing(height=96_000, width=96_000, resize="limit"), available=10**6)  # as large as the source
    check_pixels(sized, clips=3, images=True, available=6_000_000)  # a frame each
    with pytest.raises(ConfigError, match=r"^3 images of 1000 x 2000 pixels .* make image_size or batch_size smaller$"):
        check_pixels(sized, clips=3, images=True, available=5_999_999)


def test_the_least_of_system_and_control_groups_is_available(tmp_path, monkeypatch):
    def write(path: str, text: str) -> None:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)

    assert available_memory(tmp_path) > 10**6  # of the system, which has no control groups there
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=8000 * 1024))
    assert available_memory(tmp_path) == 8000 * 1024
    write("proc/self/cgroup", "0::/a/b\n")
    write("sys/fs/cgroup/a/b/memory.max", "max\n")
    write("sys/fs/cgroup/a/b/memory.current", "1000\n")
    assert available_memory(tmp_path) == 8000 * 1024
    write("sys/fs/cgroup/a/memory.max", "5000000\n")  # of a group above
    write("sys/fs/cgroup/a/memory.current", "2000000\n")
    assert available_memory(tmp_path) == 3_000_000
    write("sys/fs/cgroup/a/memory.stat", "anon 900000\nfile 1100000\nactive_file 400000\ninactive_file 600000\n")
    assert available_memory(tmp_path) == 4_000_000  # pages of files that were read are free to take
    write("proc/self/cgroup", "4:cpu:/x\n3:memory,hugetlb:/y\n0::/\n")  # version 1
    write("sys/fs/cgroup/memory/y/memory.limit_in_bytes", "900000\n")
    write("sys/fs/cgroup/memory/y/memory.usage_in_bytes", "1000000\n")
    assert available_memory(tmp_path) == 0
    write("sys/fs/cgroup/memory/y/memory.stat", "active_file 1\ntotal_active_file 150000\ntotal_inactive_file 50000\n")
    assert available_memory(tmp_path) == 100_000
    monkeypatch.undo()
    assert available_memory() > 10**6  # here
