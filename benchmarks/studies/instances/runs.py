"""The systems of the instance benchmark: their encoders, fitted or trained on training images, and their indexes."""

from __future__ import annotations

import csv
import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from studies.instances.pasted_objects import PastedObjects
from tqdm import tqdm

from jaxret.data.datasets.folders import MediaFiles
from jaxret.data.items import MediaItem
from jaxret.models.store import load_encoder, save_encoder
from jaxret.recipes.instances import faster_rcnn
from jaxret.recipes.instances import recipe as instance_search
from jaxret.retrieval import Retriever
from jaxret.training import LoopConfig, RunContext, RunFolder

__all__ = ["ONE_SIZE", "PATCHES", "SYSTEMS", "Gallery", "encoder_of", "files_of", "folder_of", "index_of"]

DETECTOR, WINDOWS = "Faster R-CNN", "Faster R-CNN, windows"
PATCHES, ONE_SIZE = "Grid", "Grid, one size"
SYSTEMS = (PATCHES, ONE_SIZE, "SIFT", "plain SIFT", "BLCF", "BLCF, 200 words", "R-MAC", DETECTOR, WINDOWS)
_FITTED = 600  # training images that words and whitenings are fitted on


def files_of(paths: Sequence[Path]) -> MediaFiles:
    """A data set of these images, in this order; keys are their names in the folder above."""
    return MediaFiles([MediaItem(f"{path.parent.name}/{path.name}", "image", path=str(path)) for path in paths])


def folder_of(system: str, work: Path, seed: int) -> Path:
    """Where the encoder and the indexes of a system are kept; patches are the same at any size of regions."""
    system = PATCHES if system == ONE_SIZE else system
    return work / f"{system.lower().replace(',', '').replace(' ', '-')}-{seed}"


def encoder_of(
    system: str, images: PastedObjects, work: Path, *, weights: str, side: int, epochs: int, seed: int
) -> Any:
    """The encoder of a system, fitted on training images, which show none of the objects that are searched for.

    Args:
      system: one of `SYSTEMS`.
      images: with the training images.
      work: where it is kept, see `folder_of`; one that is there is loaded.
      weights: of MobileNet V1, whose map every system but SIFT sees.
      side: longer side of an image as it is seen.
      epochs: of Faster R-CNN.
      seed: everything random follows from it.
    """
    folder = folder_of(system, work, seed)
    if system in (DETECTOR, WINDOWS):
        run = folder_of(DETECTOR, work, seed) / "run"
        detector = _detector(images, run, weights=weights, side=side, epochs=epochs, seed=seed)
        detector.settings = dataclasses.replace(detector.settings, windows=system == WINDOWS)
        return detector
    if (folder / "encoder" / "encoder.json").exists():
        return load_encoder(folder / "encoder")
    shared: dict[str, Any] = {"image_size": side, "seed": seed, "training_images": _FITTED}
    net: dict[str, Any] = {"backbone": "mobilenet-v1", "weights": weights}
    config = {
        "SIFT": instance_search.InstanceSearchConfig(features="sift", **shared),
        "plain SIFT": instance_search.InstanceSearchConfig(features="sift", words=200, root_sift=False, **shared),
        PATCHES: instance_search.InstanceSearchConfig(features="grid", **net, **shared),
        "BLCF": instance_search.InstanceSearchConfig(features="blcf", **net, **shared),
        "BLCF, 200 words": instance_search.InstanceSearchConfig(features="blcf", words=200, **net, **shared),
        "R-MAC": instance_search.InstanceSearchConfig(features="rmac", levels=5, **net, **shared),
    }[PATCHES if system == ONE_SIZE else system]
    encoder = instance_search.make_encoder(config)
    training = files_of([images.training_csv.parent / path for path in _training_paths(images)])
    numbers = instance_search.training_indices(training, _FITTED)
    with tqdm(desc=f"fitting {system}", unit="image") as bar:
        instance_search.fit_encoder(encoder, config, training, numbers, log=tqdm.write, on_item=lambda _: bar.update())
    save_encoder(encoder, folder / "encoder")
    return encoder


def _training_paths(images: PastedObjects) -> list[str]:
    with open(images.training_csv, newline="", encoding="utf-8") as file:
        return list(dict.fromkeys(row["path"] for row in csv.DictReader(file)))


def _detector(images: PastedObjects, folder: Path, *, weights: str, side: int, epochs: int, seed: int) -> Any:
    """Trained by its recipe; a stopped training goes on."""
    run = RunFolder(folder)
    if (run.encoder / "encoder.json").exists():
        return load_encoder(run.encoder)
    config = faster_rcnn.FasterRcnnConfig(
        data=str(images.training_csv),
        backbone="mobilenet-v1",
        weights=weights,
        image_size=side,
        seed=seed,
        loop=LoopConfig(epochs=epochs, evaluate_every=1),
    )
    if faster_rcnn.train(config, RunContext(run, "faster-rcnn", log=tqdm.write)) is None:
        raise SystemExit("the training was stopped: call again to go on")
    return load_encoder(run.encoder)


@dataclasses.dataclass(frozen=True)
class Gallery:
    """A name for a folder, and images."""

    name: str
    paths: Sequence[Path]


def index_of(encoder: Any, gallery: Gallery, folder: Path) -> Retriever:
    """An index of images; one that is there is opened, and finished if it was stopped."""
    path = folder / f"index-{gallery.name}"
    if (path / "manifest.json").exists():
        retriever = Retriever.open(path)
    else:
        shutil.rmtree(path, ignore_errors=True)
        retriever = Retriever.create(path, encoder)
    images = files_of(gallery.paths)
    with tqdm(total=len(gallery.paths), desc=f"indexing {gallery.name}", unit="image") as bar:
        bar.update(sum(item.key in retriever.index for item in images.items))
        retriever.add(images, on_item=lambda _: bar.update())
    keys = [item.key for item in retriever.index.items]
    if keys != [item.key for item in images.items]:
        raise SystemExit(f"{path} holds other images than {gallery.name}: remove it")
    return retriever
