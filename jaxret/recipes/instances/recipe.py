"""System 4: find the thing that a user marks on a picture, and where it is. Nothing is trained by gradients here.

Papers: E. Mohedano et al., "Bags of local convolutional features for scalable instance search", ICMR 2016 (`blcf`);
J. Sivic and A. Zisserman, "Video Google", ICCV 2003 (`sift`); G. Tolias, R. Sicre and H. Jegou, "Particular object
retrieval with integral max-pooling of CNN activations", ICLR 2016 (`rmac`); put side by side in "Instance based image
retrieval using deep learning" (project proposal, IIIT Delhi). Faster R-CNN, its third system, is the recipe
`faster-rcnn`.

- Words: k-means over local features, an assignment map (the word at each place) or the words of key points a picture.
- First pass: cosine of histograms, plain or weighted by how rare words are; of the query the words inside the box.
- Re-ranking of the best: windows of several sizes and shapes slid over the words of each candidate; the best window's
  cosine ranks, and is the box where the thing was found.
- R-MAC: maxima of the squares of a feature map, whitened; the query is the maximum inside the box.

Decisions: the words' weights are fitted with the codebook and not with the gallery, so that a gallery may grow; videos
are searched by frames, each a picture.

Run: `python -m jaxret.train instance-search --data PICTURES`, then
`python -m jaxret search RUN photo.jpg --region X,Y,WIDTH,HEIGHT`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import jax
from flax import nnx
from tqdm import tqdm

from jaxret.data.dataset import MediaDataset
from jaxret.data.open import open_dataset
from jaxret.data.sampling.frames import evenly_spaced
from jaxret.data.sampling.reading import read_chunks
from jaxret.errors import ConfigError, MediaError
from jaxret.models import PooledBackbone, backbone_info, create_backbone
from jaxret.models.descriptors.rmac import RegionalEncoder
from jaxret.models.descriptors.visual_words import MapWordEncoder, SiftWordEncoder
from jaxret.models.store import load_encoder, save_encoder
from jaxret.models.weights.load import load_pretrained
from jaxret.preprocessing import Preprocessing
from jaxret.recipes.backbone_names import BackboneName, check_backbone
from jaxret.recipes.clip_report import RunSummary
from jaxret.recipes.instances.fit_words import fit_words
from jaxret.recipes.instances.report import finish_instance_run
from jaxret.training import RunFolder, refuse_unused
from jaxret.training.pca import fit_whitening

__all__ = ["InstanceSearchConfig", "fit_encoder", "make_encoder", "train"]


@dataclasses.dataclass(frozen=True)
class InstanceSearchConfig:
    """Settings of instance search."""

    data: str = ""
    """A folder of pictures or videos, a CSV with the column path, or tfds:NAME: what is searched, and what the words
    are made of."""
    split_column: str = "split"
    """For a CSV: the column that names each item's split; where some are named train, the encoder is fitted on those
    alone."""
    download: bool = False
    """For tfds: fetch the data set if it is not on this machine yet."""
    out: Path | None = None
    """The run folder to make; none: runs/instance-search-<number>."""
    features: Literal["blcf", "sift", "rmac"] = "blcf"
    """What describes the places of a picture: words of a feature map, words of SIFT key points (extra `opencv`), or
    maxima of squares of a feature map."""
    backbone: BackboneName = "efficientnet-lite0"
    """Network whose map it is; the paper's is vgg16. Not for sift."""
    weights: str = "imagenet"
    """Its weights: imagenet (efficientnet-lite0, with the extra `weights`), a file (Keras .h5, .safetensors, .pth), or
    none for random ones."""
    stage: str = ""
    """The map's name; empty: a late one of 16 pixels to a place."""
    words: int = 2000
    """Words of the codebook; 200 in the paper, up to 25,000 in BLCF. Not for rmac."""
    whitened_size: int = 0
    """Numbers of a local feature (of rmac, of a square) after PCA-whitening, such as 128, at most the map's channels;
    0: no whitening, which found more on the pictures of the benchmark."""
    side: int = 512
    """Longer side of a picture as it is seen, in pixels; a multiple of 32. Smaller pictures are scaled up."""
    max_features: int = 1000
    """Key points of a picture, the strongest; for sift."""
    levels: int = 4
    """Of the grid of squares that are searched; for rmac."""
    training_pictures: int = 1000
    """Pictures (of a video its sampled frames) that the encoder is fitted on, spread over the data."""
    frames: int = 10
    """Frames of each chunk of a video that are searched, each as a picture."""
    chunk_seconds: float = 10.0
    """A video is cut into equal chunks of about this length."""
    threads: int = 2
    """Media files decoded at once."""
    seed: int = 0
    """Everything random follows from it."""

    def __post_init__(self) -> None:
        check_backbone(self.backbone)
        for name in ("words", "max_features", "levels", "training_pictures", "threads"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.whitened_size < 0:
            raise ConfigError(f"whitened_size must be at least 1, or 0 for no whitening, got {self.whitened_size}")
        unused = {
            "blcf": ("max_features", "levels"),
            "sift": ("levels", "backbone", "weights", "stage", "whitened_size"),
            "rmac": ("max_features", "words"),
        }[self.features]
        refuse_unused(self, unused, f"it is no setting of the features {self.features!r}")
        self.preprocessing()

    def preprocessing(self) -> Preprocessing:
        """How pictures are seen.

        Raises:
          ConfigError: a setting is out of range.
        """
        return Preprocessing(
            height=self.side, width=self.side, frames=self.frames, chunk_seconds=self.chunk_seconds, resize="fit"
        )


def train(
    recipe: str,
    config: InstanceSearchConfig,
    run: RunFolder,
    *,
    stop_after: int | None = None,
    say: Callable[[str], None] = print,
    show_progress: bool = True,
) -> RunSummary | None:
    """Fit whitening and words, and index everything in `run`; a stopped run goes on with what it has.

    Arguments are those of `jaxret.recipes.clips.train.train_clip_encoder`.

    Raises:
      ConfigError: a setting does not fit the data; or steps are counted, or processes share the work, where there are
        no steps.
    """
    if stop_after is not None or jax.process_count() > 1:
        raise ConfigError(f"{recipe} trains no steps: run it in one process, without --stop-after")
    if not config.data:
        raise ConfigError("data must name the pictures: --data FOLDER")
    dataset = open_dataset(config.data, split_column=config.split_column, download=config.download)
    failures = list(dataset.skipped)
    say(f"{config.data}: {len(dataset)} items ({len(failures)} unreadable)")
    if (run.encoder / "encoder.json").exists():
        encoder = load_encoder(run.encoder)
    else:
        encoder = make_encoder(config)
        run.write_config(recipe, config)
        numbers = training_numbers(dataset, config.training_pictures)
        with tqdm(desc="fitting", unit="item", disable=not show_progress, dynamic_ncols=True) as bar:
            fit_encoder(encoder, config, dataset, numbers, say=say, on_item=lambda _: bar.update())
        save_encoder(encoder, run.encoder)
    say(f"encoder: {encoder.summary}")
    command = finish_instance_run(
        run,
        dataset,
        encoder,
        failures=failures,
        config=config,
        threads=config.threads,
        say=say,
        show_progress=show_progress,
    )
    return RunSummary({}, command)


def make_encoder(config: InstanceSearchConfig) -> MapWordEncoder | SiftWordEncoder | RegionalEncoder:
    """The encoder that the settings describe, not fitted yet.

    Raises:
      ConfigError, WeightsError: the settings or the weights do not fit each other.
    """
    preprocessing = config.preprocessing()
    if config.features == "sift":
        return SiftWordEncoder(config.words, preprocessing, max_features=config.max_features)
    backbone = create_backbone(config.backbone, rngs=nnx.Rngs(config.seed))
    if config.weights != "none":
        load_pretrained(backbone, config.weights)
    backbone.eval()
    stage, size = config.stage or backbone_info(config.backbone).stage("words"), config.whitened_size or None
    if config.features == "rmac":
        return RegionalEncoder(PooledBackbone(backbone, stage, whitened_size=size), preprocessing, levels=config.levels)
    return MapWordEncoder(backbone, stage, config.words, preprocessing, descriptor_size=size)


def training_numbers(dataset: MediaDataset, limit: int) -> list[int]:
    """Items that an encoder is fitted on: those of the split train where there are any, spread evenly.

    Raises:
      ConfigError: there is none.
    """
    named = [number for number, item in enumerate(dataset.items) if item.split == "train"]
    chosen = named or list(range(len(dataset.items)))
    if not chosen:
        raise ConfigError("there is nothing to fit an encoder on: the data hold no picture that can be read")
    places = evenly_spaced(len(chosen), limit)
    return [chosen[place] for place in places]


def fit_encoder(
    encoder: MapWordEncoder | SiftWordEncoder | RegionalEncoder,
    config: InstanceSearchConfig,
    dataset: MediaDataset,
    numbers: list[int],
    *,
    say: Callable[[str], None],
    on_item: Callable[[int], None] | None = None,
) -> None:
    """Fit what the encoder needs on some items of a data set.

    Raises:
      ConfigError: the pictures are too few, or cannot be read.
    """
    if not isinstance(encoder, RegionalEncoder):
        fit_words(encoder, dataset, numbers, threads=config.threads, seed=config.seed, say=say, on_item=on_item)
    elif encoder.backbone.whitening is not None:
        say(f"whitening: fitted on {len(numbers)} pictures and videos")
        frames = _frames(dataset, numbers, encoder.preprocessing, on_item)
        fit_whitening(encoder.backbone, frames, seed=config.seed)


def _frames(
    dataset: MediaDataset, numbers: list[int], preprocessing: Preprocessing, on_item: Callable[[int], None] | None
) -> Iterator[Any]:
    """The frames of each item; what cannot be read is passed over, and listed when all are indexed."""
    for number in numbers:
        try:
            for chunk in read_chunks(dataset, number, preprocessing):
                yield chunk.pixels
        except MediaError:
            pass
        if on_item is not None:
            on_item(number)
