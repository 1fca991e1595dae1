"""Search of real video: a clip, one of its frames, and a smaller, cropped, re-encoded copy find the clip first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from flax import nnx
from PIL import Image

from jaxret.data.dataset import MediaDataset
from jaxret.data.decode.write import write_video
from jaxret.data.open import open_dataset
from jaxret.models import TemporalEncoder, create_backbone
from jaxret.models.encoder import VideoEncoder
from jaxret.models.weights.load import load_pretrained
from jaxret.preprocessing import Preprocessing
from jaxret.retrieval import Retriever, VectorSearch


@pytest.fixture(scope="module")
def clips(shared_media: Path) -> MediaDataset:
    """Two JHMDB clips of each class, of different sources where there are any."""
    dataset = open_dataset(shared_media / "data" / "jhmdb")
    chosen: dict[tuple[str | None, int], int] = {}
    sources: set[str] = set()
    for number, item in enumerate(dataset.items):
        place = (item.label, int((item.label, 0) in chosen))
        if place not in chosen and item.source not in sources:
            chosen[place] = number
            sources.add(item.source)
    return dataset.subset(sorted(chosen.values()))


@pytest.fixture(scope="module")
def retriever(clips: MediaDataset, shared_media: Path, tmp_path_factory: pytest.TempPathFactory) -> Retriever:
    rngs = nnx.Rngs(0)
    backbone = create_backbone("mobilenet-v1", rngs=rngs)
    load_pretrained(backbone, shared_media / "weights" / "mobilenet_1_0_224_tf.h5")
    encoder = VideoEncoder(backbone, TemporalEncoder(1024, 64, rngs=rngs), Preprocessing(frames=6))
    retriever = Retriever.create(tmp_path_factory.mktemp("jhmdb") / "index", encoder)
    retriever.add(clips)
    return retriever


@pytest.mark.parametrize("number", range(0, 42, 14))
def test_the_source_clip_is_first(clips: MediaDataset, retriever: Retriever, tmp_path: Path, number: int) -> None:
    item = clips.items[number]
    assert retriever.search(str(item.path), 1)[0].item.key == item.key
    with clips.open(number) as reader:
        frames = reader.read()
    middle = len(frames) // 2
    Image.fromarray(frames[middle]).save(tmp_path / "frame.png")
    image = retriever.search(tmp_path / "frame.png", 1)[0]
    assert image.item.key == item.key
    assert image.start == pytest.approx(middle / 30, abs=0.15)
    height, width = frames.shape[1:3]
    cropped = frames[:, height // 20 : -(height // 20), width // 20 : -(width // 20)]
    size = (round(width * 0.3) * 2, round(height * 0.3) * 2)
    small = np.stack([np.asarray(Image.fromarray(frame).resize(size)) for frame in cropped])
    write_video(tmp_path / "copy.mp4", small, fps=30, options={"crf": "28"})
    assert retriever.search(tmp_path / "copy.mp4", 1, options=VectorSearch(space="frame"))[0].item.key == item.key
