"""Tables in the terminal: plain lines in a pipe, and names that are never cut."""

from __future__ import annotations

import io
import re
import sys

import pytest

from jaxret.cli.tables import print_hits, print_report
from jaxret.data.items import MediaItem
from jaxret.retrieval import Hit, Report

NAME = "a [bold]name[/bold] of " + "very " * 40 + "many words.mp4"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_lines_of_a_pipe_are_plain_and_whole(capsys: pytest.CaptureFixture[str]) -> None:
    hits = [
        Hit(MediaItem(NAME, "video", label="[red]"), 0.25, span=(1.0, 2.5), cosine=0.5),
        Hit(MediaItem("b.png", "image"), 10.5),
    ]
    print_hits(hits)
    header, first, second = capsys.readouterr().out.splitlines()
    assert header.split() == ["distance", "cosine", "where", "label", "item"]
    assert first.split()[:6] == ["1", "0.2500", "0.5000", "1.0-2.5", "s", "[red]"]
    assert first.endswith(f"  {NAME}")
    assert second.split() == ["2", "10.5000", "b.png"]
    assert "\x1b" not in header + first + second
    print_hits([], "nothing at all")
    assert capsys.readouterr().out == "nothing at all\n"


def test_a_terminal_folds_a_name_and_cuts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    monkeypatch.setenv("COLUMNS", "80")
    print_hits([Hit(MediaItem("n" * 200, "image"), 1.0)])
    assert "\x1b[1m" in terminal.getvalue()  # a bold header
    lines = re.sub(r"\x1b\[\d+m", "", terminal.getvalue()).splitlines()
    assert max(map(len, lines)) <= 80
    assert sum(line.count("n") for line in lines[1:]) == 200


def test_a_report_is_a_line_a_group(capsys: pytest.CaptureFixture[str]) -> None:
    figures = {"all": {"mAP": 0.5, "queries": 3.0, "queries_excluded": 1.0}, "a class": {"mAP": 1.0, "queries": 1.0}}
    print_report(Report(figures, "by hand", None, None))
    assert capsys.readouterr().out.splitlines() == [
        "by hand",
        "            mAP  queries",
        "all      0.5000        3",
        "a class  1.0000        1",
    ]
