"""The example query of a report keeps the depth of an RGB-D video."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from jaxret.data.datasets.rgbd import write_rgbd_folder
from jaxret.data.open import open_dataset
from jaxret.recipes.clip_report import _example_query


def test_an_item_cut_from_a_walk_is_written_as_a_folder_of_frames(tmp_path):
    rng = np.random.default_rng(0)
    colours, depths = rng.integers(0, 256, (10, 6, 8, 3), np.uint8), rng.uniform(1, 3, (10, 6, 8))
    write_rgbd_folder(tmp_path / "walk", colours, depths, times=2 * np.arange(10) / 30)
    dataset = open_dataset(f"rgbd,frames=5:{tmp_path / 'walk'}")
    splits = SimpleNamespace(test=np.array([1]), validation=np.array([], int), train=np.array([0]))
    example = _example_query(SimpleNamespace(example=tmp_path / "example"), dataset, splits, {0: None, 1: None})
    assert example.leave_out == 1
    with open_dataset(f"rgbd:{example.path}").open(0) as written, dataset.open(1) as item:
        np.testing.assert_array_equal(written.read(), item.read())
        np.testing.assert_allclose(written.times, item.times)
        np.testing.assert_allclose(np.stack(list(written.depths(range(5)))), depths[5:], atol=6e-4)


def test_a_folder_is_its_own_example(tmp_path):
    write_rgbd_folder(tmp_path / "walk", np.zeros((3, 6, 8, 3), np.uint8), np.ones((3, 6, 8)))
    splits = SimpleNamespace(test=np.array([0]), validation=np.array([], int), train=np.array([], int))
    example = _example_query(SimpleNamespace(), open_dataset(f"rgbd:{tmp_path}/walk"), splits, {0: None})
    assert (example.path, example.leave_out) == (tmp_path / "walk", None)
