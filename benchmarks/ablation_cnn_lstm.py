"""What the choices of the CNN + LSTM encoder are worth, on classes trained on and on others.

Data and protocol are those of accuracy_open_set.py: UCF101's first 15 classes as VGG16 features, and JHMDB through a
frozen MobileNet V1; each draw deals the classes anew; test videos query the training videos of all classes; mAP by
Euclidean distance. One thing at a time is changed from the base: an LSTM of one layer and 256 units, 16 frames spread
over the clip, 128 principal components of the frame vectors (fitted on the training videos), Adam 1e-3, batches of 64,
dropout 0.25, 60 updates. Every setting is trained as long as the others and nothing is picked, no epoch either; the
base goes on to 240 updates to show what longer training does to both kinds of classes. Beside them the mean of the same
frame vectors, and the encoder before its first update.

- `objectives`: cross-entropy's place taken by the library's other objectives and by those of metric learning
  (studies/unseen_classes/objectives.py), with their publications' settings. Since many of them compare embeddings of
  length 1, all are ranked by cosine as well, and as they stand beside the mean vector, both of length 1.

Each training is kept under --work and not done again, so a stopped call goes on where it was; an hour on one core.

    python benchmarks/ablation_cnn_lstm.py
    python benchmarks/ablation_cnn_lstm.py objectives                   # some; the other rows of the file stay
    python benchmarks/ablation_cnn_lstm.py --data ucf101 --seeds 0      # printed, and not written
    python benchmarks/ablation_cnn_lstm.py --data VIDEOS.csv            # data of your own, as accuracy_open_set.py's
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import optax
from common import results_file
from common.differences import Comparison, paired_differences
from common.paths import RESULTS
from common.spread import spread
from common.study_program import StudyParser
from flax import nnx
from numpy.typing import NDArray
from studies.unseen_classes.objectives import (
    CosineObjective,
    DistillationObjective,
    multi_similarity_loss,
    normalised_softmax_loss,
    proxy_anchor_loss,
    supervised_contrastive_loss,
)
from studies.unseen_classes.videos import OwnBackbone, Videos, folder_name, open_videos, scores, unit_means

from jaxret.files import write_atomically
from jaxret.models import TemporalEncoder
from jaxret.recipes.clips.fit import EmbeddingClassifier
from jaxret.training import ClassificationTripletObjective
from jaxret.training.pca import fit_pca

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

BATCH, DROPOUT, UPDATES = 64, 0.25, 60
LONGER = (15, 30, 120, 240)
CROSS_ENTROPY = ClassificationTripletObjective()
Objective = Callable[[Any, dict[str, jax.Array]], tuple[jax.Array, dict[str, jax.Array]]]
Scores = dict[str, float]  # mAP of both kinds of classes
Figures = dict[str, dict[str, Scores]]  # by the number of updates, and by how it is ranked


@dataclasses.dataclass(frozen=True)
class Setting:
    """An encoder and its training.

    Attributes:
      cell, layers, bidirectional, units, output: of `TemporalEncoder`.
      frames: how many, evenly spaced over `part` of the clip, its middle.
      components: principal components of the frame vectors.
      learning_rate: of Adam.
      objective: called with a model and a batch of `inputs`, `labels` and `means`, the mean vectors as they are.
    """

    cell: Literal["lstm", "gru"] = "lstm"
    layers: int = 1
    bidirectional: bool = False
    units: int = 256
    output: Literal["last", "mean", "hidden+cell"] = "last"
    frames: int = 16
    part: float = 1.0
    components: int = 128
    learning_rate: float = 1e-3
    objective: Objective = CROSS_ENTROPY


NAME = "ablation_cnn_lstm"
BASE = Setting()
BASE_ROWS = ("base", "base: LSTM, 256 units, 16 frames, 128 components")  # setting and method
MEAN = "mean of frame vectors"
CHANGES: dict[str, dict[str, dict[str, Any]]] = {
    "cell": {"GRU": {"cell": "gru"}, "LSTM both ways": {"bidirectional": True}},
    "layers": {f"{layers} layers": {"layers": layers} for layers in (2, 3)},
    "units": {f"{units} units": {"units": units} for units in (64, 128, 512)},
    "frames": {"1 frame": {"frames": 1}, "4 frames": {"frames": 4}, "8 frames": {"frames": 8}},
    "frame-rate": {"8 frames of the middle half": {"frames": 8, "part": 0.5}},
    "components": {f"{size} components": {"components": size} for size in (16, 64)},
    "learning-rate": {"Adam 0.0003": {"learning_rate": 3e-4}},
}
OBJECTIVES: dict[str, Objective] = {
    "cross-entropy + triplet": ClassificationTripletObjective(triplet_weight=1.0),
    "triplet, batch-hard": ClassificationTripletObjective(cross_entropy_weight=0.0, triplet_weight=1.0),
    "triplet, semi-hard": ClassificationTripletObjective(0.0, 1.0, mining="semi-hard"),
    "normalised softmax": CosineObjective(normalised_softmax_loss, proxies=True),
    "proxy anchor": CosineObjective(proxy_anchor_loss, proxies=True),
    "multi-similarity": CosineObjective(multi_similarity_loss),
    "supervised contrastive": CosineObjective(supervised_contrastive_loss),
    "cross-entropy + relational distillation": DistillationObjective(),
    "relational distillation alone": DistillationObjective(cross_entropy_weight=0.0),
}
RANKED_BY = "euclidean"
RANKED = {
    RANKED_BY: "objectives",
    "cosine": "objectives, by cosine",
    "beside": "objectives, beside the mean vector",
}


def sampled(vectors: NDArray[np.float32], setting: Setting, rng: np.random.Generator | None) -> NDArray[np.float32]:
    """(N, T, D) to (N, frames, D): the centres of equal segments, or a random moment of each."""
    within = 0.5 if rng is None else rng.random(setting.frames)
    moments = (np.arange(setting.frames) + within) / setting.frames  # in 0..1
    places = ((1 - setting.part) / 2 + setting.part * moments) * vectors.shape[1]
    return vectors[:, places.astype(int)]


def trained(videos: Videos, seed: int, setting: Setting, marks: tuple[int, ...]) -> Figures:
    """mAP after each number of updates in `marks`, ascending."""
    seen, train = videos.draw(seed)
    if len(train) < BATCH:
        raise SystemExit(f"{videos.name}, draw {seed}: {len(train)} training videos are no batch of {BATCH}")
    fitted = fit_pca(videos.vectors[train].reshape(-1, videos.vectors.shape[2]), components=setting.components)
    vectors = ((videos.vectors - fitted.mean) @ fitted.components).astype(np.float32)
    vectors /= vectors[train].std()  # all components by one number: their proportions are kept
    labels, means = np.searchsorted(seen, videos.labels), unit_means(videos.vectors)
    rngs = nnx.Rngs(seed)
    encoder = TemporalEncoder(
        setting.components,
        setting.units,
        cell=setting.cell,
        layers=setting.layers,
        bidirectional=setting.bidirectional,
        output=setting.output,
        dropout=DROPOUT,
        rngs=rngs,
    )
    model = EmbeddingClassifier(encoder, encoder.embedding_size, len(seen), dropout=DROPOUT, rngs=rngs)
    adam = optax.chain(optax.clip_by_global_norm(5.0), optax.adam(setting.learning_rate))
    optimiser = nnx.Optimizer(model, adam, wrt=nnx.Param)

    @nnx.jit
    def update(model: EmbeddingClassifier, optimiser: nnx.Optimizer, batch: dict[str, jax.Array]) -> None:
        optimiser.update(model, nnx.grad(setting.objective, has_aux=True)(model, batch)[0])

    shown = jnp.asarray(sampled(vectors, setting, None))
    encode = nnx.jit(lambda module, x: module(x).embedding)
    found: Figures = {}
    rng = np.random.default_rng(seed)
    batches = endless_batches(train, rng)
    done = 0
    for mark in marks:
        model.train()
        step = nnx.cached_partial(update, model, optimiser)  # or each update walks through both anew, half of its time
        for rows in itertools.islice(batches, mark - done):
            batch = {"inputs": sampled(vectors[rows], setting, rng), "labels": labels[rows], "means": means[rows]}
            step({name: jnp.asarray(values) for name, values in batch.items()})
        model.eval()
        found[str(mark)] = ranked(videos, np.asarray(encode(encoder, shown)), seen)
        done = mark
    return found


def ranked(videos: Videos, embeddings: NDArray[np.float32], seen: NDArray[np.int64]) -> dict[str, Scores]:
    """Embeddings (N, E), ranked by each key of RANKED."""
    directions = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    return {
        "euclidean": scores(videos, embeddings, seen, "euclidean"),
        "cosine": scores(videos, embeddings, seen, "cosine"),
        "beside": scores(videos, np.concatenate([unit_means(videos.vectors), directions], axis=1), seen, "euclidean"),
    }


def endless_batches(rows: NDArray[np.int64], rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Batches of rows, epoch after epoch, each in an order of its own; what fills no batch is left out."""
    while True:
        order = rng.permutation(rows)
        yield from np.split(order[: len(order) // BATCH * BATCH], len(order) // BATCH)


def kept(folder: Path, name: str, videos: Videos, seed: int, setting: Setting, marks: tuple[int, ...]) -> Figures:
    """`trained`, or what an earlier call has kept of it; what was not kept with every ranking is trained anew."""
    path = folder / f"{re.sub(r'[^a-z0-9]+', '-', name.lower())}.json"
    if path.exists():
        before: Figures = json.loads(path.read_text(encoding="utf-8"))
        if all(figures.keys() >= RANKED.keys() for figures in before.values()):
            return before
    found = trained(videos, seed, setting, marks)
    path.parent.mkdir(parents=True, exist_ok=True)
    with write_atomically(path) as partial:
        partial.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"{path.stem}: {found[str(marks[-1])]}", flush=True)
    return found


def main() -> None:
    """Train what is missing, print, draw, write the result file."""
    parser = StudyParser(__doc__, NAME, ("objectives", "updates", *CHANGES), seeds=(0, 1, 2), cache=True)
    OwnBackbone.add_options(parser, ("ucf101", "jhmdb"))
    args = parser.read()
    rows: list[dict[str, Any]] = []
    for name in args.data:
        videos = open_videos(name, args.cache, OwnBackbone.of(args))
        for seed in args.seeds:
            folder = args.work / f"{folder_name(name)}-{seed}"
            rows += choices(videos, seed, args.studies, folder)
            rows += objectives(videos, seed, folder) if "objectives" in args.studies else []
    rows += paired_differences(rows, compared(rows))
    table: dict[tuple[str, str, str], list[float]] = {}
    for one in rows:
        table.setdefault((one["data"], f"{one['setting']}, {one['method']}", one["metric"]), []).append(one["value"])
    for (data, method, metric), values in table.items():
        print(f"{data:<34} {method:<60} {metric:<12} {np.mean(values):.3f} ± {spread(values):.3f}")
    if args.publish and args.seeds == parser.get_default("seeds") and args.data == parser.get_default("data"):
        keep = results_file.write if args.complete else results_file.update
        path = keep(NAME, rows, ["jax", "flax", "optax"])
        print(path)
        # The plot shows the whole file, of which this call may have been a part.
        draw(results_file.stored_rows(path))


def choices(videos: Videos, seed: int, studies: Sequence[str], folder: Path) -> list[dict[str, Any]]:
    """Changes of the base in one draw."""
    seen, _ = videos.draw(seed)
    start, base = (figures[RANKED_BY] for figures in kept(folder, "base", videos, seed, BASE, (0, UPDATES)).values())
    settings: list[tuple[str, str, Scores]] = [
        ("no encoder", MEAN, scores(videos, unit_means(videos.vectors), seen, RANKED_BY)),
        (*BASE_ROWS, base),
    ]
    if "updates" in studies:
        longer = kept(folder, "longer", videos, seed, BASE, LONGER)
        settings.append(("updates", "untrained", start))
        settings += [("updates", f"{count} updates", figures[RANKED_BY]) for count, figures in longer.items()]
    for what, changes in CHANGES.items():
        for method, change in changes.items() if what in studies else ():
            found = kept(folder, method, videos, seed, dataclasses.replace(BASE, **change), (UPDATES,))
            settings.append((what.replace("-", " "), method, found[str(UPDATES)][RANKED_BY]))
    return [row for setting in settings for row in rows_of(videos, seed, *setting)]


def objectives(videos: Videos, seed: int, folder: Path) -> list[dict[str, Any]]:
    """Objectives in one draw, beside the mean vectors."""
    seen, _ = videos.draw(seed)
    start, base = kept(folder, "base", videos, seed, BASE, (0, UPDATES)).values()
    found = {"untrained": start, "cross-entropy": base}
    for name, objective in OBJECTIVES.items():
        setting = dataclasses.replace(BASE, objective=objective)
        found[name] = kept(folder, name, videos, seed, setting, (UPDATES,))[str(UPDATES)]
    rows = rows_of(videos, seed, "objectives", MEAN, scores(videos, unit_means(videos.vectors), seen, RANKED_BY))
    for by, what in RANKED.items():
        for method, figures in found.items():
            rows += rows_of(videos, seed, what, method, figures[by])
    return rows


def rows_of(videos: Videos, seed: int, what: str, method: str, figures: Scores) -> list[dict[str, Any]]:
    """The figures of a method."""
    return results_file.rows_of(videos.name, method, figures, setting=what, seed=seed)


def compared(rows: Iterable[Mapping[str, Any]]) -> Iterator[Comparison]:
    """All less the base, and objectives, however they are ranked, less the mean vectors by Euclidean distance, too."""
    of_objectives = RANKED[RANKED_BY]
    for data, method, setting in dict.fromkeys((row["data"], row["method"], row["setting"]) for row in rows):
        others = {"the base": (data, BASE_ROWS[1], BASE_ROWS[0])}
        if setting in RANKED.values():
            others = {"the base": (data, "cross-entropy", of_objectives), "the mean": (data, MEAN, of_objectives)}
        for words, theirs in others.items():
            if (ours := (data, method, setting)) != theirs:
                yield Comparison(data, method, f"{setting}, less {words}", ours, theirs)


def draw(rows: list[dict[str, Any]]) -> None:
    """Unseen against seen mAP, a column a data set: choices above (updates as a line), objectives below."""
    names = [name for name in dict.fromkeys(row["data"] for row in rows) if not name.endswith(": differences")]
    shape = {"figsize": (7 * len(names), 12), "squeeze": False, "layout": "constrained"}
    figure, panels = plt.subplots(2, len(names), **shape)
    for line, of_objectives in zip(panels, (False, True), strict=True):
        for panel, name in zip(line, names, strict=True):
            shown = [
                row for row in rows if row["data"] == name and (row["setting"] in RANKED.values()) == of_objectives
            ]
            draw_points(panel, shown)
            panel.set(title=name, xlabel="mAP of classes trained on", ylabel="mAP of other classes")
            panel.grid(alpha=0.3)
            panel.legend(fontsize=7)
    RESULTS.mkdir(exist_ok=True)
    figure.savefig(RESULTS / "ablation_cnn_lstm.png", dpi=110)
    plt.close(figure)


def draw_points(panel: Axes, rows: list[dict[str, Any]]) -> None:
    """A point a method, its mean over the draws; a colour a setting."""
    points: dict[str, dict[str, dict[str, list[float]]]] = {}
    for row in rows:
        point = points.setdefault(row["setting"], {}).setdefault(row["method"], {})
        point.setdefault(row["metric"], []).append(row["value"])
    for number, (what, methods) in enumerate(points.items()):
        means = [[float(np.mean(point[f"mAP, {kind}"])) for kind in ("seen", "unseen")] for point in methods.values()]
        x, y = np.array(means).T
        panel.plot(x, y, "o-" if what == "updates" else "o", color=f"C{number}", label=what, alpha=0.8)
        for method, place in zip(methods, means, strict=True):
            panel.annotate(method.split(":")[0], place, fontsize=6, xytext=(3, 3), textcoords="offset points")


if __name__ == "__main__":
    main()
