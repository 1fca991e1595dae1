"""One recipe a system: what the paper is, and model, objective, ranking and protocol put together.

`RECIPES` maps each name to its default settings and the function that trains it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from jaxret.recipes.clips import c3d, cnn_lstm, deep_hash, ndvr_dml
from jaxret.recipes.conv_lstm import recipe as conv_lstm_recipe
from jaxret.recipes.image_to_video import recipe as image_to_video_recipe
from jaxret.recipes.instances import faster_rcnn
from jaxret.recipes.instances import recipe as instance_search

__all__ = ["DEFAULT_RECIPE", "RECIPES", "Recipe"]


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A name on the command line.

    Attributes:
      summary: one line for `--help`.
      config: the default settings; their class defines the options.
      train: `train(name, config, run_folder, ...)`.
    """

    summary: str
    config: Any
    train: Callable[..., Any]


RECIPES = {
    "cnn-lstm": Recipe(
        "CNN + LSTM with PAR on your own media (Ravi and Nandakumar, 2021)", cnn_lstm.CnnLstmConfig(), cnn_lstm.train
    ),
    "c3d": Recipe("a 3D convolutional network on whole chunks, the baseline of cnn-lstm", c3d.C3dConfig(), c3d.train),
    "conv-lstm": Recipe(
        "videos as sequences of clips: ConvLSTM autoencoders and Bi-DTW, for RGB and RGB-D (Ma and Klabjan)",
        conv_lstm_recipe.ConvLstmConfig(),
        conv_lstm_recipe.train,
    ),
    "deep-hash": Recipe(
        "binary codes of videos, searched by XOR (Dong and Li, 2017)", deep_hash.DeepHashConfig(), deep_hash.train
    ),
    "faster-rcnn": Recipe(
        "a detector trained on boxes, whose regions find instances (Ren et al., 2015; Salvador et al., 2016)",
        faster_rcnn.FasterRcnnConfig(),
        faster_rcnn.train,
    ),
    "image-to-video": Recipe(
        "a photograph finds the moment in a film (Garcia and Vogiatzis, 2018)",
        image_to_video_recipe.ImageToVideoConfig(),
        image_to_video_recipe.train,
    ),
    "instance-search": Recipe(
        "find the thing that is marked on a picture, by visual words or R-MAC (Mohedano et al., 2016)",
        instance_search.InstanceSearchConfig(),
        instance_search.train,
    ),
    "ndvr-dml": Recipe(
        "near-duplicate videos by one learned vector each (Kordopatis-Zilos et al., 2017)",
        ndvr_dml.NdvrDmlConfig(),
        ndvr_dml.train,
    ),
    "moving-digits": Recipe(
        "the same system sized for the embedded moving digits; what runs without arguments",
        cnn_lstm.MOVING_DIGITS,
        cnn_lstm.train,
    ),
}
"""The recipes by the names of the command line."""
DEFAULT_RECIPE = "moving-digits"
"""The recipe that `python -m jaxret.train` runs without arguments."""
