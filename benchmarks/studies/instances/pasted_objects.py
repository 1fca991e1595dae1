"""Images with exactly known boxes: COIL objects pasted over Corel photographs, what instance retrieval is tried on
where no landmarks are at hand.

The middle of a photograph (174 x 116 of 192 x 128 pixels: the edge is that of the slide) is enlarged to 384 x 256, so
that feature maps have room, and objects are pasted over it at that size. Objects are dealt by seed into those that a
detector may train on and those that are searched for. Each photograph is used once: of Corel's training part some lie
under training images and the others under the gallery, most of it without an object; of the test part some lie under
queries, and patches of the others hide objects.

Queries show a searched object from two opposite arcs of 30 degrees, the gallery from the two arcs of 90 degrees between
them, so that views differ by 30 degrees at least. The arcs of each object begin at an angle drawn by the seed.
"""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from studies.instances.object_cutouts import read_views
from studies.instances.object_pasting import Canvas, Hiding, resize
from tqdm import tqdm

from jaxret.data.datasets.folders import scan_folder
from jaxret.data.ground_truth.instances import Box

__all__ = ["GROUPS", "PastedObject", "PastedObjects", "PastedQuery", "PastedSettings", "make_pasted_objects"]

GROUPS = ("small", "middle", "large")
_ARC = 30  # degrees that queries show, twice, and that the gallery stays away from them
_EDGE = 0.047  # share of a photograph's sides that is cut off at each of their ends: scans of slides have black edges
_VALIDATION = 10  # every so many training images one
_GOOD, _OK = 0.6, 0.25  # shares visible


@dataclasses.dataclass(frozen=True)
class PastedSettings:
    """How images are made.

    Attributes:
      height, width: of the images in pixels.
      training_objects: that a detector may see; the others are searched for.
      training: images for a detector, each with one or two objects; every tenth is for validation.
      gallery: images to search in.
      shown: of these have one or two objects.
      queries: of each searched object.
      sides: least and most length of the longer side of an object's box, in heights of the image.
      hidden: share of the images with objects of which one is partly hidden, half of them by a patch of another
        photograph and half by the image's border.
      training_cover, gallery_cover: least and most share of such an object that is hidden. Below 0.6 visible an object
        of the gallery is ok instead of good, and below 0.25 junk.
    """

    height: int = 256
    width: int = 384
    training_objects: int = 9
    training: int = 1500
    gallery: int = 3000
    shown: int = 1200
    queries: int = 20
    sides: tuple[float, float] = (0.2, 0.7)
    hidden: float = 1 / 3
    training_cover: tuple[float, float] = (0.1, 0.4)
    gallery_cover: tuple[float, float] = (0.1, 0.85)


@dataclasses.dataclass(frozen=True)
class PastedObject:
    """An object in an image.

    Attributes:
      label: the object.
      box: around what is visible of it.
      visible: share of it that is, above 0 and up to 1.
      degrees: of its view.
    """

    label: str
    box: Box
    visible: float
    degrees: int


@dataclasses.dataclass(frozen=True)
class PastedQuery:
    """A query.

    Attributes:
      path: the image.
      shown: the object, all of it visible.
      group: small, middle or large: the thirds of the lengths of the longer side.
    """

    path: Path
    shown: PastedObject
    group: str


@dataclasses.dataclass(frozen=True)
class PastedObjects:
    """All images of a seed.

    Attributes:
      training_csv: rows of path,left,top,right,bottom,label,split, one an object; split is train or validation.
      training_labels: the objects in it.
      gallery: G images.
      shown: for each of them the objects in it, 0 to 2, never the same one twice.
      queries: Q of them, of objects that are not in the training images.
    """

    training_csv: Path
    training_labels: tuple[str, ...]
    gallery: list[Path]
    shown: list[tuple[PastedObject, ...]]
    queries: list[PastedQuery]

    def relevance_lists(self) -> tuple[list[dict[int, float]], list[set[int]]]:
        """What `jaxret.metrics.relevance_by_lists` takes: for each query grades by gallery image, 2 (at least 0.6 of
        the object visible) or 1 (at least 0.25), and as junk the images that show less of it."""
        relevant: list[dict[int, float]] = [{} for _ in self.queries]
        junk: list[set[int]] = [set() for _ in self.queries]
        for q, query in enumerate(self.queries):
            for image, there in self.where(query).items():
                if there.visible < _OK:
                    junk[q].add(image)
                else:
                    relevant[q][image] = 2.0 if there.visible >= _GOOD else 1.0
        return relevant, junk

    def where(self, query: PastedQuery) -> dict[int, PastedObject]:
        """The query's object in each gallery image that shows any of it."""
        images = ((n, there) for n, objects in enumerate(self.shown) for there in objects)
        return {n: there for n, there in images if there.label == query.shown.label}


def make_pasted_objects(
    folder: Path, seed: int, *, data: Path, settings: PastedSettings = PastedSettings()
) -> PastedObjects:
    """The images of a seed, made first if `folder` does not hold all of them yet.

    Args:
      folder: of this seed, these settings and these data alone: `{training,gallery,queries}/*.jpg`, `training.csv` and
        `images.json`.
      seed: everything random comes from it.
      data: with `coil17/<object>/<degrees>.jpg` and `corel5k/{train,test}/<class>/*.jpg`.
      settings: how images are made.

    Raises:
      ConfigError: there is no such folder of photographs.
      SystemExit: the folder holds other images, or there are too few objects or photographs.
    """
    record = folder / "pictures.json"
    made = json.loads(json.dumps({"seed": seed, "data": data.name, **dataclasses.asdict(settings)}))
    if record.exists():
        stored = json.loads(record.read_text(encoding="utf-8"))
        if stored["made"] != made:
            raise SystemExit(f"{folder} holds images of another seed, settings or data: name another folder")
    if not record.exists() or not all((folder / path).exists() for path in [*_paths(stored), "training.csv"]):
        stored = {"made": made, **_Maker(folder, seed, data, settings).make()}
        partial = record.with_suffix(".partial")
        partial.write_text(json.dumps(stored), encoding="utf-8")
        partial.replace(record)
    return PastedObjects(
        training_csv=folder / "training.csv",
        training_labels=tuple(stored["training_labels"]),
        gallery=[folder / entry["path"] for entry in stored["gallery"]],
        shown=[tuple(map(_read_object, entry["objects"])) for entry in stored["gallery"]],
        queries=[
            PastedQuery(folder / entry["path"], _read_object(entry["objects"][0]), entry["group"])
            for entry in stored["queries"]
        ],
    )


def _paths(stored: dict) -> list[str]:
    return [entry["path"] for part in ("training", "gallery", "queries") for entry in stored[part]]


def _read_object(entry: dict) -> PastedObject:
    return PastedObject(entry["label"], tuple(entry["box"]), entry["visible"], entry["degrees"])


class _Maker:
    """Draws and writes all images; what is drawn in one does not depend on how many there are of another part."""

    def __init__(self, folder: Path, seed: int, data: Path, settings: PastedSettings):
        self.folder, self.seed, self.settings = folder, seed, settings
        rng = np.random.default_rng([seed, 31])
        objects = sorted(path for path in (data / "coil17").iterdir() if path.is_dir())
        items = scan_folder(data / "corel5k")
        photographs = {split: [str(item.path) for item in items if item.split == split] for split in ("train", "test")}
        searched = len(objects) - settings.training_objects
        for what, wanted, there in (
            ("objects", settings.training_objects + 2, len(objects)),
            ("training photographs", settings.training + settings.gallery, len(photographs["train"])),
            ("test photographs", settings.queries * searched + 2, len(photographs["test"])),
        ):
            if wanted > there:
                raise SystemExit(f"{data} has {there} {what}, and {wanted} are needed")
        self.views = {path.name: read_views(path) for path in tqdm(objects, desc="cutting out")}
        dealt = [objects[n].name for n in rng.permutation(len(objects))]
        self.training_labels = sorted(dealt[: settings.training_objects])
        self.searched = sorted(dealt[settings.training_objects :])
        self.begins = {label: int(rng.integers(180)) for label in self.searched}
        below = [photographs["train"][n] for n in rng.permutation(len(photographs["train"]))]
        test = [photographs["test"][n] for n in rng.permutation(len(photographs["test"]))]
        of_query, patches = test[: settings.queries * searched], test[settings.queries * searched :]
        self.photographs = {
            "training": below[: settings.training],
            "gallery": below[settings.training : settings.training + settings.gallery],
            "queries": of_query,
        }
        self.patches = {"training": patches[::2], "gallery": patches[1::2]}
        self.empty = set(rng.permutation(settings.gallery)[settings.shown :].tolist())

    def make(self) -> dict:
        """Writes the images and training.csv; what is in them."""
        for part in self.photographs:
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        training = [self._crowd("training", n, self.training_labels) for n in self._numbers("training")]
        gallery = [
            self._crowd("gallery", n, [] if n in self.empty else self.searched) for n in self._numbers("gallery")
        ]
        queries = [self._query(n) for n in self._numbers("queries")]
        with open(self.folder / "training.csv", "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["path", "left", "top", "right", "bottom", "label", "split"])
            for n, entry in enumerate(training):
                split = "validation" if n % _VALIDATION == _VALIDATION - 1 else "train"
                writer.writerows([entry["path"], *each["box"], each["label"], split] for each in entry["objects"])
        parts = {"training": training, "gallery": gallery, "queries": queries}
        return {"training_labels": self.training_labels, **parts}

    def _numbers(self, part: str) -> tqdm:
        return tqdm(range(len(self.photographs[part])), desc=part)

    def _canvas(self, part: str, number: int) -> tuple[Canvas, np.random.Generator]:
        rng = np.random.default_rng([self.seed, list(self.photographs).index(part), number])
        return Canvas(self._read(self.photographs[part][number])), rng

    def _read(self, path: str) -> npt.NDArray[np.uint8]:
        """A photograph, enlarged, without its edge."""
        size = (self.settings.width, self.settings.height)
        with Image.open(path) as image:
            edge = [round(_EDGE * length) for length in image.size]
            middle = (edge[0], edge[1], image.width - edge[0], image.height - edge[1])
            return np.asarray(image.convert("RGB").resize(size, Image.Resampling.BICUBIC, middle))

    def _crowd(self, part: str, number: int, labels: list[str]) -> dict:
        """A image with one or two of these objects, or with none where there are none."""
        canvas, rng = self._canvas(part, number)
        count = int(rng.integers(1, 3)) if labels else 0
        chosen = [labels[n] for n in rng.permutation(len(labels))[:count]]
        hidden = int(rng.integers(count)) if count and rng.random() < self.settings.hidden else -1
        cover = self.settings.training_cover if part == "training" else self.settings.gallery_cover
        degrees = []
        for place, label in enumerate(chosen):
            degrees.append(self._view(label, rng, query=False))
            hiding = None
            if place == hidden:
                patch = self._read(str(rng.choice(self.patches[part]))) if rng.random() < 0.5 else None
                hiding = Hiding(float(rng.uniform(*cover)), patch)
            side = rng.uniform(*self.settings.sides) * self.settings.height
            canvas.paste(resize(self.views[label][degrees[-1]], side, rng), rng, hiding)
        return self._write(canvas, f"{part}/{number:04}.jpg", chosen, degrees)

    def _query(self, number: int) -> dict:
        canvas, rng = self._canvas("queries", number)
        label, place = self.searched[number // self.settings.queries], number % self.settings.queries
        group = place % len(GROUPS)
        least, most = self.settings.sides
        share = least + (most - least) * (group + rng.random()) / len(GROUPS)
        degrees = self._view(label, rng, query=True)
        canvas.paste(resize(self.views[label][degrees], share * self.settings.height, rng), rng)
        path = f"queries/{label}_{place:02}.jpg"
        return {**self._write(canvas, path, [label], [degrees]), "group": GROUPS[group]}

    def _view(self, label: str, rng: np.random.Generator, *, query: bool) -> int:
        """A view of the object in degrees; of a searched one such as queries or the gallery may show."""
        views = sorted(self.views[label])
        if label in self.begins:
            # From the begin of the arcs of queries, the same for both sides of the object.
            turned = {view: (view - self.begins[label]) % 180 for view in views}
            first, last = (0, _ARC) if query else (2 * _ARC, 180 - _ARC)
            views = [view for view in views if first <= turned[view] <= last]
        return int(rng.choice(views))

    def _write(self, canvas: Canvas, path: str, labels: list[str], degrees: list[int]) -> dict:
        Image.fromarray(canvas.image()).save(self.folder / path, quality=92)
        entries = [
            {"label": label, "box": box, "visible": visible, "degrees": view}
            for label, view, (box, visible) in zip(labels, degrees, canvas.seen(), strict=True)
            if box is not None
        ]
        return {"path": path, "objects": entries}
