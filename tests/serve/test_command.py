"""The command line of `jaxret serve`."""

from __future__ import annotations

from pathlib import Path

import pytest

from jaxret.__main__ import dispatch
from jaxret.errors import ConfigError

pytest.importorskip("starlette", reason="the extra serve is not installed")


def test_it_stands_among_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["--help"]) == 0
    assert "  serve     open a page on this machine" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--host", "0.0.0.0"], r"--host 0.0.0.0 can be reached by other machines: it needs a --token, too"),
        (["--host", "::"], r"--host :: can be reached by other machines"),
        (["--token", "short"], r"--token must be at least 16 letters and digits"),
        (["--token", "a; Path=/; sixteen letters"], r"--token must be at least 16 letters and digits"),
        (["--port", "70000"], r"port must be 0 to 65535, got 70000"),
        (["--media-root", "nowhere"], r"--media-root nowhere is not a folder"),
    ],
)
def test_what_is_wrong_is_named(words: list[str], message: str, made: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        dispatch(["serve", str(made / "runs" / "clips"), *words])


def test_a_folder_that_is_no_index_is_named(tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"manifest\.json"):
        dispatch(["serve", str(tmp_path), "--port", "0"])
