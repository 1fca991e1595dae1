"""Shots: where a video is cut, found from its frame vectors while they stream by.

A hard cut is where consecutive frames look unlike: the cosine distance of their vectors is above a threshold (Garcia
and Vogiatzis 2018, "Asymmetric spatio-temporal embeddings for large-scale image-to-video retrieval"; their Algorithm
1 moves its reference frame at cuts only, their text compares consecutive frames, which is done here). No cuts, and
cuts at random places, are the baselines that the paper compares with.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import numpy.typing as npt

from jaxret.data.sampling.frames import LONGEST_FRAME

__all__ = ["Shot", "ShotDetector", "consecutive_distances", "detect_cuts", "random_cuts", "shots_between"]

Numbers = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class Shot:
    """Consecutive frames between two cuts.

    Attributes:
      first, stop: the shot is frames first .. stop - 1 of those that the video was sampled at.
      start, end: seconds; a shot ends where the next begins or a gap does, the last at the end of the video.
      frames: int64 (T,), the numbers of the frames that stand for the shot, ascending: all of them or, of a shot
        longer than the limit, as many as the limit, evenly spaced over all of it.
      vectors: float32 (T, D), theirs.
    """

    first: int
    stop: int
    start: float
    end: float
    frames: Numbers
    vectors: Vectors


class ShotDetector:
    """Finds the shots of one video in a single pass, holding the vectors of the shot under way.

    A shot with more than `max_frames` frames stays one shot, with one span, and is thinned out evenly: a still camera
    is one answer to a query, not several alike. (At 3 frames a second 50 frames are 17 seconds, longer than most
    shots.)

    Args:
      threshold: cosine distance above which two consecutive frames lie on both sides of a cut, 0 to 2.
      max_frames: frames of a shot that are kept, at least 1; None keeps all.

    Raises:
      ValueError: a setting is out of range.

    Example:
      >>> detector = ShotDetector(threshold=0.5)
      >>> detector.add(np.eye(2)[[0, 0]], np.array([0.0, 0.5]))
      []
      >>> (shot,) = detector.add(np.eye(2)[[1]], np.array([1.0]))
      >>> (shot.first, shot.stop, shot.start, shot.end), shot.vectors.shape
      ((0, 2, 0.0, 1.0), (2, 2))
      >>> [(shot.start, shot.end) for shot in detector.finish(end=1.5)]
      [(1.0, 1.5)]
    """

    def __init__(self, threshold: float = 0.5, max_frames: int | None = 50):
        _check_threshold(threshold)
        _check_limit(max_frames)
        self.threshold = threshold
        self.max_frames = max_frames
        self._vectors: list[Vectors] = []  # of the shot under way, in blocks
        self._first = self._seen = 0
        self._start = self._last_time = 0.0
        self._step = 0.0  # seconds from frame to frame, without gaps

    def add(self, vectors: npt.ArrayLike, times: npt.ArrayLike) -> list[Shot]:
        """Go on with the next frames.

        Args:
          vectors: (M, D) floating, of consecutive frames; D the same each time.
          times: (M,) seconds, not decreasing, also from call to call.

        Returns:
          The shots that these frames end, in order.

        Raises:
          ValueError: a shape does not fit, a number is not finite, or time runs backwards.
        """
        block, moments = _checked(vectors), np.asarray(times, np.float64)
        if moments.shape != (len(block),):
            raise ValueError(f"times must have shape ({len(block)},), one a vector, got {moments.shape}")
        if not len(block):
            return []
        before = self._last_time if self._seen else moments[0]
        if not np.isfinite(moments).all() or (np.diff(moments, prepend=before) < 0).any():
            raise ValueError(f"times must be finite and not decrease, got {moments.tolist()} after {before}")
        if not self._seen:
            self._start = float(moments[0])
        last = self._vectors[-1][-1:] if self._vectors else block[:1]  # no frame is a cut from itself
        if last.shape[1] != block.shape[1]:
            raise ValueError(f"vectors must have {last.shape[1]} numbers as those before, got {block.shape[1]}")
        steps = np.diff(moments, prepend=before)
        ends = np.flatnonzero(
            (consecutive_distances(np.concatenate([last, block])) > self.threshold) | (steps > LONGEST_FRAME)
        )
        finished, begin = [], 0
        for end in ends.tolist():
            self._vectors.append(block[begin:end])
            starts = float(moments[end])
            # Before a gap the last frame is on display for as long as the others.
            stops = starts if steps[end] <= LONGEST_FRAME else float(moments[end] - steps[end] + self._step)
            finished.append(self._finished(self._seen + end, stops, starts))
            begin = end
        if len(usual := steps[(steps > 0) & (steps <= LONGEST_FRAME)]):
            self._step = float(usual.min())
        self._vectors.append(block[begin:])
        self._seen += len(block)
        self._last_time = float(moments[-1])
        return finished

    def finish(self, end: float) -> list[Shot]:
        """The last shot, in a list that is empty where there was no frame; the detector is then as new.

        Args:
          end: where the video ends, in seconds.

        Raises:
          ValueError: end lies before the last frame.
        """
        if not self._seen:
            return []
        if not end >= self._last_time:
            raise ValueError(f"end must not lie before the last frame at {self._last_time} s, got {end!r}")
        last = self._finished(self._seen, end, end)
        self._first = self._seen = 0
        return [last]

    def _finished(self, stop: int, end: float, following: float) -> Shot:
        """The shot under way as one that ends before frame `stop`, with which the next begins, `following` seconds."""
        shot = _shot(np.concatenate(self._vectors), self._first, self._start, end, self.max_frames)
        self._vectors = []
        self._first, self._start = stop, following
        return shot


def consecutive_distances(vectors: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Cosine distances 1 - u.v / (|u| |v|) of each vector to the next.

    Equal vectors are at distance 0 exactly; a vector of zeros, such as a black frame's, is at distance 1 from others.

    Args:
      vectors: (M, D) floating.

    Returns:
      float64 (M - 1,), 0 to 2; (0,) for no vector.

    Raises:
      ValueError: the vectors are no matrix or not finite.

    Example:
      >>> consecutive_distances([[1.0, 0.0], [3.0, 0.0], [0.0, 2.0]]).tolist()
      [0.0, 1.0]
    """
    matrix = _checked(vectors).astype(np.float64)
    lengths = np.linalg.norm(matrix, axis=1)
    unit = matrix / np.where(lengths > 0, lengths, 1)[:, None]
    cosines = np.einsum("md,md->m", unit[:-1], unit[1:])
    # Rounding would put equal vectors, two of zeros among them, a little apart.
    equal = (matrix[:-1] == matrix[1:]).all(axis=1)
    return np.where(equal, 0.0, np.clip(1 - cosines, 0, 2))


def detect_cuts(vectors: npt.ArrayLike, threshold: float = 0.5) -> Numbers:
    """The frames at which a new shot begins: those farther than `threshold` from the one before.

    Returns:
      int64 (K,), ascending, within 1 .. M - 1; what `ShotDetector` finds, for a video that is at hand whole.

    Raises:
      ValueError: as `consecutive_distances`, or the threshold lies outside 0 .. 2.

    Example:
      >>> detect_cuts(np.eye(3)[[0, 0, 1, 1, 2]]).tolist()
      [2, 4]
    """
    _check_threshold(threshold)
    return np.flatnonzero(consecutive_distances(vectors) > threshold) + 1


def random_cuts(frames: int, cuts: int, rng: np.random.Generator) -> Numbers:
    """As many cuts at random places, the baseline "random shot boundaries".

    Args:
      frames: of the video.
      cuts: how many, at most frames - 1.
      rng: where the places come from; all are equally likely.

    Returns:
      int64 (cuts,), ascending, all different, within 1 .. frames - 1.

    Raises:
      ValueError: a number is out of range.

    Example:
      >>> random_cuts(4, 3, np.random.default_rng(0)).tolist()
      [1, 2, 3]
    """
    if frames < 1:
        raise ValueError(f"frames must be at least 1, got {frames!r}")
    if not 0 <= cuts < frames:
        raise ValueError(f"cuts must lie in 0..{frames - 1} for {frames} frames, got {cuts!r}")
    return np.sort(rng.choice(frames - 1, size=cuts, replace=False)).astype(np.int64) + 1


def shots_between(
    vectors: npt.ArrayLike, times: npt.ArrayLike, end: float, cuts: npt.ArrayLike, *, max_frames: int | None = 50
) -> list[Shot]:
    """The shots of a video that is at hand whole, cut where it is said; no cuts give one shot.

    Args:
      vectors: (M, D) floating, M at least 1.
      times: (M,) seconds, not decreasing.
      end: where the video ends, in seconds.
      cuts: (K,) whole numbers, ascending, within 1 .. M - 1: the frames at which a new shot begins.
      max_frames: see `ShotDetector`.

    Raises:
      ValueError: a shape does not fit, cuts are out of range or order, or end lies before the last frame.

    Example:
      >>> [(shot.start, shot.end) for shot in shots_between(np.ones((3, 2)), [0.0, 1.0, 2.0], 3.0, [1])]
      [(0.0, 1.0), (1.0, 3.0)]
    """
    _check_limit(max_frames)
    matrix, moments = _checked(vectors), np.asarray(times, np.float64)
    if not len(matrix) or moments.shape != (len(matrix),):
        raise ValueError(f"times must have shape ({len(matrix)},), one a vector, of at least 1, got {moments.shape}")
    if not np.isfinite(moments).all() or (np.diff(moments) < 0).any() or not end >= moments[-1]:
        raise ValueError(f"times must be finite and not decrease, up to the end at {end!r}")
    places = np.asarray(cuts)
    if places.size and (places.ndim != 1 or places.dtype.kind not in "iu"):
        raise ValueError(f"cuts must be whole numbers (K,), got {places.dtype} {places.shape}")
    edges = [0, *places.tolist(), len(matrix)]
    if any(after <= before for before, after in itertools.pairwise(edges)):
        raise ValueError(f"cuts must ascend within 1..{len(matrix) - 1}, got {places.tolist()}")
    ends = [*moments[places.astype(np.int64)].tolist(), float(end)]
    return [
        _shot(matrix[first:stop], first, float(moments[first]), until, max_frames)
        for (first, stop), until in zip(itertools.pairwise(edges), ends, strict=True)
    ]


def _shot(vectors: Vectors, first: int, start: float, end: float, max_frames: int | None) -> Shot:
    count = len(vectors)
    kept = np.arange(count)
    if max_frames is not None and count > max_frames:
        kept = (2 * np.arange(max_frames) + 1) * count // (2 * max_frames)  # the centres of equal parts
    return Shot(first, first + count, start, end, first + kept, vectors[kept])


def _checked(vectors: npt.ArrayLike) -> Vectors:
    matrix = np.asarray(vectors, np.float32)
    if matrix.ndim != 2:
        raise ValueError(f"vectors must have shape (M, D), got {matrix.shape}")
    if not np.isfinite(matrix).all():
        raise ValueError("vectors must be finite")
    return matrix


def _check_threshold(threshold: float) -> None:
    if not 0 <= threshold <= 2:
        raise ValueError(f"threshold must be a cosine distance in 0..2, got {threshold!r}")


def _check_limit(max_frames: int | None) -> None:
    if max_frames is not None and max_frames < 1:
        raise ValueError(f"max_frames must be at least 1, got {max_frames!r}")
