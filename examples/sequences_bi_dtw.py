"""Videos as sequences of clips: Bi-DTW finds a video that runs backwards, and where a piece was cut from."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from flax import nnx

import jaxret
from jaxret import Retriever, SequenceSearch
from jaxret.data.decode.write import write_video
from jaxret.models import Mean, create_backbone
from jaxret.models.encoder import VideoEncoder
from jaxret.preprocessing import Preprocessing

folder = Path(tempfile.mkdtemp())
rng = np.random.default_rng(0)
films = {}
for name in ("one", "two", "three"):  # eight scenes of a second each
    scenes = rng.integers(0, 256, (8, 4, 4, 3), np.uint8).repeat(16, axis=1).repeat(16, axis=2)
    films[name] = scenes.repeat(10, axis=0)
    (folder / "films").mkdir(exist_ok=True)
    write_video(folder / "films" / f"{name}.mp4", films[name], fps=10)

rngs = nnx.Rngs(0)
backbone = create_backbone("small-convnet", embedding_size=32, rngs=rngs)
clips = Preprocessing(height=64, width=64, frames=4, chunk_seconds=1.0)  # a vector a second
retriever = Retriever.create(folder / "index", VideoEncoder(backbone, Mean(32, rngs=rngs), clips))
retriever.add(jaxret.open_dataset(str(folder / "films")))

write_video(folder / "backwards.mp4", films["two"][::-1], fps=10)
for measure in ("dtw", "bi-dtw"):
    nearest = retriever.search(folder / "backwards.mp4", k=1, options=SequenceSearch(measure))[0]
    print(f"{measure:7} {nearest.item.key}, distance {nearest.distance:.4f}, backwards: {nearest.backwards}")

write_video(folder / "piece.mp4", films["three"][40:], fps=10)  # from second 4 on
found = retriever.search(folder / "piece.mp4", k=1, options=SequenceSearch("dtw", part="query"))[0]
print(f"the piece is {found.item.key} from second {found.start:.0f} to {found.end:.0f}")
