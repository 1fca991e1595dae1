"""`jaxret weights` lists what can be read, and tells what files hold."""

from __future__ import annotations

import hashlib

import pytest
from foundation_making import (
    CROPPED,
    dinov2_arrays,
    dinov2_config,
    siglip_arrays,
    siglip_config,
    tokenizer_json,
    write_folder,
)

from jaxret.__main__ import dispatch
from jaxret.errors import WeightsError
from jaxret.models.foundation.known import KNOWN_WEIGHTS
from jaxret.models.foundation.published import FAMILIES


def test_what_is_known_is_listed(capsys):
    assert dispatch(["weights"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for known in KNOWN_WEIGHTS:
        (line,) = [line for line in lines if line.split(" ")[0] == known.name]
        assert f"{known.parameters} M" in line
        assert known.licence in line
    assert {known.family for known in KNOWN_WEIGHTS} <= {"faster-rcnn", *(family.name for family in FAMILIES)}


def test_files_are_described(tmp_path, capsys):
    arrays = dinov2_arrays()
    folder = write_folder(tmp_path / "tiny", dinov2_config(), arrays, CROPPED)
    assert dispatch(["weights", str(folder)]) == 0
    out = capsys.readouterr().out
    parameters = sum(array.size for name, array in arrays.items() if "mask_token" not in name)
    for told in (
        "dinov2, a vision transformer of 2 blocks, 16 wide, patches of 14 pixels",
        "28 x 28 pixels (crop, cut from 36, bicubic)",
        f"{parameters:,} for images, 0 for words",
        hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest(),
    ):
        assert told in out
    with pytest.raises(WeightsError, match=r"config\.json is missing"):
        dispatch(["weights", str(tmp_path)])


def test_a_missing_tokenizer_is_told(tmp_path, capsys):
    pytest.importorskip("tokenizers", reason="needs the extra text")
    folder = write_folder(tmp_path, siglip_config(), siglip_arrays())
    assert dispatch(["weights", str(folder)]) == 0
    told = f"words: left out, for {folder} has no tokenizer: add tokenizer.json or spiece.model or"
    assert told in capsys.readouterr().out
    (folder / "tokenizer.json").write_text(tokenizer_json())
    assert dispatch(["weights", str(folder)]) == 0
    assert "words: left out" not in capsys.readouterr().out


def test_the_path_may_be_left_out(capsys):
    with pytest.raises(SystemExit):
        dispatch(["weights", "--help"])
    assert "jaxret weights [-h] [PATH]" in capsys.readouterr().out
