"""What the choices of the CNN + LSTM encoder are worth, on classes trained on and on others.

Data and protocol are those of accuracy_open_set.py: UCF101's first 15 classes as VGG16 features, and JHMDB through a
frozen MobileNet V1; each draw deals the classes anew; test videos query the training videos of all classes; mAP by
Euclidean distance. One thing at a time is changed from the base: an LSTM of one layer and 256 units, 16 frames spread
over the clip, 128 principal components of the frame vectors (fitted on the training videos), Adam 1e-3, batches of 64,
dropout 0.25, 60 updates. Every setting is trained as long as the others and nothing is picked, no epoch either; the
base goes on to 240 updates to show what longer training does to both kinds of classes. Beside them the mean of the same
frame vectors, and the encoder before its first update.

Each training is kept under --work and not done again, so a stopped call goes on where it was; half an hour on one core.

    python benchmarks/ablation_cnn_lstm.py
    python benchmarks/ablation_cnn_lstm.py layers units                 # some; the other rows of the file stay
    python benchmarks/ablation_cnn_lstm.py --data ucf101 --seeds 0      # printed, and not written
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import optax
from common import results_file
from common.paths import RESULTS
from common.spread import spread
from common.study_program import StudyParser
from flax import nnx
from numpy.typing import NDArray
from studies.unseen_classes.videos import Videos, open_videos, scores

from jaxret.files import write_atomically
from jaxret.models import SoftmaxHead, TemporalEncoder
from jaxret.training.pca import fit_pca

matplotlib.use("Agg")
import matplotlib.pyplot as plt

BATCH, DROPOUT, UPDATES = 64, 0.25, 60
LONGER = (0, 15, 30, 120, 240)
Figures = dict[str, dict[str, float]]  # by the number of updates


@dataclasses.dataclass(frozen=True)
class Setting:
    """An encoder and its training.

    Attributes:
      cell, layers, bidirectional, units, output: of `TemporalEncoder`.
      frames: how many, evenly spaced over `part` of the clip, its middle.
      components: principal components of the frame vectors.
      learning_rate: of Adam.
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


NAME = "ablation_cnn_lstm"
BASE = Setting()
CHANGES: dict[str, dict[str, dict[str, Any]]] = {
    "cell": {"GRU": {"cell": "gru"}, "LSTM both ways": {"bidirectional": True}},
    "layers": {f"{layers} layers": {"layers": layers} for layers in (2, 3)},
    "units": {f"{units} units": {"units": units} for units in (64, 128, 512)},
    "frames": {"1 frame": {"frames": 1}, "4 frames": {"frames": 4}, "8 frames": {"frames": 8}},
    "frame-rate": {"8 frames of the middle half": {"frames": 8, "part": 0.5}},
    "components": {f"{size} components": {"components": size} for size in (16, 64)},
    "learning-rate": {"Adam 0.0003": {"learning_rate": 3e-4}},
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
    fitted = fit_pca(videos.vectors[train].reshape(-1, videos.vectors.shape[2]), components=setting.components)
    vectors = ((videos.vectors - fitted.mean) @ fitted.components).astype(np.float32)
    vectors /= vectors[train].std()  # all components by one number: their proportions are kept
    labels = np.searchsorted(seen, videos.labels)
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
    model = nnx.Dict(encoder=encoder, head=SoftmaxHead(encoder.embedding_size, len(seen), dropout=DROPOUT, rngs=rngs))
    adam = optax.chain(optax.clip_by_global_norm(5.0), optax.adam(setting.learning_rate))
    optimiser = nnx.Optimizer(model, adam, wrt=nnx.Param)

    @nnx.jit
    def update(model: Any, optimiser: nnx.Optimizer, inputs: jax.Array, targets: jax.Array) -> None:
        def loss(model: Any) -> jax.Array:
            logits = model["head"](model["encoder"](inputs).embedding)
            return optax.softmax_cross_entropy_with_integer_labels(logits, targets).mean()

        optimiser.update(model, nnx.grad(loss)(model))

    shown = jnp.asarray(sampled(vectors, setting, None))
    encode = nnx.jit(lambda module, x: module(x).embedding)
    found: Figures = {}
    rng = np.random.default_rng(seed)
    batches = endless_batches(train, rng)
    done = 0
    for mark in marks:
        model.train()
        for rows in itertools.islice(batches, mark - done):
            update(model, optimiser, jnp.asarray(sampled(vectors[rows], setting, rng)), jnp.asarray(labels[rows]))
        model.eval()
        found[str(mark)] = scores(videos, np.asarray(encode(encoder, shown)), seen, "euclidean")
        done = mark
    return found


def endless_batches(rows: NDArray[np.int64], rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Batches of rows, epoch after epoch, each in an order of its own; what fills no batch is left out."""
    while True:
        order = rng.permutation(rows)
        yield from np.split(order[: len(order) // BATCH * BATCH], len(order) // BATCH)


def kept(path: Path, videos: Videos, seed: int, setting: Setting, marks: tuple[int, ...]) -> Figures:
    """`trained`, or what an earlier call has kept of it."""
    if not path.exists():
        found = trained(videos, seed, setting, marks)
        path.parent.mkdir(parents=True, exist_ok=True)
        with write_atomically(path) as partial:
            partial.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        print(f"{path.stem}: {found[str(marks[-1])]}", flush=True)
    kept_before: Figures = json.loads(path.read_text(encoding="utf-8"))
    return kept_before


def main() -> None:
    """Train what is missing, print, draw, write the result file."""
    parser = StudyParser(__doc__, NAME, ("updates", *CHANGES), seeds=(0, 1, 2), cache=True)
    parser.add_argument("--data", choices=("ucf101", "jhmdb"), nargs="+", default=["ucf101", "jhmdb"])
    args = parser.read()
    rows: list[dict[str, Any]] = []
    for name in args.data:
        videos = open_videos(name, args.cache)
        for seed in args.seeds:
            rows += rows_of(videos, seed, args.studies, args.work / f"{name}-{seed}")
    table: dict[tuple[str, str, str], list[float]] = {}
    for one in rows:
        table.setdefault((one["data"], f"{one['setting']}, {one['method']}", one["metric"]), []).append(one["value"])
    for (data, method, metric), values in table.items():
        print(f"{data:<34} {method:<60} {metric:<12} {np.mean(values):.3f} ± {spread(values):.3f}")
    if args.seeds == parser.get_default("seeds") and args.data == parser.get_default("data"):
        keep = results_file.write if args.complete else results_file.update
        path = keep(NAME, rows, ["jax", "flax", "optax"])
        print(path)
        # The plot shows the whole file, of which this call may have been a part.
        draw(results_file.stored_rows(path))


def rows_of(videos: Videos, seed: int, studies: Sequence[str], folder: Path) -> list[dict[str, Any]]:
    """Some settings of one draw, with differences from the base of the same draw."""
    seen, _ = videos.draw(seed)
    base = kept(folder / "base.json", videos, seed, BASE, (UPDATES,))[str(UPDATES)]
    settings: list[tuple[str, str, dict[str, float]]] = [
        ("no encoder", "mean of frame vectors", scores(videos, videos.vectors.mean(axis=1), seen, "cosine")),
        ("base", "base: LSTM, 256 units, 16 frames, 128 components", base),
    ]
    if "updates" in studies:
        longer = kept(folder / "longer.json", videos, seed, BASE, LONGER)
        settings += [
            ("updates", f"{count} updates" if count != "0" else "untrained", figures)
            for count, figures in longer.items()
        ]
    for what, changes in CHANGES.items():
        for method, change in changes.items() if what in studies else ():
            path = folder / f"{method.replace(' ', '-').lower()}.json"
            found = kept(path, videos, seed, dataclasses.replace(BASE, **change), (UPDATES,))
            settings.append((what.replace("-", " "), method, found[str(UPDATES)]))
    rows = []
    for what, method, figures in settings:
        with_differences = figures | {f"{metric}, less the base's": figures[metric] - base[metric] for metric in base}
        for metric, value in with_differences.items():
            rows.append(results_file.row(videos.name, method, metric, value, setting=what, seed=seed))
    return rows


def draw(rows: list[dict[str, Any]]) -> None:
    """Unseen against seen mAP of all settings, a panel a data set; the updates of the base as a line."""
    names = list(dict.fromkeys(row["data"] for row in rows))
    figure, panels = plt.subplots(1, len(names), figsize=(7 * len(names), 6), squeeze=False, layout="constrained")
    for panel, name in zip(panels[0], names, strict=True):
        points: dict[tuple[str, str], dict[str, list[float]]] = {}
        for row in rows:
            if row["data"] == name:
                point = points.setdefault((row["setting"], row["method"]), {})
                point.setdefault(row["metric"], []).append(row["value"])
        means = {
            key: [float(np.mean(point[f"mAP, {kind}"])) for kind in ("seen", "unseen")] for key, point in points.items()
        }
        settings = list(dict.fromkeys(key[0] for key in means))
        for number, what in enumerate(settings):
            own = {method: mean for (setting, method), mean in means.items() if setting == what}
            x, y = np.array(list(own.values())).T
            panel.plot(x, y, "o-" if what == "updates" else "o", color=f"C{number}", label=what, alpha=0.8)
            for method, (seen, unseen) in own.items():
                panel.annotate(
                    method.split(":")[0], (seen, unseen), fontsize=6, xytext=(3, 3), textcoords="offset points"
                )
        panel.set(title=name, xlabel="mAP of classes trained on", ylabel="mAP of other classes")
        panel.grid(alpha=0.3)
        panel.legend(fontsize=7)
    RESULTS.mkdir(exist_ok=True)
    figure.savefig(RESULTS / "ablation_cnn_lstm.png", dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
