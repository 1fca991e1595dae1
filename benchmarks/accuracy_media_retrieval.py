"""The media-retrieval paper on real video: CNN + LSTM, seen and unseen classes, and PAR as selective answering.

Data: UCF101's first 15 classes as VGG16 features, and JHMDB through MobileNet V1 and through EfficientNet-Lite0,
both in their official split 1 (`studies.unseen_classes.videos`). Each of five draws deals
the classes anew to those that are trained on and others.

- `protocol`: the paper's Table IV. Test videos of all classes are queries for each other, in galleries with as many
  videos of every class (`studies.media_retrieval.protocol`). Beside the paper's LSTM stand the open-set encoder, which
  is the default of `jaxret train cnn-lstm`, the mean of the same frame vectors, which cannot see their order, the LSTM
  before its training, and chance. The paper's figures stand beside votes alone.
- `selective`: PAR as what it is. The five nearest vote; accuracy, precision and F1 against the share of queries that
  are answered, unanswered ones counted wrong and left out. Thresholds are chosen on training videos of a tenth of the
  sources, which nothing was fitted on, by the share of them that is answered.
- `pca`: mAP against the number of principal components of MobileNet V1's LSTM, fitted on training videos.
- `files`: an index of all clips of JHMDB is searched with files: clips, single frames of them, and copies that were
  cropped by a tenth, scaled to 0.6 and encoded again; the share of searches is given whose first result is the source.
- `colour`: the paper's Table II, MobileNet V1 on colour and on grey images, with three seeds; see
  studies/media_retrieval/colour.py.

Whatever a call ran, it writes differences of `protocol` and `colour` that are paired by draw or seed, of all rows that
the result file holds then.

    python benchmarks/accuracy_media_retrieval.py                      # all, on $JAXRET_SHARED, 5 draws
    python benchmarks/accuracy_media_retrieval.py protocol selective   # some; the other rows of the file stay
    python benchmarks/accuracy_media_retrieval.py protocol --data jhmdb-efficientnet --seeds 0 1    # fewer draws
    python benchmarks/accuracy_media_retrieval.py colour --width 1 --epochs 50   # the paper's; three hours of a core
    python benchmarks/accuracy_media_retrieval.py differences          # of the rows that are there

Draws and trainings are kept under --work and not made again, so a stopped call goes on where it was.
"""

from __future__ import annotations

import itertools
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from common import results_file
from common.differences import Comparison, write_differences
from common.paths import JHMDB
from common.spread import spread
from common.study_program import StudyParser
from PIL import Image
from studies.media_retrieval import colour as colour_study
from studies.media_retrieval import tables
from studies.media_retrieval.plots import draw_dimensions, draw_selective_curves
from studies.media_retrieval.protocol import GROUPS, LSTM, Draw, open_draw
from studies.media_retrieval.runs import WEIGHTS, trained_index
from studies.media_retrieval.tables import PAPER, curve_points, retrieval_rows, selective_rows
from studies.unseen_classes.videos import DATA, open_videos

from jaxret.data.decode.write import write_video
from jaxret.data.open import open_dataset
from jaxret.data.rows import Rows
from jaxret.evaluation import evaluate_leave_one_out
from jaxret.files import write_atomically
from jaxret.retrieval import Retriever, VectorSearch
from jaxret.training import keep_freed_memory
from jaxret.training.pca import fit_pca

STUDIES = ("protocol", "selective", "pca", "files", "colour")
DRAWS, COLOUR_SEEDS = (0, 1, 2, 3, 4), (0, 1, 2)
COMPONENTS = (2, 4, 8, 16, 32, 64, 128)
NAME = "accuracy_media_retrieval"
COMPARED = (*tables.GAINS, *colour_study.COMPARED)


def main() -> None:
    """Make what is missing, evaluate, print, draw, write the result file."""
    parser = StudyParser(__doc__, NAME, STUDIES, seeds=None, cache=True, differences=True)
    parser.add_argument("--data", nargs="+", choices=DATA, default=DATA, help="of all studies but files and colour")
    parser.add_argument("--width", type=float, default=colour_study.WIDTH, help="of the networks of colour")
    parser.add_argument("--epochs", type=int, default=colour_study.EPOCHS, help="of the trainings of colour")
    args = parser.read()
    keep_freed_memory()  # before anything begins threads; else each step of colour asks for its pages anew
    whole = args.seeds is None and args.data == parser.get_default("data")
    rows: dict[str, list[dict]] = {}
    if {"protocol", "selective", "pca"} & set(args.studies):
        draws = {
            name: [open_draw(videos, seed, args.work) for seed in args.seeds or DRAWS]
            for name in args.data
            if (videos := open_videos(name, args.cache)) is not None
        }
        if "protocol" in args.studies:
            rows["protocol"] = [row for some in draws.values() for draw in some for row in kept(draw, retrieval_rows)]
        if "selective" in args.studies:
            rows["selective"] = [row for some in draws.values() for draw in some for row in kept(draw, selective_rows)]
            if whole:
                draw_curves(draws)
        if "pca" in args.studies:
            rows["pca"] = principal_components(draws.get("jhmdb", []))
    if "files" in args.studies:
        rows["files"] = [
            row
            for backbone in WEIGHTS
            for row in search_with_files(trained_index(backbone, work=args.work, cache=args.cache), backbone)
        ]
    if "colour" in args.studies:
        seeds = args.seeds or COLOUR_SEEDS
        rows["colour"] = colour_study.rows(seeds, args.work, width=args.width, epochs=args.epochs)
    every = [row for some in rows.values() for row in some]
    print(table(every))
    packages = ["jax", "flax", "av", "scikit-learn"]
    results_file.update(NAME, every, packages)
    print(write_differences(NAME, compared(), packages, COMPARED))


def compared() -> Iterator[Comparison]:
    """Of all studies."""
    yield from tables.compared()
    yield from colour_study.compared()


def kept(draw: Draw, make: Callable[[Draw], Any]) -> Any:
    """What `make` makes of a draw, or what an earlier call has kept of it."""
    path = draw.folder / f"{make.__name__}.json"
    if not path.exists():
        with write_atomically(path) as partial:
            partial.write_text(json.dumps(make(draw)), encoding="utf-8")
    return json.loads(path.read_text(encoding="utf-8"))


def draw_curves(draws: dict[str, list[Draw]]) -> None:
    """Accuracy against coverage, means over draws, the paper's figures as lines."""
    found: dict[str, Any] = {}
    for some in draws.values():
        points = [kept(draw, curve_points) for draw in some]
        found[some[0].videos.name] = {
            group: {
                method: {name: np.mean([one[group][method][name] for one in points], axis=0) for name in curve}
                for method, curve in points[0][group].items()
            }
            for group in GROUPS
        }
    draw_selective_curves(found, {group: (PAPER[group, "Euclidean"][0], PAPER[group, "PAR"][0]) for group in GROUPS})


def principal_components(draws: Sequence[Draw]) -> list[dict]:
    """mAP against dimensions of the LSTM's clip vectors, plain and whitened."""
    rows: list[dict] = []
    plotted: dict[str, dict[int, list[float]]] = {}
    kept: list[int] = []
    for draw in draws:
        fitted, test = draw.training_vectors(LSTM), draw.rows(LSTM)
        kept.append(fit_pca(fitted, variance=0.9).components.shape[1])
        for whiten, size in itertools.product((False, True), (*COMPONENTS, 0.9, None)):
            if size is None:
                if whiten:
                    continue
                method, vectors = "no PCA", test.vectors
            else:
                share = isinstance(size, float)
                method = f"{size:.0%} of the variance" if share else f"{size} components"
                pca = fit_pca(fitted, **{"variance" if share else "components": size}, whiten=whiten)
                vectors = ((test.vectors - pca.mean) @ pca.components).astype(np.float32)
            figures = evaluate_leave_one_out(Rows(vectors, test.items), draw.test, protocol=draw.protocol)
            for group in GROUPS:
                value = figures[group]["mAP"]
                if size != 0.9:
                    curve = f"{group} classes" + (", whitened" if whiten else "")
                    plotted.setdefault(curve, {}).setdefault(size or vectors.shape[1], []).append(value)
                rows.append(
                    results_file.row(
                        data=f"{draw.videos.name}, principal components of the clip vectors",
                        method=method + (", whitened" if whiten else ""),
                        metric=f"mAP {group}",
                        value=value,
                        seed=draw.seed,
                    )
                )
    if plotted:
        draw_dimensions(plotted, float(np.mean(kept)))
    return rows


def search_with_files(retriever: Retriever, backbone: str, searches: int = 40) -> list[dict]:
    """How often the clip that a query file was made from is the first result."""
    dataset = open_dataset(JHMDB)
    right: Counter[str] = Counter()
    for number in np.random.default_rng(0).choice(len(dataset), searches, replace=False).tolist():
        item = dataset.items[number]
        with dataset.open(number) as reader, tempfile.TemporaryDirectory() as folder:
            frames = reader.read()
            image, copy = Path(folder) / "frame.png", Path(folder) / "copy.mp4"
            Image.fromarray(frames[len(frames) // 2]).save(image)
            write_video(copy, edited(frames), fps=30, options={"crf": "28"})
            for query, space, what in (
                (item.path, None, "the clip itself"),
                (image, None, "one frame as an image"),
                (copy, None, "an edited copy, by clip vectors"),
                (copy, "frame", "an edited copy, frame by frame"),
            ):
                right[what] += retriever.search(str(query), 1, options=VectorSearch(space))[0].item.key == item.key
    data = f"JHMDB, {searches} searches with a file among {len(dataset)} clips"
    return [
        results_file.row(data, f"search with {what}", "source first", count / searches, setting=backbone)
        for what, count in right.items()
    ]


def edited(frames: np.ndarray) -> np.ndarray:
    """Frames cropped by a twentieth on every side and scaled to about 0.6, to even sizes."""
    height, width = frames.shape[1:3]
    cropped = frames[:, height // 20 : -(height // 20), width // 20 : -(width // 20)]
    size = (round(width * 0.3) * 2, round(height * 0.3) * 2)
    return np.stack([np.asarray(Image.fromarray(frame).resize(size)) for frame in cropped])


def table(rows: list[dict]) -> str:
    """Mean over seeds (and spread) as text."""
    groups: dict[tuple[str, str, str], dict[str, list[float]]] = {}
    for r in rows:
        figures = groups.setdefault((r["data"], r.get("setting", ""), r["method"]), {})
        figures.setdefault(r["metric"], []).append(r["value"])
    lines = []
    for (data, setting, method), metrics in sorted(groups.items()):
        cells = "  ".join(f"{m} {np.mean(v):.3f}±{spread(v):.3f}" for m, v in metrics.items())
        lines.append(f"{data:<24} {setting:<20} {method:<34} {cells}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
