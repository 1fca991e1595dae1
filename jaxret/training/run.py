"""One folder holds all of a training; nothing is written outside it. `metrics.jsonl` is its log."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax

from jaxret.cli.shell import command_line_of
from jaxret.data.data_record import check_data, write_data
from jaxret.data.dataset import MediaDataset
from jaxret.errors import ConfigError
from jaxret.files import hold, write_atomically, writing
from jaxret.training.config import config_to_json
from jaxret.training.devices import barrier

__all__ = ["RunContext", "RunFolder", "RunLog", "read_run_log"]


class RunFolder:
    """Paths and the saved settings of a run.

    `config.json`, `data.json`, `metrics.jsonl`, `figures.json`, `checkpoints/`, `cache/`, `encoder/`, `index/`,
    `initial/` (a copy of another run's encoder that the training begins with), `example/`, `curves.png`, `gallery.png`,
    `votes.png`, `report.html`, `train.lock`; `candidates/` and `rounds/` hold folders of this kind, of networks that a
    training fits beside its own.
    """

    def __init__(self, path: Path):
        self.path = path
        self.config = path / "config.json"
        self.data = path / "data.json"
        self.metrics = path / "metrics.jsonl"
        self.figures = path / "figures.json"
        self.checkpoints = path / "checkpoints"
        self.cache = path / "cache"
        self.encoder = path / "encoder"
        self.index = path / "index"
        self.initial = path / "initial"
        self.example = path / "example"
        self.curves = path / "curves.png"
        self.gallery = path / "gallery.png"
        self.votes = path / "votes.png"
        self.report = path / "report.html"
        self.lock = path / "train.lock"

    @classmethod
    def new(cls, path: Path) -> RunFolder:
        """A folder for a new run; nothing is written yet, so that a run that cannot start leaves nothing.

        All processes of a training call it; process 0 looks before it or another one writes into the folder.

        Raises:
          ConfigError: the folder holds something already (the message tells how to go on), or cannot be made.
        """
        run = cls(path)
        if jax.process_index() == 0:
            run._check_new()
        barrier("run folder")
        return run

    def _check_new(self) -> None:
        path = self.path
        there = next(folder for folder in (path, *path.absolute().parents) if os.path.lexists(folder))
        if not there.is_dir():
            raise ConfigError(f"{path} cannot be made: {there} is no folder; give another --out")
        if not os.access(there, os.W_OK):
            raise ConfigError(f"{path} cannot be made: {there} may not be written to; give another --out")
        if path.exists() and any(file != self.lock for file in path.iterdir()):
            resume = command_line_of("train", "--resume", path)
            go_on = f"To go on with the run in it: {resume}; to" if self.config.exists() else "To"
            raise ConfigError(f"{path} is not empty. {go_on} start anew: give another --out")

    @classmethod
    def next_free(cls, parent: Path, name: str) -> Path:
        """`parent/name-1`, or the first number that is not taken."""
        number = 1
        while (parent / f"{name}-{number}").exists():
            number += 1
        return parent / f"{name}-{number}"

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep other trainings out of the folder while the block runs; process 0 does. The folder is made, and removed
        again where the block has left nothing in it.

        Raises:
          ConfigError: another training runs in it.
        """
        if jax.process_index() != 0:
            yield
            return
        made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        self.path.mkdir(parents=True, exist_ok=True)
        busy = ConfigError(f"another training runs in {self.path}: wait for its end, stop it, or give another --out")
        with hold(self.lock, busy):
            try:
                yield
            finally:
                if list(self.path.iterdir()) == [self.lock]:
                    self.lock.unlink()
                    with contextlib.suppress(OSError):  # another run lies beside it by now
                        for folder in made:
                            folder.rmdir()

    def write_config(self, recipe: str, config: Any) -> None:
        """Make the folder and write the settings that `read_config` gives back."""
        self.path.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"recipe": recipe, **config_to_json(config)}, indent=2) + "\n"
        with write_atomically(self.config) as partial:
            partial.write_text(text, encoding="utf-8")

    def read_config(self) -> tuple[str, dict[str, Any]]:
        """The recipe's name and its settings.

        Raises:
          ConfigError: the folder holds no run, or its `config.json` is damaged.
        """
        try:
            settings = json.loads(self.config.read_text(encoding="utf-8"))
            recipe = settings.pop("recipe")
        except (FileNotFoundError, NotADirectoryError):
            raise ConfigError(f"{self.path} holds no run: there is no config.json in it") from None
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise ConfigError(f"{self.config} is damaged: {error!r}") from error
        return recipe, settings


@dataclasses.dataclass(frozen=True)
class RunContext:
    """Where a training runs and logs: what is no setting of a recipe.

    Attributes:
      run: a new run folder, or one to go on with.
      recipe: name of the recipe, for `config.json`.
      log: receives one line at a time of what is going on.
      show_progress: draw progress bars.
      stop_after: save and stop after this many training steps of this call.
      description: stands before the progress bar of the training.
      usual: the recipe's own settings, which are no choice, see `jaxret.training.refuse_idle`; None: the class's.
    """

    run: RunFolder
    recipe: str = ""
    log: Callable[[str], None] = print
    show_progress: bool = True
    stop_after: int | None = None
    description: str | None = None
    usual: Any = None

    def check_data(self, dataset: MediaDataset) -> None:
        """Refuse a data set that is not the one that the run began with.

        Raises:
          ConfigError: see `jaxret.data.data_record.check_data`.
        """
        check_data(self.run.data, dataset)

    def write_config(self, config: Any, dataset: MediaDataset) -> None:
        """Write the resolved settings, and what is trained on, into the run folder; process 0 does. Log the folder.

        Raises:
          ConfigError: as `check_data`.
        """
        self.check_data(dataset)
        self.log(f"run folder: {self.run.path}")
        if jax.process_index() == 0:
            self.run.write_config(self.recipe, config)
            if not self.run.data.exists():
                write_data(self.run.data, dataset)

    def log_stopped(self) -> None:
        """Log that the training was stopped and saved, and the command that resumes it."""
        self.log(f"stopped and saved. To go on: {command_line_of('train', '--resume', self.run.path)}")


class RunLog:
    """Appends rows to a run's `metrics.jsonl`; after a resume, rows past the restored step are dropped."""

    def __init__(self, path: Path, *, resume_step: int = 0):
        self._path = path
        kept = [row for row in read_run_log(path) if row["step"] <= resume_step] if resume_step else []
        with write_atomically(path) as partial:
            partial.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")

    def append(self, *, step: int, **figures: Any) -> None:
        """Write one row; `step` is the number of training steps done."""
        with writing(self._path), self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **figures}) + "\n")


def read_run_log(path: Path) -> list[Mapping[str, Any]]:
    """All complete rows, oldest first; a last line cut by a kill is left out. No file gives no rows."""
    if not path.exists():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows
