"""What a run of image-to-video retrieval leaves: the index, the metrics, the figures and the report."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from jaxret.cli.shell import command_line_of
from jaxret.data.dataset import MediaDataset
from jaxret.data.sampling.frames import evenly_spaced
from jaxret.errors import MediaError
from jaxret.models.encoder import VideoEncoder
from jaxret.recipes.base import Run
from jaxret.recipes.finish import closing_sections, curve_parts, log_ending, make_run_index, write_figures
from jaxret.recipes.image_to_video.held_out import HeldOutFrames
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

__all__ = ["finish_shot_run"]

_SHOWN = ("mAP", "R@1", "R@5", "video mAP", "video R@1")
_GALLERY_QUERIES, _GALLERY_RESULTS = 8, 5


def finish_shot_run(
    dataset: MediaDataset,
    media: dict[int, FrameVectors],
    test: HeldOutFrames,
    encoders: dict[str, VideoEncoder],
    config: Any,
    context: RunContext,
    *,
    failures: Sequence[MediaError],
) -> Run:
    """Index everything, measure, and write figures and report into the run folder.

    Args:
      dataset: all items.
      media: the frame vectors of those that could be read.
      test: shots of the test split, and the frames that are queries for them.
      encoders: by name, the one of this run first; the others are what it is to beat.
      config: the resolved settings, for the report.
      context: the run folder, and where results are logged, a line at a time.
      failures: items that could not be read.
    """
    run = context.run
    encoder = next(iter(encoders.values()))
    shots = encoder.preprocessing.shots
    assert shots is not None
    retriever = make_run_index(run, dataset, media, encoder, threads=config.threads, log=context.log)
    figures = {name: test.figures(other, shots.max_frames) for name, other in encoders.items()}
    write_figures(run, figures)
    measured = {name: found for name, found in figures.items() if found}
    parts = [paragraph(_NOTHING_MEASURED)]
    if measured:
        rows = [
            (name, *(found[metric] for metric in _SHOWN), int(found["queries"])) for name, found in measured.items()
        ]
        parts = [table(("shots by", *_SHOWN, "queries"), rows), paragraph(_PROTOCOL)]
        caption = "A held-out frame and the shots that it finds: green is its own shot, red another one."
        draw = functools.partial(_draw_gallery, run, dataset, test, encoder, shots.rate, shots.max_frames)
        parts.append(drawn_figure(run.gallery, caption, draw))
    curves = curve_parts(run, {**CosineMarginObjective.curves, "validation": ("validation mAP", "validation R@1")})
    sizes = {space: retriever.bytes_an_hour(space) / 1e6 for space in ("frame", "clip")}
    size = f"An hour of video takes {sizes['clip']:.2f} MB of shots and {sizes['frame']:.2f} MB of frames."
    command = command_line_of("search", run.index, _example_query(run, dataset, media))
    sections = [
        Section("Images that find shots", parts),
        Section("Size of the index", [paragraph(size)]),
        Section("Learning curves", curves),
        *closing_sections(len(retriever.index), command, failures, config, dataset.damaged),
    ]
    write_report(run.report, f"jaxret run {run.path.name}", sections)
    width = max(map(len, figures))
    for name, found in measured.items():
        context.log(f"{name:>{width}}: " + "   ".join(f"{metric} {found[metric]:.3f}" for metric in _SHOWN))
    if not measured:
        context.log(_NOTHING_MEASURED)
    else:
        own = next(iter(measured))
        best = max(measured, key=lambda name: measured[name]["mAP"])
        if measured[best]["mAP"] > measured[own]["mAP"]:
            context.log(f"{own} is behind {best} on these films, which needs no training: --temporal {best.lower()}")
    context.log(size)
    log_ending(context, failures, "an image", command)
    return Run(run.path, {name: {"all": found} for name, found in measured.items()}, command)


_NOTHING_MEASURED = (
    "The test split has no shot of two frames, or no two shots to tell apart: there is nothing to measure."
)

_PROTOCOL = (
    "One random frame of every shot of the test split is held out. It, or with the setting screen_photos a synthetic "
    "screen photo of it, is the query for all shots of that split, and one answer is right: its own shot, or, for the "
    "metrics of videos, its video, which counts by its best shot."
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
