"""Films cut together from labelled clips, and bad photographs of their frames: what image-to-video retrieval is tried
on where no films with annotations are at hand.

Clips of one source look alike, so they all lie in the same film, as the shots of a scene do, and a film belongs to one
part of the data (train, validation or test). Within a film clips follow each other with hard cuts, in random order but
no two of one source in a row where that can be done, so that the cuts are known.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from jaxret.data.dataset import MediaDataset
from jaxret.data.decode.write import write_video
from jaxret.data.items import MediaItem
from jaxret.data.open import open_dataset
from jaxret.data.sampling.frames import frames_on_display, moments_at_rate
from jaxret.data.sampling.screen_photos import photograph
from jaxret.data.sampling.transforms import centre_geometry
from jaxret.data.splits import split_by_source
from jaxret.errors import MediaError
from jaxret.preprocessing import Preprocessing

__all__ = ["Film", "FilmSettings", "Films", "Photo", "make_films"]

PARTS = {"train": 0.45, "validation": 0.1, "test": 0.45}


@dataclasses.dataclass(frozen=True)
class FilmSettings:
    """How films are made.

    Attributes:
      fps: at which the frames of all clips are shown, whatever their own rate was.
      rate: frames a second that the encoder samples; photographs are of the frames in between.
      seconds: that films last, about.
      photos: of each clip of the validation and test part.
      training_photos: of each clip of the training part.
      seed: of split, order and photographs.
    """

    fps: float = 10.0
    rate: float = 3.0
    seconds: float = 120.0
    photos: int = 2
    training_photos: int = 4
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Film:
    """One film.

    Attributes:
      path: the file.
      clips: numbers of its clips in the data set, in their order.
      edges: (clips + 1,) seconds: where each clip begins, and the end.
    """

    path: Path
    clips: tuple[int, ...]
    edges: tuple[float, ...]

    @property
    def cuts(self) -> np.ndarray:
        """Seconds at which a clip follows another."""
        return np.array(self.edges[1:-1])


@dataclasses.dataclass(frozen=True)
class Photo:
    """A bad photograph of a frame that the sampling rate does not pick.

    Attributes:
      path: the image.
      film: number of the film within its part.
      seconds: when the frame is shown there.
    """

    path: Path
    film: int
    seconds: float


@dataclasses.dataclass(frozen=True)
class Films:
    """All films of a seed, and their photographs, by part."""

    films: dict[str, list[Film]]
    photos: dict[str, list[Photo]]

    def dataset(self, part: str) -> MediaDataset:
        """The films of a part and then their photographs, as one data set whose numbers are in this order."""
        paths = [film.path for film in self.films[part]] + [photo.path for photo in self.photos[part]]
        opened = open_dataset(str(paths[0].parent))
        number = {Path(str(item.path)).name: place for place, item in enumerate(opened.items)}
        return opened.subset([number[path.name] for path in paths])


def make_films(dataset: MediaDataset, folder: Path, settings: FilmSettings) -> Films:
    """The films of these settings, made first if they are not in `folder` yet: `folder/<part>/*.mp4` and `*.png`.

    Args:
      dataset: clips with labels and sources.
      folder: of this data set and these settings alone.
      settings: how films are made.

    Raises:
      SystemExit: the folder holds films of other settings or clips.
    """
    made = {**dataclasses.asdict(settings), "clips": [item.key for item in dataset.items]}
    record = folder / "films.json"
    if not record.exists():
        rng = np.random.default_rng([settings.seed, 17])
        sizes = Counter((info.height, info.width) for info in map(dataset.info, range(len(dataset))))
        height, width = (side // 2 * 2 for side in sizes.most_common(1)[0][0])
        frames = Preprocessing(height=height, width=width, resize="pad")
        split = split_by_source(dataset.items, PARTS, seed=settings.seed)
        written = {part: _write_part(dataset, split[part], folder / part, frames, settings, rng) for part in PARTS}
        record.write_text(json.dumps({"made": made, "parts": written}), encoding="utf-8")
    stored = json.loads(record.read_text(encoding="utf-8"))
    if stored["made"] != made:
        raise SystemExit(f"{folder} holds films of other settings or clips: name another folder with --work")
    films, photos = {}, {}
    for part, entries in stored["parts"].items():
        films[part] = [
            Film(folder / part / f"film_{number:03}.mp4", tuple(entry["clips"]), tuple(entry["edges"]))
            for number, entry in enumerate(entries)
        ]
        photos[part] = [
            Photo(folder / part / f"film_{number:03}_photo_{place:03}.png", number, seconds)
            for number, entry in enumerate(entries)
            for place, seconds in enumerate(entry["photos"])
        ]
    return Films(films, photos)


def _write_part(
    dataset: MediaDataset,
    clips: np.ndarray,
    folder: Path,
    frames: Preprocessing,
    settings: FilmSettings,
    rng: np.random.Generator,
) -> list[dict]:
    """The films of one part; of each its clips, edges and the seconds that were photographed."""
    folder.mkdir(parents=True, exist_ok=True)
    lengths = {int(number): dataset.info(int(number)).frame_count / settings.fps for number in clips}
    training = folder.name == "train"
    entries = []
    for number, chosen in enumerate(tqdm(_deal(dataset.items, lengths, settings.seconds, rng), desc=folder.name)):
        order = _without_neighbours(dataset.items, chosen, rng)
        pixels = [_frames(dataset, clip, frames) for clip in order]
        edges = np.concatenate([[0], np.cumsum([len(shot) for shot in pixels])])
        film = np.concatenate(pixels)
        write_video(folder / f"film_{number:03}.mp4", film, settings.fps)
        photographed = _between_samples(edges, settings, settings.training_photos if training else settings.photos, rng)
        for place, frame in enumerate(photographed):
            image = photograph(film[frame], rng)
            Image.fromarray(image).save(folder / f"film_{number:03}_photo_{place:03}.png")
        # The middle of the time that a frame is on display, lest rounding puts it into another shot.
        seconds = [(frame + 0.5) / settings.fps for frame in photographed]
        entries.append({"clips": order, "edges": (edges / settings.fps).tolist(), "photos": seconds})
    return entries


def _deal(
    items: Sequence[MediaItem], lengths: dict[int, float], seconds: float, rng: np.random.Generator
) -> list[list[int]]:
    """Clips to films of about `seconds`, all of a source to one film: each source to the film that is shortest."""
    of_source: dict[str, list[int]] = defaultdict(list)
    for number in lengths:
        of_source[items[number].source].append(number)
    sources = [list(of_source.values())[place] for place in rng.permutation(len(of_source))]
    sources.sort(key=len, reverse=True)  # stable: random among equals
    films: list[list[int]] = [[] for _ in range(max(1, round(sum(lengths.values()) / seconds)))]
    for clips in sources:
        min(films, key=lambda film: sum(lengths[number] for number in film)).extend(clips)
    return films


def _without_neighbours(items: Sequence[MediaItem], clips: list[int], rng: np.random.Generator) -> list[int]:
    """The clips in random order, two of one source side by side only where there are not enough others."""
    waiting = [clips[place] for place in rng.permutation(len(clips))]
    order: list[int] = []
    while waiting:
        left = Counter(items[number].source for number in waiting)
        last = items[order[-1]].source if order else None
        source, most = left.most_common(1)[0]
        # A source that fills half of what is left must come now, and at every second place from here on.
        pressing = [n for n in waiting if items[n].source == source] if 2 * most > len(waiting) else []
        others = [n for n in waiting if items[n].source != last]
        choice = [n for n in pressing if n in others] or others or waiting
        order.append(choice[0])
        waiting.remove(choice[0])
    return order


def _frames(dataset: MediaDataset, number: int, frames: Preprocessing) -> np.ndarray:
    """All frames of a clip in the size of the films, (T, H, W, 3)."""
    try:
        with dataset.open(number) as reader:
            return reader.read(None, centre_geometry(reader.info.height, reader.info.width, frames))
    except MediaError as error:
        raise SystemExit(f"a clip does not read: {error}") from error


def _between_samples(edges: np.ndarray, settings: FilmSettings, count: int, rng: np.random.Generator) -> list[int]:
    """Frames to photograph: `count` of each clip, none that the sampling rate picks, of short clips fewer."""
    times = np.arange(edges[-1]) / settings.fps
    sampled = frames_on_display(times, moments_at_rate(edges[-1] / settings.fps, settings.rate))
    chosen: list[int] = []
    for first, stop in itertools.pairwise(edges.tolist()):
        between = np.setdiff1d(np.arange(first, stop), sampled)
        chosen += np.sort(rng.permutation(between)[:count]).tolist()
    return chosen
