"""The data sets of the ConvLSTM benchmark: what trains, and which videos query which.

By clip, queries cropped from test videos, with gaps, search all videos, and only the one that a query was cropped from
is right. By class, test videos query the others, of other sources; by place, pieces of a walk query the others.
"""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from common.item_table import write_table
from sklearn.cluster import KMeans

from jaxret.data.dataset import MediaDataset
from jaxret.data.datasets.moving_digits import MovingDigits
from jaxret.data.datasets.rgbd import RgbdFolders, open_rgbd, write_rgbd_folder
from jaxret.data.ground_truth.cropped import CroppedQueries
from jaxret.data.ground_truth.places import place_partners
from jaxret.data.open import open_dataset

__all__ = [
    "ClipData",
    "digits_data",
    "jhmdb_data",
    "near_duplicate_data",
    "places_of",
    "walk_data",
    "walk_poses",
]

CLASSES = ("catch", "pour", "pullup", "shoot_bow", "shoot_gun", "swing_baseball")  # those with most clips
SEGMENT, PLACES = 25, 4  # frames of a piece of the walk, and places that its pieces are sorted into
DIGIT_CLIPS = (20, 2, 4)  # of each class in training, validation and test
PARTS = ("train", "train", "validation", "train", "test")  # of the pieces, in turn


@dataclasses.dataclass(frozen=True)
class ClipData:
    """A data set.

    Attributes:
      name: of the tables.
      spec: what `--data` takes.
      split_column: of its CSV.
      settings: of the recipe, that go with it.
      epochs: of each step of training with labels, so that a step has 110 to 240 updates.
      pretrain_epochs: of the first step, which sees the videos without labels, too.
      tests: indices of the videos that are queries by class, and that queries by clip are cropped from.
      unlabelled: what `--data` takes to train autoencoders on: the same and videos without a label; None: the same.
      near: bool (N, N), which videos are right answers by class where labels do not say; None: those of the label.
    """

    name: str
    spec: str
    split_column: str
    settings: dict[str, Any]
    epochs: int
    pretrain_epochs: int
    tests: Callable[[MediaDataset], list[int]]
    unlabelled: str | None = None
    near: np.ndarray | None = None

    def dataset(self) -> MediaDataset:
        """All its videos."""
        return open_dataset(self.spec, split_column=self.split_column)

    def crops(self, dataset: MediaDataset, seed: int) -> CroppedQueries:
        """Queries cropped from the test videos: two runs of frames with a gap, half of the frames in all."""
        return CroppedQueries(dataset, videos=self.tests(dataset), crops=2, share=0.5, seed=seed)


def _named_tests(dataset: MediaDataset) -> list[int]:
    return [number for number, item in enumerate(dataset.items) if item.split == "test"]


def _untrained(dataset: MediaDataset) -> list[int]:
    return [number for number, item in enumerate(dataset.items) if item.split != "train"]


def _all(dataset: MediaDataset) -> list[int]:
    return list(range(len(dataset)))


def jhmdb_data(source: Path, work: Path, *, seed: int) -> ClipData:
    """Six classes of JHMDB; training videos of the others, without label, for pre-training.

    Of the three official splits it is the first for seed 0, the second for seed 1 and so on.
    """
    split = f"split{seed % 3 + 1}"
    with open(source / "clips.csv", newline="", encoding="utf-8") as file:
        rows = [
            ((source / row["path"]).resolve(), row["label"], row["source"], row[split])
            for row in csv.DictReader(file)
            if row[split]
        ]
    named = [row for row in rows if row[1] in CLASSES]
    others = [(path, "", film, part) for path, label, film, part in rows if label not in CLASSES and part == "train"]
    tables = {f"jhmdb-{split}": named, f"jhmdb-{split}-unlabelled": named + others}
    paths = [write_table(work / f"{name}.csv", chosen) for name, chosen in tables.items()]
    settings = {"frames": 4, "chunk_seconds": 0.4}
    return ClipData("JHMDB, 6 classes", paths[0], "split", settings, 5, 1, _named_tests, paths[1])


def digits_data(work: Path, *, seed: int) -> ClipData:
    """Moving digits: of the embedded data set's clips half as many to train on, and a quarter as many others."""
    folder = work / f"digits-{seed}"
    if not (folder / "clips.csv").exists():
        MovingDigits(*DIGIT_CLIPS, seed=seed).write_media_folder(folder)
    settings = {"frames": 6, "chunk_seconds": 0.5, "image_size": 32}
    return ClipData("moving digits", str(folder / "clips.csv"), "split", settings, 4, 4, _named_tests)


def near_duplicate_data(source: Path) -> ClipData:
    """Edited copies of three scenes; too few to train on: encoders of JHMDB are used."""
    return ClipData("near duplicates", str(source), "split", {}, 0, 0, _all)


def walk_poses(source: Path) -> list[np.ndarray]:
    """Where the camera stood and looked in each piece of an RGB-D walk, (T, 4, 4)."""
    walk = open_rgbd(RgbdFolders(str(source), frames=SEGMENT))
    return [walk.poses(number) for number in range(len(walk))]


def places_of(poses: Sequence[np.ndarray], count: int = PLACES) -> np.ndarray:
    """The place of each piece, int (N,): k-means of where the camera stood and looked on average."""
    views = np.array([np.nanmean(each, axis=0) for each in poses])
    features = np.concatenate([views[:, :3, 3], views[:, :3, 2]], axis=1)
    return np.asarray(KMeans(count, n_init=10, random_state=0).fit_predict(features))


def walk_data(
    source: Path, work: Path, *, seed: int, places: int = PLACES, distance: float = 0.3, degrees: float = 20.0
) -> ClipData:
    """An RGB-D walk cut into pieces; those near each other in space, and not in time, are right by place.

    For the triplet loss pieces are labelled by `places_of`, so many. Of five pieces after each other three train; which
    ones depends on the seed.
    """
    named = "RGB-D walk" if places == PLACES else f"RGB-D walk of {places} places"
    folder = work / f"{named.removeprefix('RGB-D ').replace(' ', '-')}-{seed}"
    whole, walk = (open_rgbd(RgbdFolders(str(source), frames=frames)) for frames in (None, SEGMENT))
    poses = walk_poses(source)
    table = folder / "labels.csv"
    if not table.exists():
        for number in range(len(walk)):
            with walk.open(number) as reader:
                frames = np.arange(reader.info.frame_count)
                colours, depths = reader.read(frames), np.stack(list(reader.depths(frames)))
            write_rgbd_folder(folder / f"{number:02}", colours, depths, poses[number], walk.times(number))
        write_table(
            table,
            [
                (f"{number:02}", f"place {place}", f"{number:02}", PARTS[(number + seed) % len(PARTS)])
                for number, place in enumerate(places_of(poses, places))
            ],
        )
    times = whole.times(0)
    firsts = np.cumsum([0, *map(len, poses)])[:-1]
    spans = np.stack([times[firsts], np.append(times[firsts[1:]], np.inf)], axis=1)
    near = place_partners(whole.poses(0), times, spans, distance=distance, degrees=degrees, apart=0.1)
    settings = {"batch_size": 8, "frames": 6, "chunk_seconds": 0.5}
    settings |= {"depth_planes": 8, "depth_near": 0.5, "depth_far": 4.5}
    return ClipData(named, f"rgbd:{folder}", "split", settings, 12, 12, _untrained, near=near)
