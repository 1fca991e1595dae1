"""What a run of image-to-video retrieval leaves: the index, the metrics, the figures and the report."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from jaxret.cli.shell import command_line_of
from jaxret.data.dataset import MediaDataset
from jaxret.data.sampling.frames import evenly_spaced
from jaxret.errors import MediaError
from jaxret.evaluation import GroupFigures
from jaxret.models.encoder import VideoEncoder
from jaxret.recipes.finish import closing_sections, curve_parts, log_ending, make_run_index, write_figures
from jaxret.recipes.image_to_video.candidates import Candidate, folder_of
from jaxret.recipes.image_to_video.held_out import HeldOutFrames
from jaxret.recipes.image_to_video.shot_encoders import LEARNED, NAMES, Temporal
from jaxret.recipes.recipe import Run
from jaxret.reporting import (
    GalleryRow,
    Section,
    Tile,
    draw_result_gallery,
    drawn_figure,
    paragraph,
    table,
    write_report,
)
from jaxret.retrieval.encode import FrameVectors
from jaxret.training import CosineMarginObjective, RunContext, RunFolder

if TYPE_CHECKING:
    from jaxret.recipes.image_to_video.recipe import ImageToVideoConfig

__all__ = ["ShotStudy", "finish_shot_run"]

_SHOWN = ("mAP", "R@1", "R@5", "video mAP", "video R@1")
_GALLERY_QUERIES, _GALLERY_RESULTS = 8, 5


@dataclasses.dataclass(frozen=True)
class ShotStudy:
    """What a run measures.

    Attributes:
      encoders: by name, the one that the run takes first.
      unseen: shots of the test films, and the frames that are queries for them.
      seen: of as many shots of films that were trained on.
      candidates: how well each finds the validation films; empty where nothing could be measured.
    """

    encoders: dict[Temporal, VideoEncoder]
    unseen: HeldOutFrames
    seen: HeldOutFrames
    candidates: Sequence[Candidate]


def finish_shot_run(
    dataset: MediaDataset,
    media: dict[int, FrameVectors],
    study: ShotStudy,
    config: ImageToVideoConfig,
    context: RunContext,
    *,
    failures: Sequence[MediaError],
) -> Run:
    """Index everything, measure, and write figures and report into the run folder.

    Args:
      dataset: all items.
      media: the frame vectors of those that could be read.
      study: encoders and queries.
      config: the resolved settings, for the report.
      context: the run folder, and where results are logged, a line at a time.
      failures: items that could not be read.
    """
    run = context.run
    chosen, encoder = next(iter(study.encoders.items()))
    retriever = make_run_index(run, dataset, media, encoder, threads=config.threads, log=context.log)
    measured: dict[str, GroupFigures] = {}
    figures = {}
    for name, other in study.encoders.items():
        unseen, seen = (queries.figures(other, config.max_frames) for queries in (study.unseen, study.seen))
        figures[NAMES[name]] = unseen | {f"seen {metric}": value for metric, value in seen.items()}
        if unseen:
            measured[NAMES[name]] = {"unseen": unseen} | ({"seen": seen} if seen else {})
    write_figures(run, figures)
    found = [paragraph(_NOTHING_MEASURED)]
    if measured:
        rows = [
            (name, f"{group} films", *(row[metric] for metric in _SHOWN), int(row["queries"]))
            for name, groups in measured.items()
            for group, row in groups.items()
        ]
        found = [table(("shots by", "queries of", *_SHOWN, "queries"), rows), paragraph(_PROTOCOL)]
        caption = "A held-out frame and the shots that it finds: green is its own shot, red another one."
        draw = functools.partial(_draw_gallery, run, dataset, study.unseen, encoder, config.rate, config.max_frames)
        found.append(drawn_figure(run.gallery, caption, draw))
    learned = [name for name in study.encoders if name in LEARNED]
    curves = [paragraph("Nothing was trained.")]
    if learned:
        of_curves = folder_of(run, chosen if chosen in learned else learned[0], alone=len(learned) == 1)
        panels = {**CosineMarginObjective.curves, "validation": ("validation mAP", "validation R@1")}
        curves = curve_parts(of_curves, panels)
    sizes = {space: retriever.bytes_an_hour(space) / 1e6 for space in ("frame", "clip")}
    size = f"An hour of video takes {sizes['clip']:.2f} MB of shots and {sizes['frame']:.2f} MB of frames."
    command = command_line_of("search", run.index, _example_query(run, dataset, media))
    sections = [
        Section("Images that find shots", found),
        Section(f"Shots by {NAMES[chosen]}", _choice_parts(study.candidates, chosen, config)),
        Section("Size of the index", [paragraph(size)]),
        Section("Learning curves", curves),
        *closing_sections(len(retriever.index), command, failures, config, dataset.damaged),
    ]
    write_report(run.report, f"jaxret run {run.path.name}", sections)
    for method, groups in measured.items():
        for group, row in groups.items():
            shown = "   ".join(f"{metric} {row[metric]:.3f}" for metric in _SHOWN)
            context.log(f"{method:>{max(map(len, measured))}}, {group:>6} films: {shown}")
    if not measured:
        context.log(_NOTHING_MEASURED)
    context.log(size)
    log_ending(context, failures, "an image", command)
    return Run(run.path, measured or {name: {} for name in figures}, command)


def _choice_parts(candidates: Sequence[Candidate], chosen: Temporal, config: ImageToVideoConfig) -> list[str]:
    """How well each encoder of shots finds the validation films, and why one was taken."""
    why = f"The setting temporal is {config.temporal}."
    if config.temporal == "auto":
        why = (
            f"Taken: {NAMES[chosen]}. It is the best on validation films of those that gain more on the sum than the "
            "standard error of the gain, paired by query; the sum, where there is none."
        )
    if not candidates:
        return [paragraph(why), paragraph("The validation films have nothing to measure by.")]
    rows = [
        (NAMES[one.name], one.mean_average_precision, one.gain, one.error if math.isfinite(one.error) else "")
        for one in candidates
    ]
    return [table(("shots by", "validation mAP", "gain on the sum", "standard error"), rows), paragraph(why)]


_NOTHING_MEASURED = (
    "The test split has no shot of two frames, or no two shots to tell apart: there is nothing to measure."
)

_PROTOCOL = (
    "One random frame of every shot of the test split is held out. It, or with the setting screen_photos a synthetic "
    "screen photo of it, is the query for all shots of that split, and one answer is right: its own shot, or, for the "
    "metrics of videos, its video, which counts by its best shot. Unseen films are those of the test split. Seen films "
    "are as many shots of films that were trained on, compared with each other in the same way."
)


def _draw_gallery(
    run: RunFolder, dataset: MediaDataset, test: HeldOutFrames, encoder: VideoEncoder, rate: float, max_frames: int
) -> None:
    """Held-out frames, spread over the test shots, and the middles of the shots that they find."""
    chosen = evenly_spaced(len(test.shot_of_query), _GALLERY_QUERIES)
    order = test.rankings(encoder, max_frames)[chosen, :_GALLERY_RESULTS]

    def tile(video: int, second: float, caption: str, relevant: bool | None) -> Tile:
        with dataset.open(video) as reader:
            return Tile(reader.read_at([second])[0], caption, relevant)

    rows = []
    for query, results in zip(chosen.tolist(), order, strict=True):
        own = int(test.shot_of_query[query])
        video = int(test.videos[own])
        moment = float(test.frames[query]) / rate
        tiles = []
        for index in results.tolist():
            shot, where = test.shots[index], int(test.videos[index])
            span = f"{shot.start:.1f}-{shot.end:.1f} s"
            middle = (shot.start + shot.end) / 2
            tiles.append(tile(where, middle, f"{_short(dataset, where)}\n{span}", index == own))
        rows.append(GalleryRow(tile(video, moment, f"{_short(dataset, video)}\n{moment:.1f} s", None), tiles))
    draw_result_gallery(run.gallery, rows)


def _short(dataset: MediaDataset, index: int) -> str:
    return Path(dataset.items[index].key).stem[:18]


def _example_query(run: RunFolder, dataset: MediaDataset, media: dict[int, FrameVectors]) -> Path:
    """A frame from the middle of the first video (or the first image itself), as a file to search with."""
    videos = [index for index in media if dataset.items[index].kind == "video"]
    index = min(videos or media)
    run.example.mkdir(exist_ok=True)
    target = run.example / "frame.png"
    with dataset.open(index) as reader:
        Image.fromarray(reader.read_at([reader.info.duration / 2])[0]).save(target)
    return target
