"""What the accuracy programs share on their command lines: named studies, seeds, and the folders that they keep."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path


class StudyParser(argparse.ArgumentParser):
    """Parses the names of studies (none: all), seeds and working folders; programs add what only they have.

    Args:
      description: the program's docstring.
      name: of the program; its work is kept in runs/<name>.
      studies: the names to choose from.
      seeds: used by default; None leaves the choice to the program.
      cache: add --cache, a folder of frame vectors that several programs share.
    """

    def __init__(
        self,
        description: str | None,
        name: str,
        studies: Iterable[str],
        *,
        seeds: Sequence[int] | None,
        cache: bool = False,
    ):
        super().__init__(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
        self.studies = tuple(studies)
        self.add_argument("studies", nargs="*", metavar="|".join(self.studies), help="what to run (default: all)")
        self.add_argument("--seeds", type=int, nargs="+", default=seeds if seeds is None else list(seeds))
        self.add_argument("--work", type=Path, default=Path("runs") / name, help="where trainings are kept")
        if cache:
            shared = Path("runs/frame-vectors")
            self.add_argument("--cache", type=Path, default=shared, help="frame vectors, shared by programs")

    def read(self, arguments: Sequence[str] | None = None) -> argparse.Namespace:
        """The parsed command line. `studies` holds what to run; `complete` is True where that is all of them.

        Raises:
          SystemExit: as argparse's, also for a study that there is not.
        """
        args = self.parse_args(arguments)
        if unknown := sorted(set(args.studies) - set(self.studies)):
            self.error(f"no study {unknown[0]!r}: choose from {', '.join(self.studies)}")
        args.complete = not args.studies
        args.studies = args.studies or list(self.studies)
        return args
