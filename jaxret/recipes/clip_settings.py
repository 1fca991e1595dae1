"""The settings of trainings on clips: data and frames; codes, objective and schedule; backbones of single frames."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import tyro

from jaxret.errors import ConfigError
from jaxret.losses import Mining
from jaxret.preprocessing import FixedResize, Modality, Preprocessing
from jaxret.ranges import Bits, Count, CountOrZero, Positive, Share, Threads, Weight, above, at_least, check_ranges
from jaxret.recipes.backbone_names import BackboneNameOrAuto, check_backbone
from jaxret.training import (
    ClassificationTripletObjective,
    HashingObjective,
    LoopConfig,
    Objective,
    OptimiserConfig,
    objective_name,
)

__all__ = ["ClipConfig", "ClipTrainingConfig", "FrameBackboneConfig"]


@dataclasses.dataclass(frozen=True)
class ClipConfig:
    """Data, frames and machine: what every training on clips of video shares."""

    data: str = "moving-digits"
    """A folder (one sub-folder a class) of videos or images, a CSV with the columns path, label and optionally
    source and split, a data set as it was published (ucf50:FOLDER, ucf101:FOLDER, hmdb51:FOLDER, kth:FOLDER and
    others), tfds:NAME, or moving-digits."""
    split_column: str = "split"
    """For a CSV: the column that names each item's split (train, validation or test)."""
    download: bool = False
    """For tfds: fetch the data set if it is not on this machine yet."""
    train_data: tuple[str, ...] = ()
    """Further data sets to train on, each named as in data."""
    test_data: tuple[str, ...] = ()
    """Data sets to test on, each named as in data. All of their items are tested, or their own test split where they
    name one; items of a source that trains are left out."""
    label_map: Path | None = None
    """A CSV with the columns dataset, label and name: what the classes of the data sets are called, such as
    kth,boxing,Punch. Seen and unseen classes are told apart after it."""
    least_class_size: CountOrZero = 0
    """Classes with fewer training items take no part in training. 0: any number."""
    out: Path | None = None
    """The run folder to make; none: runs/<recipe>-<number>."""
    image_size: Annotated[int | None, at_least(1)] = None
    """Height and width of a frame in pixels. none: the backbone's own (small-convnet 64, others 224); 32 for
    moving digits."""
    frames: Count = 16
    """Frames sampled from each chunk of a video."""
    chunk_seconds: Positive = 10.0
    """A video is cut into equal chunks of about this length."""
    chunk_overlap: Annotated[float, at_least(0, below=1)] = 0.0
    """Share of a chunk that the next one shows again, below 1; 0: chunks follow each other."""
    resize: FixedResize = "crop"
    """How a frame is fitted to the frame size."""
    grey: bool = False
    """Show the encoder grey images, one channel instead of three. Colour weights fit it: the vectors are those of the
    grey image as R, G and B."""
    unseen_fraction: Annotated[float, at_least(0, below=1)] = 0.0
    """Share of the classes kept out of training, to measure retrieval of unseen ones."""
    zoom: Annotated[float, at_least(1)] = 1.25
    """Training clips are enlarged by up to this factor before the crop; 1: no enlargement."""
    mirror: Annotated[float | None, at_least(0, most=1)] = None
    """Probability that a training clip is flipped left to right. none: 0.5, and 0 where left and right are classes."""
    changes: Share = 0.0
    """Strength up to which training clips are changed as copies are, in colour, scale, window, sharpness and encoding
    (as of evaluate --strengths), drawn for each clip and kind of change. 0: not at all."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Compute precision of the models; parameters stay float32."""
    threads: Threads = 2
    """Media files decoded at once."""
    seed: CountOrZero = 0
    """Everything random follows from it."""

    def __post_init__(self) -> None:
        check_ranges(self)

    @property
    def all_data(self) -> tuple[str, ...]:
        """The data sets, those to test on last."""
        return (self.data, *self.train_data, *self.test_data)

    @property
    def data_in_words(self) -> str:
        """Their names in a line."""
        return " + ".join(self.all_data)

    @property
    def channels(self) -> int:
        """Channels of a frame as the encoder sees it."""
        return 1 if self.grey else 3

    def preprocessing(self) -> Preprocessing:
        """How videos are sampled; the settings are resolved, so that `image_size` is a number."""
        assert self.image_size is not None
        return Preprocessing(
            height=self.image_size,
            width=self.image_size,
            channels=self.channels,
            frames=self.frames,
            chunk_seconds=self.chunk_seconds,
            chunk_overlap=self.chunk_overlap,
            resize=self.resize,
        )


@dataclasses.dataclass(frozen=True)
class ClipTrainingConfig(ClipConfig):
    """And codes, batches, objective and schedule."""

    bits: Bits = 0
    """Length of binary codes learned on top of the embedding, a multiple of 8; 0: none. The losses then act on
    the code's activations, and videos are searched by Hamming distance."""
    quantisation_weight: Weight = 0.0
    """Weight of the term that draws a code's activations to 0 and 1."""
    balance_weight: Weight = 0.0
    """Weight of the term that makes each bit of a code 1 for half of a batch."""
    pca: Share = 0.0
    """Share of the variance that the clip vectors' principal components keep, such as 0.9: after training they are
    fitted on the training split, and videos are searched by them; 0: no PCA."""
    whiten: bool = False
    """With pca: scale every component to the same variance."""
    batch_size: Count = 64
    """Clips a step, over all devices and processes."""
    cross_entropy_weight: Weight = 1.0
    """Weight of the classification loss."""
    triplet_weight: Weight = 0.0
    """Weight of the triplet loss on embeddings of length 1, or on codes; above 0, batches hold `samples_per_class`
    items a class."""
    margin: Weight = 0.2
    """Margin of the triplet loss, in squared Euclidean distance; for codes the share of bits that differ."""
    mining: Mining = "batch-hard"
    """Triplets that count."""
    samples_per_class: Count = 4
    """Items of each class in a batch, with the triplet loss or another one that needs positives."""
    loss: tyro.conf.Suppress[Objective | None] = None
    """A registered objective in the place of the weighted losses above (`jaxret.training.register_objective`)."""
    dropout: Annotated[float, at_least(0, below=1)] = 0.25
    """Share of activations dropped in training."""
    optimiser: OptimiserConfig = OptimiserConfig(clip_norm=5.0)
    """How gradients become updates."""
    loop: LoopConfig = LoopConfig(epochs=100, evaluate_every=5, patience=6)
    """How long to train."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.objective()  # refuses weights that are out of range
        if self.needs_positives and self.samples_per_class < 2:
            raise ConfigError("samples_per_class must be at least 2 for the triplet loss: 1 leaves no positive, got 1")
        if self.batches_of_classes and self.batch_size % self.samples_per_class:
            raise ConfigError(
                f"batch_size {self.batch_size} must be a multiple of samples_per_class {self.samples_per_class}"
            )
        if self.needs_positives and self.batch_size == self.samples_per_class:
            raise ConfigError(
                f"batch_size {self.batch_size} holds one class of samples_per_class {self.samples_per_class}, which "
                "leaves no negative for the triplet loss: make the batch larger or samples_per_class smaller"
            )
        if self.bits % 8:
            raise ConfigError(f"bits must be 0 or a positive multiple of 8 (codes are whole bytes), got {self.bits}")
        for name in ("quantisation_weight", "balance_weight"):
            if getattr(self, name) and self.loss is not None:
                raise ConfigError(f"{name} is a term of the weighted losses: leave it at 0, or leave loss out")
            if getattr(self, name) and not self.bits:
                raise ConfigError(f"{name} is a term of binary codes: set bits as well, or leave it at 0")
        if self.whiten and not self.pca:
            raise ConfigError("whiten scales principal components: set pca as well, or leave whiten off")
        if self.pca and self.bits:
            raise ConfigError(
                f"pca={self.pca} and bits={self.bits} do not go together: codes are made of activations. Set one to 0"
            )

    def idle_settings(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """Settings that do nothing as the others stand, with the reason; see `jaxret.training.refuse_idle`."""
        if self.loss is not None:
            weighted = ("cross_entropy_weight", "triplet_weight", "margin", "mining")
            yield weighted, f"it is of the weighted losses, and loss={objective_name(self.loss)} stands in their place"
        elif not self.triplet_weight:
            yield ("margin", "mining"), "triplet_weight is 0"
        if not self.batches_of_classes:
            yield ("samples_per_class",), "batches hold items of any class, as no loss compares items of one"

    def objective(self) -> Objective:
        """What a training minimises.

        Raises:
          ConfigError: a weight is out of range.
        """
        if self.loss is not None:
            return self.loss
        common = (self.cross_entropy_weight, self.triplet_weight, self.margin, self.mining)
        if not self.bits:
            return ClassificationTripletObjective(*common)
        return HashingObjective(*common, self.quantisation_weight, self.balance_weight)

    @property
    def needs_positives(self) -> bool:
        """Whether the loss compares items of one class, so that a batch must hold several of each."""
        if self.loss is not None:
            return bool(getattr(self.loss, "needs_positives", False))
        return bool(self.triplet_weight)

    @property
    def batches_of_classes(self) -> bool:
        """Whether batches hold `samples_per_class` items of each class; by default where the loss needs positives."""
        return self.needs_positives

    @property
    def frozen(self) -> bool:
        """Whether the frame vectors are those of a backbone that stays as it is."""
        return False

    @property
    def rate_scales(self) -> dict[str, float]:
        """Parts of the model with learning rates of their own, as factors of the learning rate."""
        return {}


@dataclasses.dataclass(frozen=True)
class FrameBackboneConfig(ClipTrainingConfig):
    """And those of encoders with a backbone that takes single frames, pretrained ones among them."""

    weights: str = "auto"
    """Weights the backbone starts from, whether it is trained or not: imagenet, a file (Keras .h5, .safetensors, .pth),
    a folder of a published encoder (`jaxret weights`), which tells backbone and image size, or none. auto: imagenet
    where the extra `weights` is installed and the data are not moving digits, else none."""
    backbone: BackboneNameOrAuto = "auto"
    """Frame encoder. auto: efficientnet-lite0 for weights=imagenet, mobilenet-v1 for an .h5 file, small-convnet
    for none."""
    modalities: tuple[Modality, ...] = ("rgb",)
    """What a sampled moment is shown as: rgb, flow (extra `opencv`), difference, dynamic-image. Several are
    streams of their own, encoded apart and joined late; a frozen backbone serves all, trained ones are separate."""
    freeze: bool | None = None
    """Keep the backbone as it is and train the temporal encoder alone. none: yes if it has pretrained weights."""
    backbone_learning_rate: Annotated[float | None, above(0)] = None
    """Learning rate of a backbone that is trained along with the rest (freeze=False), such as a tenth of
    `learning_rate` for pretrained weights; the schedule is the same. none: `learning_rate`."""
    lora_rank: CountOrZero = 0
    """With freeze=False and a vision transformer: train adapters of this rank in its attention (LoRA), not all of its
    weights. 0: all of them."""
    cached_views: Count = 1
    """With a frozen backbone: versions of each clip whose frame vectors are cached: the centre crop, and this
    many less one that are cropped and flipped at random. Random temporal sampling works on all of them."""
    cache: Path | None = None
    """With a frozen backbone: folder that keeps frame vectors; runs may share it. none: cache/ in the run folder."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.backbone != "auto":
            check_backbone(self.backbone)
        if self.lora_rank and self.freeze is not False:
            raise ConfigError(f"lora_rank={self.lora_rank} trains the backbone: set freeze=False, or leave it at 0")
        motion = Preprocessing(modalities=self.modalities).motion  # which refuses unknown and repeated ones
        if self.grey and motion:
            raise ConfigError(
                f"grey=True does not go with the modality {motion[0]!r}, which has 3 channels: leave one of them out"
            )
        if self.freeze and self.weights == "none":
            raise ConfigError("freeze=True needs pretrained weights: a random backbone would stay random")
        if self.changes and self.freeze and self.cached_views == 1:
            raise ConfigError(
                f"changes={self.changes} is of cached views but the first, and there is one: set cached_views above 1"
            )
        rate = self.backbone_learning_rate
        if rate is not None and self.freeze:
            raise ConfigError(
                f"backbone_learning_rate={rate}, but the backbone is frozen: set freeze=False to train it"
            )

    def idle_settings(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """And those of frames that are not varied, or not kept."""
        yield from super().idle_settings()
        if self.freeze is False:
            yield ("cache", "cached_views"), "frame vectors are cached of a frozen backbone, and freeze=False trains it"
        if self.freeze and self.cached_views == 1:
            # Clips that are neither enlarged nor flipped are what there is.
            varied = (*(["zoom"] if self.zoom > 1 else []), *(["mirror"] if self.mirror else []))
            yield varied, "the backbone is frozen, and cached are the centre crops alone: set cached_views above 1"

    @property
    def frozen(self) -> bool:
        """Whether the frame vectors are those of a backbone that stays as it is."""
        return bool(self.freeze)

    @property
    def rate_scales(self) -> dict[str, float]:
        """Parts of the model with learning rates of their own, as factors of the learning rate."""
        rate = self.backbone_learning_rate
        return {} if rate is None else {"backbone": rate / self.optimiser.learning_rate}

    def preprocessing(self) -> Preprocessing:
        """How videos are sampled, with the modalities."""
        return dataclasses.replace(super().preprocessing(), modalities=self.modalities)
