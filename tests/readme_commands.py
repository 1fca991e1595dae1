"""The lists of commands in the README and the docs, run as they stand there."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from jaxret.__main__ import dispatch
from jaxret.cli.run import run_command

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def readme_commands(name: str, places: Mapping[str, Path | str]) -> list[list[str]]:
    """The words of every line of the list `name`, with those that `places` knows replaced; the first is jaxret."""
    pattern = re.compile(rf"<!-- commands: {name} -->\n```\n(.*?)```", re.S)
    blocks = [found[1] for page in PAGES if (found := pattern.search(page.read_text(encoding="utf-8")))]
    assert len(blocks) == 1, f"{len(blocks)} lists are called {name}"
    lines = [[str(places.get(word, word)) for word in shlex.split(line)] for line in blocks[0].splitlines()]
    assert all(words[0] == "jaxret" for words in lines)
    return lines


def run_readme_commands(name: str, places: Mapping[str, Path], train_words: Sequence[str], cwd: Path) -> None:
    """Run every line of the list `name` in this process; each must succeed and print something.

    Args:
      name: of the list.
      places: words of the list to the files and folders that they stand for.
      train_words: what is added to trainings: the full one is for people, everything else is as written.
      cwd: where.
    """
    for words in readme_commands(name, places):
        line = shlex.join(words)
        output, errors = io.StringIO(), io.StringIO()
        with contextlib.chdir(cwd), contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            status = run_command(dispatch, [*words[1:], *(train_words if words[1] == "train" else [])])
        assert status == 0, f"{line}\n{output.getvalue()}\n{errors.getvalue()}"
        assert output.getvalue().strip(), line
