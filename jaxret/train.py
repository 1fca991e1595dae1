"""`python -m jaxret.train [RECIPE] [options]`: train an encoder, and leave a run folder that can be searched."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tyro

from jaxret.cli.run import STOPPED, run_command
from jaxret.errors import ConfigError, unknown_name_message

USAGE = """usage: jaxret train [RECIPE] [options]
       jaxret train --resume RUN_FOLDER [options]

Without arguments, trains on the embedded moving digits in a few minutes. RECIPE is one of:
{recipes}

`jaxret train RECIPE --help` lists the recipe's settings.

Beside the settings:
  --resume RUN_FOLDER   go on with a run from its last checkpoint, with its own settings; only how long to train
                        (--epochs, --evaluate-every, --patience) and --threads may be given anew
  --stop-after STEPS    save and stop after so many steps of this call
  --distributed         join a multi-host training: jax.distributed finds the other processes (SLURM, TPU, MPI),
                        or is told by --coordinator HOST:PORT --process-count N --process-index I
  --quiet               no progress bars
"""
_MAY_CHANGE = ("loop", "threads")


def main(argv: Sequence[str]) -> int:
    """Parse, train, print."""
    options, rest = _own_options(list(argv))
    from jaxret.recipes import DEFAULT_RECIPE, RECIPES  # after --help could have been answered

    if rest in (["-h"], ["--help"]):
        print(USAGE.format(recipes="\n".join(f"  {n:<16}{r.summary}" for n, r in RECIPES.items())))
        return 0
    if options["distributed"]:
        _join(options)
    from jaxret.training import RunFolder, config_from_json, keep_freed_memory

    keep_freed_memory()
    if options["resume"] is not None:
        run = RunFolder(Path(options["resume"]))
        name, settings = run.read_config()
        if name not in RECIPES:
            raise ConfigError(f"{run.config} names the recipe {name!r}, which is none of {', '.join(RECIPES)}")
        before = config_from_json(type(RECIPES[name].config), settings)
        config = _parse(name, before, rest)
        _check_unchanged(before, config)
    else:
        name = rest.pop(0) if rest and not rest[0].startswith("-") else DEFAULT_RECIPE
        if name not in RECIPES:
            raise ConfigError(unknown_name_message("recipe", name, RECIPES))
        config = _parse(name, RECIPES[name].config, rest)
        run = RunFolder.new(_run_path(name, config))
    print(f"run folder: {run.path}", flush=True)
    summary = RECIPES[name].train(
        name,
        config,
        run,
        stop_after=options["stop_after"],
        say=lambda line: print(line, flush=True),
        show_progress=not options["quiet"],
    )
    if options["distributed"]:
        return _leave()
    return 0 if summary is not None or options["stop_after"] is not None else STOPPED


def _own_options(argv: list[str]) -> tuple[dict[str, Any], list[str]]:
    """Take the options that are not settings of a recipe out of `argv`."""
    kinds: dict[str, Any] = {
        "resume": str, "stop_after": int, "coordinator": str, "process_count": int, "process_index": int
    }  # fmt: skip
    options: dict[str, Any] = dict.fromkeys(kinds) | {"distributed": False, "quiet": False}
    rest: list[str] = []
    words = iter(argv)
    for word in words:
        flag, equals, value = word.partition("=")
        name = flag.removeprefix("--").replace("-", "_")
        if not flag.startswith("--") or name not in options:
            rest.append(word)
        elif name in kinds:
            text = value if equals else next(words, None)
            try:
                options[name] = kinds[name](text) if text is not None else None
            except ValueError:
                raise ConfigError(f"{flag} needs a whole number, got {text!r}") from None
            if options[name] is None:
                raise ConfigError(f"{flag} needs a value")
        else:
            options[name] = True
    if options["stop_after"] is not None and options["stop_after"] < 1:
        raise ConfigError(f"--stop-after must be at least 1, got {options['stop_after']}")
    return options, rest


def _parse(name: str, default: Any, argv: list[str]) -> Any:
    """The recipe's settings from the command line; tyro names the nearest field of an unknown one."""
    return tyro.cli(
        type(default),
        default=default,
        args=argv,
        prog=f"jaxret train {name}",
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagConversionOff),
    )


def _check_unchanged(before: Any, after: Any) -> None:
    for field, value in vars(after).items():
        if field not in _MAY_CHANGE and value != getattr(before, field):
            raise ConfigError(
                f"{field} cannot change when a run is resumed: it was {getattr(before, field)!r}, got {value!r}"
            )


def _run_path(name: str, config: Any) -> Path:
    import jax

    from jaxret.training import RunFolder

    if config.out is not None:
        return config.out
    if jax.process_count() > 1:
        raise ConfigError("a distributed training needs --out: all processes share one run folder")
    return RunFolder.next_free(Path("runs"), name)


def _join(options: dict[str, Any]) -> None:
    import jax

    jax.distributed.initialize(
        options["coordinator"], num_processes=options["process_count"], process_id=options["process_index"]
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
