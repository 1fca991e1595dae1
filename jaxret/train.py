"""`python -m jaxret.train [RECIPE] [options]`: train an encoder, and leave a run folder that can be searched."""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from jaxret.cli.changed_flags import refuse_changed
from jaxret.cli.compilation_cache import programs_folder
from jaxret.cli.flags import refusals_raised
from jaxret.cli.option_names import as_typed, flags_of, with_flags
from jaxret.cli.run import STOPPED, run_command
from jaxret.errors import ConfigError
from jaxret.plain_text import print_text
from jaxret.recipes import DEFAULT_RECIPE, RECIPES, new_run_path

USAGE = """usage: jaxret train [RECIPE] [options]
       jaxret train --resume RUN_FOLDER [options]

Without arguments, trains on the embedded moving digits in a few minutes. RECIPE is one of:
{recipes}

`jaxret train RECIPE --help` lists the options.
"""
_FLAT = tyro.conf.OmitArgPrefixes
_WEIGHTED = "weighted"  # the loss of a recipe's own settings
_MAY_CHANGE = ("epochs", "evaluate_every", "patience", "threads")
"""What a resumed run takes anew. Not how many figures are averaged: means over fewer and over more do not compare."""


@dataclasses.dataclass(frozen=True)
class TrainOptions:
    """Options of the command, beside the recipe's settings."""

    resume: Path | None = None
    """Go on with the run in this folder from its last checkpoint, with its own settings; only how long to train
    (--epochs, --evaluate-every, --patience) and --threads may be given anew."""
    stop_after: int | None = None
    """Save and stop after so many training steps of this call."""
    distributed: bool = False
    """Join a multi-host training: jax.distributed finds the other processes (SLURM, TPU, MPI), or is told by
    --coordinator HOST:PORT --process-count N --process-index I."""
    coordinator: str | None = None
    """Address of process 0, HOST:PORT."""
    process_count: int | None = None
    """How many processes train."""
    process_index: int | None = None
    """Which of them this one is."""
    quiet: bool = False
    """No progress bars."""

    def __post_init__(self) -> None:
        if self.stop_after is not None and self.stop_after < 1:
            raise ConfigError(f"--stop-after must be at least 1, got {self.stop_after}")
        for name in () if self.distributed else ("coordinator", "process_count", "process_index"):
            if getattr(self, name) is not None:
                raise ConfigError(f"--{name.replace('_', '-')} is of a multi-host training: give --distributed as well")


def main(argv: Sequence[str]) -> int:
    """Parse, train, print."""
    words = list(argv)
    if words in (["-h"], ["--help"]):
        print(USAGE.format(recipes="\n".join(f"  {name:<16}{line}" for name, line in RECIPES.summaries().items())))
        return 0
    name = words.pop(0) if words and not words[0].startswith("-") else None
    with refusals_raised():
        options, _ = tyro.cli(TrainOptions, args=words, prog="jaxret train", add_help=False, return_unknown_args=True)
    if options.distributed:
        _join(options)
    from jaxret.models.kept_function import keep_programs_in
    from jaxret.recipes.recipe import RunContext, open_config
    from jaxret.training import RunFolder, check_numbers, keep_freed_memory, refuse_idle

    keep_freed_memory()
    if options.resume is not None:
        run = RunFolder(options.resume)
        recipe, before = open_config(run)
        if name not in (None, recipe.name):
            raise ConfigError(f"{run.path} is a run of {recipe.name}, not of {name}: leave {name} out")
    else:
        recipe, before, run = RECIPES.named(name or DEFAULT_RECIPE), None, None
    with as_typed([type(recipe.config), TrainOptions]):
        config = _parse(recipe.name, before or recipe.config, words)
        if before is None:
            refuse_idle(config, recipe.config)
        else:
            refuse_changed(before, config, may_change=_MAY_CHANGE)
        run = run or RunFolder.new(new_run_path(recipe.name, config))
        check_numbers(config)
        log = functools.partial(_print, flags=flags_of(type(recipe.config)))
        context = RunContext(run, recipe.name, log, not options.quiet, options.stop_after, usual=recipe.config)
        with run.held(), keep_programs_in(programs_folder()):
            finished = recipe.train(config, context)
    if options.distributed:
        return _leave()
    return 0 if finished is not None or options.stop_after is not None else STOPPED


def _parse(name: str, default: Any, words: list[str]) -> Any:
    """The recipe's settings from the command line; tyro names the nearest one of an unknown one."""
    from jaxret.recipes.recipe import refuse_renamed
    from jaxret.training import objective_class, objective_name, objective_names

    refuse_renamed(default, words)
    kind: Any = type(default)
    fields: list[tuple[str, Any, Any]] = [
        ("settings", Annotated[kind, _FLAT, tyro.conf.FlagConversionOff], dataclasses.field(default=default)),
        ("command", Annotated[TrainOptions, _FLAT], dataclasses.field(default=TrainOptions())),
    ]
    loss = getattr(default, "loss", None)
    if hasattr(default, "loss"):
        # The settings of a registered loss are options too, so its name is read before them.
        text = "What a step minimises: weighted (cross-entropy and triplet loss by weights), or a registered loss."
        names = Annotated[Literal[_WEIGHTED, *objective_names()], tyro.conf.arg(help=text)]  # type: ignore[valid-type]
        own = objective_name(loss) or _WEIGHTED
        choice = dataclasses.make_dataclass("Choice", [("loss", names, dataclasses.field(default=own))], frozen=True)
        chosen: str = tyro.cli(choice, args=words, add_help=False, return_unknown_args=True)[0].loss
        if chosen != own:
            loss = None if chosen == _WEIGHTED else objective_class(chosen)()
        fields.append(("choice", Annotated[choice, _FLAT], dataclasses.field(default=choice())))
        if loss is not None:
            fields.append(("loss", type(loss), dataclasses.field(default=loss)))
    with refusals_raised():
        parsed: Any = tyro.cli(dataclasses.make_dataclass("Options", fields), args=words, prog=f"jaxret train {name}")
    if not hasattr(default, "loss"):
        return parsed.settings
    return dataclasses.replace(parsed.settings, loss=None if loss is None else parsed.loss)


def _print(line: str, flags: Mapping[str, str]) -> None:
    print_text(with_flags(line, flags))


def _join(options: TrainOptions) -> None:
    import jax

    jax.distributed.initialize(
        options.coordinator, num_processes=options.process_count, process_id=options.process_index
    )


def _leave() -> int:
    """Wait for process 0, which writes index and report after the training; then part from the others."""
    import jax
    from jax.experimental import multihost_utils

    multihost_utils.sync_global_devices("run finished")
    jax.distributed.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
