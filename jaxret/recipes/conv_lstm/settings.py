"""A training in steps: which they are, their settings, and what each leaves behind."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from jaxret.errors import ConfigError
from jaxret.evaluation import GroupFigures
from jaxret.files import write_atomically
from jaxret.losses import Mining
from jaxret.models.conv_lstm.encoder import StandardiseBy
from jaxret.preprocessing import DepthPlanes, Preprocessing
from jaxret.ranges import Share, Weight, above, at_least
from jaxret.recipes.clip_settings import ClipConfig
from jaxret.training import LoopConfig, OptimiserConfig, RunFolder, TripletObjective

__all__ = ["STEP_NAMES", "Step", "StepRecord", "StepsConfig", "step_folder"]

Step = Literal["pretrain", "triplet", "rank", "challenging", "plain"]

STEP_NAMES: dict[Step, str] = {
    "pretrain": "the autoencoder gives clips back; no labels",
    "triplet": "triplet loss",
    "rank": "training clips ranked by the loss of their hardest triplet",
    "challenging": "triplet loss on batches half of the hardest clips",
    "plain": "triplet loss once more, on ordinary batches",
}
"""What each step does, in the order in which they can be taken."""

_TRIPLET_STEPS: tuple[Step, ...] = ("triplet", "challenging", "plain")


@dataclasses.dataclass(frozen=True)
class StepsConfig(ClipConfig):
    """Settings of a training in steps of an autoencoder's encoder."""

    steps: tuple[Step, ...] = ("pretrain", "triplet", "rank", "challenging")
    """What is done, in this order; leave some out to skip them. plain, in the place of rank and challenging, is a
    second pass on ordinary batches. pretrain alone needs no labels."""
    batch_size: Annotated[int | None, at_least(4)] = None
    """Clips a step, over all devices and processes. none: 32, and 8 with depth."""
    margin: Weight = 1.0
    """Margin of the triplet loss. Its unit is the mean squared Euclidean distance of training clips of different
    classes when the first step with labels begins."""
    loss_unit: Literal["margin", "distance"] = "margin"
    """What the triplet loss is measured in: the margin's unit, so that a learning rate means the same for vectors of
    any size; or squared distances, as the paper writes it, where the gradient is larger by that unit."""
    mining: Mining = "all"
    """Triplets of a batch that count."""
    samples_per_class: Annotated[int, at_least(2)] = 4
    """Clips of each class in a batch of the triplet loss, two readings of one counted as two; more where there are too
    few classes to fill one."""
    copy_weight: Share = 0.0
    """Share of the triplet loss whose positives are copies of the anchor's own video and whose negatives are all other
    videos, those of its class as well; the rest goes by class. Above 0 every clip of a batch is read twice, and varied
    each time anew."""
    thumbnail_share: Annotated[float | None, at_least(0, below=1)] = 0.0
    """Share of the squared distance of two clips that is that of thumbnails of them, by which copies are told when
    training for classes is over. none: of 0.3, 0.2, 0.1, 0.05, 0.03, 0.02, 0.01 and 0 the largest with which
    validation videos find training videos of their class at least 0.95 times as well as without."""
    hard_fraction: Annotated[float, above(0, below=1)] = 0.2
    """Share of the training clips that count as hard."""
    standardise_by: StandardiseBy | None = "data"
    """Whose mean and deviation pixels are standardised by: those of all training clips (data), or of each clip its own
    (clip), so that brightness and contrast, which change from copy to copy, tell nothing. none: clip, and data where
    pixel_mean is given or the decoder gives bins of intensity, and for moving digits."""
    pixel_mean: float | None = None
    """Mean of the pixels 0..255, which is taken off with standardise_by=data. none: measured on the training clips."""
    pixel_deviation: Annotated[float | None, above(0)] = None
    """Their standard deviation, by which they are divided. none: measured."""
    split_shares: Annotated[tuple[float, float, float], at_least(0, most=1)] = (0.7, 0.1, 0.2)
    """Shares of training, validation and test where the data name no splits and videos are dealt by source."""
    mirror: Share = 0.0
    """Probability that a training clip is flipped left to right; 0 where left and right are classes."""
    optimiser: OptimiserConfig = OptimiserConfig(algorithm="adam", learning_rate=3e-3, warmup_steps=50, clip_norm=1.0)
    """How gradients become updates, the same in every step, which begins anew."""
    loop: LoopConfig = LoopConfig(epochs=30, evaluate_every=3, patience=4)
    """How long to train in each step."""
    pretrain_epochs: Annotated[int | None, at_least(1)] = None
    """Epochs of the step pretrain. none: `epochs`, and 4 for moving digits."""
    initial_run: Annotated[Path | None, tyro.conf.arg(name="from")] = None
    """A finished run, or the folder of one of its steps, such as runs/first/pretrain, whose encoder the first step
    begins with: pre-train on one corpus, fine-tune on another. Sizes must agree; pixels are standardised as there. A
    decoder begins anew."""

    def __post_init__(self) -> None:
        super().__post_init__()
        order = [name for name in STEP_NAMES if name in self.steps]
        if not self.steps or list(self.steps) != order:
            raise ConfigError(f"steps must be some of {', '.join(STEP_NAMES)}, in this order, got {self.steps}")
        if "challenging" in self.steps and "rank" not in self.steps:
            raise ConfigError("the step challenging takes the clips that the step rank finds: take rank as well")
        if "plain" in self.steps and "rank" in self.steps:
            raise ConfigError("plain is a second pass on ordinary batches, which ranks nothing: leave rank and "
                              "challenging out, or plain")  # fmt: skip
        if self.triplet_steps:
            self._check_batches()
        if self.depth is not None and self.changes:
            raise ConfigError(f"changes={self.changes} is of colours, and the model sees depth, too: leave it at 0")
        if self.standardise_by == "clip" and self.pixel_mean is not None:
            raise ConfigError(
                "standardise_by=clip takes each clip's own mean: leave pixel_mean and pixel_deviation out"
            )
        if (self.pixel_mean is None) != (self.pixel_deviation is None):
            raise ConfigError("pixel_mean and pixel_deviation go together: give both, or none to have them measured")
        if abs(sum(self.split_shares) - 1) > 1e-6 or not self.split_shares[0]:
            raise ConfigError(f"split_shares must sum to 1, the first above 0, got {self.split_shares}")
        self.objective(1.0)

    def idle_settings(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """Settings that do nothing as the others stand, with the reason; see `jaxret.training.refuse_idle`."""
        steps = ", ".join(self.steps)
        if "rank" not in self.steps:
            yield ("hard_fraction",), f"it is of the step rank, and steps are {steps}"
        if "pretrain" not in self.steps:
            yield ("pretrain_epochs",), f"it is of the step pretrain, and steps are {steps}"
        if not self.triplet_steps:
            of_triplets = ("loss_unit", "mining", "samples_per_class", "copy_weight")
            yield of_triplets, f"it is of the steps {', '.join(_TRIPLET_STEPS)}, and steps are {steps}"
        if not self.needs_labels:
            yield ("margin",), f"it is of the steps with labels, and steps are {steps}"
        if self.initial_run is not None:
            pixels = ("standardise_by", "pixel_mean", "pixel_deviation")
            yield pixels, f"pixels are standardised as by the encoder of initial_run={self.initial_run}"

    @property
    def views(self) -> int:
        """How often each clip is in a batch of the triplet loss."""
        return 2 if self.copy_weight else 1

    def _check_batches(self) -> None:
        size, samples, views = self.batch_size, self.samples_per_class, self.views
        if samples % views or samples < 2 * views:
            raise ConfigError(
                f"with copy_weight every clip is read twice: samples_per_class must be even, at least 4, got {samples}"
            )
        if size is None:
            return
        if size % views or ("challenging" in self.steps and size % (2 * views)):
            halves = "half of a batch are hard clips" if "challenging" in self.steps else "every clip is read twice"
            wanted = {1: "even", 2: "even", 4: "a multiple of 4"}[views * (1 + ("challenging" in self.steps))]
            raise ConfigError(f"{halves}: batch_size must be {wanted}, got {size}")
        if size < 2 * samples:
            raise ConfigError(
                f"batch_size {size} holds fewer than two classes of samples_per_class {samples}, which leaves no "
                "negative"
            )

    @property
    def depth(self) -> DepthPlanes | None:
        """The planes of depth that the model sees."""
        return None

    def preprocessing(self) -> Preprocessing:
        """How videos are sampled, with the planes of depth."""
        return dataclasses.replace(super().preprocessing(), depth=self.depth)

    @property
    def triplet_steps(self) -> tuple[Step, ...]:
        """The steps that fit by the triplet loss."""
        return tuple(step for step in self.steps if step in _TRIPLET_STEPS)

    @property
    def needs_labels(self) -> tuple[Step, ...]:
        """The steps that do."""
        return tuple(step for step in self.steps if step != "pretrain")

    def objective(self, unit: float) -> TripletObjective:
        """What the steps with labels minimise; `unit` is that of the margin."""
        scale = unit if self.loss_unit == "distance" else 1.0
        return TripletObjective(self.margin, self.mining, unit, scale, self.copy_weight)

    def loop_of(self, step: Step) -> LoopConfig:
        """How long a step trains."""
        if step == "pretrain" and self.pretrain_epochs is not None:
            return dataclasses.replace(self.loop, epochs=self.pretrain_epochs)
        return self.loop


@dataclasses.dataclass
class StepRecord:
    """`step.json` in the folder of a step: what it cost and gave.

    Attributes:
      step: its name.
      finished: whether it came to its end; such a step is not run again.
      seconds: that it has taken, over all calls that stopped of their own accord.
      updates: of the weights; for the ranking batches embedded.
      epochs: that they make.
      figures: of the training or the validation split, by name.
      test: retrieval figures of the test split by method, after the step.
    """

    step: Step
    finished: bool = False
    seconds: float = 0.0
    updates: int = 0
    epochs: float = 0.0
    figures: dict[str, float] = dataclasses.field(default_factory=dict)
    test: dict[str, GroupFigures] = dataclasses.field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path, step: Step) -> StepRecord:
        """What was written; a fresh one where nothing was.

        Raises:
          ConfigError: the file is damaged.
        """
        path = folder / "step.json"
        try:
            settings: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return cls(**settings)
        except FileNotFoundError:
            return cls(step)
        except (ValueError, TypeError) as error:
            raise ConfigError(f"{path} is damaged: {error!r}") from error

    @property
    def summary(self) -> str:
        """One line for people."""
        figures = [f"{name} {value:.4g}" for name, value in self.figures.items()]
        tested = self.test.get("Bi-DTW", {}).get("all", {})
        if "mAP" in tested:
            figures.append(f"test mAP {tested['mAP']:.4g} (Bi-DTW)")
        unit = "batches" if self.step == "rank" else "updates"
        return ", ".join([f"{self.updates} {unit}", f"{self.seconds / 60:.1f} min", *figures])

    def write(self, folder: Path) -> None:
        """Write it; the file appears whole or not at all."""
        with write_atomically(folder / "step.json") as partial:
            partial.write_text(json.dumps(dataclasses.asdict(self), indent=2) + "\n", encoding="utf-8")


def step_folder(run: RunFolder, step: Step) -> RunFolder:
    """A step's own folder in that of the run: its checkpoints, log and figures."""
    return RunFolder(run.path / step)
