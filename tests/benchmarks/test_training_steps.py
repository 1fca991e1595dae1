"""The training steps that are timed beside PyTorch's compute the same."""

from __future__ import annotations

import os

import energy_train_step
import pytest

torch = pytest.importorskip("torch")
from studies.training_steps import STEPS  # noqa: E402

SECONDS = ("c3d", "cnn-lstm, end to end", "conv-lstm, pretrain", "conv-lstm, triplet")  # a step


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SECONDS)) for name in STEPS])
def test_three_steps_have_the_losses_of_pytorch(name: str) -> None:
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    step = STEPS[name]()
    energy_train_step.check_losses(name, {"jaxret": step.ours(), "PyTorch": step.in_torch()})


def test_a_side_that_computes_something_else_is_refused() -> None:
    with pytest.raises(SystemExit, match=r"c3d: the losses of PyTorch, \[2.0, 2.0, 2.0\], differ from ours"):
        energy_train_step.check_losses("c3d", {"jaxret": lambda: 1.0, "PyTorch": lambda: 2.0})
