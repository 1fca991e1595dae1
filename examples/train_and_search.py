"""Train CNN + LSTM on a few moving digits, then search the run's index with a video file."""

from __future__ import annotations

import tempfile
from pathlib import Path

import jaxret
from jaxret import VectorSearch
from jaxret.data.datasets.moving_digits import MovingDigits

folder = Path(tempfile.mkdtemp())
digits = MovingDigits(train_clips=16, validation_clips=4, test_clips=8)
few = [index for index, item in enumerate(digits.items) if item.label in ("0-up", "0-down", "1-left", "1-right")]
table = digits.write_media_folder(folder / "media", few)  # videos, and a CSV with their classes, sources and splits

run = jaxret.recipes.train(
    "cnn-lstm",
    data=str(table),
    out=folder / "run",
    frames=6,
    chunk_seconds=1.0,
    units=32,
    batch_size=8,
    epochs=2,  # a real training takes some more
)
print("trained:", run.path)
retriever = run.retriever  # its index, opened

query = sorted((folder / "media").rglob("*.mp4"))[0]
for hit in retriever.search(query, k=3):
    print(f"  {hit.distance:6.3f}  {hit.item.label:12}  {hit.item.key}")

similar = retriever.search(query, k=3, options=VectorSearch(min_cosine=0.9))  # PAR
print(len(similar), "of them have a cosine similarity above 0.9")
report = retriever.evaluate(ks=(1, 5))
print(f"mAP {report.figures['all']['mAP']:.2f}, {report.measured}")
