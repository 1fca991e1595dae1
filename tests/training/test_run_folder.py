"""One training at a time works in a run folder, and one that could not begin leaves nothing."""

from __future__ import annotations

from pathlib import Path

import jax
import pytest

from jaxret import recipes, train
from jaxret.errors import ConfigError
from jaxret.training import RunFolder
from jaxret.training import run as run_module


def test_a_second_training_is_refused(tmp_path: Path) -> None:
    run = RunFolder.new(tmp_path / "run")
    with run.held():
        for path in (tmp_path / "run", tmp_path / "." / "run"):
            with pytest.raises(ConfigError, match=f"another training runs in {path}: wait for its end, stop it, or"):
                RunFolder.new(path).held().__enter__()
        run.config.touch()
    with run.held():
        pass
    assert run.config.exists()


@pytest.mark.parametrize("made_before", [False, True])
def test_a_training_that_cannot_begin_leaves_what_was_there(tmp_path: Path, made_before: bool) -> None:
    run = RunFolder(tmp_path / "runs" / "a")
    if made_before:
        run.path.mkdir(parents=True)
    with pytest.raises(ConfigError, match="no data"), run.held():
        raise ConfigError("no data")
    assert run.path.exists() == made_before
    assert (tmp_path / "runs").exists() == made_before
    assert not run.lock.exists()


def test_what_is_beside_a_run_stays(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "runs" / "a")
    with run.held():
        (tmp_path / "runs" / "b").mkdir()
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["b"]


def test_a_lock_of_a_killed_training_is_no_run(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.lock.touch()
    with RunFolder.new(tmp_path).held():
        run.config.touch()
    with pytest.raises(ConfigError, match=r"is not empty\. To go on with the run in it: "):
        RunFolder.new(tmp_path)


def test_a_folder_or_a_file_that_is_no_run_is_not_gone_on_with(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(ConfigError, match=r"is not empty\. To start anew: give another --out"):
        RunFolder.new(tmp_path)
    with pytest.raises(ConfigError, match=r"photo\.jpg holds no run"):
        RunFolder(tmp_path / "photo.jpg").read_config()


def test_another_process_takes_the_folder_as_the_first_has_found_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the time that it looks, process 0 may have written its settings."""
    waits = []
    monkeypatch.setattr(run_module, "barrier", waits.append)
    run = RunFolder.new(tmp_path / "run")
    with run.held():
        run.config.touch()
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    assert RunFolder.new(run.path).path == run.path
    assert len(waits) == 2


def test_commands_and_functions_are_refused_alike(tmp_path: Path) -> None:
    held = RunFolder(tmp_path / "run")
    refused = pytest.raises(ConfigError, match="another training runs in")
    with held.held():
        with refused:
            train.main(["moving-digits", "--out", str(held.path)])
        with refused:
            recipes.train("moving-digits", out=str(held.path))
        held.write_config("moving-digits", recipes.RECIPES.named("moving-digits").config)
        with refused:
            train.main(["--resume", str(held.path)])
