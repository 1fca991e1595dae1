"""UCF101's groups, which are the sources of its clips, where file names do not tell them.

UCF101 lists the clips of a class group after group: 25 of them, of 4 to 7 clips each, all of one cut from the same
video. Clips of a group look alike, and neighbours of two groups do not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEAST, MOST = 4, 7  # clips in a group


def group_numbers(vectors: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """The group of each clip: of all ways to cut the list, the one across whose cuts neighbours are least alike.

    Args:
      vectors: (N, D) of length 1, one a clip, in the order of the list.
      count: of groups.

    Returns:
      (N,) 0 .. count - 1, ascending.
    """
    alike = np.concatenate([[0.0], (vectors[:-1] * vectors[1:]).sum(axis=1)])  # with the clip before
    n = len(vectors)
    # cost[g, e]: of the first e clips in g groups; begins[g, e]: where the last of them begins.
    cost, begins = np.full((count + 1, n + 1), np.inf), np.zeros((count + 1, n + 1), np.int64)
    cost[0, 0] = 0
    for group in range(1, count + 1):
        for end in range(LEAST, n + 1):
            for begin in range(max(0, end - MOST), end - LEAST + 1):
                total = cost[group - 1, begin] + alike[begin]
                if total < cost[group, end]:
                    cost[group, end], begins[group, end] = total, begin
    if not np.isfinite(cost[count, n]):
        raise ValueError(f"{n} clips are not {count} groups of {LEAST} to {MOST}")
    numbers, end = np.zeros(n, np.int64), n
    for group in range(count, 0, -1):
        numbers[begins[group, end] : end] = group - 1
        end = begins[group, end]
    return numbers
