"""`python -m jaxret.weights [PATH]`: published encoders that can be read, or what one's files hold."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from jaxret.cli.flags import parse
from jaxret.cli.run import run_command
from jaxret.cli.tables import print_table
from jaxret.plain_text import print_text

_HOW = """
Get the files of one with your own tools into a folder, such as weights/dinov2-small, which must then hold
  config.json, preprocessor_config.json
  model.safetensors, or its shards and model.safetensors.index.json
  tokenizer.json, spiece.model, or vocab.json and merges.txt, and tokenizer_config.json, to search with words
and give that folder: jaxret index MEDIA INDEX --weights weights/dinov2-small
`jaxret weights weights/dinov2-small` reads it, tells what it is, and prints the SHA-256 to compare with the one that
the owner's page shows. The authors' own files are read as well: .pth of DINOv2 and DINOv3, .npz of SigLIP and
VideoPrism, .pt of CLIP; and torchvision's detector (.pth), whose regions `jaxret train instance-search --features
faster-rcnn --weights FILE` searches. jaxret downloads nothing."""


@dataclasses.dataclass(frozen=True)
class Weights:
    """List published encoders that can be read: parameters, size, licence, and how to get them; or, with a PATH, read
    one and tell what it is.

    Attributes:
      path: a folder as Hugging Face lays it out, or a file of its authors.
    """

    path: Path | None = dataclasses.field(default=None, metadata={"positional": True})


def main(argv: Sequence[str]) -> int:
    """Parse, print."""
    args, _ = parse(argv, Weights, prog="jaxret weights")
    if args.path is None:
        _list()
    else:
        _describe(args.path)
    return 0


def _list() -> None:
    from jaxret.models.foundation.known import KNOWN_WEIGHTS

    header = ["weights", "family", "parameters", "float32", "image", "vector", "words", "licence"]
    rows = [
        [
            known.name,
            known.family,
            f"{known.parameters} M",
            f"{known.megabytes:,} MB",
            f"{known.image_size}",
            f"{known.dimensions}",
            "yes" if known.words else "no",
            known.licence + (", gated" if known.access == "gated" else ""),
        ]
        for known in KNOWN_WEIGHTS
    ]
    print_table(header, rows, ["left", "left", "right", "right", "right", "right", "left", "left"])
    print_text(_HOW)


def _describe(path: Path) -> None:
    from jaxret.models.detection.published import holds_detector
    from jaxret.models.foundation import is_published, open_published
    from jaxret.models.store import parameter_count
    from jaxret.models.weights.load import read_weights

    if not is_published(path) and holds_detector(read_weights(path)):
        _describe_detector(path)
        return
    found = open_published(path)
    size = found.sizing
    towers = parameter_count(found.backbone), 0 if found.words is None else parameter_count(found.words.tower)
    cut = f", cut from {size.shortest}" if size.shortest else ""
    print_text(f"{path}: {found.family}, {found.backbone.summary}")
    print_text(f"images: {size.width} x {size.height} pixels ({size.resize}{cut}, {size.resampling})")
    print_text(f"parameters: {towers[0]:,} for images, {towers[1]:,} for words")
    if found.missing_tokenizer:
        folder = path if path.is_dir() else path.parent
        print_text(
            f"words: left out, for {folder} has no tokenizer: add {found.missing_tokenizer} to search with words"
        )
    print_text(f"a frame's vector: {found.backbone.embedding_size} numbers")
    print_text(f"sha256: {found.checksum}")


def _describe_detector(path: Path) -> None:
    from jaxret.models.detection.published import read_detector
    from jaxret.models.store import parameter_count
    from jaxret.preprocessing import Preprocessing

    detector = read_detector(path, Preprocessing(height=512, width=512, resize="fit"))  # as training has it by default
    named = [name for name in detector.classes if not name.startswith("class ")]
    classes = ", ".join(named[:5]) + ", ..." if named else "unnamed"
    print_text(f"{path}: faster-rcnn, {detector.summary}")
    print_text(f"classes: {classes}")
    print_text(f"parameters: {parameter_count(detector):,}")
    print_text(f"a region's vector: {detector.vector_size} numbers")
    assert detector.origin is not None
    print_text(f"sha256: {detector.origin.sha256}")


if __name__ == "__main__":
    sys.exit(run_command(main))
