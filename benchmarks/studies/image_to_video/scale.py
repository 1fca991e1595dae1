"""What many hours take: bytes, search time, and the memory of putting a long video into an index.

As a program it is the process that is measured: `python -m studies.image_to_video.scale VIDEO ENCODER`.
"""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from common.timing import in_turn, ratio
from PIL import Image
from studies.image_to_video.films import Film
from studies.image_to_video.runs import System

from jaxret.data.decode.write import write_video
from jaxret.data.open import open_dataset
from jaxret.files import write_atomically
from jaxret.models import SequenceEncoder
from jaxret.models.encoder import VideoEncoder
from jaxret.models.store import load_encoder
from jaxret.rank import cosine_topk
from jaxret.retrieval import Retriever

__all__ = ["enlarged_video", "looped_video", "search_rows"]

HOURS = 160
NOISE = 0.5  # length of what is added to a vector of length 1: a cosine of 0.9 to what it was
MEGABYTE = 1e6


def search_rows(system: System, temporal: SequenceEncoder, method: str) -> Iterator[tuple[str, dict[str, float]]]:
    """Size and search time of shots and of frames: name and figures of each.

    Args:
      system: films and frame vectors.
      temporal: of shots.
      method: what the shots are called.
    """
    encoder = VideoEncoder(system.spatial.backbone, temporal, system.spatial.preprocessing)
    videos, photos = system.vectors("test")
    dataset = system.films.dataset("test").subset(range(len(videos)))
    with tempfile.TemporaryDirectory() as folder:
        retriever = Retriever.create(folder, encoder)
        retriever.add(dataset, media=dict(enumerate(videos)))
        hours = sum(item.duration or 0.0 for item in retriever.index.items) / 3600
        real = {
            method: (retriever.index.rows("clip").vectors, retriever.bytes_an_hour("clip")),
            "frame by frame": (retriever.index.rows("frame").vectors, retriever.bytes_an_hour("frame")),
        }
        galleries = {
            name: perturbed(np.asarray(vectors, np.float32), round(len(vectors) / hours * HOURS), seed=1)
            for name, (vectors, _) in real.items()
        }
    ways = {
        f"{name}, {count}": lambda g=gallery, q=photos[:count]: cosine_topk(q, g, 10, threads=1)
        for name, gallery in galleries.items()
        for count in (1, 32)
    }
    times = in_turn(ways, samples=5)
    for name, gallery in galleries.items():
        yield (
            name,
            {
                "MB an hour": real[name][1] / MEGABYTE,
                f"GB, {HOURS} h": real[name][1] * HOURS / 1e9,
                "vectors": len(gallery),
                "ms, one image": times[f"{name}, 1"].median * 1000,
                "ms an image of 32": times[f"{name}, 32"].median * 1000 / 32,
                "times faster, one image": ratio(times["frame by frame, 1"], times[f"{name}, 1"]),
            },
        )


def perturbed(vectors: np.ndarray, count: int, *, seed: int) -> np.ndarray:
    """`count` of the vectors of length 1, drawn with repeats, with noise added, float32 (count, D)."""
    rng = np.random.default_rng(seed)
    made = np.empty((count, vectors.shape[1]), np.float32)
    for start in range(0, count, 1 << 17):
        block = made[start : start + (1 << 17)]
        noise = rng.standard_normal(block.shape, np.float32) * np.float32(NOISE / np.sqrt(block.shape[1]))
        block[:] = vectors[rng.integers(0, len(vectors), len(block))] + noise
        block /= np.linalg.norm(block, axis=1, keepdims=True)
    return made


def looped_video(films: Sequence[Film], path: Path, *, seconds: float, fps: int = 25) -> Path:
    """Films one after the other, again and again, shown at `fps`: their packets with new times, not encoded anew."""
    if path.exists():
        return path
    partial = path.with_name("partial-" + path.name)
    written = 0  # frames
    with av.open(str(partial), "w") as output:
        stream = None
        for film in itertools.cycle(films):
            if written >= seconds * fps:
                break
            with av.open(str(film.path)) as source:
                video = source.streams.video[0]
                stream = stream or output.add_stream_from_template(video)
                assert video.average_rate is not None
                assert video.time_base is not None
                ticks = 1 / (video.average_rate * video.time_base)  # of a frame
                frames = 0
                for packet in source.demux(video):
                    if packet.dts is None or packet.pts is None:  # the empty packet at the end
                        continue
                    packet.pts, packet.dts = (
                        round(Fraction(moment) / ticks) + written for moment in (packet.pts, packet.dts)
                    )
                    packet.duration = 1
                    packet.time_base, packet.stream = Fraction(1, fps), stream
                    output.mux(packet)
                    frames += 1
                written += frames
    partial.rename(path)
    return path


def enlarged_video(film: Film, path: Path, *, size: tuple[int, int], seconds: float, fps: int = 25) -> Path:
    """The beginning of a film in another size (width, height), shown at `fps`."""
    if not path.exists():
        with open_dataset(film.path).open(0) as reader:
            frames = reader.read(np.arange(min(round(seconds * fps), reader.info.frame_count)))
        enlarged = np.stack([np.asarray(Image.fromarray(frame).resize(size)) for frame in frames])
        with write_atomically(path) as partial:
            write_video(partial, enlarged, fps)
    return path


def measure(video: str, encoder_folder: str) -> dict[str, float]:
    """Put a video into a new index; MB of memory at most beyond what the process has with its encoder, and seconds."""
    encoder = load_encoder(Path(encoder_folder))
    dataset = open_dataset(video)
    # From here on the kernel notes the largest resident size anew.
    Path("/proc/self/clear_refs").write_text("5")
    loaded = memory("VmRSS")
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        retriever = Retriever.create(Path(folder) / "index", encoder)
        report = retriever.add(dataset)
        took = time.perf_counter() - start
        if not report.added:
            raise SystemExit(f"{video} does not read: {report.skipped}")
        peak = memory("VmHWM")
        length = dataset.info(0).duration
        return {
            "MB at most beyond the loaded encoder": peak - loaded,
            "MB with the encoder": loaded,
            "s": took,
            "times faster than it plays": length / took,
            "shots": retriever.index.count_rows("clip"),
            "hours": length / 3600,
        }


def memory(name: str) -> float:
    """VmRSS, the resident memory of this process now, or VmHWM, the most so far; MB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (kilobytes,) = (line.split()[1] for line in lines if line.startswith(name + ":"))
    return int(kilobytes) * 1024 / MEGABYTE


if __name__ == "__main__":
    print(json.dumps(measure(*sys.argv[1:])))
