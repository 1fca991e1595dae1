"""Progress bars: one line drawn again on a terminal, now and then a line in a log."""

from __future__ import annotations

import io
import sys

import pytest

from jaxret.progress import progress_bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def drawn(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch, **options: bool) -> str:
    monkeypatch.setattr(sys, "stderr", stream)
    with progress_bar("embedding", "item", total=1000, done=200, **options) as bar:
        for _ in range(800):
            bar.update()
    return stream.getvalue()


def test_a_terminal_shows_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    text = drawn(Terminal(), monkeypatch)
    assert text.count("\n") == 1
    assert text.endswith("\n")
    assert text.count("\r") >= 2
    assert "1000/1000" in text


def test_a_log_gets_whole_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = drawn(io.StringIO(), monkeypatch).splitlines()
    assert len(lines) == 2  # how it begins and how it ends: 800 quick updates are no 800 lines
    assert all(line.startswith("embedding: ") and "\r" not in line for line in lines)
    assert "200/1000" in lines[0]
    assert "1000/1000" in lines[1]


@pytest.mark.parametrize("stream", [Terminal(), io.StringIO()])
def test_nothing_is_drawn_where_it_is_not_shown(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    assert drawn(stream, monkeypatch, shown=False) == ""


class Writer:
    """A stream of some other program: it takes text, and tells nothing of itself."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        pass


def test_a_stream_that_does_not_tell_what_it_is_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", stream := Writer())
    with progress_bar(None, "item", total=3) as bar:
        bar.update(3)
    assert stream.text.splitlines()[-1].strip().startswith("100%")
    monkeypatch.setattr(sys, "stderr", idle := Writer())
    with progress_bar(None, "item", total=0):
        pass
    assert idle.text == ""
    monkeypatch.setattr(sys, "stderr", None)  # as pythonw has it
    with progress_bar(None, "item", total=3) as bar:
        bar.update(3)
