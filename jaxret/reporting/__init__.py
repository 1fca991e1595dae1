"""Figures and pages that show a run: curves, results beside their queries, one self-contained report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jaxret.lazy import lazy_names

if TYPE_CHECKING:
    from jaxret.reporting.curves import draw_curves
    from jaxret.reporting.detections import DetectedImage, DrawnBox, draw_detections
    from jaxret.reporting.edit_decisions import EditEvent, edit_list
    from jaxret.reporting.embedding_map import draw_embedding_map
    from jaxret.reporting.html_report import Section, drawn_figure, figure, paragraph, preformatted, table, write_report
    from jaxret.reporting.reconstruction_rows import draw_reconstructions
    from jaxret.reporting.result_gallery import GalleryRow, Tile, boxed_image, draw_result_gallery, filmstrip

__all__ = [
    "DetectedImage",
    "DrawnBox",
    "EditEvent",
    "GalleryRow",
    "Section",
    "Tile",
    "boxed_image",
    "draw_curves",
    "draw_detections",
    "draw_embedding_map",
    "draw_reconstructions",
    "draw_result_gallery",
    "drawn_figure",
    "edit_list",
    "figure",
    "filmstrip",
    "paragraph",
    "preformatted",
    "table",
    "write_report",
]

_NAMES = {
    "jaxret.reporting.curves": ("draw_curves",),
    "jaxret.reporting.detections": ("DetectedImage", "DrawnBox", "draw_detections"),
    "jaxret.reporting.edit_decisions": ("EditEvent", "edit_list"),
    "jaxret.reporting.embedding_map": ("draw_embedding_map",),
    "jaxret.reporting.html_report": (
        "Section",
        "drawn_figure",
        "figure",
        "paragraph",
        "preformatted",
        "table",
        "write_report",
    ),
    "jaxret.reporting.reconstruction_rows": ("draw_reconstructions",),
    "jaxret.reporting.result_gallery": ("GalleryRow", "Tile", "boxed_image", "draw_result_gallery", "filmstrip"),
}
__getattr__, __dir__ = lazy_names(__name__, _NAMES)
