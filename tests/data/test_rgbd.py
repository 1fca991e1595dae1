"""RGB-D videos: made folders read back frame by frame, and the road to the encoder with four channels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxret.data.datasets.folders import MediaFiles, open_media
from jaxret.data.datasets.rgbd import RgbdFolders, open_rgbd, parse_rgbd_spec, write_rgbd_folder
from jaxret.data.decode.depth import read_depth, write_depth
from jaxret.data.ground_truth.camera_poses import read_pose
from jaxret.data.items import MediaItem
from jaxret.data.open import open_dataset
from jaxret.data.sampling.depth_planes import plane_numbers
from jaxret.data.sampling.reading import read_chunks, read_encoded, read_training_clip
from jaxret.data.sampling.transforms import Augmentation, centre_geometry, random_geometry, resize_nearest
from jaxret.errors import ConfigError, MediaError
from jaxret.preprocessing import DepthPlanes, Preprocessing

SETTINGS = Preprocessing(
    height=16, width=16, frames=4, chunk_seconds=0.2, depth=DepthPlanes(count=6, near=0.5, far=3.5)
)


def made(count: int, seed: int = 0, height: int = 24, width: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Noise for colour, and depths in whole millimetres with holes."""
    rng = np.random.default_rng(seed)
    depths = rng.integers(400, 4000, (count, height, width)) / 1000
    depths[rng.random(depths.shape) < 0.1] = 0
    return rng.integers(0, 256, (count, height, width, 3), np.uint8), depths.astype(np.float32)


@pytest.fixture
def walk(tmp_path) -> tuple[Path, np.ndarray, np.ndarray]:
    colours, depths = made(12)
    write_rgbd_folder(tmp_path / "walk", colours, depths, poses=np.stack([np.eye(4)] * 12))
    return tmp_path / "walk", colours, depths


def test_a_folder_of_frames_is_one_video(walk):
    folder, colours, depths = walk
    dataset = open_dataset(f"rgbd:{folder}")
    assert [(item.key, item.kind, item.label, item.source) for item in dataset.items] == [
        ("walk", "video", None, "walk")
    ]
    with dataset.open(0) as reader:
        assert (reader.info.frame_count, reader.info.width, reader.info.height) == (12, 32, 24)
        assert reader.info.duration == pytest.approx(0.4)
        np.testing.assert_allclose(reader.times, np.arange(12) / 30)
        np.testing.assert_array_equal(reader.read(), colours)
        np.testing.assert_array_equal(reader.read_at([0.34, 0.05]), colours[[10, 1]])
        read = np.stack(list(reader.depths([0, 3, 3, 11])))
        np.testing.assert_allclose(read, depths[[0, 3, 3, 11]])
        assert read.dtype == np.float32
        with pytest.raises(IndexError, match="got 12"):
            next(reader.depths([12]))
    assert dataset.poses(0).shape == (12, 4, 4)
    assert open_media(folder).info.frame_count == 12  # as a query names it


def test_numbers_are_frames_of_the_camera(tmp_path):
    """Every second frame, one of them lost: the gap shows the frame before it for longer."""
    colours, depths = made(5)
    write_rgbd_folder(tmp_path / "w", colours, depths, times=np.array([0, 2, 4, 8, 10]) / 30)
    assert sorted(path.name for path in (tmp_path / "w").glob("*.color.png"))[-1] == "000010.color.png"
    video = open_dataset(f"rgbd,rate=15:{tmp_path / 'w'}").open(0)
    np.testing.assert_allclose(video.times, np.array([0, 2, 4, 8, 10]) / 15)
    assert video.info.duration == pytest.approx(12 / 15)
    np.testing.assert_array_equal(video.read_at([7.9 / 15])[0], colours[2])


def test_classes_splits_and_files_of_7_scenes(tmp_path):
    for name in ("train/office/seq-01", "train/stairs/seq-01", "test/office/seq-02"):
        colours, depths = made(3)
        write_rgbd_folder(tmp_path / name, colours, depths)
        for path in (tmp_path / name).iterdir():
            path.rename(path.with_name(f"frame-{path.name}"))
    dataset = open_dataset(f"rgbd:{tmp_path}")
    assert [(item.key, item.label, item.split) for item in dataset.items] == [
        ("test/office/seq-02", "office", "test"),
        ("train/office/seq-01", "office", "train"),
        ("train/stairs/seq-01", "stairs", "train"),
    ]
    with pytest.raises(MediaError, match=r"frame-000000\.color\.png: the frame has no camera pose"):
        dataset.poses(0)
    assert dataset.content_hash(0) == dataset.content_hash(1)
    Image.new("RGB", (32, 24)).save(tmp_path / "train/office/seq-01/frame-000001.color.png")
    assert dataset.content_hash(0) != dataset.content_hash(1)


def test_a_walk_cut_into_items(walk):
    folder, colours, _depths = walk
    dataset = open_dataset(f"rgbd,frames=5:{folder}")
    assert [(item.key, item.source, item.path) for item in dataset.items] == [
        ("walk/000000-000005", "walk", None),
        ("walk/000006-000011", "walk", None),
    ]
    with dataset.open(1) as reader:
        np.testing.assert_array_equal(reader.read(), colours[6:])
        assert (reader.times[0], reader.info.duration) == (0.0, pytest.approx(0.2))
    assert len(open_dataset(f"rgbd,frames=100:{folder}")) == 1
    assert len({item.source for item in dataset.items}) == 1
    apart = open_dataset(f"rgbd,frames=5,own_source=yes:{folder}")
    assert [item.source for item in apart.items] == [item.key for item in dataset.items]


def test_a_table_names_class_source_and_split(walk, tmp_path):
    (tmp_path / "labels.csv").write_text("path,label,source,split1\nwalk,office,building 7,test\n")
    dataset = open_dataset(f"rgbd,frames=6:{tmp_path}", split_column="split1")
    assert [(item.label, item.source, item.split) for item in dataset.items] == [("office", "building 7", "test")] * 2
    (tmp_path / "labels.csv").write_text("path,label\nwalk,office\nrun,office\n")
    with pytest.raises(ConfigError, match=r"labels\.csv, line 3: .*run is no folder of frames"):
        open_dataset(f"rgbd:{tmp_path}")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("rgbd", "'rgbd' names no folder: write rgbd:FOLDER"),
        ("rgbd,fps=3:x", "options of rgbd are rate=..., frames=..., own_source=..., each once, got 'fps=3'"),
        ("rgbd,rate=3,rate=4:x", "each once, got 'rate=4'"),
        ("rgbd,frames=1.5:x", "frames of rgbd cannot be '1.5'"),
        ("rgbd,rate=0:x", "rate must be a number of frames a second above 0, got 0.0"),
        ("rgbd,frames=0:x", "frames must be at least 1, got 0"),
        ("rgbd,own_source=yes:x", "own_source is of items that walks are cut into: give frames as well"),
        ("rgbd,frames=9,own_source=1:x", "own_source of rgbd cannot be '1'"),
        ("rgbd:x", "x is not a folder"),
    ],
)
def test_specs_that_name_nothing(spec, message):
    with pytest.raises(ConfigError, match=message):
        open_dataset(spec)
    assert parse_rgbd_spec("rgbdx:a") is None


def test_damage(walk, tmp_path):
    folder, *_ = walk
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"empty holds no frames named NNNNNN\.color"):
        open_dataset(f"rgbd:{tmp_path / 'empty'}")
    (folder / "000000.depth.png").write_bytes(b"nothing")
    dataset = open_dataset(f"rgbd:{folder}")
    assert len(dataset) == 0
    assert "000000.depth.png: not an image" in str(dataset.skipped[0])
    with pytest.raises(MediaError, match=r"000000\.depth\.png"):
        list(open_rgbd(RgbdFolders(str(folder)), probe=False).open(0).depths([0]))


def test_frames_without_depth_are_left_out_and_told(walk):
    folder, colours, depths = walk
    for number in (0, 3):
        (folder / f"{number:06d}.depth.png").unlink()
    Image.fromarray(colours[0]).save(folder / "000005.color.webp")  # a second image of frame 5
    dataset = open_dataset(f"rgbd:{folder}")
    (told,) = dataset.damaged
    assert "2 of 12 frames have no depth image and are left out, such as" in told.reason
    assert "000000.color.png" in told.reason
    assert "two colour images of frame 5: 000005.color.webp is left out" in told.reason
    left = [1, 2, *range(4, 12)]
    np.testing.assert_allclose(dataset.times(0), (np.array(left) - 1) / 30)
    assert dataset.poses(0).shape == (10, 4, 4)
    with dataset.open(0) as reader:
        assert reader.damage == told.reason
        assert reader.info.duration == pytest.approx(11 / 30)
        np.testing.assert_array_equal(reader.read(), colours[left])
        np.testing.assert_allclose(np.stack(list(reader.depths(range(10)))), depths[left])
    for number in range(1, 8):
        (folder / f"{number:06d}.depth.png").unlink(missing_ok=True)
    dataset = open_dataset(f"rgbd:{folder}")
    assert len(dataset) == 0
    assert "8 of 12 frames have no depth image" in str(dataset.skipped[0])
    items = open_dataset(f"rgbd,frames=4:{folder}")
    assert [item.key for item in items.items] == ["walk/000008-000011"]  # the others have none at all
    assert len(items.skipped) == 2


# Depth files and poses


def test_depth_files(tmp_path):
    path = tmp_path / "d.png"
    Image.fromarray(np.array([[0, 512, 1000, 65535]], np.uint16)).save(path)
    np.testing.assert_allclose(read_depth(path), [[0, 0.512, 1, 0]])
    np.testing.assert_allclose(read_depth(path, "512ths"), [[0, 1, 1000 / 512, 0]])
    with pytest.raises(MediaError, match=r"24 bits must be in the channels of a colour image, got I"):
        read_depth(path, "rgb24")
    Image.fromarray(np.array([[[255, 255, 255], [1, 2, 3], [0, 0, 0]]], np.uint8)).save(path)
    # The numbers written out: 1 + 2 * 256 + 3 * 65536 = 197121 of 16777215, of 1000 m.
    np.testing.assert_allclose(read_depth(path, "rgb24"), [[1000, 197121 / 16777.215, 0]], rtol=1e-6)
    with pytest.raises(MediaError, match="depth must be a grey image of 16 bits, got one of mode RGB"):
        read_depth(path)
    write_depth(path, [[0.0, float("nan"), 1.2345]])
    np.testing.assert_allclose(read_depth(path), [[0, 0, 1.234]], atol=1e-6)
    with pytest.raises(ValueError, match=r"metres must be \(H, W\) from 0 to 65.534"):
        write_depth(path, [[70.0]])


def test_poses(tmp_path):
    path = tmp_path / "p.txt"
    turn = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])  # looks along the world's x
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = turn, [1, 2, 3]
    np.savetxt(path, pose)
    np.testing.assert_allclose(read_pose(path), pose)
    world_to_camera = np.linalg.inv(pose)[:3].tolist()
    (tmp_path / "p.json").write_text(f'{{"camera_rt_matrix": {world_to_camera}}}')
    np.testing.assert_allclose(read_pose(tmp_path / "p.json"), pose, atol=1e-12)
    np.savetxt(path, np.full((4, 4), np.nan))
    assert np.isnan(read_pose(path)).all()
    for text, message in (
        ("1 2\n3 4", r"a matrix of 4 x 4, got \(2, 2\)"),
        ("a b", "holds no camera pose"),
        ("\n".join(["2 0 0 0", "0 1 0 0", "0 0 1 0", "0 0 0 1"]), "is no rotation"),
    ):
        path.write_text(text)
        with pytest.raises(MediaError, match=message):
            read_pose(path)
    with pytest.raises(MediaError, match="No such file"):
        read_pose(tmp_path / "none.txt")


# The road to the encoder


def test_chunks_carry_the_planes_as_a_fourth_channel(walk):
    folder, _colours, depths = walk
    dataset = open_dataset(f"rgbd:{folder}")
    chunks = list(read_encoded(dataset, 0, SETTINGS))
    plain = list(read_chunks(dataset, 0, Preprocessing(height=16, width=16, frames=4, chunk_seconds=0.2)))
    assert len(chunks) == 2
    geometry = centre_geometry(24, 32, SETTINGS)
    for chunk, colour in zip(chunks, plain, strict=True):
        assert chunk.pixels.shape == (4, 16, 16, 4)
        assert chunk.pixels.dtype == np.uint8
        np.testing.assert_array_equal(chunk.pixels[..., :3], colour.pixels)
        numbers = np.rint(chunk.times * 30).astype(int)
        expected = [plane_numbers(resize_nearest(depths[number], geometry), SETTINGS.depth) for number in numbers]
        np.testing.assert_array_equal(chunk.pixels[..., 3], expected)
    assert set(np.unique(chunks[0].pixels[..., 3])) == set(range(7))


def test_clips_of_training_turn_depth_with_the_colour(walk):
    folder, _colours, depths = walk
    dataset = open_dataset(f"rgbd:{folder}")
    flat = Preprocessing(height=16, width=16, frames=4, chunk_seconds=0.4, depth=SETTINGS.depth)
    for seed in range(4):
        clip = read_training_clip(dataset, 0, flat, np.random.default_rng(seed), Augmentation(zoom=1.5))
        rng = np.random.default_rng(seed)
        geometry = random_geometry(24, 32, flat, rng, Augmentation(zoom=1.5))
        numbers = np.floor((np.arange(4) + rng.random(4)) * 3 + 1e-6).astype(int)
        expected = [plane_numbers(resize_nearest(depths[number], geometry), flat.depth) for number in numbers]
        np.testing.assert_array_equal(clip[..., 3], expected)


def test_motion_and_depth_together(walk):
    folder, *_ = walk
    settings = Preprocessing(
        height=16, width=16, frames=4, chunk_seconds=0.4, modalities=("rgb", "difference"), depth=SETTINGS.depth
    )
    (chunk,) = read_chunks(open_dataset(f"rgbd:{folder}"), 0, settings)
    assert chunk.pixels.shape == (4, 16, 16, 7)


def test_media_without_depth_are_named(tmp_path, make_video):
    Image.new("RGB", (20, 20)).save(tmp_path / "a.png")
    paths = {"video": make_video("plain.mp4", count=4), "image": tmp_path / "a.png"}
    files = MediaFiles([MediaItem(kind, kind, path=str(path)) for kind, path in paths.items()])
    for number in range(2):
        with pytest.raises(MediaError, match="it has no depth, and the encoder sees depth planes"):
            next(read_chunks(files, number, SETTINGS))
        with pytest.raises(MediaError, match="it has no depth"):
            read_training_clip(files, number, SETTINGS, np.random.default_rng(0))
        with files.open(number) as reader, pytest.raises(MediaError, match="without depth"):
            next(iter(reader.depths([0])))


def test_a_real_walk(shared_media):
    dataset = open_dataset(f"rgbd,frames=100:{shared_media / 'data' / 'rgbd_office'}")
    assert len(dataset) == 5
    assert dataset.items[1].key == "rgbd_office/000200-000398"
    with dataset.open(4) as reader:
        assert reader.info.duration == pytest.approx(200 / 30)
    (chunk,) = read_encoded(
        dataset, 0, Preprocessing(height=60, width=80, frames=3, depth=DepthPlanes(), resize="squash")
    )
    assert chunk.pixels.shape == (3, 60, 80, 4)
    planes = chunk.pixels[..., 3]
    assert 0.02 < (planes == 0).mean() < 0.3  # what the sensor missed
    assert 5 < np.median(planes[planes > 0]) < 10  # most of an office is at 1.5 to 3 m
