"""Index a folder of videos and images with an encoder of one's own; find a film by a frame, and by an edited copy."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from flax import nnx
from PIL import Image

import jaxret
from jaxret import Retriever, VectorSearch
from jaxret.data.decode.write import write_video
from jaxret.models import Mean, create_backbone
from jaxret.models.encoder import VideoEncoder
from jaxret.preprocessing import Preprocessing

folder = Path(tempfile.mkdtemp())
rng = np.random.default_rng(0)
for name in ("harbour", "forest", "market"):  # coloured patches that drift stand for films
    (folder / "media" / name).mkdir(parents=True)
    still = rng.integers(0, 256, (6, 8, 3), np.uint8).repeat(16, axis=0).repeat(16, axis=1)
    frames = np.stack([np.roll(still, 2 * step, axis=1) for step in range(30)])
    write_video(folder / "media" / name / "film.mp4", frames, fps=10)
    Image.fromarray(still).save(folder / "media" / name / "poster.png")

# An untrained network tells such films apart; `jaxret.load_encoder(RUN / "encoder")` opens a trained one.
rngs = nnx.Rngs(0)
backbone = create_backbone("small-convnet", embedding_size=64, rngs=rngs)
encoder = VideoEncoder(backbone, Mean(64, rngs=rngs), Preprocessing(height=64, width=64, frames=8))
retriever = Retriever.create(folder / "index", encoder)
report = retriever.add(jaxret.open_dataset(str(folder / "media")))
print(len(report.added), "added,", len(report.skipped), "unreadable")

print("the film of a frame:")
for hit in retriever.search(folder / "media" / "forest" / "poster.png", k=2, kinds={"video"}):
    print(f"  {hit.distance:6.3f}  {hit.item.key}  at {hit.start:.1f} s")

cropped = frames[5:20, 8:88, 8:120]  # the middle of the last film, a second and a half of it
write_video(folder / "copy.mp4", cropped, fps=10)
print("the source of an edited copy:")
for hit in retriever.search(folder / "copy.mp4", k=2, options=VectorSearch("frame"), kinds={"video"}):
    print(f"  {hit.distance:6.3f}  {hit.item.key}  {hit.start:.1f} to {hit.end:.1f} s")
