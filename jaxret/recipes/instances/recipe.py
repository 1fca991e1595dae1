"""System 4: find the thing that a user marks on an image, and where it is. Nothing is trained by gradients here.

Papers: W. Choi et al., "Patch-wise retrieval", 2025, arXiv:2512.12610 (`grid`); E. Mohedano et al., "Bags of local
convolutional features for scalable instance search", ICMR 2016 (`blcf`); J. Sivic and A. Zisserman, "Video Google",
ICCV 2003 (`sift`); G. Tolias, R. Sicre and H. Jegou, "Particular object retrieval with integral max-pooling of CNN
activations", ICLR 2016 (`rmac`). Words of maps and key points are put side by side in "Instance based image retrieval
using deep learning" (project proposal, IIIT Delhi); Faster R-CNN, its third system, is the recipe `faster-rcnn`.

- Patches: means of a map in the cells of grids, whitened; the query is the mean inside the box. The first pass looks at
  every cell of every image; re-ranking at windows that lie closer.
- Words: k-means over local features; an assignment map (the word at each position), or the words of key points. First
  pass: cosine of histograms, plain or weighted by how rare words are; re-ranking: windows slid over the words.
- R-MAC: max-pooled squares of a feature map, whitened; the query is the maximum inside the box.

Decisions: the words' weights are fitted with the codebook and not with the gallery, so that a gallery may grow; videos
are searched by frames, each an image; images are described once, for fitting and for the index. The proposal's own
pipeline is `--features blcf --backbone vgg16 --weights FILE --words 200` (or `--features sift --root-sift False`), and
`--first-pass image` in the search.

Measured: `benchmarks/accuracy_instance.py`, `benchmarks/speed_instance.py`; docs/systems/instance_search.

Run: `python -m jaxret.train instance-search --data IMAGES`, then
`python -m jaxret search RUN photo.jpg --region X,Y,WIDTH,HEIGHT`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
import numpy as np
from flax import nnx
from numpy.typing import NDArray

from jaxret.data.dataset import MediaDataset
from jaxret.data.sampling.frames import evenly_spaced
from jaxret.errors import ConfigError
from jaxret.models import PooledBackbone, backbone_info, pretrained_backbone
from jaxret.models.descriptors.grid import GridEncoder
from jaxret.models.descriptors.rmac import RegionalEncoder
from jaxret.models.descriptors.stage_maps import unit_rows
from jaxret.models.descriptors.visual_words import MapWordEncoder, SiftWordEncoder
from jaxret.models.detection.published import PUBLISHED_DETECTOR, read_detector
from jaxret.models.detection.pyramid_rcnn import PyramidRCNN
from jaxret.models.foundation import is_published
from jaxret.models.frozen import weights_origin
from jaxret.models.layers.feature_map import feature_map_shape
from jaxret.models.store import load_encoder, save_encoder
from jaxret.preprocessing import SIDE_STEP, Preprocessing
from jaxret.progress import progress_bar
from jaxret.ranges import Count, CountOrZero, Positive, Threads, at_least, check_ranges
from jaxret.recipes.backbone_names import BackboneNameOrAuto, check_backbone, chosen_backbone
from jaxret.recipes.instances.fit_whitening import fit_region_whitening
from jaxret.recipes.instances.fit_words import fit_words
from jaxret.recipes.instances.report import finish_instance_run
from jaxret.recipes.opening import open_data, opened
from jaxret.recipes.recipe import Recipe, Run, RunContext
from jaxret.retrieval.encode import FrameVectors
from jaxret.retrieval.systems.described import Described
from jaxret.training import check_pixels, refuse_unused

__all__ = ["RECIPE", "InstanceSearchConfig", "fit_encoder", "make_encoder", "train"]

_PATCH_SIZE = 256
_OF_MAPS = ("backbone", "weights", "stage", "whitened_size")
_SETTINGS_OF = {
    "grid": (*_OF_MAPS, "levels"),
    "blcf": (*_OF_MAPS, "words"),
    "sift": ("words", "max_features", "root_sift"),
    "rmac": (*_OF_MAPS, "levels"),
    "faster-rcnn": ("weights", "proposals", "search_regions"),
}
"""The settings that not all features have, by features."""


@dataclasses.dataclass(frozen=True)
class InstanceSearchConfig:
    """Settings of instance search."""

    data: str = ""
    """A folder of images or videos, a CSV with the column path, or tfds:NAME: what is searched, and what the words
    are made of."""
    split_column: str = "split"
    """For a CSV: the column that names each item's split; where some are named train, the encoder is fitted on those
    alone."""
    download: bool = False
    """For tfds: fetch the data set if it is not on this machine yet."""
    out: Path | None = None
    """The run folder to make; none: runs/instance-search-<number>."""
    features: Literal["grid", "blcf", "sift", "rmac", "faster-rcnn"] = "grid"
    """What describes the positions of an image: whitened patches of grids of a feature map, words of a feature map,
    words of SIFT key points (extra `opencv`), max-pooled squares of a feature map, or the regions of a published
    detector, torchvision's Faster R-CNN."""
    backbone: BackboneNameOrAuto = "auto"
    """Network whose map it is; the paper's is vgg16. auto: efficientnet-lite0 for imagenet and none, mobilenet-v1 for a
    file, what the files are of for a folder of a published encoder. Not for sift and faster-rcnn."""
    weights: str = "imagenet"
    """Its weights: imagenet (with the extra `weights`), a file (Keras .h5, .safetensors, .pth), a folder of a published
    encoder (`jaxret weights`), or none for random ones; for faster-rcnn the file of fasterrcnn_resnet50_fpn."""
    stage: str = ""
    """The map's name; empty: a late one of 16 pixels to a cell."""
    words: Count = 2000
    """Words of the codebook; 200 in the paper, up to 25,000 in BLCF. For blcf and sift."""
    whitened_size: Annotated[int | None, at_least(0)] = None
    """Numbers of a local feature (of a patch, of a square) after PCA-whitening, such as 128, at most the map's
    channels; 0: no whitening. none: for grid 256 or the map's channels if they are fewer, for the others 0."""
    image_size: Count = 512
    """Longer side of an image as it is seen, in pixels; a multiple of 32. Smaller images are scaled up."""
    max_features: Count = 1000
    """Key points of an image, the strongest; for sift."""
    root_sift: bool = True
    """Compare the square roots of SIFT descriptors' shares (RootSIFT); no: the descriptors themselves, as the first
    systems did. For sift."""
    levels: Count = 4
    """The finest grid of patches or squares that are searched; for grid (up to 4) and rmac."""
    proposals: Count = 100
    """Proposals of an image; for faster-rcnn."""
    search_regions: Literal["proposals", "windows"] = "proposals"
    """What search compares of an image: the detector's proposals, or windows of four heights and widths slid over it,
    as the project proposal re-ranks; for faster-rcnn."""
    training_images: Count = 1000
    """Images (of a video its sampled frames) that the encoder is fitted on, spread over the data."""
    frames: Count = 10
    """Frames of each chunk of a video that are searched, each as an image."""
    chunk_seconds: Positive = 10.0
    """A video is cut into equal chunks of about this length."""
    threads: Threads = 2
    """Media files decoded at once."""
    seed: CountOrZero = 0
    """Everything random follows from it."""

    def __post_init__(self) -> None:
        check_backbone(self.backbone, auto=True)
        check_ranges(self)
        unused = {name for names in _SETTINGS_OF.values() for name in names} - set(_SETTINGS_OF[self.features])
        refuse_unused(self, sorted(unused), f"it is no setting of the features {self.features!r}")
        if self.features == "faster-rcnn" and self.weights in ("imagenet", "none"):
            raise ConfigError(
                f"features=faster-rcnn are those of a published detector, got weights={self.weights}: give the file of "
                f"torchvision's {PUBLISHED_DETECTOR} (--weights FILE.pth)"
            )
        if self.features == "grid" and self.levels > 4:
            raise ConfigError(f"levels must be 1..4 with features=grid, got {self.levels}")
        if not is_published(self.weights):  # of which the files tell the step
            self.preprocessing()

    def preprocessing(self, side_step: int = SIDE_STEP) -> Preprocessing:
        """How images are scaled, their sides to multiples of the backbone's step.

        Raises:
          ConfigError: a setting is out of range.
        """
        return Preprocessing(
            height=self.image_size,
            width=self.image_size,
            frames=self.frames,
            chunk_seconds=self.chunk_seconds,
            resize="fit",
            side_step=side_step,
        )


Encoder = GridEncoder | MapWordEncoder | SiftWordEncoder | RegionalEncoder | PyramidRCNN


def make_encoder(config: InstanceSearchConfig) -> Encoder:
    """The encoder that the settings describe, not fitted yet.

    Raises:
      ConfigError, WeightsError: the settings or the weights do not fit each other.
    """
    if config.features == "sift":
        return SiftWordEncoder(
            config.words, config.preprocessing(), max_features=config.max_features, root=config.root_sift
        )
    if config.features == "faster-rcnn":
        windows = config.search_regions == "windows"
        return read_detector(config.weights, config.preprocessing(), proposals=config.proposals, windows=windows)
    name = chosen_backbone(config.backbone, config.weights)
    backbone = pretrained_backbone(name, config.weights, rngs=nnx.Rngs(config.seed))
    preprocessing = config.preprocessing(backbone.side_step)
    origin = None if config.weights == "none" else weights_origin(config.weights, name)
    stage, size = config.stage or backbone_info(name).stage("words"), config.whitened_size
    if config.features == "grid":
        if size is None:
            size = min(_PATCH_SIZE, feature_map_shape(backbone, stage)[2])
        return GridEncoder(
            backbone, stage, preprocessing, levels=config.levels, whitened_size=size or None, origin=origin
        )
    size = size or None
    if config.features == "rmac":
        pooled = PooledBackbone(backbone, stage, whitened_size=size)
        return RegionalEncoder(pooled, preprocessing, levels=config.levels, origin=origin)
    return MapWordEncoder(backbone, stage, config.words, preprocessing, descriptor_size=size, origin=origin)


def training_indices(dataset: MediaDataset, limit: int) -> list[int]:
    """Items that an encoder is fitted on: those of the split train where there are any, spread evenly.

    Raises:
      ConfigError: there is none.
    """
    named = [index for index, item in enumerate(dataset.items) if item.split == "train"]
    chosen = named or list(range(len(dataset.items)))
    if not chosen:
        raise ConfigError("there is nothing to fit an encoder on: the data hold no image that can be read")
    chosen_rows = evenly_spaced(len(chosen), limit)
    return [chosen[row] for row in chosen_rows]


def fit_encoder(
    encoder: Encoder,
    config: InstanceSearchConfig,
    dataset: MediaDataset,
    indices: list[int],
    *,
    log: Callable[[str], None],
    on_item: Callable[[int], None] | None = None,
) -> dict[int, FrameVectors]:
    """Fit what the encoder needs on some items of a data set.

    Returns:
      what an index keeps of these items, where fitting has described them.

    Raises:
      ConfigError: the images are too few, or cannot be read.
    """
    if isinstance(encoder, PyramidRCNN):
        return {}  # it is trained already
    reading: dict[str, Any] = {"threads": config.threads, "on_item": on_item}
    if isinstance(encoder, MapWordEncoder | SiftWordEncoder):
        return fit_words(encoder, dataset, indices, seed=config.seed, log=log, **reading)
    whitening = encoder.whitening if isinstance(encoder, GridEncoder) else encoder.backbone.whitening
    if whitening is None:
        return {}

    def regions_of(image: Described) -> NDArray[np.float32]:
        return encoder.cells(image.local) if isinstance(encoder, GridEncoder) else unit_rows(image.local)

    known = fit_region_whitening(
        encoder, whitening, dataset, indices, regions_of=regions_of, seed=config.seed, **reading
    )
    log(f"whitening: fitted on {len(known)} images and videos")
    return known


def train(config: InstanceSearchConfig, context: RunContext) -> Run:
    """Fit whitening and words, and index everything in the run folder; a stopped run goes on with what it has.

    Raises:
      ConfigError: a setting does not fit the data, or none of these can be read; or steps are counted, or processes
        share the work, where there are no steps.
    """
    if context.stop_after is not None or jax.process_count() > 1:
        raise ConfigError(f"{context.recipe} trains no steps: run it in one process, without --stop-after")
    dataset, run = open_data(config, "the images", probe=False), context.run
    context.check_data(dataset)
    context.log(opened(config.data, dataset, probed=False))
    is_fitted = (run.encoder / "encoder.json").exists()
    encoder, known = load_encoder(run.encoder) if is_fitted else make_encoder(config), {}
    check_pixels(encoder.preprocessing)
    context.write_config(config, dataset)
    if not is_fitted:
        indices = training_indices(dataset, config.training_images)
        with progress_bar("fitting", "item", total=None, shown=context.show_progress) as bar:
            known = fit_encoder(encoder, config, dataset, indices, log=context.log, on_item=lambda _: bar.update())
        save_encoder(encoder, run.encoder)
    context.log(f"encoder: {encoder.summary}")
    command = finish_instance_run(dataset, encoder, config, context, failures=dataset.skipped, known=known)
    return Run(run.path, {}, command)


RECIPE = Recipe(
    "instance-search",
    "find the thing that is marked on an image, by visual words or R-MAC (Mohedano et al., 2016)",
    InstanceSearchConfig(),
    train,
)
