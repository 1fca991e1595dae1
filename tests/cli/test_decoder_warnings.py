"""Warnings that decoders give name the file that they are about, each of several."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxret.cli.run import run_command
from jaxret.data.decode.image import read_image


def test_each_file_is_named(tmp_path: Path, capsys) -> None:
    paths = []
    for name in ("a.tif", "b.tif"):
        exif = Image.Exif()
        exif[0x0112] = 1
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / name, exif=exif)
        paths.append(tmp_path / name)

    def main(_) -> int:
        def warned(self, *rest):
            warnings.warn_explicit("something is odd", UserWarning, "Tiff.py", 7, module="PIL.TiffImagePlugin")
            return load(self, *rest)

        load = Image.Image.getexif
        Image.Image.getexif = warned
        try:
            for path in paths:
                read_image(path)
        finally:
            Image.Image.getexif = load
        warnings.warn_explicit("not of a file", UserWarning, "PIL.py", 7, module="PIL.other")
        return 0

    with pytest.warns(UserWarning, match="not of a file"):
        assert run_command(main, []) == 0
    told = capsys.readouterr().err
    for path in paths:
        assert f"jaxret: warning: {path}: something is odd" in told
