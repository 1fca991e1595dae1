"""System 2: videos as sequences of the vectors of their clips, by the encoder of a ConvLSTM autoencoder, and Bi-DTW.

Paper: Y. Ma and D. Klabjan, "Semi-supervised 3D Video Information Retrieval with Deep Neural Network and Bi-directional
Dynamic-time Warping Algorithm".

- Models: see `jaxret.models.conv_lstm.autoencoder`; those with 3d in their name take RGB-D videos.
- Training in four steps, `--steps`:
  1. pretrain: the autoencoder reconstructs all training videos, those without a label too;
  2. triplet: triplet loss on clips, squared Euclidean distance;
  3. rank: the 20 % of the training clips whose hardest triplet has the greatest loss;
  4. challenging: the triplet loss again, on batches of which half are from those. `plain`, the ablation, takes a second
     pass on ordinary batches in its place.
- Adam at 3e-3 after 50 updates of warm-up, batches of 32 clips, 8 with depth; a step ends after 4 evaluations without
  improvement. The paper's SGD with its rate is the recipe `conv-lstm-paper`.
- After the steps a thumbnail is put beside the vectors, see `jaxret.recipes.conv_lstm.thumbnail`.
- Ranking: DTW and Bi-DTW of the sequences of clip vectors (`jaxret search --sequence bi-dtw`).

Decisions: a sample is a clip, that is a chunk of a video, of which frames are taken evenly (the paper's are
consecutive). The paper gives neither margin nor mining: all triplets of a batch that break the margin count, and the
margin is as large as the mean squared distance of clips of different classes when step 2 begins (with one far below it
all vectors shrink to a point); where nothing was trained before, distances are those under batch norm with the
statistics of a batch. Gradients are scaled down to a norm of 1. Kernels of the recurrence begin orthogonal and the bias
of the forget gate at 1, as in Keras (the paper: Xavier). Data without splits are dealt 70/15/15. Pixels are
standardised by each clip's own mean and deviation. In step 3 a clip's hardest triplet is its farthest positive and
nearest negative of the whole training set. Each step begins with the best weights of the one before, a fresh optimiser
and the first learning rate. The best weights are, in step 1, those of the least reconstruction error on validation
clips, and later those with which validation videos find training videos of their class best, by mAP with Bi-DTW. Steps
2 and 4 leave the decoder alone. The paper's videos are 256 x 256 with 4,000 numbers a vector, which is for
accelerators: 64 x 64 is the default here, and a vector holds a quarter of the numbers of the last maps.

Measured (`benchmarks/accuracy_convlstm_digits.py`, moving digits, three seeds): mAP of queries of classes trained on
0.327 ± 0.070, of others 0.242 ± 0.045 after the four steps (with a thumbnail 0.313 ± 0.067 and 0.230 ± 0.038); 0.294 ±
0.082 and 0.230 ± 0.058 after the first two; untrained 0.019, chance 0.017. `benchmarks/accuracy_convlstm.py`, JHMDB,
six classes, 32 x 32 pixels, M3 on the three splits: after the first two steps mAP by class 0.423 ± 0.037, and of parts
changed at strength 0.5 mAP by clip 0.396 ± 0.104; untrained 0.281 ± 0.039 and 0.297 ± 0.061, with the same thumbnail
0.288 ± 0.025 and 0.345 ± 0.065, the thumbnail alone 0.283 ± 0.002 and 0.374 ± 0.063, SIFT words 0.280 ± 0.033 and
0.125 ± 0.012.

Run: `python -m jaxret.train conv-lstm --data FOLDER --architecture m3`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import jax
from flax import nnx

from jaxret.data.dataset import MediaDataset
from jaxret.data.datasets.moving_digits import is_moving_digits
from jaxret.errors import ConfigError
from jaxret.models.conv_lstm.autoencoder import AUTOENCODERS, ConvLstmAutoencoder, create_autoencoder
from jaxret.preprocessing import DepthPlanes
from jaxret.ranges import MOST_UNITS, Count, CountOrZero, Layers, Positive, Units, at_least
from jaxret.recipes.conv_lstm.clip_table import StepsData, open_videos, pixel_statistics, plane_shares, steps_data
from jaxret.recipes.conv_lstm.initial import InitialEncoder, first_or_kept
from jaxret.recipes.conv_lstm.remarks import said_of_depth
from jaxret.recipes.conv_lstm.settings import StepsConfig
from jaxret.recipes.conv_lstm.train import train_in_steps
from jaxret.recipes.recipe import Recipe, Run, RunContext
from jaxret.training import check_pixels, refuse_unused

__all__ = ["RECIPE", "ConvLstmConfig", "make_autoencoder", "prepare", "resolve", "train"]


@dataclasses.dataclass(frozen=True)
class TransformerConfig:
    """The transformer of m3 and m3-3d, over the vectors of a clip's frames."""

    transformer_layers: Layers = 5
    """Its layers; this and the following are for m3 and m3-3d alone."""
    transformer_heads: Count = 3
    """Its heads."""
    transformer_units: Units = 512
    """Its width."""
    transformer_feed_forward: Units = 2048
    """Units between its layers' two dense ones."""


@dataclasses.dataclass(frozen=True)
class ConvLstmConfig(StepsConfig):
    """Settings of a training of a ConvLSTM autoencoder."""

    architecture: Literal["m1", "m2", "m3", "m1-3d", "m2-3d", "m3-3d", "cnn-3d"] = "m1"
    """The autoencoder: m1, m2 and m3 of RGB, m1-3d, m2-3d, m3-3d and the baseline cnn-3d of RGB-D videos."""
    image_size: Annotated[int | None, at_least(1)] = None
    """Height and width of a frame in pixels, a multiple of 8 (of 2 to the power of `blocks`). none: 64, and 16 for
    moving digits; the paper's is 256."""
    frames: Annotated[int | None, at_least(1)] = None  # type: ignore[assignment]  # resolved, it is a number
    """Frames sampled from each clip of a video. none: 8, and 4 for moving digits."""
    chunk_seconds: Positive = 2.0
    """A video is cut into equal clips of about this length."""
    embedding_size: Annotated[int | None, at_least(1, most=MOST_UNITS)] = None
    """Length of a clip's vector. none: a quarter of the numbers of the encoder's last maps, about the paper's share
    (4,000 of 16,384), and 128 for moving digits."""
    blocks: Count = 3
    """Blocks of the encoder and of the decoder; each halves, or doubles, every axis of space."""
    map_channels: Annotated[int | None, at_least(1)] = None
    """Channels of the maps between the encoder's blocks. none: 16, and 8 for moving digits."""
    recurrent_channels: Annotated[int | None, at_least(1)] = None
    """Channels of the bidirectional ConvLSTMs, both directions together. none: 64, and 16 for moving digits."""
    residual_channels: Annotated[int | None, at_least(1)] = None
    """Channels of the residual ConvLSTMs. none: 32, and 8 for moving digits."""
    transformer: TransformerConfig = TransformerConfig()
    """Sizes of the transformer."""
    depth_planes: Count = 16
    """With depth: planes that the third axis of space is cut into."""
    depth_near: Positive = 0.5
    """With depth: where the first plane begins, in metres."""
    depth_far: Positive = 4.5
    """With depth: where the last one ends, in metres."""
    bins: CountOrZero = 0
    """The decoder gives, for each pixel, this many bins of intensity, with the cross-entropy as loss; 0: pixels, with
    the mean squared error."""
    remat: bool = False
    """Compute blocks again for the gradient instead of keeping what they computed: less memory, more time."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.standardise_by == "clip" and self.bins:
            raise ConfigError(
                f"bins={self.bins} are of intensities, and standardise_by=clip takes them out of the vectors: set it "
                "to data, or bins to 0"
            )
        if self.depth is not None and self.grey:
            raise ConfigError(f"grey=True does not go with {self.architecture}, which takes colour and depth")
        if self.architecture not in ("m3", "m3-3d"):
            refuse_unused(self, ["transformer"], f"{self.architecture} has no transformer")
        if self.depth is None:
            refuse_unused(self, ["depth_planes", "depth_near", "depth_far"], f"{self.architecture} sees no depth")

    def idle_settings(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """And those of a decoder that is not trained."""
        yield from super().idle_settings()
        if "pretrain" not in self.steps:
            yield ("bins", "transformer"), f"they are of the step pretrain, and steps are {', '.join(self.steps)}"

    @property
    def depth(self) -> DepthPlanes | None:
        """The planes of depth that the model sees."""
        if not AUTOENCODERS[self.architecture].depth:
            return None
        return DepthPlanes(self.depth_planes, self.depth_near, self.depth_far)


# Sizes that are left open: the paper's, save for the images; and of moving digits, small enough for minutes.
_SIZES = {"image_size": 64, "frames": 8, "map_channels": 16, "recurrent_channels": 64, "residual_channels": 32}
_DIGIT_SIZES = {
    "image_size": 16,
    "frames": 4,
    "map_channels": 8,
    "recurrent_channels": 16,
    "residual_channels": 8,
    "embedding_size": 128,
    "pretrain_epochs": 4,
    "standardise_by": "data",  # all clips are as bright, and none is a copy
}


def resolve(config: ConvLstmConfig, dataset: MediaDataset) -> ConvLstmConfig:
    """The settings with every `none` that stands for a choice replaced by what was chosen."""
    sizes_of: Any = _DIGIT_SIZES if is_moving_digits(dataset) else _SIZES
    config = dataclasses.replace(config, **{k: v for k, v in sizes_of.items() if getattr(config, k) is None})
    assert config.image_size is not None
    assert config.map_channels is not None
    side = config.image_size
    sizes = [side, side, config.depth_planes] if config.depth is not None else [side, side]
    numbers = math.prod(size // 2**config.blocks for size in sizes) * config.map_channels
    by_data = config.pixel_mean is not None or config.bins
    return dataclasses.replace(
        config,
        embedding_size=config.embedding_size or max(1, numbers // 4),
        batch_size=config.batch_size or (32 if config.depth is None else 8),
        standardise_by=config.standardise_by or ("data" if by_data else "clip"),
    )


def make_autoencoder(config: ConvLstmConfig) -> ConvLstmAutoencoder:
    """The autoencoder with its initial weights; `config` is resolved."""
    shape = config.transformer
    pixels = {"pixel_mean": config.pixel_mean, "pixel_deviation": config.pixel_deviation}
    transformer = {
        "layers": shape.transformer_layers,
        "heads": shape.transformer_heads,
        "units": shape.transformer_units,
        "feed_forward": shape.transformer_feed_forward,
    }
    return create_autoencoder(
        config.architecture,
        height=config.image_size,
        width=config.image_size,
        embedding_size=config.embedding_size,
        blocks=config.blocks,
        map_channels=config.map_channels,
        recurrent_channels=config.recurrent_channels,
        residual_channels=config.residual_channels,
        depth_planes=0 if config.depth is None else config.depth.count,
        transformer=transformer if config.architecture in ("m3", "m3-3d") else None,
        channels=config.channels if config.depth is None else None,
        bins=config.bins,
        standardise_by=config.standardise_by,
        **({} if config.pixel_mean is None else pixels),
        remat=config.remat,
        dtype=config.precision,
        rngs=nnx.Rngs(config.seed),
    )


def prepare(
    config: ConvLstmConfig, context: RunContext
) -> tuple[ConvLstmAutoencoder, StepsData, ConvLstmConfig, InitialEncoder | None]:
    """What a training begins with, as `train_in_steps` takes it: the model as it is made, the data, resolved settings.

    Raises:
      ConfigError: the data do not have what the steps need, or the settings do not go with them or with `initial_run`.
    """
    initial = first_or_kept(config.initial_run, context.run.initial)
    dataset, splits = open_videos(config, context)
    config = resolve(config, dataset)
    assert config.batch_size is not None
    check_pixels(config.preprocessing(), config.batch_size // jax.process_count())
    # Sizes that do not fit are refused before all videos are read.
    shapes = nnx.eval_shape(lambda: make_autoencoder(config))
    if initial is not None:
        initial.check_sizes(shapes.backbone)
        if config.bins and initial.pixels["standardise_by"] == "clip":
            raise ConfigError(
                f"bins={config.bins} are of intensities, and the encoder of initial_run={initial.run} standardises"
                " each clip by itself, which takes them out of the vectors: set bins to 0, or begin with another"
            )
    data = steps_data(dataset, splits, config, context)
    if config.depth is not None:
        shares = plane_shares(dataset, data.table, config.preprocessing(), threads=config.threads)
        context.log(said_of_depth(shares, config.depth))
    if initial is not None:
        config = dataclasses.replace(config, **initial.pixels)
        context.log(f"pixels are standardised by the {config.standardise_by}, as by the encoder of {initial.run}")
    if config.pixel_mean is None and config.standardise_by == "data":
        mean, deviation = pixel_statistics(dataset, data.table, config.preprocessing(), threads=config.threads)
        config = dataclasses.replace(config, pixel_mean=mean, pixel_deviation=max(deviation, 1.0))
    return make_autoencoder(config), data, config, initial


def train(config: ConvLstmConfig, context: RunContext) -> Run | None:
    """Take the steps, index, evaluate and report; see `jaxret.recipes.conv_lstm.train`."""
    model, data, config, initial = prepare(config, context)
    return train_in_steps(model, data, config, context, initial)


RECIPE = Recipe(
    "conv-lstm",
    "videos as sequences of clips: ConvLSTM autoencoders and Bi-DTW, for RGB and RGB-D (Ma and Klabjan)",
    # Older runs, which do not name these, keep shares of 70/10/20, the pixels of all clips, and no thumbnail.
    ConvLstmConfig(split_shares=(0.7, 0.15, 0.15), standardise_by=None, thumbnail_share=None),
    train,
)
