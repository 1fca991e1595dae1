"""What the accuracy programs share on their command lines: named studies, seeds, and the folders that they keep."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

DIFFERENCES = "differences"
"""The study that measures nothing: programs that pair their figures by seed write that whatever they ran."""


class StudyParser(argparse.ArgumentParser):
    """Parses the names of studies (none: all), seeds and working folders; programs add what only they have.

    Options choose a part of what there is to measure, or are settings, which change it (`add_setting`). What other
    settings measure is kept in a folder of its own and is not for the result file.

    Args:
      description: the program's docstring.
      name: of the program; its work is kept in runs/<name>.
      studies: the names to choose from.
      seeds: used by default; None leaves the choice to the program.
      cache: add --cache, a folder of frame vectors that several programs share.
      differences: whether the program writes differences of the rows that the result file holds, whatever it ran: the
        study `differences` then runs nothing else.
    """

    def __init__(
        self,
        description: str | None,
        name: str,
        studies: Iterable[str],
        *,
        seeds: Sequence[int] | None,
        cache: bool = False,
        differences: bool = False,
    ):
        super().__init__(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
        self.studies = (*studies, DIFFERENCES) if differences else tuple(studies)
        self.settings: list[str] = []
        self.add_argument("studies", nargs="*", metavar="|".join(self.studies), help="what to run (default: all)")
        self.add_argument("--seeds", type=int, nargs="+", default=seeds if seeds is None else list(seeds))
        self.add_argument("--work", type=Path, default=Path("runs") / name, help="where trainings are kept")
        if cache:
            shared = Path("runs/frame-vectors")
            self.add_argument("--cache", type=Path, default=shared, help="frame vectors, shared by programs")

    def add_setting(self, name: str, **options: Any) -> None:
        """As `add_argument`, an option that changes what is measured."""
        self.settings.append(self.add_argument(name, **options).dest)

    def read(self, arguments: Sequence[str] | None = None) -> argparse.Namespace:
        """The parsed command line, with what follows from it.

        Returns:
          All options; `studies` holds what to run, without `differences`. `publish` is False where a setting is not
          its default, which a line says; `work` is then a folder of these settings. `complete` is True where every
          option but folders is its default, so that the result file can be written anew.

        Raises:
          SystemExit: as argparse's, also for a study that there is not.
        """
        args, defaults = self.parse_args(arguments), vars(self.parse_args([]))
        if unknown := sorted(set(args.studies) - set(self.studies)):
            self.error(f"no study {unknown[0]!r}: choose from {', '.join(self.studies)}")
        changed = {name: value for name, value in vars(args).items() if value != defaults[name]}
        args.complete = not changed.keys() - {"work", "cache"}
        settings = " ".join(f"{name} {changed[name]}" for name in self.settings if name in changed)
        args.publish = not settings
        if settings:
            args.work = args.work / re.sub(r"[^\w.]+", "-", settings)
            print(f"not the published settings, so that the result file stays as it is: {settings}")
        args.studies = [study for study in args.studies or self.studies if study != DIFFERENCES]
        return args
