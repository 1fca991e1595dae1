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
        (["--name", "films.example"], r"--name films.example is how other machines reach it: it needs a --token"),
        (["--token", "short"], r"--token must be at least 16 letters and digits"),
        (["--token", "a; Path=/; sixteen letters"], r"--token must be at least 16 letters and digits"),
        (["--port", "70000"], r"port must be 0 to 65535, got 70000"),
        (["--media-root", "nowhere"], r"--media-root nowhere is not a folder"),
    ],
)
def test_what_is_wrong_is_named(words: list[str], message: str, made: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        dispatch(["serve", str(made / "runs" / "clips"), *words])


def test_the_environment_says_the_token(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAXRET_TOKEN", "short")
    with pytest.raises(ConfigError, match="--token must be at least 16 letters"):
        dispatch(["serve", str(made / "runs" / "clips")])
    monkeypatch.setenv("JAXRET_TOKEN", "a-token-of-many-letters")
    with pytest.raises(ConfigError, match=r"--host 203\.0\.113\.7 --port 0: "):  # an address that no machine has
        dispatch(["serve", str(made / "runs" / "clips"), "--host", "203.0.113.7", "--port", "0"])


def test_a_folder_that_is_no_index_is_named(tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"manifest\.json"):
        dispatch(["serve", str(tmp_path), "--port", "0"])
