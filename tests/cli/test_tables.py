"""Tables in the terminal: plain lines in a pipe, and names that are never cut."""

from __future__ import annotations

import errno
import io
import json
import re
import sys

import pytest

from jaxret.cli.run import run_command
from jaxret.cli.tables import print_hits, print_json, print_report
from jaxret.data.items import MediaItem
from jaxret.errors import MediaError
from jaxret.plain_text import print_text
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


ODD = "caf\udce9 \u65e5 \x1b[2J\r\n\u202egnp"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8", "utf-16"])
def test_any_name_is_printed_on_any_terminal(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    print_hits([Hit(MediaItem(ODD, "image", label=ODD), float(number)) for number in range(3)])
    print_report(Report({ODD: {"mAP": 0.5, "queries": 3.0}}, "measured", None, None))
    print_text(f"one {ODD}")
    print_json([Hit(MediaItem(ODD, "image"), 0.0)])
    sys.stdout.flush()
    told = written.getvalue().decode(encoding)
    assert told.count(r"\x1b[2J\r") >= 7
    assert not set(told) & set("\x1b\r\u202e")
    assert ("\u65e5" in told) == encoding.startswith("utf")
    assert json.loads(told.splitlines()[-1])["key"] == ODD


def test_errors_are_printed_on_any_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(written, encoding="ascii"))

    def fail(argv: object) -> int:
        raise MediaError(ODD, "no such file")

    assert run_command(fail, []) == 2
    sys.stderr.flush()
    assert written.getvalue().startswith(rb"jaxret: error: caf\udce9 \u65e5 \x1b[2J")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/tmp/x/y"), r"/tmp/x/y: cannot be written: .*MB are free"),
        (OSError(errno.ENOSPC, "No space left on device"), r"cannot be written: .*MB are free"),
        (MemoryError("Unable to allocate 4 PiB"), r"more memory is needed than there is: Unable to allocate 4 PiB"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), r"error: /x: Permission denied$"),
        (OverflowError("too large"), "too large"),
    ],
)
def test_what_the_machine_refuses_is_one_line(
    capsys: pytest.CaptureFixture[str], error: Exception, message: str
) -> None:
    def fail(argv: object) -> int:
        raise error

    assert run_command(fail, []) == 2
    told = capsys.readouterr().err
    assert re.search(message, told)
    assert told.count("\n") == 1
