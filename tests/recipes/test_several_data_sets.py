"""Trainings on several data sets with a label map: from the settings to the splits."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from jaxret.errors import ConfigError
from jaxret.recipes.clips.cnn_lstm import CnnLstmConfig
from jaxret.recipes.opening import NOTHING_MEASURED, open_labelled_data
from jaxret.recipes.recipe import RunContext, open_config
from jaxret.training import RunFolder


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Images of three classes to train on, and of two others to test on, one of them of another name."""
    for folder, labels in (("mine", "abc"), ("theirs", "Ad")):
        for label in labels:
            (tmp_path / folder / label).mkdir(parents=True)
            for number in range(2 if label == "c" else 12):
                Image.new("L", (8, 8), number).save(tmp_path / folder / label / f"{number}.png")
    (tmp_path / "map.csv").write_text("dataset,label,name\ntheirs,A,a\n")
    return tmp_path


def test_settings_become_one_data_set_and_survive_the_run_folder(folders: Path) -> None:
    config = CnnLstmConfig(
        data=str(folders / "mine"),
        test_data=(str(folders / "theirs"),),
        label_map=folders / "map.csv",
        least_class_size=3,
    )
    lines: list[str] = []
    run = RunFolder(folders / "run")
    context = RunContext(run, "cnn-lstm", lines.append, show_progress=False)
    data = open_labelled_data(config, context)
    assert (data.splits.seen, data.splits.unseen) == (("a", "b"), ("d",))
    assert len(data.splits.train) + len(data.splits.validation) == 24
    assert {data.dataset.items[n].key[:8] for n in data.splits.test} == {"theirs/A", "theirs/d"}
    assert lines[0].startswith(f"{folders / 'mine'} + {folders / 'theirs'}: 50 items (0 unreadable; note: 1 of 3 tr")
    assert "2 classes to train on and 1 unseen; " in lines[0]
    run.write_config("cnn-lstm", config)
    assert open_config(run)[1] == config


@pytest.mark.parametrize(("files", "told"), [(3, True), (7, True), (8, False)])
def test_a_test_split_that_measures_nothing_is_told_before_the_training(tmp_path: Path, files: int, told: bool) -> None:
    for label in "abc":
        (tmp_path / "mine" / label).mkdir(parents=True)
        for number in range(files):
            Image.new("L", (8, 8), number).save(tmp_path / "mine" / label / f"{number}.png")
    lines: list[str] = []
    context = RunContext(RunFolder(tmp_path / "run"), "cnn-lstm", lines.append, show_progress=False)
    open_labelled_data(CnnLstmConfig(data=str(tmp_path / "mine")), context)
    if files == 3:  # which is too few for a tenth to validate
        warning = lines.pop(1)
        assert warning.startswith("warning: no item is left for validation, so that the last weights are kept in the")
    assert lines[1:] == ([f"note: {NOTHING_MEASURED}"] if told else [])


def test_a_small_class_size_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="least_class_size must be at least 0, got -1"):
        CnnLstmConfig(least_class_size=-1)
