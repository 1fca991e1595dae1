"""A real browser before the real server, at the width of a desk and of a phone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from foundation_making import CROPPED, clip_arrays, clip_config, tokenizer_json, write_folder
from PIL import Image
from serve.browser.person import Person
from serve.server import running

from jaxret import build_index
from jaxret.data.decode.write import write_video

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
SIZES = {"desk": (1360, 860), "phone": (390, 844)}
WITHOUT_GPU = ["--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required"]


@pytest.fixture(scope="session")
def media(made: Path) -> Path:
    """Beside what was made before: a film that browsers cannot play, and folders to index, a broken file in each."""
    rng = np.random.default_rng(0)
    pieces = rng.integers(0, 255, (4, 6, 8, 3), np.uint8)
    frames = np.repeat(pieces, 8, axis=0).repeat(16, axis=1).repeat(16, axis=2)  # (32, 96, 128, 3)
    write_video(made / "old.avi", frames, fps=8)
    for holiday in SIZES:
        more = made / "more" / holiday
        more.mkdir(parents=True)
        for number, pixels in enumerate(rng.integers(0, 255, (4, 6, 8, 3), np.uint8)):
            Image.fromarray(np.kron(pixels, np.ones((16, 16, 1), np.uint8))).save(more / f"{number}.png")
        (more / "broken.jpg").write_bytes(b"no image at all")
    return made


@pytest.fixture(scope="session")
def words_index(media: Path) -> Path:
    """An index of films and images whose encoder knows words, of random weights."""
    processor = {**CROPPED, "size": {"shortest_edge": 32}, "crop_size": 32}
    encoder = write_folder(
        media / "clip", clip_config(), clip_arrays(), processor, tokenizer=tokenizer_json(start="<start>", end="<end>")
    )
    both = media / "films and images"
    shutil.copytree(media / "media", both / "films")
    shutil.copytree(media / "pictures", both / "images")
    table = ["key,year,seen"]
    for number, path in enumerate(sorted(path.relative_to(both) for path in both.rglob("*.*"))):
        table.append(f"{path},{2000 + number},{str(number % 3 == 0).lower()}")
    (media / "columns.csv").write_text("\n".join(table) + "\n")
    words = [str(both), str(media / "both"), "--weights", str(encoder), "--columns", str(media / "columns.csv")]
    assert build_index.main(words) in (0, None)
    return media / "both"


@pytest.fixture(scope="session")
def address(media: Path, words_index: Path) -> Iterator[str]:
    """Of a server of all these indexes."""
    runs = [media / "runs" / name for name in ("clips", "sequences", "films", "things")]
    runs.append(Path(shutil.copytree(media / "runs" / "films", media / "runs" / "growing")))
    with running([words_index, *runs], media) as client:
        yield f"http://127.0.0.1:{client.port}/"


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="the extra browser is not installed")
    chromium = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if chromium is None:
        pytest.skip("no Chromium is installed")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=chromium, args=WITHOUT_GPU)
        yield opened
        opened.close()


@pytest.fixture(params=SIZES)
def person(request: pytest.FixtureRequest, browser: Any, address: str, media: Path) -> Iterator[Person]:
    """Someone at the page; what the browser's console complains of fails the test."""
    width, height = SIZES[request.param]
    scheme = {"desk": "light", "phone": "dark"}[request.param]
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, has_touch=request.param == "phone"
    )
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=address.rstrip("/"))
    found = Person(context.new_page(), address, media, phone=request.param == "phone")
    yield found
    context.close()
    assert found.complaints == []
