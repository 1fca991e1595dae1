"""Modalities of a video: one sampled moment as one image, made of a snippet of consecutive frames.

- `rgb`: the frame itself.
- `flow`: dense optical flow to the next frame: how far each pixel moves across and down, and the length of it.
- `difference`: a stack of differences: three differences of consecutive grey frames, one a channel.
- `dynamic-image`: ten frames in one by approximate rank pooling (Bilen, Fernando, Gavves and Vedaldi, "Action
  recognition with dynamic image networks", arXiv:1612.00738).

A snippet begins at the sampled frame and is made of the video's own frames, already scaled, cut and mirrored: so
motion is measured in pixels of what the encoder sees, and a mirrored video moves the other way.

Flow is Farneback's ("Two-frame motion estimation based on polynomial expansion", SCIA 2003) by OpenCV, the extra
`opencv`. OpenCV's DIS flow takes less than half the time, but crashes the process on some small and some long
images (OpenCV 5.0); Farneback's takes any size, and gives the same for any number of threads.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from jaxret.data.sampling.opencv import require_opencv
from jaxret.data.sampling.transforms import to_grey
from jaxret.preprocessing import Modality

__all__ = ["FLOW_LIMIT", "SNIPPET_FRAMES", "modality_image", "require_modalities", "snippet_indices"]

SNIPPET_FRAMES: dict[Modality, int] = {"rgb": 1, "flow": 2, "difference": 4, "dynamic-image": 10}
"""Frames of a snippet, by modality."""

FLOW_LIMIT = 20.0
"""Pixels a frame at which flow is clipped: 127 levels for the signed channels, 255 for the magnitude."""

_ZERO = 128  # the level that stands for no motion in a signed channel

Pixels = npt.NDArray[np.uint8]


def require_modalities(names: Iterable[Modality]) -> None:
    """Find out before any decoding whether the modalities can be made here.

    Raises:
      ConfigError: `flow` without OpenCV.
    """
    if "flow" in names:
        _opencv()


def snippet_indices(name: Modality, moments: npt.ArrayLike, frame_count: int) -> npt.NDArray[np.int64]:
    """The frames that make up the snippets of sampled frames.

    A snippet begins at its moment; at the end of the video it is moved back to stay inside. Of a video shorter
    than a snippet the last frame is repeated, but a dynamic image is made of the frames there are.

    Args:
      name: the modality.
      moments: (M,) numbers of the sampled frames, in 0..frame_count - 1.
      frame_count: frames of the video, at least 1.

    Returns:
      int64 (M, L), rows ascending.

    Example:
      >>> snippet_indices("difference", [0, 4, 9], frame_count=10).tolist()
      [[0, 1, 2, 3], [4, 5, 6, 7], [6, 7, 8, 9]]
      >>> snippet_indices("difference", [1], frame_count=2).tolist()
      [[0, 1, 1, 1]]
    """
    length = SNIPPET_FRAMES[name]
    first = np.clip(np.asarray(moments, np.int64), 0, max(0, frame_count - length))
    if name == "dynamic-image":
        length = min(length, frame_count)
    return np.minimum(first[:, None] + np.arange(length), frame_count - 1)


def modality_image(name: Modality, snippet: Pixels) -> Pixels:
    """One snippet as one image.

    Args:
      name: the modality.
      snippet: uint8 (L, H, W, 3), RGB, L = SNIPPET_FRAMES[name]; 1 to that many for `dynamic-image`.

    Returns:
      uint8 (H, W, 3). The channels are for
      - `rgb`: red, green, blue;
      - `flow`: dx (128 is none, above it to the right), dy (above 128 downwards), both clipped at 20 pixels a
        frame, 127 levels; and the magnitude, 0 to 20 pixels as 0 to 255;
      - `difference`: the change of luma from each of the frames to the next, level by level around 128, clipped
        at -128 and 127;
      - `dynamic-image`: red, green and blue of the pooled frames, stretched together so that the least value
        is 0 and the greatest 255; 128 everywhere if nothing moves.

    Raises:
      ValueError: the snippet has another shape or type.
      ConfigError: `flow` without OpenCV.

    Example:
      >>> brighter = np.stack([np.full((1, 1, 3), level, np.uint8) for level in (10, 10, 15, 5)])
      >>> modality_image("difference", brighter).tolist()
      [[[128, 133, 118]]]
    """
    length = SNIPPET_FRAMES[name]
    fits = snippet.ndim == 4 and snippet.shape[3] == 3 and snippet.dtype == np.uint8
    if not fits or not (len(snippet) == length or (name == "dynamic-image" and 1 <= len(snippet) <= length)):
        expected = f"1..{length}" if name == "dynamic-image" else length
        raise ValueError(f"a {name} snippet must be uint8 ({expected}, H, W, 3), got {snippet.dtype} {snippet.shape}")
    return _IMAGES[name](snippet)


def _frame(snippet: Pixels) -> Pixels:
    return snippet[0]


def _flow(snippet: Pixels) -> Pixels:
    cv2 = _opencv()
    before, after = to_grey(snippet)[..., 0]
    if np.array_equal(before, after):
        # A frame shown twice: no motion, of which Farneback's flow finds traces in noise.
        moved = np.zeros((*before.shape, 2), np.float32)
    else:
        moved = cv2.calcOpticalFlowFarneback(
            before, after, None, pyr_scale=0.5, levels=3, winsize=15, iterations=3, poly_n=5, poly_sigma=1.2, flags=0
        )
    signed = np.clip(moved, -FLOW_LIMIT, FLOW_LIMIT) * ((255 - _ZERO) / FLOW_LIMIT) + _ZERO
    magnitude = np.minimum(np.hypot(moved[..., 0], moved[..., 1]), FLOW_LIMIT) * (255 / FLOW_LIMIT)
    return np.rint(np.dstack([signed, magnitude])).astype(np.uint8)


def _difference(snippet: Pixels) -> Pixels:
    changes = np.diff(to_grey(snippet)[..., 0].astype(np.int16), axis=0)  # (3, H, W)
    levels = np.clip(changes, -_ZERO, 255 - _ZERO) + _ZERO
    return np.ascontiguousarray(np.moveaxis(levels.astype(np.uint8), 0, -1))


def _dynamic_image(snippet: Pixels) -> Pixels:
    # Whole numbers, so that a still snippet gives exactly 0 and not rounding errors stretched to 0..255.
    pooled = np.zeros(snippet.shape[1:], np.int32)
    for weight, frame in zip(_rank_pooling_weights(len(snippet)), snippet, strict=True):
        pooled += np.int32(weight) * frame.astype(np.int32)
    low, high = int(pooled.min()), int(pooled.max())
    if low == high:
        return np.full(pooled.shape, _ZERO, np.uint8)
    return np.rint((pooled - low) * (255 / (high - low))).astype(np.uint8)


@functools.cache
def _rank_pooling_weights(length: int) -> tuple[int, ...]:
    """Weights alpha_t of T = `length` frames, times the least common multiple of 1..T, which makes them whole.

    alpha_t = 2 (T - t + 1) - (T + 1) (H_T - H_(t-1)), H_t = 1 + 1/2 + ... + 1/t (section 2 of the paper): the
    first gradient step of a linear function that ranks the running means V_1..V_T of the frames by time.
    """
    unit = math.lcm(*range(1, length + 1))
    return tuple(
        2 * (length - t + 1) * unit - (length + 1) * sum(unit // i for i in range(t, length + 1))
        for t in range(1, length + 1)
    )


def _opencv() -> Any:
    return require_opencv("the modality 'flow'")


_IMAGES: dict[Modality, Callable[[Pixels], Pixels]] = {
    "rgb": _frame,
    "flow": _flow,
    "difference": _difference,
    "dynamic-image": _dynamic_image,
}
