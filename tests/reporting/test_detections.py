"""The image of detections and proposals: boxes stand where they should, in their colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxret.reporting.detections import DetectedImage, DrawnBox, draw_detections


def test_boxes_are_drawn_where_they_are(tmp_path: Path) -> None:
    pixels = np.zeros((120, 100, 3), np.uint8)  # drawn twice as large
    detections = [DrawnBox((10, 40, 30, 60), right=True), DrawnBox((60, 60, 90, 90), "cat 0.5")]
    images = [DetectedImage(pixels, "a.png", [(10, 80, 30, 110)], detections, [(40, 50, 70, 80)])] * 3
    draw_detections(tmp_path / "seen.png", images)
    page = np.asarray(Image.open(tmp_path / "seen.png")).astype(int)
    left, top = 8, 16
    green, red, blue = (40, 190, 80), (225, 60, 60), (70, 130, 250)
    assert tuple(page[top + 100, left + 20]) == green
    assert tuple(page[top + 150, left + 120]) == red
    assert tuple(page[top + 200, left + 20]) == (255, 255, 255)
    right = left + 200 + 8  # the second panel
    assert tuple(page[top + 130, right + 80]) == blue
    assert tuple(page[top + 200, right + 20]) == (255, 255, 255)
    assert not (page[top : top + 240, right : right + 200] == green).all(axis=-1).any()
    assert (page[top + 264 : top + 504, left : left + 200] == page[top : top + 240, left : left + 200]).all()  # row 2
    with pytest.raises(ValueError, match="images must hold at least one image"):
        draw_detections(tmp_path / "none.png", [])
