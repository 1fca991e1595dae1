"""The objective of Faster R-CNN: its parts, its random samples, and what they change."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxret.errors import ConfigError
from jaxret.models import create_backbone
from jaxret.models.detection.faster_rcnn import FasterRCNN
from jaxret.models.detection.settings import DetectorSettings
from jaxret.models.layers.frozen import fix_parameters
from jaxret.preprocessing import Preprocessing
from jaxret.training import (
    DetectionObjective,
    OptimiserConfig,
    SplitModel,
    TrainedDetector,
    make_optimiser,
    make_train_step,
)


def trained_detector() -> TrainedDetector:
    net = create_backbone("small-convnet", widths=(4, 6, 8), rngs=nnx.Rngs(0))
    settings = DetectorSettings(anchor_sizes=(16,), proposals=8, proposer_channels=8, head_units=8)
    size = Preprocessing(height=64, width=64, resize="fit")
    return TrainedDetector(FasterRCNN(net, "conv_3", ("a", "b"), size, settings, rngs=nnx.Rngs(1)))


@pytest.fixture(scope="module")
def batch() -> dict[str, jax.Array]:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 120, (2, 64, 64, 3)).astype(np.uint8)
    images[0, 10:30, 20:40] = 250
    boxes, labels = np.zeros((2, 3, 4), np.float32), np.zeros((2, 3), np.int32)
    boxes[0, 0], labels[0, 0] = (20, 10, 40, 30), 2
    sizes = np.array([[64, 64], [32, 64]], np.int32)  # the second one is padded, and has no object
    given = {"images": images, "boxes": boxes, "labels": labels, "sizes": sizes}
    return {name: jnp.asarray(array) for name, array in given.items()}


def test_a_step_follows_from_its_seed_and_number(batch: dict[str, jax.Array]) -> None:
    objective = DetectionObjective(proposals=10, anchors=16, regions=8, batch_statistics=True)
    optimiser = make_optimiser(OptimiserConfig(learning_rate=1e-2), total_steps=40, steps_per_epoch=40)
    split = SplitModel(trained_detector())
    step = make_train_step(split, objective, optimiser)

    def losses(seed: int, count: int) -> list[float]:
        state, found = split.initial_state(optimiser, seed=seed), []
        for _ in range(count):
            state, metrics = step(state, batch)
            found.append(float(metrics["loss"]))
            parts = [float(metrics[name]) for name in ("objectness", "proposal_boxes", "classes", "boxes")]
            assert found[-1] == pytest.approx(sum(parts), rel=1e-5)
            assert min(parts) >= 0
        return found

    first = losses(0, 40)
    assert losses(0, 3) == first[:3]
    assert losses(1, 1) != first[:1]  # the same model and batch, another sample
    assert np.mean(first[-5:]) < 0.5 * first[0]


def test_fixed_parameters_do_not_change_nor_do_statistics(batch: dict[str, jax.Array]) -> None:
    model = trained_detector()
    backbone = model.detector.backbone
    fix_parameters(backbone, {path for path, _ in nnx.to_flat_state(nnx.state(backbone, nnx.Param))})
    split = SplitModel(model)
    optimiser = make_optimiser(OptimiserConfig(learning_rate=1e-2, weight_decay=0.1), total_steps=2, steps_per_epoch=2)
    before = jax.tree.map(np.array, nnx.to_pure_dict(nnx.state(backbone)))
    state, _ = make_train_step(split, DetectionObjective(anchors=16, regions=8), optimiser)(
        split.initial_state(optimiser, seed=0), batch
    )
    split.write_back(state)
    after = jax.tree.map(np.array, nnx.to_pure_dict(nnx.state(backbone)))
    jax.tree.map(np.testing.assert_array_equal, before, after)
    assert set(state.parameters["detector"]) == {"proposer", "head"}


def test_counts_below_one_are_refused() -> None:
    with pytest.raises(ConfigError, match="anchors must be at least 1, got 0"):
        DetectionObjective(anchors=0)
