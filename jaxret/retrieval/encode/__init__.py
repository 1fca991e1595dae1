"""Media to representations, through an encoder: the one road that training, indexing and searching share."""

from jaxret.retrieval.encode.batches import Canvas, encode_in_batches
from jaxret.retrieval.encode.canvases import canvas_for
from jaxret.retrieval.encode.frame_vectors import FrameEncoder, FrameVectors, frame_vectors
from jaxret.retrieval.encode.read_ahead import Read, read_ahead
from jaxret.retrieval.encode.shot_rows import ShotEncoder, encode_shots, shots_of
from jaxret.retrieval.encode.shots import Shot, ShotDetector, detect_cuts, random_cuts, shots_between
from jaxret.retrieval.encode.spaces import (
    ClipEncoder,
    clip_rows,
    code_rows,
    frame_rows,
    mean_frame_rows,
    mean_rows_of_chunks,
)

__all__ = [
    "Canvas",
    "ClipEncoder",
    "FrameEncoder",
    "FrameVectors",
    "Read",
    "Shot",
    "ShotDetector",
    "ShotEncoder",
    "canvas_for",
    "clip_rows",
    "code_rows",
    "detect_cuts",
    "encode_in_batches",
    "encode_shots",
    "frame_rows",
    "frame_vectors",
    "mean_frame_rows",
    "mean_rows_of_chunks",
    "random_cuts",
    "read_ahead",
    "shots_between",
    "shots_of",
]
