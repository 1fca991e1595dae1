"""Makes the pictures of `jaxret serve` from a real browser: `python docs/pictures/make_page_pictures.py`.

It needs the extras `serve` and `browser`, and Chromium. Twelve films are cut together of moving digits and described by
a small network of random weights; a part of one of them, encoded anew, is the query.
"""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from flax import nnx
from PIL import Image
from playwright.sync_api import sync_playwright

import jaxret
from jaxret.data.datasets.moving_digits import MovingDigits
from jaxret.data.decode.write import write_video
from jaxret.models import Mean, create_backbone
from jaxret.models.encoder import VideoEncoder
from jaxret.preprocessing import Preprocessing

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))  # which start servers alike

from common.serving import served

PICTURES = Path(__file__).parent
FILMS, SHOTS, FPS, SIDE = 12, 8, 12, 128
PART = slice(50, 110)  # frames of the fourth film
CHUNKS = '{"class":"VectorSearch","every_clip":true}'
SEQUENCES = '{"class":"SequenceSearch","measure":"dtw","part":"query"}'


def main() -> None:
    """A search, a comparison, and a search on a phone."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_films(folder)
        make_index(folder)
        with served(folder / "films") as (address, _), sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
            desk = browser.new_page(viewport={"width": 1280, "height": 800})
            search(desk, f"{address}?options={CHUNKS}", folder / "query.mp4")
            desk.locator("[aria-posinset='1'] .card-open").click()
            keep(desk, "page_results.jpg")
            search(desk, f"{address}?options={SEQUENCES}", folder / "query.mp4")
            desk.locator("[aria-posinset='1'] .card-open").focus()
            desk.keyboard.press("c")
            slider = desk.get_by_label("Step of the alignment")
            slider.fill("4")
            slider.blur()
            keep(desk, "page_compare.jpg")
            phone = browser.new_page(viewport={"width": 390, "height": 800}, color_scheme="dark", has_touch=True)
            search(phone, f"{address}?options={CHUNKS}", folder / "query.mp4")
            keep(phone, "page_phone.jpg")
            browser.close()


def make_films(folder: Path) -> None:
    """FILMS films of SHOTS shots, and the query beside them."""
    digits = MovingDigits(train_clips=4, validation_clips=0, test_clips=0, frames=24, size=SIDE, fps=FPS)
    chosen = np.random.default_rng(0).permutation(len(digits))[: FILMS * SHOTS]
    (folder / "media").mkdir()
    for number, items in enumerate(chosen.reshape(FILMS, SHOTS)):
        frames = np.concatenate(digits.render(items))
        write_video(folder / "media" / f"film {number + 1:02d}.mp4", frames, fps=FPS)
        if number == 3:
            write_video(folder / "query.mp4", frames[PART], fps=FPS)


def make_index(folder: Path) -> None:
    """Half a second is one vector."""
    rngs = nnx.Rngs(0)
    backbone = create_backbone("small-convnet", widths=[16, 32], embedding_size=64, rngs=rngs)
    preprocessing = Preprocessing(height=64, width=64, frames=6, chunk_seconds=0.5)
    retriever = jaxret.Retriever.create(folder / "films", VideoEncoder(backbone, Mean(64, rngs=rngs), preprocessing))
    retriever.add(jaxret.open_dataset(str(folder / "media")))


def search(page: Any, address: str, query: Path) -> None:
    """Open the page, and search with a file."""
    page.goto(address)
    page.locator(".card").first.wait_for(state="attached")
    page.set_input_files("#choose-files", str(query))
    page.locator(".score").first.wait_for(state="attached", timeout=120_000)


def keep(page: Any, name: str) -> None:
    """What the page shows once it stands still, as a small JPEG."""
    page.wait_for_timeout(2500)
    page.evaluate("document.querySelectorAll('video').forEach((one) => one.pause())")
    page.wait_for_timeout(500)
    with Image.open(io.BytesIO(page.screenshot())) as shot:
        small = shot.convert("RGB").resize((3 * shot.width // 4, 3 * shot.height // 4), Image.Resampling.LANCZOS)
        small.save(PICTURES / name, quality=75, optimize=True)


if __name__ == "__main__":
    main()
