"""Flags made of dataclasses: what the help says of them, what is given, and what does not go together."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

import jaxret
from jaxret.cli.flags import chosen_options, parse
from jaxret.cli.option_names import as_typed, flags_of
from jaxret.errors import ConfigError, MediaError
from jaxret.rank import METRICS
from jaxret.recipes import RECIPES
from jaxret.retrieval.options import OPTION_CLASSES, RegionSearch, SequenceSearch, VectorSearch
from jaxret.retrieval.region import Region
from jaxret.train import main as train


@dataclasses.dataclass(frozen=True)
class Look:
    """Look for something.

    Attributes:
      index: where to look.
      k: how many.
      json: as JSON.
      ks: cut-offs.
    """

    index: Path
    k: int = 10
    json: bool = False
    ks: tuple[int, ...] | None = None


@dataclasses.dataclass(frozen=True)
class Extended(VectorSearch):
    """Vectors, and more.

    Attributes:
      weight_of_colour: how much colours count.
    """

    weight_of_colour: float = 0.25


def help_of(capsys: pytest.CaptureFixture[str], *options: type) -> str:
    with pytest.raises(SystemExit) as ended:
        parse(["--help"], Look, options, prog="look")
    assert ended.value.code == 0
    return " ".join(capsys.readouterr().out.replace("│", " ").split())


def test_a_field_of_an_option_class_is_a_flag_with_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--weight-of-colour" not in help_of(capsys, VectorSearch)
    shown = help_of(capsys, Extended)
    assert "Look for something." in shown
    assert "INDEX where to look. (required)" in shown
    assert "--weight-of-colour FLOAT how much colours count. (default: 0.25)" in shown
    assert f"--metric {{{','.join(METRICS)}}}" in shown
    args, given = parse(["x", "--weight-of-colour", "0.5", "--par", "-0.5", "-k", "3"], Look, [Extended], prog="look")
    assert args == Look(Path("x"), 3)
    assert chosen_options(given, [Extended], "") == Extended(min_cosine=-0.5, weight_of_colour=0.5)


def test_a_metric_that_a_program_adds_is_a_choice(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METRICS, "manhattan", METRICS["euclidean"])
    assert "--metric {euclidean,cosine,hamming,manhattan}" in help_of(capsys, VectorSearch)
    _, given = parse(["x", "--metric", "manhattan"], Look, [VectorSearch], prog="look")
    assert chosen_options(given, [VectorSearch], "") == VectorSearch(metric="manhattan")


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ("", None),
        ("--ks 1 5 --json", None),
        ("--every-clip", VectorSearch(every_clip=True)),
        ("--metric cosine --rerank 20", VectorSearch(metric="cosine", rerank=20)),
        ("--sequence dtw", SequenceSearch("dtw")),
        ("--sequence bi-dtw --subsequence", SequenceSearch("bi-dtw", "query")),
        ("--subsequence --sequence bi-dtw", SequenceSearch("bi-dtw", "query")),
        ("--sequence dtw --subsequence item --length-normalised", SequenceSearch("dtw", "item", True)),
        (
            "--sequence bi-dtw --unit-vectors --reversal-penalty 0.1 --window 4",
            SequenceSearch("bi-dtw", unit_vectors=True, reversal_penalty=0.1, window=4),
        ),
        ("--region 1,2,3,4 --at 2.5", RegionSearch(Region(1, 2, 3, 4), at=2.5)),
        ("--candidates 100", RegionSearch()),  # given, though it is the default
        (
            "--idf --centre --expand 2 --surroundings 0.3",
            RegionSearch(idf=True, centre=True, expand=2, surroundings=0.3),
        ),
    ],
)
def test_flags_make_the_options(words: str, options: object) -> None:
    _, given = parse(["x", *words.split()], Look, OPTION_CLASSES, prog="look", without=("probes",))
    assert chosen_options(given, OPTION_CLASSES, "this is a test") == options


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--idf --expand 2", "--idf, --expand belongs to region search, and this is a test: leave it out"),
        ("--par 0.5 --sequence dtw", "--par belongs to vector search, --sequence to sequence search: give one kind"),
        ("--subsequence item", "--subsequence belongs to sequence search: name --sequence, too"),
        ("--region 1,2,3", "a region must be X,Y,WIDTH,HEIGHT, in pixels or in shares of the image, got '1,2,3'"),
        ("--rerank 0", "rerank must be at least 1, got 0"),
        ("--par nan", "min_cosine must be a finite number, got nan"),
        ("--every-clip --par 0.5", "every_clip ranks all chunks or shots"),
        ("--sequence dtw --reversal-penalty 0.1", "reversal_penalty is of bi-dtw"),
        ("--sequence mean-cosine --subsequence", "mean-cosine compares whole sequences"),
    ],
)
def test_what_is_wrong_is_one_line(words: str, message: str) -> None:
    def options() -> object:
        _, given = parse(["x", *words.split()], Look, OPTION_CLASSES, prog="look")
        return chosen_options(given, (VectorSearch, SequenceSearch), "this is a test")

    with pytest.raises(ValueError, match=message) as error:
        options()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "Missing from look: INDEX"),
        ("x --metrik cosine", "Unrecognized options: --metrik"),
        ("x --metric manhattan", "invalid choice 'manhattan' for argument '--metric'"),
        ("x --sequence bi-dtw-printed", "invalid choice 'bi-dtw-printed' for argument '--sequence'"),
        ("x --probes 3", "Unrecognized options: --probes"),
        ("x -k many", "invalid literal for int"),
    ],
)
def test_words_that_cannot_be_parsed_end_with_status_2(
    capsys: pytest.CaptureFixture[str], words: str, message: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(words.split(), Look, OPTION_CLASSES, prog="look", without=("probes",))
    assert ended.value.code == 2
    assert message in " ".join(capsys.readouterr().err.replace("│", " ").split())


@pytest.mark.parametrize("verb", ["index", "search", "evaluate"])
def test_help_needs_no_jax(verb: str) -> None:
    code = f"""
import contextlib, io, sys
from jaxret.__main__ import dispatch
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    dispatch(["{verb}", "--help"])
sys.exit("jax" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_package_is_quick_to_import_and_offers_its_names() -> None:
    code = "import sys, jaxret; sys.exit(any(name in sys.modules for name in ('jax', 'numpy')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    for name in jaxret.__all__:
        assert getattr(jaxret, name) is not None
    assert set(jaxret.__all__) <= set(dir(jaxret))
    with pytest.raises(AttributeError, match="module 'jaxret' has no attribute 'Retreiver'"):
        jaxret.Retreiver  # noqa: B018


def test_options_that_fit_nothing_are_refused_before_values_are_read() -> None:
    _, given = parse(["x", "--candidates", "-1"], Look, OPTION_CLASSES, prog="look")
    with pytest.raises(ConfigError, match="--candidates belongs to region search, and X is an index of clips"):
        chosen_options(given, (VectorSearch,), "X is an index of clips")


def test_errors_name_what_was_typed():
    @as_typed(OPTION_CLASSES)
    def refuse(error):
        raise error

    with pytest.raises(ConfigError, match=r"^--par needs x, --every-clip y; metric and other_name stay$"):
        refuse(ConfigError("min_cosine needs x, every_clip y; metric and other_name stay"))
    with pytest.raises(
        ValueError, match=r"^--every-clip ranks all chunks or shots: .* without --par, probes and device$"
    ):
        as_typed(OPTION_CLASSES)(VectorSearch)(min_cosine=0.5, every_clip=True)
    with pytest.raises(
        ConfigError, match=r"^every_clip/a\.mp4, /x/min_cosine and min_cosine\.csv: metric cosine, --metric l2$"
    ):
        refuse(ConfigError("every_clip/a.mp4, /x/min_cosine and min_cosine.csv: metric cosine, metric=l2"))
    with pytest.raises(ConfigError, match=r"^--metric must be another, and metric must stay$"):
        refuse(ConfigError("metric must be another, and metric must stay"))
    with pytest.raises(MediaError, match="min_cosine"):
        refuse(MediaError("min_cosine.png", "no such file"))


def test_what_the_settings_of_a_training_refuse_names_flags(tmp_path: Path) -> None:
    out = ["--out", str(tmp_path / "run")]
    for words, message in [
        (["conv-lstm", "--pixel-mean", "3"], "^--pixel-mean and --pixel-deviation go together"),
        (["cnn-lstm", "--warmup-steps", "-1"], "^--warmup-steps must be at least 0, got -1"),  # of a dataclass in it
        (["cnn-lstm", "--split-column", "part", *out], "^--split-column names a column of a CSV"),
        (["conv-lstm", "--from", "nothing", *out], "^--from nothing holds no encoder to begin with"),
    ]:
        with pytest.raises(ConfigError, match=message):
            train(words)


def test_every_setting_of_a_recipe_has_one_flag() -> None:
    for recipe in RECIPES.values():
        flags = flags_of(type(recipe.config))
        assert len(set(flags.values())) == len(flags), recipe.name
    assert flags_of(type(RECIPES["conv-lstm"].config))["initial_run"] == "--from"
