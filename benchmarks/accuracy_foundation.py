"""Every loader of published encoders, on random weights in the layout of its files.

    python benchmarks/accuracy_foundation.py

A small encoder of each family is written as its authors or Hugging Face lay it out, read, and compared stage by stage
with a slow NumPy twin that knows the names of the files alone: the largest difference, as a share of the stage's
largest number; and where it has a tower of words, the same of a text. Then it indexes the near duplicates of
JAXRET_SHARED, 14 clips of 3 scenes with edits, and each is a query for the others of its scene: random features still
find copies better than a random ranking does. What published weights find on media of your own tells
`compare_weights.py`.
"""

from __future__ import annotations

import dataclasses
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
import foundation_originals as originals
import videoprism_making
from reference import transformers_twin as twin
from safetensors.numpy import save_file

_SIDE = 56  # of the near duplicates, in pixels: enough for random features
_TOKENS = np.array([3, 4, 7, 9, 11, 29], np.int32)

Stages = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Case:
    """One loader.

    Attributes:
      name: for the table.
      path: its files.
      images: the twin of one normalised image, or chunk in 0..1.
      words: the twin of one text's tokens; None: it has no words.
    """

    name: str
    path: Path
    images: Callable[[np.ndarray], Stages]
    words: Callable[[np.ndarray], np.ndarray] | None = None


def cases(folder: Path) -> Iterator[Case]:
    """A small encoder of each family and layout, written into a folder."""
    yield from _dino(folder)
    yield from _siglip(folder)
    tokenizer = making.tokenizer_json()
    arrays = making.clip_arrays(units=64)  # a head of 64, as in all of its authors' models
    config = making.clip_config()
    for part in ("vision_config", "text_config"):
        config[part] = {**config[part], "hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 1}
    path = making.write_folder(folder / "clip", config, arrays, tokenizer=tokenizer)
    (path / "own.pt").write_bytes(originals.clip_original(arrays))
    for name, files in (("Hugging Face", path), ("authors", path / "own.pt")):
        yield Case(
            f"CLIP, {name}",
            files,
            lambda x: twin.clip(arrays, x, 1),
            lambda tokens: twin.clip_text(arrays, tokens, 1, end=29),
        )
    plain = videoprism_making.videoprism_arrays()
    np.savez(folder / "videoprism.npz", **plain)
    for name, files in (
        ("Hugging Face", videoprism_making.videoprism_folder(folder / "videoprism", plain)),
        ("authors", folder / "videoprism.npz"),
    ):
        yield Case(f"VideoPrism, {name}", files, lambda x: twin.videoprism(plain, x))
    lvt = videoprism_making.videoprism_arrays(words=True)
    positions = np.random.default_rng(0).standard_normal((6, 16)).astype(np.float32)
    path = videoprism_making.videoprism_folder(folder / "lvt", lvt, positions, tokenizer=tokenizer)
    np.savez(path / "lvt.npz", **lvt)
    for name, files, places in (("Hugging Face", path, positions), ("authors", path / "lvt.npz", None)):
        yield Case(
            f"VideoPrism LvT, {name}",
            files,
            lambda x: twin.videoprism_lvt(lvt, x),
            lambda tokens, places=places: twin.videoprism_text(lvt, tokens, places),
        )


def _dino(folder: Path) -> Iterator[Case]:
    for registers in (0, 3):
        name = "DINOv2" + (" with registers" if registers else "")
        arrays = making.dinov2_arrays(registers=registers)
        path = making.write_folder(folder / name, making.dinov2_config(registers=registers), arrays, making.CROPPED)
        yield Case(f"{name}, Hugging Face", path, lambda x, a=arrays: twin.dinov2(a, x, 2))
        wide = making.dinov2_arrays(units=128, registers=registers)
        path = folder / f"{name}.safetensors"
        save_file(originals.dinov2_original(wide), path)
        offset = 0.0 if registers else 0.1
        yield Case(f"{name}, authors", path, lambda x, a=wide, o=offset: twin.dinov2(a, x, 2, offset=o))
    for gated in (False, True):
        name = "DINOv3" + (", gated" if gated else "")
        arrays = making.dinov3_arrays(gated=gated)
        path = making.write_folder(folder / name, making.dinov3_config(gated=gated), arrays)
        yield Case(f"{name}, Hugging Face", path, lambda x, a=arrays: twin.dinov3(a, x, 2))
        wide = making.dinov3_arrays(units=128, gated=gated)
        path = folder / f"{name}.safetensors"
        save_file(originals.dinov3_original(wide), path)
        yield Case(f"{name}, authors", path, lambda x, a=wide: twin.dinov3(a, x, 2))


def _siglip(folder: Path) -> Iterator[Case]:
    arrays, tokenizer = making.siglip_arrays(), making.tokenizer_json()
    words = lambda tokens: twin.siglip_text(arrays, tokens, 2)  # noqa: E731
    path = making.write_folder(folder / "siglip", making.siglip_config(), arrays, tokenizer=tokenizer)
    np.savez(path / "own.npz", **originals.siglip_original(arrays, stacked=True))
    for name, files in (("Hugging Face", path), ("authors", path / "own.npz")):
        yield Case(f"SigLIP, {name}", files, lambda x: twin.siglip(arrays, x, 2), words)
    path = making.naflex_folder(folder / "naflex", tokenizer=tokenizer)
    yield Case("SigLIP 2 NaFlex, Hugging Face", path, lambda x: twin.siglip(arrays, x, 2, naflex=True), words)


def differences(case: Case) -> tuple[float, float | None, int]:
    """The largest over all stages, relative to the stage's largest number; the same of a text, None without words; and
    how many numbers the encoder has."""
    from jaxret.models.foundation import open_published
    from jaxret.models.store import parameter_count

    found = open_published(case.path)
    chunks = found.backbone.unit == "chunk"
    side = found.sizing.height
    shape: tuple[int, ...] = (1, found.backbone.frames, side, side, 3) if chunks else (1, 42, 56, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    encoding = found.backbone(pixels)
    ours: dict[str, Any] = {**encoding.stages, "embedding": encoding.embedding}
    normalised = pixels[0] / 255 if chunks else (pixels[0] / 255 - found.sizing.mean) / found.sizing.deviation
    images = max(_relative(ours[stage][0], values) for stage, values in case.images(normalised).items())
    if case.words is None:
        return images, None, parameter_count(found.backbone)
    row = np.zeros((1, found.words.tower.length), np.int32)
    row[0, : len(_TOKENS)] = _TOKENS
    words = _relative(found.words.tower(row).embedding[0], case.words(_TOKENS))
    return images, words, parameter_count(found.backbone) + parameter_count(found.words.tower)


def _relative(ours: Any, values: np.ndarray) -> float:
    return float(np.abs(np.asarray(ours, np.float64) - values).max() / np.abs(values).max())


def main() -> None:
    """Measures, prints, and writes benchmarks/results/accuracy_foundation.json."""
    clips = sorted((DATA / "near_duplicates").glob("*.mp4"))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "clips.csv"
        table.write_text("path,label\n" + "".join(f"{clip},{clip.name.split('-')[0]}\n" for clip in clips))
        for case in cases(Path(folder)):
            images, words, parameters = differences(case)
            figures, _ = quality(str(table), frozen_encoder(FrozenSettings(str(case.path), image_size=_SIDE)))
            values = {
                "parameters": parameters,
                "difference from the twin, millionths": images * 1e6,
                **({} if words is None else {"of words": words * 1e6}),
                "mAP, random weights": figures["mAP"],
                "mAP, random ranking": figures["chance"],
            }
            rows += results_file.rows_of("near duplicates", case.name, values)
            print(case.name, {key: f"{value:.3g}" for key, value in values.items()}, flush=True)
    print("\nwrote", results_file.write("accuracy_foundation", rows, packages=["jax", "jaxlib", "flax"]))


if __name__ == "__main__":
    main()
