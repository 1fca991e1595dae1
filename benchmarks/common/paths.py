"""Where benchmarks read and write: JAXRET_SHARED, its data and weights, benchmarks/results."""

from __future__ import annotations

import os
from pathlib import Path

BENCHMARKS = Path(__file__).parents[1]
RESULTS = BENCHMARKS / "results"
DOCS = BENCHMARKS.parent / "docs"

SHARED = Path(os.environ.get("JAXRET_SHARED", BENCHMARKS.parents[1] / "shared"))
DATA = SHARED / "data"
WEIGHTS = SHARED / "weights"

JHMDB = DATA / "jhmdb"
JHMDB_CLIPS = JHMDB / "clips.csv"
UCF101_FEATURES = DATA / "ucf101_15_vgg16.npz"
MOBILENET_WEIGHTS = WEIGHTS / "mobilenet_1_0_224_tf.h5"
