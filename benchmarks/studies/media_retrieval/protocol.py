"""The protocol of the CNN + LSTM paper's Table IV on a draw of classes: seen and unseen queries in galleries alike.

The classifier is trained on the training videos of the seen classes. The test videos of all classes are queries for
each other: each has a gallery of its own with as many videos of every class, none of the query's own source, so that
queries of seen and unseen classes have as many relevant videos among as many others. (In the paper a tenth of the test
videos queries the other nine.)
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from flax import nnx
from numpy.typing import NDArray
from studies.unseen_classes.trained import held_out, lstm
from studies.unseen_classes.videos import Videos, embedded, unit_means

from jaxret.data.items import MediaItem
from jaxret.data.rows import Rows
from jaxret.evaluation import (
    LabelProtocol,
    NearestAnswers,
    Ranking,
    chance_figures,
    evaluate_leave_one_out,
    nearest_answers,
)
from jaxret.metrics import VoteScores
from jaxret.models import TemporalEncoder
from jaxret.models.temporal.open_set import OpenSetEncoder
from jaxret.training.open_set import OpenSetSettings, fit_open_set

DEPTH = 5
"""Results that are looked at and vote, and what PAR filters."""
LSTM, OPEN_SET, MEAN, UNTRAINED = "CNN + LSTM", "open-set encoder", "mean of frame vectors", "LSTM, untrained"
METHODS = (LSTM, OPEN_SET, MEAN, UNTRAINED)
GROUPS = ("seen", "unseen")
_RANDOM_ROUNDS = 10


@dataclasses.dataclass(frozen=True)
class Draw:
    """A draw of classes with what each method makes of its videos.

    Attributes:
      videos: the data.
      seed: of the draw.
      test, validation: items; the latter are training videos of a tenth of the sources, which no method was fitted on.
      vectors: by method, of the test and of the validation items and of the videos that were fitted on, (N, E).
      protocol: with the groups seen and unseen, and galleries that are alike.
      folder: where what was made of the draw is kept.
    """

    videos: Videos
    seed: int
    test: list[MediaItem]
    validation: list[MediaItem]
    vectors: dict[str, tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]]
    protocol: LabelProtocol
    folder: Path

    def rows(self, method: str) -> Rows:
        """Of the test items."""
        return Rows(self.vectors[method][0], np.arange(len(self.test)))

    def training_vectors(self, method: str) -> NDArray[np.float32]:
        """Of the videos that the method was fitted on."""
        return self.vectors[method][2]

    def figures(self, method: str, ranking: Ranking) -> dict[str, dict[str, float]]:
        """Retrieval figures by group."""
        return evaluate_leave_one_out(self.rows(method), self.test, ranking, self.protocol)

    def chance(self) -> dict[str, dict[str, float]]:
        """Retrieval figures of a random ranking by group."""
        return chance_figures(self.test, self.test, self.protocol)

    def answers(self, method: str) -> NearestAnswers:
        """The nearest of every test item."""
        rows = self.rows(method)
        return nearest_answers(rows, self.test, rows, self.test, DEPTH, self.protocol)

    def validation_answers(self, method: str) -> NearestAnswers:
        """The nearest of every validation item among the others."""
        rows = Rows(self.vectors[method][1], np.arange(len(self.validation)))
        return nearest_answers(rows, self.validation, rows, self.validation, DEPTH)

    def classes(self, group: str) -> set[str]:
        """The classes of a group."""
        assert self.protocol.groups is not None
        return set(self.protocol.groups[group])

    def random_votes(self) -> dict[str, VoteScores]:
        """Mean figures by group of the votes of galleries in random order; accuracy is exact, see `chance_of_vote`."""
        rng = np.random.default_rng(self.seed)
        rounds: dict[str, list[VoteScores]] = {group: [] for group in GROUPS}
        for _ in range(_RANDOM_ROUNDS):
            noise = Rows(rng.normal(size=(len(self.test), 8)).astype(np.float32), np.arange(len(self.test)))
            answers = nearest_answers(noise, self.test, noise, self.test, DEPTH, self.protocol)
            for group, found in rounds.items():
                found.append(answers.of(self.classes(group)).votes())
        exact = self.answers(MEAN)
        means = {}
        for group, found in rounds.items():
            precision, recall, f1 = (
                float(np.mean([getattr(one, name) for one in found])) for name in ("precision", "recall", "f1")
            )
            accuracy = float(exact.of(self.classes(group)).chance.mean())
            means[group] = VoteScores(accuracy, precision, recall, f1, 0, found[0].queries)
        return means


def open_draw(videos: Videos, seed: int, work: Path) -> Draw:
    """A draw, trained first if it is not kept under `work` yet."""
    seen, train = videos.draw(seed)
    held = held_out(videos, train, seed)
    kept = work / f"{videos.name.lower().replace(', ', '-').replace(' ', '-')}-{seed}"
    vectors = {method: _vectors(videos, method, seed, kept) for method in METHODS}
    test, validation = ([_item(videos, int(n)) for n in numbers] for numbers in (videos.test, train[held]))
    known = {str(label) for label in seen}
    every = {str(label) for label in np.unique(videos.labels)}
    protocol = LabelProtocol(
        (DEPTH,), {"seen": known, "unseen": every - known}, relevant_items=_relevant_items(test), seed=seed
    )
    return Draw(
        videos,
        seed,
        test,
        validation,
        {method: (found[videos.test], found[train[held]], found[train[~held]]) for method, found in vectors.items()},
        protocol,
        kept,
    )


def _vectors(videos: Videos, method: str, seed: int, kept: Path) -> NDArray[np.float32]:
    """(N, E) of all videos; of the mean scaled to length 1, so that Euclidean distance ranks as the cosine does."""
    if method == MEAN:
        return unit_means(videos.vectors)
    path = kept / f"{method.replace(' ', '')}.npy"
    if not path.exists():
        make: Callable[[], NDArray[np.float32]] = {
            LSTM: lambda: embedded(lstm(videos, seed, kept / "lstm"), videos.vectors),
            UNTRAINED: lambda: embedded(
                TemporalEncoder(videos.vectors.shape[2], 256, rngs=nnx.Rngs(seed)), videos.vectors
            ),
            OPEN_SET: lambda: _open_set(videos, seed),
        }[method]
        made = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, made)
    return np.load(path)


def _open_set(videos: Videos, seed: int) -> NDArray[np.float32]:
    """Fitted without the videos that thresholds are chosen by."""
    seen, train = videos.draw(seed)
    train = train[~held_out(videos, train, seed)]
    encoder = OpenSetEncoder.to_fit(videos.vectors.shape[2], len(seen), rngs=nnx.Rngs(0))
    labels, sources = np.searchsorted(seen, videos.labels[train]), videos.sources[train].tolist()
    fit_open_set(encoder, videos.vectors[train], labels, sources, OpenSetSettings(seed=seed))
    return embedded(encoder, videos.vectors)


def _item(videos: Videos, number: int) -> MediaItem:
    return MediaItem(str(number), "video", str(videos.labels[number]), source=str(videos.sources[number]))


def _relevant_items(items: list[MediaItem]) -> int:
    """As many as nine tenths of the queries have."""
    of_class = Counter(item.label for item in items)
    of_source = Counter((item.label, item.source) for item in items)
    available = [of_class[item.label] - of_source[item.label, item.source] for item in items]
    return max(1, int(np.quantile(available, 0.1)))
