"""Cleaning of training shots: a clip that holds a cut keeps the frames of its strongest shot.

Clips that were cut from films by other rules hold frames of neighbouring shots. As in Garcia and Vogiatzis 2018
("Asymmetric spatio-temporal embeddings for large-scale image-to-video retrieval", section 4.1), all frames are matched
with all others by SIFT (Lowe 2004), frames that share enough descriptors are connected, and the strongest component
of that graph is kept (after Gordo et al. 2017, arXiv:1610.07940, who clean landmark photographs so). SIFT is
OpenCV's, the extra `opencv`.

What the paper leaves open is decided so: two descriptors are shared if each is the other's nearest and passes
Lowe's ratio test (its distance is below 0.8 of the second nearest's) both ways; the total number is that of the
descriptors of both frames, shared ones counted once, so that equal frames score 1; the strongest component is the
connected one with the largest sum of scores.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from jaxret.data.sampling.sift import shared_pairs, sift_features

__all__ = ["clean_shot", "count_shared", "frame_match_scores", "sift_descriptors", "strongest_component"]

Pixels = npt.NDArray[np.uint8]
Descriptors = npt.NDArray[np.float32]


def clean_shot(frames: Pixels, *, threshold: float = 0.25, max_descriptors: int = 500) -> npt.NDArray[np.int64]:
    """The frames of a clip that belong to its strongest shot.

    Args:
      frames: uint8 (T, H, W, 3), sampled from the clip in order, T at least 1. T (T - 1) / 2 pairs are matched.
      threshold: score above which two frames are connected, 0 to 1.
      max_descriptors: the strongest of a frame that are used.

    Returns:
      int64 (K,), the numbers of the frames to keep, ascending, K at least 1.

    Raises:
      ConfigError: OpenCV is not installed.
      ValueError: the frames have another shape or type, there is none, or a setting is out of range.
    """
    return strongest_component(frame_match_scores(frames, max_descriptors=max_descriptors), threshold)


def frame_match_scores(frames: Pixels, *, max_descriptors: int = 500) -> npt.NDArray[np.float64]:
    """How much each two frames have in common: shared descriptors / descriptors of both, shared ones counted once.

    Args:
      frames: uint8 (T, H, W, 3), T at least 1.
      max_descriptors: as `clean_shot`.

    Returns:
      float64 (T, T), symmetric, 0 to 1; 0 where a frame has no descriptor, and on the diagonal.

    Raises:
      ConfigError, ValueError: as `clean_shot`.
    """
    if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8 or not len(frames):
        raise ValueError(f"frames must be uint8 (T, H, W, 3) with T at least 1, got {frames.dtype} {frames.shape}")
    described = [sift_descriptors(frame, max_descriptors) for frame in frames]
    scores = np.zeros((len(frames), len(frames)))
    for i, first in enumerate(described):
        for j, second in enumerate(described[:i]):
            shared = count_shared(first, second)
            total = len(first) + len(second) - shared
            scores[i, j] = scores[j, i] = shared / total if total else 0.0
    return scores


def sift_descriptors(frame: Pixels, max_descriptors: int = 500) -> Descriptors:
    """SIFT descriptors of the strongest key points of a frame.

    Args:
      frame: uint8 (H, W, 3).
      max_descriptors: at least 1.

    Returns:
      float32 (N, 128), N from 0 to about `max_descriptors`.

    Raises:
      ConfigError: OpenCV is not installed.
      ValueError: max_descriptors is below 1.
    """
    if max_descriptors < 1:
        raise ValueError(f"max_descriptors must be at least 1, got {max_descriptors!r}")
    return sift_features(frame, max_descriptors, what="cleaning shots by SIFT").descriptors


def count_shared(first: npt.ArrayLike, second: npt.ArrayLike) -> int:
    """How many descriptors two frames share: nearest to each other, and by far, seen from both sides.

    Args:
      first, second: (N, D) and (M, D) floating.

    Raises:
      ValueError: the shapes do not agree.

    Example:
      >>> count_shared([[0.0, 0.0], [9.0, 9.0]], [[0.0, 1.0], [9.0, 8.0], [50.0, 50.0]])
      2
      >>> count_shared([[0.0, 0.0]], [[0.0, 1.0], [1.0, 0.0]])  # two that are equally near: neither is sure
      0
    """
    return len(shared_pairs(first, second))


def strongest_component(scores: npt.ArrayLike, threshold: float = 0.25) -> npt.NDArray[np.int64]:
    """The connected component with the largest sum of scores, of the graph whose edges have scores above a threshold.

    Of equal sums the component with more frames is taken, then the one whose first frame is earlier: where no edge is
    left, the first frame alone.

    Args:
      scores: float (T, T), symmetric, T at least 1; the diagonal is not looked at.
      threshold: 0 to 1.

    Returns:
      int64 (K,), the numbers of its frames, ascending.

    Raises:
      ValueError: the scores are not finite, square or symmetric, or the threshold lies outside 0..1.

    Example:
      >>> scores = np.zeros((5, 5))
      >>> for i, j, score in ((0, 1, 0.9), (2, 3, 0.5), (3, 4, 0.6), (1, 2, 0.2)):
      ...     scores[i, j] = scores[j, i] = score
      >>> strongest_component(scores).tolist()
      [2, 3, 4]
    """
    weights = np.asarray(scores, np.float64)
    if weights.ndim != 2 or weights.shape[0] != weights.shape[1] or not len(weights):
        raise ValueError(f"scores must be square (T, T) with T at least 1, got {weights.shape}")
    if not np.isfinite(weights).all() or not np.array_equal(weights, weights.T):
        raise ValueError("scores must be finite and symmetric")
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold must lie in 0..1, got {threshold!r}")
    edges = np.where(weights > threshold, weights, 0)
    np.fill_diagonal(edges, 0)
    unseen = set(range(len(edges)))
    best, best_rank = [0], (-1.0, 0)
    while unseen:  # components come in the order of their first frames
        waiting = [min(unseen)]
        unseen.remove(waiting[0])
        members = []
        while waiting:
            frame = waiting.pop()
            members.append(frame)
            reached = unseen.intersection(np.flatnonzero(edges[frame]).tolist())
            unseen -= reached
            waiting += sorted(reached)
        # Rounded, so that components of the same scores in another order are equal.
        rank = (round(float(edges[np.ix_(members, members)].sum()), 9), len(members))
        if rank > best_rank:
            best, best_rank = sorted(members), rank
    return np.array(best, np.int64)
