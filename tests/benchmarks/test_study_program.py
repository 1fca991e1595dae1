"""A call of an accuracy program publishes what it measures only with the settings of the result file."""

from __future__ import annotations

from pathlib import Path

import pytest
from common.study_program import StudyParser


def parser() -> StudyParser:
    made = StudyParser("About.", "some", ("table", "codes"), seeds=(0, 1), cache=True)
    made.add_setting("--side", type=int, default=384)
    made.add_setting("--weights", type=Path, default=Path("/nets/a.h5"))
    made.add_argument("--systems", nargs="+", default=["a", "b"])
    return made


@pytest.mark.parametrize("words", ["", "--work w --cache c", "--side 384 --seeds 0 1 --systems a b"])
def test_what_is_all_defaults_is_complete(words: str) -> None:
    args = parser().read(words.split())
    assert args.complete
    assert args.publish
    assert args.studies == ["table", "codes"]
    assert args.work == Path("w" if "--work" in words else "runs/some")


@pytest.mark.parametrize("words", ["table", "--seeds 0", "--systems b", "table codes"])
def test_a_part_is_published_beside_the_rest(words: str) -> None:
    args = parser().read(words.split())
    assert args.publish
    assert not args.complete
    assert args.work == Path("runs/some")


def test_other_settings_are_kept_apart_and_not_published(capsys: pytest.CaptureFixture[str]) -> None:
    args = parser().read(["--side", "512", "--weights", "/nets/b.h5", "--work", "w"])
    assert not args.publish
    assert not args.complete
    assert args.work == Path("w/side-512-weights-nets-b.h5")
    assert "side 512 weights /nets/b.h5" in capsys.readouterr().out
    assert parser().read(["--side", "256"]).work == Path("runs/some/side-256")


def test_differences_alone_run_nothing() -> None:
    pairing = StudyParser("About.", "some", ("table", "codes"), seeds=(0, 1), differences=True)
    assert pairing.read([]).studies == ["table", "codes"]
    alone = pairing.read(["differences"])
    assert alone.studies == []
    assert alone.publish
    assert not alone.complete  # the rows of the result file stay
    with pytest.raises(SystemExit):
        parser().read(["differences"])
