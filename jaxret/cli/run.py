"""What every command shares: errors in one line, recipe options, distributed start, the compilation cache."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from jaxret.cli.shell import command_line_of
from jaxret.errors import ConfigError, JaxretError

__all__ = ["given", "index_folder", "refuse", "run_command"]

USAGE_ERROR = 2
STOPPED = 130


def run_command(main: Callable[[Sequence[str]], int | None], argv: Sequence[str] | None = None) -> int:
    """Call `main(arguments)`; our own errors become one line on stderr and exit status 2.

    Ctrl-C ends with status 130, a closed pipe (as by `| head`) quietly.
    """
    try:
        return main(sys.argv[1:] if argv is None else argv) or 0
    except BrokenPipeError:
        # Python flushes stdout at exit and would complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (JaxretError, ValueError, TypeError, OSError) as error:
        if not isinstance(error, JaxretError) and os.environ.get("JAXRET_TRACEBACK"):
            raise
        print(f"jaxret: error: {error}", file=sys.stderr)
        return USAGE_ERROR
    except KeyboardInterrupt:
        print("jaxret: interrupted", file=sys.stderr)
        return STOPPED


def index_folder(path: Path) -> Path:
    """The index that `path` is, or that lies in the run folder `path`; `path` itself where there is neither.

    Raises:
      ConfigError: it is the folder of a run that has not come to its end.
    """
    inside = path / "index"
    if (path / "manifest.json").exists():
        return path
    if not inside.exists() and (path / "config.json").exists():
        go_on = command_line_of("train", "--resume", path)
        raise ConfigError(f"{path} has no index yet: its training has not come to its end. To go on: {go_on}")
    return inside if inside.exists() else path


def refuse(options: Sequence[str], index: Path, other: str) -> None:
    """ConfigError that names the first of these options, which have no meaning in this index."""
    if options:
        raise ConfigError(f"{options[0]} is an option of {other}, and {index} is none")


def given(args: argparse.Namespace, parser: argparse.ArgumentParser, names: Sequence[str]) -> list[str]:
    """The options among these that were given, as they are written."""
    changed = [name for name in names if getattr(args, name) != parser.get_default(name)]
    return ["--" + name.replace("_", "-") for name in changed]
