"""The media-retrieval paper on real video: CNN + LSTM and C3D, seen and unseen classes, Euclidean, cosine and PAR.

For each model and seed half of the classes are kept out of training; of the others 70 % train, 10 % validate and 20 %
test, clips of one source together. The test database mixes the seen classes' test clips with all clips of the unseen
ones. A tenth of it queries the other nine, in turn, so that each clip is a query once; clips of its own source are
taken out.

- `protocol`: the paper's Table IV and Figure 4. PAR filters the 5 nearest. Its threshold is chosen on validation clips
  in two ways: `PAR` has the best precision at 5, an empty answer scoring 0; `PAR, selective` the highest threshold
  that leaves at most a quarter of the validation clips without an answer. What the trainings are to beat is there as
  well: the mean of the same frozen frame vectors, which cannot see their order, and untrained networks.
- `pca`: accuracy against the number of principal components, fitted on training clips.
- `files`: an index of all clips is searched with files: clips, single frames of them, and copies that were cropped by
  a tenth, scaled to 0.6 and encoded again; the share of searches is given whose first result is the source.
- `colour`: the paper's Table II, MobileNet V1 on colour and on grey images; see studies/media_retrieval/colour.py.

    python benchmarks/accuracy_media_retrieval.py                # all, on $JAXRET_SHARED, 3 seeds
    python benchmarks/accuracy_media_retrieval.py protocol pca   # some; the result file is then left as it is
    python benchmarks/accuracy_media_retrieval.py protocol --data FOLDER --name UCF50

Trainings are kept under --work and not done again, so a stopped call goes on where it was.
"""

from __future__ import annotations

import dataclasses
import itertools
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from common import results_file
from common.paths import JHMDB
from common.study_program import StudyParser
from PIL import Image
from studies.media_retrieval import colour as colour_study
from studies.media_retrieval.plots import draw_comparison, draw_dimensions, draw_threshold_curves
from studies.media_retrieval.protocol import DEPTH, cosine_tells_right_from_wrong, query_in_tenths
from studies.media_retrieval.runs import MODELS, Trained, trained

from jaxret.data.decode.write import write_video
from jaxret.data.rows import Rows
from jaxret.evaluation import Ranking
from jaxret.recipes.clip_media import evaluate_rows
from jaxret.retrieval import Retriever, VectorSearch
from jaxret.training.pca import fit_pca

STUDIES = ("protocol", "pca", "files", "colour")
THRESHOLDS = np.round(np.arange(-0.2, 1.0, 0.02), 2)
UNANSWERED = 0.25  # of the validation clips, at most, for the selective threshold
COMPONENTS = (2, 4, 8, 16, 32, 64, 128)
PAPER_DATA = "trained on UCF50, tested on KTH, UCF101 and HMDB51"
_METRICS = (f"accuracy@{DEPTH}", f"P@{DEPTH}", f"recall@{DEPTH}", f"F1@{DEPTH}")
_VOTES = ("vote accuracy", "vote precision", "vote recall", "vote F1")
# The paper's Table IV, top 5; its equations allow these only as figures of a vote, see `jaxret.metrics.vote`.
PAPER = {
    ("seen", "C3D, Euclidean"): (0.6578, 0.5933, 0.4983, 0.5261),
    ("seen", "C3D, PAR"): (0.7316, 0.6675, 0.6015, 0.6222),
    ("seen", "CNN + LSTM, Euclidean"): (0.7644, 0.7481, 0.6644, 0.6866),
    ("seen", "CNN + LSTM, PAR"): (0.8575, 0.8656, 0.7984, 0.8165),
    ("unseen", "C3D, Euclidean"): (0.5983, 0.4984, 0.3759, 0.4141),
    ("unseen", "C3D, PAR"): (0.6414, 0.5462, 0.4303, 0.467),
    ("unseen", "CNN + LSTM, Euclidean"): (0.7113, 0.6225, 0.5225, 0.5566),
    ("unseen", "CNN + LSTM, PAR"): (0.914, 0.8793, 0.842, 0.8555),
}


def main() -> None:
    """Train what is missing, evaluate, print, draw, write the result file."""
    parser = StudyParser(__doc__, "accuracy_media_retrieval", STUDIES, seeds=(0, 1, 2), cache=True)
    parser.add_argument("--data", default=str(JHMDB), help="labelled videos (default: JHMDB)")
    parser.add_argument("--name", default="JHMDB", help="what the tables call the data")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    args = parser.read()
    studies = args.studies
    models = [
        trained(model, args.data, args.name, seed, work=args.work, cache=args.cache)
        for model in (args.models if set(studies) != {"colour"} else [])
        for seed in args.seeds
    ]
    rows: list[dict] = []
    if "protocol" in studies:
        rows += protocol(models, args.name)
        draw_comparison(rows, args.name, _VOTES, {m.setting for m in models if m.setting != "efficientnet-lite0"})
    if "pca" in studies:
        rows += principal_components(models, args.name)
    if "files" in studies:
        for model in models:
            if model.seed == args.seeds[0] and model.encoder.unit == "frame":
                rows += search_with_files(model, args.name)
    if "colour" in studies:
        rows += colour_study.rows(args.seeds, args.work)
    print(table(rows))
    if args.complete:
        print(results_file.write("accuracy_media_retrieval", rows, ["jax", "flax", "av"]))


def protocol(models: list[Trained], name: str) -> list[dict]:
    """Table IV of all models, and PAR's threshold curves of the first seed."""
    rows: list[dict] = []
    curves: dict[str, dict[str, list[float]]] = {}
    chosen: dict[str, tuple[float, float]] = {}
    for model in models:
        embeddings: dict[str, Callable[[np.ndarray], Rows]] = {model.name: model.rows, **model.baselines()}
        for method, embed in embeddings.items():
            test = embed(model.splits.test)
            rankings = {"Euclidean": Ranking(), "cosine": Ranking("cosine")}
            if method == model.name:
                curve = threshold_curve(model, embed(model.splits.validation))
                best, selective = best_threshold(curve), selective_threshold(curve)
                curves.setdefault(f"{method}, {model.setting}", curve)
                chosen.setdefault(f"{method}, {model.setting}", (best, selective))
                rankings["PAR"] = Ranking("euclidean", best, DEPTH)
                rankings["PAR, selective"] = Ranking("euclidean", selective, DEPTH)
            for ranked_by, ranking in rankings.items():
                answers = query_in_tenths(model.dataset, test, ranking, seed=model.seed)
                for group, classes in {"seen": model.splits.seen, "unseen": model.splits.unseen}.items():
                    figures = answers.figures(classes)
                    if ranking.min_cosine is not None:
                        figures["threshold"] = ranking.min_cosine
                    rows += table_rows(model, name, group, f"{method}, {ranked_by}", figures)
            if method == model.name:
                rows += what_par_could_gain(model, name, test)
    draw_threshold_curves(curves, THRESHOLDS, chosen)
    return rows


def what_par_could_gain(model: Trained, name: str, test: Rows) -> list[dict]:
    """Why PAR gains what it gains: how much a cosine knows, and what the best threshold of all would reach."""
    groups = {"seen": model.splits.seen, "unseen": model.splits.unseen}
    euclidean = query_in_tenths(model.dataset, test, Ranking(), seed=model.seed)
    best = dict.fromkeys(groups, 0.0)
    for threshold in THRESHOLDS.tolist():
        answers = query_in_tenths(model.dataset, test, Ranking("euclidean", threshold, DEPTH), seed=model.seed)
        for group, classes in groups.items():
            best[group] = max(best[group], answers.figures(classes)[f"P@{DEPTH}"])
    rows = []
    for group, classes in groups.items():
        figures = {
            f"P@{DEPTH} Euclidean": euclidean.figures(classes)[f"P@{DEPTH}"],
            f"P@{DEPTH} of PAR, threshold chosen on the test clips themselves": best[group],
            "AUC of the cosine among the 5 nearest": cosine_tells_right_from_wrong(model.dataset, test, classes),
        }
        rows += [
            results_file.row(
                data=f"{name}, what PAR could gain (a bound, no result), {group} classes",
                method=model.name,
                metric=metric,
                value=value,
                setting=model.setting,
                seed=model.seed,
            )
            for metric, value in figures.items()
        ]
    return rows


def table_rows(model: Trained, name: str, group: str, method: str, figures: dict[str, float]) -> list[dict]:
    """Figures as rows, the paper's own beside those that it has."""
    paper = PAPER.get((group, method))
    beside: dict[str, float] = {} if paper is None else dict(zip((*_METRICS, *_VOTES), paper * 2, strict=True))
    return [
        results_file.row(
            data=f"{name}, {group} classes",
            method=method,
            metric=metric,
            value=value,
            setting=model.setting,
            seed=model.seed,
            paper_value=beside.get(metric),
            paper_data=PAPER_DATA if metric in beside else None,
        )
        for metric, value in figures.items()
    ]


def threshold_curve(model: Trained, validation: Rows) -> dict[str, list[float]]:
    """PAR's figures at each of THRESHOLDS, of validation clips that query each other."""
    found = [
        evaluate_rows(model.dataset, validation, ranking=Ranking("euclidean", float(t), DEPTH), ks=(DEPTH,))["all"]
        for t in THRESHOLDS
    ]
    empty = np.array([figures["empty_share"] for figures in found])
    precision = np.array([figures[f"P@{DEPTH}"] for figures in found])
    answered = np.full(len(found), np.nan)  # an empty answer scores 0, so its share can be divided out
    np.divide(precision, 1 - empty, out=answered, where=empty < 1)
    return {
        f"P@{DEPTH}": precision.tolist(),
        f"P@{DEPTH} of the answered": answered.tolist(),
        f"recall@{DEPTH}": [figures[f"recall@{DEPTH}"] for figures in found],
        "share of empty answers": empty.tolist(),
    }


def best_threshold(curve: dict[str, list[float]]) -> float:
    """The threshold with the best precision at 5, an empty answer scoring 0; the lowest of equals."""
    return float(THRESHOLDS[int(np.argmax(curve[f"P@{DEPTH}"]))])


def selective_threshold(curve: dict[str, list[float]]) -> float:
    """The highest threshold that leaves at most UNANSWERED of the clips without an answer."""
    return float(THRESHOLDS[np.flatnonzero(np.array(curve["share of empty answers"]) <= UNANSWERED)[-1]])


def principal_components(models: list[Trained], name: str) -> list[dict]:
    """Accuracy against dimensions of MobileNet V1's clip vectors, plain and whitened."""
    rows: list[dict] = []
    curves: dict[str, dict[int, list[float]]] = {}
    kept: list[int] = []
    for model in (model for model in models if model.setting == "mobilenet-v1"):
        train, test = (model.rows(part) for part in (model.splits.train, model.splits.test))
        kept.append(fit_pca(train.vectors, variance=0.9).components.shape[1])
        for whiten, size in itertools.product((False, True), (*COMPONENTS, 0.9, None)):
            if size is None:
                if whiten:
                    continue
                method, vectors = "no PCA", test.vectors
            else:
                share = isinstance(size, float)
                method = f"{size:.0%} of the variance" if share else f"{size} components"
                pca = fit_pca(train.vectors, **{"variance" if share else "components": size}, whiten=whiten)
                vectors = ((test.vectors - pca.mean) @ pca.components).astype(np.float32)
            answers = query_in_tenths(
                model.dataset, dataclasses.replace(test, vectors=vectors), Ranking(), seed=model.seed
            )
            for group, classes in {"seen": model.splits.seen, "unseen": model.splits.unseen}.items():
                value = answers.figures(classes)["mAP"]
                if size != 0.9:
                    curve = f"{group} classes" + (", whitened" if whiten else "")
                    curves.setdefault(curve, {}).setdefault(size or vectors.shape[1], []).append(value)
                rows.append(
                    results_file.row(
                        data=f"{name}, principal components of the clip vectors",
                        method=method + (", whitened" if whiten else ""),
                        metric=f"mAP {group}",
                        value=value,
                        setting=model.setting,
                        seed=model.seed,
                    )
                )
    if curves:
        draw_dimensions(curves, float(np.mean(kept)))
    return rows


def search_with_files(model: Trained, name: str, searches: int = 40) -> list[dict]:
    """How often the clip that a query file was made from is the first result."""
    retriever = Retriever.open(model.run.index)
    dataset = model.dataset
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
                (image, None, "one frame as a picture"),
                (copy, None, "an edited copy, by clip vectors"),
                (copy, "frame", "an edited copy, frame by frame"),
            ):
                right[what] += retriever.search(str(query), 1, options=VectorSearch(space))[0].item.key == item.key
    data = f"{name}, {searches} searches with a file among {len(dataset)} clips"
    return [
        results_file.row(data, f"search with {what}", "source first", count / searches, setting=model.setting)
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
        cells = "  ".join(f"{m} {np.mean(v):.3f}±{np.std(v):.3f}" for m, v in metrics.items())
        lines.append(f"{data:<24} {setting:<20} {method:<34} {cells}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
