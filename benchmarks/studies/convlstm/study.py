"""What the studies of the ConvLSTM benchmark share: its data sets, made when needed, its trainings and its rows."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any

from common import results_file
from common.paths import DATA, JHMDB
from studies.convlstm.comparisons import THUMBNAIL_ALONE, UNTRAINED, UNTRAINED_THUMBNAIL
from studies.convlstm.data import ClipData, digits_data, jhmdb_data, near_duplicate_data, walk_data
from studies.convlstm.protocol import EncodedData, Media, encode_at_shares, figures
from studies.convlstm.runs import FOUR_STEPS, THUMBNAIL_SHARE, autoencoder, untrained

from jaxret.files import write_atomically
from jaxret.models.store import fingerprint
from jaxret.training import RunFolder

__all__ = ["MODELS", "PLANE", "UNTRAINED_SHARES", "VOLUME", "Study", "ordered"]

PLANE = {"m1": "M1", "m2": "M2", "m3": "M3"}
VOLUME = {"m1-3d": "M1-3D", "m2-3d": "M2-3D", "m3-3d": "M3-3D", "cnn-3d": "3D convolutions"}
SEEDS = {"jhmdb": 3, "digits": 3, "walk": 3}
MODELS = {"jhmdb": PLANE, "digits": PLANE, "walk": {**VOLUME, **PLANE}}  # a model by data set
UNTRAINED_SHARES = {UNTRAINED: 0.0, UNTRAINED_THUMBNAIL: THUMBNAIL_SHARE, THUMBNAIL_ALONE: 1.0}
"""Of a thumbnail beside the vectors of an untrained encoder, by setting."""
PAPER_DATA = "CC_WEB_VIDEO; of models with depth S3DIS"


class Study:
    """The data sets, made when needed, and the rows so far."""

    def __init__(self, args: argparse.Namespace):
        self.args = args
        self.rows: list[dict[str, Any]] = []
        self._media: dict[tuple[str, int], Media] = {}

    def seeds(self, name: str) -> list[int]:
        """The draws of a data set."""
        return self.args.seeds or list(range(SEEDS[name]))

    def models(self, among: Iterable[str]) -> list[str]:
        """The architectures to study among some."""
        return [name for name in among if not self.args.models or name in self.args.models]

    def data(self, name: str, seed: int) -> ClipData:
        """One of `MODELS`, as this seed draws it."""
        work = self.args.work
        if name == "jhmdb":
            return jhmdb_data(JHMDB, work, seed=seed)
        if name == "digits":
            return digits_data(work, seed=seed)
        return walk_data(DATA / "rgbd_office", work, seed=seed)

    def media(self, data: ClipData, seed: int) -> Media:
        """What is compared of a data set; its clips stay decoded for the next encoder."""
        if (data.name, seed) not in self._media:
            self._media[data.name, seed] = Media(data, seed)
        return self._media[data.name, seed]

    def untrained(
        self, architecture: str, data: ClipData, evaluated: ClipData, seed: int
    ) -> dict[str, dict[str, float]]:
        """What a model's encoder finds by Bi-DTW before it is trained on a data set, by setting.

        Args:
          architecture: of `MODELS`; M1 to M3 begin with the same weights, which are measured once.
          data: whose training clips the thumbnail's unit is of.
          evaluated: what it is tried on.
          seed: of the weights and of the draw.
        """
        encoder = untrained(data, architecture, self.args.work, seed=seed)
        path = self.args.work / "untrained" / f"{fingerprint(encoder)}-{evaluated.name.replace(' ', '-')}-{seed}.json"
        if not path.exists():
            encoded = encode_at_shares(encoder, self.media(evaluated, seed), list(UNTRAINED_SHARES.values()))
            measured = {
                setting: ordered(each, "bi-dtw") for setting, each in zip(UNTRAINED_SHARES, encoded, strict=True)
            }
            path.parent.mkdir(parents=True, exist_ok=True)
            with write_atomically(path) as partial:
                partial.write_text(json.dumps(measured), encoding="utf-8")
        found: dict[str, dict[str, float]] = json.loads(path.read_text(encoding="utf-8"))
        return found

    @cached_property
    def copies(self) -> ClipData:
        """The near duplicates, which encoders of JHMDB are tried on."""
        return near_duplicate_data(DATA / "near_duplicates")

    def evaluated(self, key: str, data: ClipData) -> list[ClipData]:
        """What encoders of a data set are tried on."""
        return [data, self.copies] if key == "jhmdb" else [data]

    def part(self, name: str, evaluate: Callable[[], None]) -> None:
        """Evaluate a part, unless a call before has; its rows are kept with the trainings."""
        path = self.args.work / "rows" / f"{name}.json"
        if path.exists():
            self.rows += json.loads(path.read_text(encoding="utf-8"))
            return
        before = len(self.rows)
        evaluate()
        path.parent.mkdir(parents=True, exist_ok=True)
        with write_atomically(path) as partial:
            partial.write_text(json.dumps(self.rows[before:]), encoding="utf-8")

    def train(self, data: ClipData, architecture: str, seed: int, **steps: tuple[str, ...]) -> RunFolder:
        """The run of a model, by default of all steps; see `autoencoder`."""
        steps = {"like": FOUR_STEPS[:2], **steps}
        return autoencoder(data, architecture, self.args.work, epochs=self.args.epochs, seed=seed, **steps)

    def add(
        self, data: str, method: str, setting: str, seed: int | None, found: dict[str, float], paper: Any = ()
    ) -> None:
        """A row a figure, the paper's beside the first ones, which are by class and by clip."""
        shown = "  ".join(f"{metric} {value:.4g}" for metric, value in found.items())
        print(f"{data:<20} {method:<18} {setting:<34} seed {seed}: {shown}", flush=True)
        theirs = dict(zip(found, paper, strict=False))
        self.rows += results_file.rows_of(
            data, method, found, setting=setting, seed=seed, paper=theirs, paper_data=PAPER_DATA
        )


def ordered(encoded: EncodedData, measure: str) -> dict[str, float]:
    """By class (or place) first, then by clip, as in the paper's tables; after them those of changed queries."""
    found = figures(encoded, measure)
    return dict(sorted(found.items(), key=lambda entry: (": " in entry[0], entry[0].endswith("clip"))))
