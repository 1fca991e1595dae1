"""Makes the README's three pictures from real runs: `python docs/pictures/make_pictures.py RUN`.

RUN is the folder that `python -m jaxret.train` leaves; the first four queries of its gallery are shown. The region is
the first three of `benchmarks/results/instance_faster_r_cnn.jpg`. For the moment in a film, moving digits are cut
together to three films, a screen photo of one frame is the query, and shots are compared by the sum of R-MAC vectors of
an untrained network.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image

import jaxret
from jaxret import VectorSearch
from jaxret.data.datasets.moving_digits import MovingDigits
from jaxret.data.decode.write import write_video
from jaxret.data.sampling.screen_photos import photograph

matplotlib.use("Agg")
import matplotlib.pyplot as plt

PICTURES = Path(__file__).parent
RESULTS = PICTURES.parents[1] / "benchmarks" / "results"
WIDTH = 900
FPS, SHOTS = 12, 10


def main() -> None:
    """All three."""
    cut(Path(sys.argv[1]) / "gallery.png", PICTURES / "search.jpg", bottom=583)
    cut(RESULTS / "instance_faster_r_cnn.jpg", PICTURES / "region.jpg", bottom=475)
    moment(PICTURES / "moment.jpg")


def cut(source: Path, target: Path, *, bottom: int) -> None:
    """The upper part of an image, at WIDTH: the first queries of a gallery, none chosen."""
    with Image.open(source) as image:
        shown = image.convert("RGB").crop((0, 0, image.width, bottom))
    shown.resize((WIDTH, round(shown.height * WIDTH / shown.width))).save(target, quality=80)


def moment(target: Path) -> None:
    """Search three films with a photo, and draw the photo over the film that it finds."""
    digits = MovingDigits(train_clips=40, validation_clips=0, test_clips=0, frames=24, size=128, fps=FPS)
    chosen = np.random.default_rng(0).permutation(len(digits))[: 3 * SHOTS]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        films = {}
        (folder / "films").mkdir()
        for number, items in enumerate(chosen.reshape(3, SHOTS)):
            frames = np.concatenate(digits.render(items))
            films[f"film{number}.mp4"] = frames
            write_video(folder / "films" / f"film{number}.mp4", frames, fps=FPS)
        photo = photograph(films["film1.mp4"][158], np.random.default_rng(3))
        Image.fromarray(photo).save(folder / "photo.png")
        settings = {"backbone": "small-convnet", "weights": "none", "temporal": "sum"}
        run = jaxret.recipes.train("image-to-video", data=str(folder / "films"), out=folder / "run", **settings)
        run.retriever.add(jaxret.open_dataset(str(folder / "films")))
        best = run.retriever.search(folder / "photo.png", k=1, options=VectorSearch(every_clip=True, rerank=10))[0]
    frames = films[best.item.key]
    seconds = len(frames) / FPS
    figure, (above, below) = plt.subplots(2, 1, figsize=(9, 3.4), height_ratios=(2, 1), layout="constrained")
    above.imshow(photo)
    above.set_title("the query: a photo of a screen", fontsize=10)
    strip = np.concatenate(list(frames[:: len(frames) // 20][:20]), axis=1)
    below.imshow(strip, extent=(0, seconds, 0, 1), aspect="auto")
    below.axvspan(best.start, best.end, facecolor="none", edgecolor="gold", linewidth=3)
    below.axvline(best.moment, color="red", linewidth=2)
    below.set_title(
        f"found: {best.item.key}, shot {best.start:.1f} to {best.end:.1f} s, moment {best.moment:.1f} s", fontsize=10
    )
    below.set_xlabel("seconds")
    above.axis("off")
    below.set_yticks([])
    figure.savefig(target, dpi=100)
    plt.close(figure)


if __name__ == "__main__":
    main()
