"""The page of `jaxret serve` in a real browser: how evenly it scrolls through 1,000 results.

    pip install -e '.[serve,browser]'                 # and Chromium, of Debian: apt-get install chromium
    python benchmarks/page_scrolling.py                   # a minute

An index of 1,000 clips of moving digits, of an encoder with random weights, is searched with one of them. The page is
scrolled from the first result to the last by a steady wheel, once so that its images come in, and once more. What is
measured are the times between the frames that the browser draws; the same empty page beside it, scrolled alike, tells
what the browser itself does on this machine. Beside that the share of the time that the page's main thread computes,
which a busy machine hardly changes. Headless, without a GPU: drawing, too, is done by the processor. Results are
benchmarks/results/page_scrolling.json.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from common.results_file import rows_of, write
from common.serving import served

CLIPS, DATA = 1000, "1,000 clips of moving digits"
SIZES = {"desk": (1360, 860), "phone": (390, 844)}
PIXELS_A_SECOND = 1500
SCROLL = """(speed) => new Promise((done) => {
  const times = [];
  const start = performance.now();
  const most = document.documentElement.scrollHeight - innerHeight;
  const step = (now) => {
    times.push(now);
    const top = ((performance.now() - start) / 1000) * speed;
    scrollTo(0, top);
    if (top < most && times.length < 5000) requestAnimationFrame(step);
    else done(times.slice(1).map((time, place) => time - times[place]));
  };
  scrollTo(0, 0);
  requestAnimationFrame(step);
})"""
EMPTY = "<!doctype html><title>empty</title><body style='margin: 0; height: {height}px'></body>"


def make_index(folder: Path) -> None:
    """CLIPS clips, described by a small network of random weights."""
    from flax import nnx

    from jaxret.data.datasets.moving_digits import MovingDigits
    from jaxret.models import Mean, create_backbone
    from jaxret.models.encoder import VideoEncoder
    from jaxret.preprocessing import Preprocessing
    from jaxret.retrieval import Retriever

    rngs = nnx.Rngs(0)
    backbone = create_backbone("small-convnet", widths=[8, 8], embedding_size=16, rngs=rngs)
    encoder = VideoEncoder(backbone, Mean(16, rngs=rngs), Preprocessing(height=32, width=32, frames=4))
    digits = MovingDigits(train_clips=0, validation_clips=0, test_clips=-(-CLIPS // 80), frames=6)
    Retriever.create(folder, encoder).add(digits.subset(np.arange(CLIPS)))


def scroll(page: Any, size: str, setting: str) -> list[dict[str, Any]]:
    """Scroll to the end, and tell of the times between frames what a person sees."""
    thread = page.context.new_cdp_session(page)
    thread.send("Performance.enable", {"timeDomain": "threadTicks"})

    def busy() -> float:
        metrics = thread.send("Performance.getMetrics")["metrics"]
        return 1000 * next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration")

    before = busy()
    times = page.evaluate(SCROLL, PIXELS_A_SECOND)
    thread_time = busy() - before
    thread.detach()
    found = {
        "main thread busy, share": thread_time / sum(times),
        "frames a second": 1000 / float(np.mean(times)),
        "median between frames, ms": float(np.median(times)),
        "99 % within, ms": float(np.percentile(times, 99)),
        "share of frames after more than 25 ms": float(np.mean(np.array(times) > 25)),
        "results in the page": page.locator(".card").count(),
    }
    return rows_of(DATA, size, found, setting=setting)


def measure(page: Any, address: str, name: str) -> list[dict[str, Any]]:
    """Scroll through the results of one search, and through an empty page of the same height."""
    page.goto(address)
    page.locator(".card-open").first.wait_for(state="attached")
    page.evaluate("document.querySelector('.card-open').focus()")
    page.keyboard.press("s")
    page.locator(".score").first.wait_for(state="attached")
    while int(page.locator(".status").text_content().split()[0].replace(",", "")) < CLIPS:  # results come in parts
        page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
        page.wait_for_timeout(100)
    found = []
    for round_name in ("images come in", "images are there"):
        found += scroll(page, name, round_name)
    height = page.evaluate("document.documentElement.scrollHeight")
    page.goto("about:blank")
    page.set_content(EMPTY.format(height=height))
    return found + scroll(page, name, "an empty page")


def main() -> None:
    """Both widths."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    rows = []
    with tempfile.TemporaryDirectory() as name:
        make_index(Path(name) / "index")
        with served(Path(name) / "index") as (address, _), sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
            for size, (width, height) in SIZES.items():
                rows += measure(browser.new_page(viewport={"width": width, "height": height}), address, size)
            browser.close()
    for found in rows:
        print(f"{found['method']:6} {found['setting']:18} {found['metric']:40} {found['value']:g}")
    write("page_scrolling", rows, ["playwright", "starlette", "uvicorn"])


if __name__ == "__main__":
    main()
