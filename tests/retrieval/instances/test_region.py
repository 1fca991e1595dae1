"""Boxes that a user draws: as text, in pixels and shares, cut at the border, and what is wrong with them."""

from __future__ import annotations

import numpy as np
import pytest

from jaxret.retrieval import Region
from jaxret.retrieval.region import scaled_box


@pytest.mark.parametrize(
    ("text", "box"),
    [
        ("40,30,100,80", (40, 30, 140, 110)),
        ("0.5,0.25,0.25,0.5", (160, 60, 240, 180)),
        ("0,0,1,1", (0, 0, 320, 240)),  # shares: the whole image, not its first pixel
        ("0,0,1.5,1", (0, 0, 1.5, 1)),  # one number above 1: pixels
        (" 3.5, 2 ,1e1,7 ", (3.5, 2, 13.5, 9)),
        ("300,200,500,500", (300, 200, 320, 240)),  # cut at the border
        ("0.9,0.9,0.5,0.5", (288, 216, 320, 240)),
        ("319.5,0,9,9", (319.5, 0, 320, 9)),
    ],
)
def test_boxes_in_pixels_and_shares(text: str, box: tuple[float, ...]) -> None:
    found = Region.parse(text).box((240, 320))
    assert found == pytest.approx(box)
    assert all(type(side) is float for side in found)


def test_which_kind_of_numbers_can_be_said() -> None:
    assert Region(0, 0, 1, 1, shares=False).box((20, 30)) == (0, 0, 1, 1)
    assert Region(0, 0, 2, 2, shares=True).box((20, 30)) == (0, 0, 30, 20)
    assert Region(np.int64(3), np.float32(4), np.float64(5), 6).box((20, 30)) == (3, 4, 8, 10)
    assert str(Region(0.25, 0.5, 0.125, 0.5)) == "0.25,0.5,0.125,0.5"
    assert Region.parse(str(Region(3, 4.5, 5, 6))) == Region(3, 4.5, 5, 6)


@pytest.mark.parametrize("text", ["", "1,2,3", "1,2,3,4,5", "a,b,c,d", "1;2;3;4", "1,2,,4"])
def test_text_that_is_no_region(text: str) -> None:
    with pytest.raises(
        ValueError, match=r"a region must be X,Y,WIDTH,HEIGHT, in pixels or in shares of the image, got "
    ):
        Region.parse(text)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((0, 0, float("nan"), 1), r"a region must be four finite numbers X,Y,WIDTH,HEIGHT, got \(0, 0, nan, 1\)"),
        ((0, float("inf"), 1, 1), "must be four finite numbers"),
        (("1", 0, 1, 1), "must be four finite numbers"),
        ((True, 0, 1, 1), "must be four finite numbers"),
        ((3, 4, 0, 5), "the region 3,4,0,5 is empty: its width and height must be above 0"),
        ((3, 4, 5, -2), "the region 3,4,5,-2 is empty"),
        ((-1, 4, 5, 5), "the region -1,4,5,5 begins outside the image: x and y must be at least 0"),
        ((1, -4, 5, 5), "begins outside the image"),
    ],
)
def test_numbers_that_are_no_region(numbers: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Region(*numbers)


@pytest.mark.parametrize("region", [Region(320, 0, 5, 5), Region(5, 240, 5, 5), Region(1, 0, 0.5, 0.5)])
def test_regions_beside_the_image(region: Region) -> None:
    with pytest.raises(ValueError, match=rf"the region {region} lies outside the image of 320 x 240 pixels"):
        region.box((240, 320))


def test_a_region_that_rounding_leaves_nothing_of() -> None:
    with pytest.raises(ValueError, match="the region 300,0,1e-20,5 is empty on an image of 320 x 240 pixels"):
        Region(300, 0, 1e-20, 5).box((240, 320))


def test_boxes_go_with_the_image() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        before, after = (tuple(rng.integers(1, 900, 2).tolist()) for _ in range(2))
        shares = np.sort(rng.uniform(0, 1, (2, 2)), axis=0).reshape(-1)
        box = tuple(shares * np.tile(before[::-1], 2))
        np.testing.assert_allclose(scaled_box(box, before, after), shares * np.tile(after[::-1], 2))
    with pytest.raises(ValueError, match="box must have left <= right"):
        scaled_box((5, 0, 1, 9), (10, 10), (20, 20))
