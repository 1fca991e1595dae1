"""System 4: Faster R-CNN, trained on boxes, whose features find instances.

Papers: S. Ren, K. He, R. Girshick and J. Sun, "Faster R-CNN: towards real-time object detection with region proposal
networks", NeurIPS 2015 (arXiv:1506.01497); A. Salvador, X. Giro-i-Nieto, F. Marques and S. Satoh, "Faster R-CNN
features for instance search", CVPR Workshops 2016 (arXiv:1604.08893).

- Model: one map of a backbone -> region proposal network -> RoIAlign of 7 x 7 -> two dense layers -> scores
  of the classes and the background, and a box for each class.
- Objective: both halves trained together (approximate joint training): 256 anchors an image, at most half of them
  objects; 128 regions an image, at most a quarter objects; cross-entropy and smooth L1.
- Search: the map pooled image-wise finds images, the vectors of proposals rank them anew (`jaxret.retrieval`).

Decisions: the backbone is kept as it is where it has pretrained weights, so that the vectors stay those of ImageNet and
a CPU can train the rest; `--freeze False` trains it along, from `--frozen-stage` on, with the batch statistics it has
learnt before (of the batch where it starts from random weights). RoIAlign stands for RoI pooling, one logit for the
proposer's two-way softmax, 256 units for 4,096, anchors from 32 to 256 pixels on images of 512 for 128 to 512 on
about 600 x 1,000, Adam for SGD. The map is scaled so that its numbers are about 1 (fitted on training images): those
of efficientnet-lite0 are ten times as large as those of mobilenet-v1, and its proposals learnt more slowly. Anchors
count whose centres lie in the image. Images are scaled to a longer side of 512 pixels; in training they are padded
to squares and flipped at random. Images are dealt to training, validation and test (80, 10 and 10 %) unless the CSV
names splits; the epoch is chosen by mAP at IoU 0.5 on the validation split.

Measured once, by no program of `benchmarks/`: 17 objects of COIL-100 pasted on photographs of Corel-5k (1 to 3 an
image; 240 images train, 80 with other photographs and views test), `--image-size 384 --epochs 6`, one seed: mAP 0.951
and proposal recall 1.000 (untrained 0.000 and 0.456).

Run: `python -m jaxret.train faster-rcnn --data BOXES.csv`, a CSV with the columns path, left, top, right, bottom, label
and maybe split: a row for each object.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

from flax import nnx

from jaxret.errors import ConfigError
from jaxret.models import backbone_info, pretrained_backbone
from jaxret.models.detection.faster_rcnn import FasterRCNN
from jaxret.models.detection.settings import DetectorSettings
from jaxret.models.foundation import is_published
from jaxret.models.frozen import weights_origin
from jaxret.models.layers.frozen import fix_parameters, parameters_before
from jaxret.preprocessing import SIDE_STEP, Preprocessing
from jaxret.ranges import Count, CountOrZero, Share, Threads, Units, above, check_ranges
from jaxret.recipes.backbone_names import BackboneName, check_backbone
from jaxret.recipes.instances.train import open_boxes, train_detector
from jaxret.recipes.recipe import Recipe, Run, RunContext
from jaxret.training import DetectionObjective, LoopConfig, OptimiserConfig

__all__ = ["RECIPE", "FasterRcnnConfig", "fix_backbone", "make_detector", "train"]

_BEFORE = 1000  # boxes that suppression looks at


@dataclasses.dataclass(frozen=True)
class FasterRcnnConfig:
    """Settings of a Faster R-CNN training."""

    data: str = ""
    """A CSV with the columns path, left, top, right, bottom, label and maybe split: a row for each object, sides in
    pixels of its image. A row with empty sides and label is an image without objects. Or instre:ROOT, the folder of
    INSTRE's subsets."""
    out: Path | None = None
    """The run folder to make; none: runs/faster-rcnn-<number>."""
    backbone: BackboneName = "efficientnet-lite0"
    """Network whose layers up to the map are the backbone; the papers' is vgg16."""
    weights: str = "imagenet"
    """Its weights: imagenet (efficientnet-lite0, with the extra `weights`), a file (Keras .h5, .safetensors, .pth), of
    vision-transformer a folder of a published encoder (`jaxret weights`), or none for random ones."""
    stage: str = ""
    """The map's name; empty: the last one of 16 pixels to a cell (small-convnet: 4)."""
    freeze: bool | None = None
    """Keep the backbone as it is and train what is on it alone. none: yes if it has pretrained weights."""
    frozen_stage: str = ""
    """With freeze=False: the layers up to this stage are kept as they are, those after it train, such as conv_pw_5 of
    mobilenet-v1; empty: all train."""
    backbone_learning_rate: Annotated[float | None, above(0)] = None
    """Learning rate of a backbone that is trained along (freeze=False), such as a tenth of `learning_rate` for
    pretrained weights; the schedule is the same. none: `learning_rate`."""
    image_size: Count = 512
    """Longer side of an image in pixels, a multiple of 32; smaller images are scaled up."""
    anchor_sizes: Annotated[tuple[float, ...], above(0)] = (32, 64, 128, 256)
    """Square roots of the areas of anchors, in pixels of the scaled image."""
    anchor_aspects: Annotated[tuple[float, ...], above(0)] = (0.5, 1, 2)
    """Widths of anchors divided by their heights."""
    proposals: Count = 100
    """Proposals of an image, for detection and for search."""
    search_regions: Literal["proposals", "windows"] = "proposals"
    """What search compares of an image: the detector's proposals, or windows of four heights and widths slid over it,
    as the project proposal re-ranks."""
    proposer_channels: Count = 256
    """Channels of the region proposal network."""
    head_units: Units = 256
    """Units of the dense layers of the head."""
    sampled_anchors: Count = 256
    """Anchors of an image that count in a step."""
    sampled_regions: Count = 128
    """Regions of an image that count in a step."""
    mirror: Share = 0.5
    """Probability of flipping a training image left to right."""
    batch_size: Count = 4
    """Images a step, over all devices and processes."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Compute precision; parameters and losses stay float32."""
    threads: Threads = 2
    """Images decoded at once."""
    seed: CountOrZero = 0
    """Everything random follows from it."""
    optimiser: OptimiserConfig = OptimiserConfig(learning_rate=3e-4, schedule="cosine", warmup_steps=50, clip_norm=10.0)
    """How gradients become updates."""
    loop: LoopConfig = LoopConfig(epochs=20, evaluate_every=2)
    """How long to train."""

    def __post_init__(self) -> None:
        check_backbone(self.backbone)
        check_ranges(self)
        if self.freeze and self.weights == "none":
            raise ConfigError("freeze=True needs pretrained weights: a random backbone would stay random")
        for name in ("backbone_learning_rate", "frozen_stage"):
            if self.frozen and getattr(self, name):
                raise ConfigError(
                    f"{name}={getattr(self, name)}, but the backbone is frozen: set freeze=False to train it"
                )
        self.objective(), self.settings()  # each refuses what is out of range
        if not is_published(self.weights):  # of which the files tell the step
            self.preprocessing()

    @property
    def frozen(self) -> bool:
        """Whether the whole backbone stays as it is."""
        return self.weights != "none" if self.freeze is None else self.freeze

    @property
    def rate_scales(self) -> dict[str, float]:
        """Parts of the model with learning rates of their own, as factors of the learning rate."""
        rate = self.backbone_learning_rate
        return {} if rate is None else {"backbone": rate / self.optimiser.learning_rate}

    def objective(self) -> DetectionObjective:
        """What is minimised."""
        return DetectionObjective(
            anchors=self.sampled_anchors,
            regions=self.sampled_regions,
            batch_statistics=not self.frozen and self.weights == "none",
        )

    def settings(self) -> DetectorSettings:
        """Sizes of the detector."""
        return DetectorSettings(
            anchor_sizes=self.anchor_sizes,
            anchor_aspects=self.anchor_aspects,
            proposals=self.proposals,
            proposals_before=max(_BEFORE, self.proposals),
            proposer_channels=self.proposer_channels,
            head_units=self.head_units,
            windows=self.search_regions == "windows",
        )

    def preprocessing(self, side_step: int = SIDE_STEP) -> Preprocessing:
        """How images are scaled, their sides to multiples of the backbone's step."""
        return Preprocessing(height=self.image_size, width=self.image_size, resize="fit", side_step=side_step)


def make_detector(config: FasterRcnnConfig, classes: tuple[str, ...]) -> FasterRCNN:
    """The detector with its initial weights: pretrained ones where the settings name them, random elsewhere.

    Raises:
      ConfigError: the stage is unknown. WeightsError: the weights do not fit the backbone.
    """
    rngs = nnx.Rngs(config.seed)
    backbone = pretrained_backbone(config.backbone, config.weights, dtype=config.precision, rngs=rngs)
    stage = config.stage or backbone_info(config.backbone).stage("detector")
    origin = weights_origin(config.weights, config.backbone) if config.frozen else None
    preprocessing = config.preprocessing(backbone.side_step)
    detector = FasterRCNN(backbone, stage, classes, preprocessing, config.settings(), origin=origin, rngs=rngs)
    detector.eval()
    return detector


def fix_backbone(detector: FasterRCNN, config: FasterRcnnConfig) -> None:
    """Leave to training what the settings say: of the backbone, the layers from the frozen stage to the map.

    Raises:
      ConfigError: the frozen stage is unknown, or nothing lies between it and the map.
    """
    backbone = detector.backbone
    trained = set() if config.frozen else parameters_before(backbone, detector.stage)
    if config.frozen_stage:
        trained -= parameters_before(backbone, config.frozen_stage)
    if not config.frozen and not trained:
        raise ConfigError(
            f"frozen_stage={config.frozen_stage}: no layer lies between it and the map {detector.stage} to train"
        )
    every = {path for path, _ in nnx.to_flat_state(nnx.state(backbone, nnx.Param))}
    fix_parameters(backbone, every - trained)


def train(config: FasterRcnnConfig, context: RunContext) -> Run | None:
    """Train, measure, index and report; see `jaxret.recipes.instances.train`."""
    data = open_boxes(config, context)
    detector = make_detector(config, data.annotated.classes)
    fix_backbone(detector, config)
    return train_detector(detector, data, config, context)


RECIPE = Recipe(
    "faster-rcnn",
    "a detector trained on boxes, whose regions find instances (Ren et al., 2015; Salvador et al., 2016)",
    FasterRcnnConfig(),
    train,
)
