"""The `jaxret` command: `jaxret train|index|search|evaluate|export|serve|weights`, also `python -m jaxret`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

import jaxret
from jaxret.cli.run import run_command
from jaxret.errors import ConfigError

VERBS = {
    "train": ("jaxret.train", "train an encoder, and leave a run folder that can be searched"),
    "index": ("jaxret.build_index", "put a folder of images and videos into an index"),
    "search": ("jaxret.search", "find what looks like an image or a video"),
    "evaluate": ("jaxret.evaluate", "measure retrieval on labelled media"),
    "export": ("jaxret.export", "write the vectors of an index for other programs"),
    "serve": ("jaxret.serve.__main__", "open a page on this machine to search indexes with"),
    "weights": ("jaxret.weights", "list published encoders, or tell what one's files hold"),
}


def dispatch(argv: Sequence[str]) -> int:
    """Hand the rest of the command line to the command that its first word names."""
    if not argv or argv[0] in ("-h", "--help"):
        print("usage: jaxret VERB ...\n\n" + "\n".join(f"  {verb:<10}{text}" for verb, (_, text) in VERBS.items()))
        print("\n`jaxret VERB --help` tells more.  `jaxret --version` prints the version.")
        return 0
    if argv[0] == "--version":
        print(f"jaxret {jaxret.__version__}")
        return 0
    if argv[0] not in VERBS:
        raise ConfigError(f"unknown command {argv[0]!r}: it must be one of {', '.join(VERBS)}")
    command = importlib.import_module(VERBS[argv[0]][0])
    return command.main(argv[1:]) or 0


def main() -> None:
    """Entry point of the console command."""
    sys.exit(run_command(dispatch))


if __name__ == "__main__":
    main()
