"""Instance search as someone would put it together: OpenCV, onnxruntime, scikit-learn and faiss.

    python instance_glue.py FOLDER MAP.onnx SIDE

Patches: whitened means of the cells of four grids in a faiss index. A process of its own; it prints its times as JSON.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from pathlib import Path

import cv2
import faiss
import numpy as np
import onnxruntime
from sklearn.decomposition import PCA

_GRIDS, _COMPONENTS = (1, 2, 3, 4), 256


def read(path: Path, side: int) -> np.ndarray:
    """The image as the network sees it: the longer side `side`, both multiples of 32."""
    image = cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_REDUCED_COLOR_2), cv2.COLOR_BGR2RGB)
    ratio = side / max(image.shape[:2])
    height, width = (max(1, int(length * ratio / 32 + 0.5)) * 32 for length in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def cells(one: np.ndarray) -> np.ndarray:
    """The means (30, C) of a map (C, H, W) in the cells of the grids; edges are rounded to places."""
    parts = []
    for count in _GRIDS:
        rows, columns = (np.linspace(0, length, count + 1).round().astype(int) for length in one.shape[1:])
        for top, bottom in itertools.pairwise(rows):
            for left, right in itertools.pairwise(columns):
                parts.append(one[:, top : max(bottom, top + 1), left : max(right, left + 1)].mean(axis=(1, 2)))
    return np.array(parts)


def main() -> None:
    """Index a folder."""
    folder, network, side = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = len(__import__("os").sched_getaffinity(0))
    session = onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
    times = {"decoding": 0.0, "computing": 0.0}
    found = []
    for path in sorted(folder.rglob("*.jpg")):
        start = time.perf_counter()
        image = read(path, side)
        times["decoding"] += time.perf_counter() - start
        start = time.perf_counter()
        pixels = (image.astype(np.float32) / 127.5 - 1).transpose(2, 0, 1)[None]
        found.append(cells(session.run(None, {"x": pixels})[0][0]))
        times["computing"] += time.perf_counter() - start
    start = time.perf_counter()
    rows = np.concatenate(found)
    sample = rows[np.random.default_rng(0).permutation(len(rows))[:50_000]]
    whitening = PCA(_COMPONENTS, whiten=True).fit(sample)
    vectors = whitening.transform(rows).astype(np.float32)
    faiss.normalize_L2(vectors)
    index = faiss.IndexFlatIP(_COMPONENTS)
    index.add(vectors)
    times["fitting and indexing"] = time.perf_counter() - start
    start = time.perf_counter()
    index.search(vectors[:1], 1000)
    times["one search"] = time.perf_counter() - start
    print(json.dumps(times))


if __name__ == "__main__":
    main()
