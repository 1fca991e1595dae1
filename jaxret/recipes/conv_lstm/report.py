"""What the report of a training in steps adds: what each step cost and gave, what came back, a map, sequences."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from jaxret.data.dataset import MediaDataset
from jaxret.data.sampling.frames import evenly_spaced
from jaxret.evaluation import GroupFigures, LabelProtocol, evaluate_sequences
from jaxret.models.encoder import VideoEncoder
from jaxret.rank import SequenceRanking
from jaxret.rank.sequence_ranking import SequenceMeasure
from jaxret.recipes.clip_report import EmbeddedRun
from jaxret.recipes.conv_lstm.settings import STEP_NAMES, StepRecord, StepsConfig, step_folder
from jaxret.recipes.finish import RunExtras
from jaxret.reporting import Section, draw_embedding_map, drawn_figure, figure, paragraph, table
from jaxret.retrieval.encode import FrameVectors, clip_rows
from jaxret.retrieval.systems.sequences import in_order_of_time
from jaxret.training import RunFolder, read_run_log

__all__ = ["SEQUENCE_METHODS", "embedding_map", "sequence_figures", "steps_extras"]

_MAPPED_CLIPS, _PERPLEXITY = 2000, 30.0
SEQUENCE_METHODS: dict[str, SequenceMeasure] = {"mean vector": "mean-cosine", "DTW": "dtw", "Bi-DTW": "bi-dtw"}
"""Ways of comparing sequences, as reports name them."""

_NOTE = (
    "'Trained' compares videos by their nearest clips. 'Mean vector' is the cosine distance of the means of their clip "
    "vectors, 'DTW' and 'Bi-DTW' compare the sequences of these, the latter also backwards. 'After' a step: what the "
    "encoder gave when the step had ended."
)


def sequence_figures(
    dataset: MediaDataset,
    media: Mapping[int, FrameVectors],
    encoder: VideoEncoder,
    *,
    gallery: Mapping[int, FrameVectors] | None = None,
    methods: Collection[str] = tuple(SEQUENCE_METHODS),
    groups: Mapping[str, Collection[str]] | None = None,
) -> dict[str, GroupFigures]:
    """Metrics by class of videos, each a query against others but those of its own source, by method.

    Args:
      dataset: whose items they are.
      media: frame vectors by item index; images take no part.
      encoder: that made them.
      gallery: what is searched, likewise; None: they search each other.
      methods: of `SEQUENCE_METHODS`.
      groups: see `jaxret.evaluation.LabelProtocol`.

    Returns:
      Figures of each method; {} of one where no video has another of its class.
    """
    parts = [clip_rows(part, encoder) for part in (media, media if gallery is None else gallery)]
    if not all(len(rows.vectors) for rows in parts):
        return {method: {} for method in methods}
    queries, searched = (
        (in_order_of_time(rows)[0], [dataset.items[index] for index in np.unique(rows.items).tolist()])
        for rows in parts
    )
    return {
        method: evaluate_sequences(
            *queries, *searched, SequenceRanking(SEQUENCE_METHODS[method]), LabelProtocol(groups=groups)
        )
        for method in methods
    }


def steps_extras(
    embedded: EmbeddedRun, records: Sequence[StepRecord], config: StepsConfig, run: RunFolder
) -> RunExtras:
    """Metrics of sequences, and sections on the steps.

    Args:
      embedded: the data and both encoders.
      records: of the steps, in their order.
      config: the resolved settings.
      run: figures are written into it and its steps' folders.
    """
    dataset, test, before, groups = embedded.dataset, embedded.test, embedded.before, embedded.groups
    figures: dict[str, GroupFigures] = {}
    untrained_figures: dict[str, GroupFigures] = {}
    if embedded.splits.seen and test:
        figures |= sequence_figures(dataset, test, embedded.encoder, groups=groups)
        untrained_figures = sequence_figures(dataset, before, embedded.untrained, groups=groups)
        figures |= {f"untrained, {method}": found for method, found in untrained_figures.items()}
    for record in records:
        figures |= {f"after {record.step}, {method}": found for method, found in record.test.items()}
    first = [Section("The steps", _step_parts(records, untrained_figures))]
    last = []
    drawn = step_folder(run, "pretrain").path / "reconstructions.png"
    if drawn.exists():
        text = "Held-out clips, and what the autoencoder of step 1 makes of their vectors"
        error = next((r.figures.get("validation reconstruction error") for r in records if r.step == "pretrain"), None)
        mean = next((r.figures.get("error of the mean frame") for r in records if r.step == "pretrain"), None)
        text += "." if error is None else f"; its error on validation clips is {error:.4g}"
        text += "" if error is None else "." if mean is None else f", that of the mean training frame {mean:.4g}."
        last.append(Section("Clips and their reconstructions", [figure(drawn, text)]))
    if test:
        last.append(_map_section(run.path / "embeddings.png", embedded, config.seed))
    curves = []
    for record in records:
        folder = step_folder(run, record.step)
        if record.step != "rank" and folder.curves.exists():
            rows = read_run_log(folder.metrics)
            curves.append(figure(folder.curves, f"{record.step}: {len(rows)} evaluations"))
    return RunExtras(figures, _NOTE if figures else "", first, last, curves or [paragraph("Nothing was trained.")])


def _step_parts(records: Sequence[StepRecord], untrained: dict[str, GroupFigures]) -> list[str]:
    def scores(found: dict[str, GroupFigures]) -> list[float | str]:
        return [found.get(method, {}).get("all", {}).get("mAP", "") for method in SEQUENCE_METHODS]

    header = ("step", "what", "updates", "epochs", "minutes", "reconstruction error", "validation mAP")
    rows: list[Sequence[object]] = [("none", "random weights", "", "", "", "", "", *scores(untrained))]
    notes = []
    for record in records:
        given = record.figures
        ranked = record.step == "rank"
        rows.append(
            (
                record.step,
                STEP_NAMES[record.step],
                "" if ranked else record.updates,
                "" if ranked else record.epochs,
                record.seconds / 60,
                given.get("validation reconstruction error", ""),
                given.get("validation mAP", ""),
                *scores(record.test),
            )
        )
        if ranked:
            shown = [f"{name} {value:.4g}" for name, value in given.items()]
            notes.append(paragraph(f"The ranking: {', '.join(shown)}."))
    text = (
        "Minutes hold the evaluations within a step. The reconstruction error is that of held-out clips; mAP is by "
        "class, of the validation split by Bi-DTW and of the test split by each method."
    )
    return [table((*header, *(f"test mAP, {method}" for method in SEQUENCE_METHODS)), rows), *notes, paragraph(text)]


def _map_section(path: Path, embedded: EmbeddedRun, seed: int) -> Section:
    test, before = embedded.test, embedded.before
    maps, labels = {}, None
    for title, media, encoder in (
        ("untrained", before, embedded.untrained),
        ("trained", test, embedded.encoder),
    ):
        shared = {index: vectors for index, vectors in media.items() if index in test and index in before}
        rows = clip_rows(shared, encoder)
        chosen = evenly_spaced(len(rows.items), _MAPPED_CLIPS)
        points = embedding_map(rows.vectors[chosen], seed=seed) if len(chosen) else None
        if points is None:
            return Section("Map of the test clips", [paragraph("There are too few test clips to draw a map of.")])
        maps[title] = points
        labels = [embedded.dataset.items[index].label for index in rows.items[chosen].tolist()]
    assert labels is not None
    draw = functools.partial(draw_embedding_map, path, maps, labels)
    text = f"t-SNE of the vectors of {len(labels)} test clips: near points are near each other in the space of vectors."
    return Section("Map of the test clips", [drawn_figure(path, text, draw)])


def embedding_map(vectors: npt.NDArray[np.float32], *, seed: int) -> npt.NDArray[np.float32] | None:
    """t-SNE of vectors (N, D), (N, 2); None of fewer than 5. The perplexity is 30, and a third of N where that is less.

    L. van der Maaten and G. Hinton, "Visualizing Data using t-SNE", JMLR 2008.
    """
    if len(vectors) < 5:
        return None
    from sklearn.manifold import TSNE  # takes a second to import
    from threadpoolctl import threadpool_limits  # scikit-learn's own

    perplexity = min(_PERPLEXITY, (len(vectors) - 1) / 3)
    # From principal components, so that the map depends on the seed alone and keeps the large shape.
    scaled = vectors - vectors.mean(axis=0)
    scaled = scaled / max(float(np.abs(scaled).max()), 1e-12)
    init = "pca" if scaled.shape[1] > 1 and scaled.any() else "random"
    # Its threads wait for each other a thousand times, which on a busy machine takes a hundred times as long.
    with threadpool_limits(1):
        made: npt.NDArray[np.float32] = TSNE(perplexity=perplexity, init=init, random_state=seed).fit_transform(scaled)
    return made
