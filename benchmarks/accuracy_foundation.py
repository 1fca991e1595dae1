"""Every loader of published encoders, on random weights in the layout of its files.

    python benchmarks/accuracy_foundation.py

A small encoder of each family is written as its authors or Hugging Face lay it out, read, and compared stage by stage
with a slow NumPy twin that knows the names of the files alone: the largest difference, as a share of the stage's
largest number. Then it indexes the near duplicates of JAXRET_SHARED, 14 clips of 3 scenes with edits, and each is a
query for the others of its scene: random features still find copies better than a random ranking does. What published
weights find on media of your own tells `compare_weights.py`.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from common import results_file
from common.paths import BENCHMARKS, DATA
from compare_weights import quality

from jaxret.models import FrozenSettings, frozen_encoder

sys.path.append(str(BENCHMARKS.parent / "tests"))

import foundation_making as making
from reference import transformers_twin as twin
from safetensors.numpy import save_file

Stages = dict[str, np.ndarray]

_SIDE = 56  # of the near duplicates, in pixels: enough for random features


def encoders(folder: Path) -> Iterator[tuple[str, Path, Callable[[np.ndarray], Stages]]]:
    """Name, files, and twin of one normalised image, or chunk in 0..1, for each loader."""
    for registers in (0, 3):
        name = "DINOv2" + (" with registers" if registers else "")
        arrays = making.dinov2_arrays(registers=registers)
        path = making.write_folder(folder / name, making.dinov2_config(registers=registers), arrays, making.CROPPED)
        yield f"{name}, Hugging Face", path, lambda x, a=arrays: twin.dinov2(a, x, 2)
        wide = making.dinov2_arrays(units=128, registers=registers)
        save_file(making.dinov2_original(wide), folder / f"{name}.safetensors")
        offset = 0.0 if registers else 0.1
        yield (
            f"{name}, authors",
            folder / f"{name}.safetensors",
            lambda x, a=wide, o=offset: twin.dinov2(a, x, 2, offset=o),
        )
    arrays = making.dinov3_arrays()
    path = making.write_folder(folder / "DINOv3", making.dinov3_config(), arrays)
    yield "DINOv3, Hugging Face", path, lambda x, a=arrays: twin.dinov3(a, x, 2)
    arrays = making.siglip_arrays()
    path = making.write_folder(folder / "SigLIP", making.siglip_config(), arrays)
    yield "SigLIP, Hugging Face", path, lambda x, a=arrays: twin.siglip(a, x, 2)
    arrays = making.clip_arrays()
    path = making.write_folder(folder / "CLIP", making.clip_config(), arrays)
    yield "CLIP, Hugging Face", path, lambda x, a=arrays: twin.clip(a, x, 2)
    arrays = making.videoprism_arrays()
    np.savez(folder / "VideoPrism.npz", **arrays)
    yield "VideoPrism, authors", folder / "VideoPrism.npz", lambda x, a=arrays: twin.videoprism(a, x)


def largest_difference(path: Path, of_twin: Callable[[np.ndarray], Stages]) -> tuple[float, int]:
    """Over all stages, relative to the stage's largest number; and how many numbers the encoder has."""
    from jaxret.models.foundation import open_published
    from jaxret.models.store import parameter_count

    found = open_published(path)
    chunks = found.backbone.unit == "chunk"
    side = found.sizing.height
    shape: tuple[int, ...] = (1, found.backbone.frames, side, side, 3) if chunks else (1, 42, 56, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    encoding = found.backbone(pixels)
    ours: dict[str, Any] = {**encoding.stages, "embedding": encoding.embedding}
    normalised = pixels[0] / 255 if chunks else (pixels[0] / 255 - found.sizing.mean) / found.sizing.deviation
    differences = [
        np.abs(np.asarray(ours[stage][0], np.float64) - values).max() / np.abs(values).max()
        for stage, values in of_twin(normalised).items()
    ]
    return float(max(differences)), parameter_count(found.backbone)


def main() -> None:
    """Measures, prints, and writes benchmarks/results/accuracy_foundation.json."""
    clips = sorted((DATA / "near_duplicates").glob("*.mp4"))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "clips.csv"
        table.write_text("path,label\n" + "".join(f"{clip},{clip.name.split('-')[0]}\n" for clip in clips))
        for name, path, of_twin in encoders(Path(folder)):
            difference, parameters = largest_difference(path, of_twin)
            figures, _ = quality(str(table), frozen_encoder(FrozenSettings(str(path), image_size=_SIDE)))
            values = {
                "parameters": parameters,
                "difference from the twin, millionths": difference * 1e6,
                "mAP, random weights": figures["mAP"],
                "mAP, random ranking": figures["chance"],
            }
            rows += results_file.rows_of("near duplicates", name, values)
            print(name, {key: f"{value:.3g}" for key, value in values.items()}, flush=True)
    print("\nwrote", results_file.write("accuracy_foundation", rows, packages=["jax", "jaxlib", "flax"]))


if __name__ == "__main__":
    main()
