"""What a run of image-to-video retrieval leaves behind: the index, the figures, the pictures and the report."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from jaxret.cli.shell import command_line_of
from jaxret.data.dataset import MediaDataset
from jaxret.data.sampling.frames import evenly_spaced
from jaxret.errors import MediaError
from jaxret.models.encoder import VideoEncoder
from jaxret.recipes.clip_report import RunSummary
from jaxret.recipes.image_to_video.held_out import ShotQuestions
from jaxret.recipes.report_parts import closing_sections
from jaxret.recipes.run_index import make_run_index
from jaxret.reporting import (
    GalleryRow,
    Section,
    Tile,
    draw_curves,
    draw_result_gallery,
    figure,
    paragraph,
    table,
    write_report,
)
from jaxret.retrieval.encode import FrameVectors
from jaxret.training import RunFolder, read_run_log

__all__ = ["finish_shot_run"]

_SHOWN = ("mAP", "R@1", "R@5", "video mAP", "video R@1")
_GALLERY_QUERIES, _GALLERY_RESULTS = 8, 5


def finish_shot_run(
    run: RunFolder,
    dataset: MediaDataset,
    media: dict[int, FrameVectors],
    test: ShotQuestions,
    encoders: dict[str, VideoEncoder],
    *,
    failures: Sequence[MediaError],
    config: Any,
    say: Callable[[str], None],
) -> RunSummary:
    """Index everything, measure, and write pictures and report into the run folder.

    Args:
      run: the run folder.
      dataset: all items.
      media: the frame vectors of those that could be read.
      test: shots of the test part, and frames that ask for them.
      encoders: by name, the one of this run first; the others are what it is to beat.
      failures: items that could not be read.
      config: the resolved settings, for the report.
      say: gets the results, a line at a time.
    """
    encoder = next(iter(encoders.values()))
    shots = encoder.preprocessing.shots
    assert shots is not None
    retriever = make_run_index(run, dataset, media, encoder, threads=config.threads, say=say)
    figures = {name: test.figures(other, shots.max_frames) for name, other in encoders.items()}
    run.figures.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    measured = {name: found for name, found in figures.items() if found}
    parts = [paragraph(_NOTHING_MEASURED)]
    if measured:
        rows = [
            (name, *(found[metric] for metric in _SHOWN), int(found["queries"])) for name, found in measured.items()
        ]
        parts = [table(("shots by", *_SHOWN, "queries"), rows), paragraph(_PROTOCOL)]
        _draw_gallery(run, dataset, test, encoder, shots.rate, shots.max_frames)
        caption = "A frame and the shots that it finds: green is its own shot, red another one."
        parts.append(figure(run.gallery, caption))
    curves = [paragraph("Nothing was trained.")]
    if log := read_run_log(run.metrics):
        panels = {
            "loss": ("loss",),
            "cosine of pairs": ("positive_cosine", "negative_cosine"),
            "validation": ("validation mAP", "validation R@1"),
        }
        draw_curves(run.curves, log, panels=panels)
        curves = [figure(run.curves, f"{len(log)} evaluations")]
    sizes = {space: retriever.bytes_an_hour(space) / 1e6 for space in ("frame", "clip")}
    size = f"An hour of video takes {sizes['clip']:.2f} MB of shots and {sizes['frame']:.2f} MB of frames."
    command = command_line_of("search", run.index, _example_query(run, dataset, media))
    sections = [
        Section("Pictures that ask for shots", parts),
        Section("Size of the index", [paragraph(size)]),
        Section("Learning curves", curves),
        *closing_sections(len(retriever.index), command, failures, config),
    ]
    write_report(run.report, f"jaxret run {run.path.name}", sections)
    width = max(map(len, figures))
    for name, found in measured.items():
        say(f"{name:>{width}}: " + "   ".join(f"{metric} {found[metric]:.3f}" for metric in _SHOWN))
    if not measured:
        say(_NOTHING_MEASURED)
    else:
        own = next(iter(measured))
        best = max(measured, key=lambda name: measured[name]["mAP"])
        if measured[best]["mAP"] > measured[own]["mAP"]:
            say(f"{own} is behind {best} on these films, which needs no training: --temporal {best.lower()}")
    say(size)
    if failures:
        say(f"{len(failures)} files could not be read; the report lists them")
    say(f"report: {run.report}")
    say(f"search the index with a picture:\n  {command}")
    return RunSummary({name: {"all": found} for name, found in measured.items()}, command)


_NOTHING_MEASURED = (
    "The test part has no shot of two frames, or no two shots to tell apart: there is nothing to measure."
)

_PROTOCOL = (
    "Of every shot of the test part one random frame is taken out. It, or with the setting photographs a synthetic bad "
    "photograph of it, asks for all shots of that part, and one answer is right: its own shot, or, for the figures of "
    "videos, its video, which counts by its best shot."
)


def _draw_gallery(
    run: RunFolder, dataset: MediaDataset, test: ShotQuestions, encoder: VideoEncoder, rate: float, max_frames: int
) -> None:
    """Held-out frames, spread over the test shots, and the middles of the shots that they find."""
    asked = evenly_spaced(len(test.asking), _GALLERY_QUERIES)
    order = test.rankings(encoder, max_frames)[asked, :_GALLERY_RESULTS]

    def tile(video: int, second: float, caption: str, relevant: bool | None) -> Tile:
        with dataset.open(video) as reader:
            return Tile(reader.read_at([second])[0], caption, relevant)

    rows = []
    for question, results in zip(asked.tolist(), order, strict=True):
        own = int(test.asking[question])
        video = int(test.videos[own])
        moment = float(test.frames[question]) / rate
        tiles = []
        for number in results.tolist():
            shot, where = test.shots[number], int(test.videos[number])
            span = f"{shot.start:.1f}-{shot.end:.1f} s"
            middle = (shot.start + shot.end) / 2
            tiles.append(tile(where, middle, f"{_short(dataset, where)}\n{span}", number == own))
        rows.append(GalleryRow(tile(video, moment, f"{_short(dataset, video)}\n{moment:.1f} s", None), tiles))
    draw_result_gallery(run.gallery, rows)


def _short(dataset: MediaDataset, number: int) -> str:
    return Path(dataset.items[number].key).stem[:18]


def _example_query(run: RunFolder, dataset: MediaDataset, media: dict[int, FrameVectors]) -> Path:
    """A frame from the middle of the first video (of the first picture, the picture), as a file to search with."""
    videos = [number for number in media if dataset.items[number].kind == "video"]
    number = min(videos or media)
    run.example.mkdir(exist_ok=True)
    target = run.example / "frame.png"
    with dataset.open(number) as reader:
        Image.fromarray(reader.read_at([reader.info.duration / 2])[0]).save(target)
    return target
