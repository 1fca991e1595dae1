"""Media to representations, through an encoder: the one road that training, indexing and searching share."""

from jaxret.embedding.frame_vectors import FrameEncoder, FrameVectors, encode_in_batches, frame_vectors
from jaxret.embedding.read_ahead import read_ahead
from jaxret.embedding.spaces import ClipEncoder, Rows, clip_rows, code_rows, frame_rows, mean_frame_rows

__all__ = [
    "ClipEncoder",
    "FrameEncoder",
    "FrameVectors",
    "Rows",
    "clip_rows",
    "code_rows",
    "encode_in_batches",
    "frame_rows",
    "frame_vectors",
    "mean_frame_rows",
    "read_ahead",
]
