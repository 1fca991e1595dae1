"""2D-3D-S, S3DIS and SYNTHIA-SF: small files in exactly the layout that they are published in."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxret.data.datasets.published.stanford_rooms import open_stanford_rooms, read_rooms
from jaxret.data.datasets.published.synthia_sf import open_synthia_sf
from jaxret.data.datasets.rgbd import write_rgbd_folder
from jaxret.data.open import open_dataset
from jaxret.errors import ConfigError

FIRST, SECOND = "0a1b" * 8, "ff00" * 8


def image(path: Path, level: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((6, 8, 3), level, np.uint8)).save(path)


def stanford_view(root: Path, area: str, camera: str, room: str, frame: int | str) -> None:
    """One view of 2D-3D-S: 1 m per 512, the first row missing."""
    stem = f"camera_{camera}_{room}_frame_{frame}_domain"
    number = frame if isinstance(frame, int) else 0
    image(root / area / "data" / "rgb" / f"{stem}_rgb.png", 10 + number)
    depth = np.full((6, 8), 512 * (1 + number), np.uint16)
    depth[0] = 65535
    (root / area / "data" / "depth").mkdir(exist_ok=True)
    Image.fromarray(depth).save(root / area / "data" / "depth" / f"{stem}_depth.png")
    (root / area / "data" / "pose").mkdir(exist_ok=True)
    pose = {"camera_rt_matrix": np.eye(4)[:3].tolist(), "room": f"{room}_1", "frame_num": frame}
    (root / area / "data" / "pose" / f"{stem}_pose.json").write_text(json.dumps(pose))


@pytest.fixture
def stanford(tmp_path) -> Path:
    root = tmp_path / "2d3ds"
    for frame in (0, 2, 10):  # as text 10 comes before 2
        stanford_view(root, "area_1", FIRST, "office_3", frame)
    stanford_view(root, "area_1", FIRST, "office_3", "equirectangular")
    stanford_view(root, "area_1", SECOND, "office_3", 1)
    stanford_view(root, "area_5a", SECOND, "WC_2", 4)
    (root / "assets").mkdir()
    return root


def test_cameras_of_2d3ds(stanford):
    dataset = open_dataset(f"stanford-rooms:{stanford}")
    assert [(item.key, item.label, item.source) for item in dataset.items] == [
        (f"area_1/office_3/{FIRST}", "office", "area_1/office_3"),
        (f"area_1/office_3/{SECOND}", "office", "area_1/office_3"),
        (f"area_5a/WC_2/{SECOND}", "WC", "area_5/WC_2"),
    ]
    with dataset.open(0) as reader:
        assert reader.read()[:, 0, 0, 0].tolist() == [10, 12, 20]  # by number; panoramas are not views
        assert reader.times.tolist() == [0, 0.25, 0.5]  # eight of them are two seconds
        assert reader.info.duration == 0.75
        depths = np.stack(list(reader.depths(range(3))))
    assert depths[:, 1, 1].tolist() == [1, 3, 11]
    assert not depths[:, 0].any()
    np.testing.assert_array_equal(dataset.poses(0), [np.eye(4)] * 3)
    areas = open_dataset(f"stanford-rooms,label=area,rate=2,frames=1:{stanford}")
    assert [(item.key, item.label) for item in areas.items][1:4] == [
        (f"area_1/office_3/{FIRST}/2-2", "area_1"),
        (f"area_1/office_3/{FIRST}/10-10", "area_1"),
        (f"area_1/office_3/{SECOND}/1-1", "area_1"),
    ]
    assert {item.label for item in areas.items} == {"area_1", "area_5"}


def test_rooms_of_s3dis(tmp_path):
    root = tmp_path / "Stanford3dDataset_v1.2_Aligned_Version"
    for name in ("Area_1/office_10", "Area_1/office_2", "Area_6/conferenceRoom_1"):
        room = root / name
        (room / "Annotations").mkdir(parents=True)
        (room / f"{room.name}.txt").write_text("-15.6 39.5 2.2 88 79 75\n")
    rooms = read_rooms(root)
    assert [(room.area, room.room_type, room.number) for room in rooms] == [
        (1, "office", 2), (1, "office", 10), (6, "conferenceRoom", 1)
    ]  # fmt: skip
    assert rooms[0].points == str(root / "Area_1/office_2/office_2.txt")
    with pytest.raises(ConfigError, match="point clouds have to be rendered first"):
        open_stanford_rooms(root)
    write_rgbd_folder(root / "Area_1/office_2", np.zeros((2, 4, 4, 3), np.uint8), np.ones((2, 4, 4)))
    dataset = open_stanford_rooms(root, rate=30.0)
    (item,) = dataset.items
    assert (item.key, item.label, item.source) == ("Area_1/office_2", "office", "area_1/office_2")
    assert dataset.info(0).duration == pytest.approx(2 / 30)


def test_what_is_no_stanford_data(stanford, tmp_path):
    (tmp_path / "none").mkdir()
    for wrong, message in (
        ({"root": tmp_path / "x"}, "x is not a folder"),
        ({"root": tmp_path / "none"}, "holds no RGB-D images"),
        ({"root": stanford, "label": "room"}, "label must be one of room-type, area, got 'room'"),
    ):
        with pytest.raises(ConfigError, match=message):
            open_stanford_rooms(**wrong)
    with pytest.raises(ConfigError, match="holds no rooms Area_N"):
        read_rooms(tmp_path / "none")
    next((stanford / "area_1" / "data" / "depth").glob("*office_3_frame_2_*")).unlink()
    dataset = open_stanford_rooms(stanford)
    assert dataset.info(0).frame_count == 2
    assert "1 of 3 frames have no depth image" in dataset.damaged[0].reason


@pytest.fixture
def synthia(tmp_path) -> Path:
    root = tmp_path / "SYNTHIA-SF"
    for sequence in (1, 2):
        for number in range(6):
            for camera in ("RGBLeft", "RGBRight"):
                image(root / f"SEQ{sequence}" / camera / f"{number:07d}.png", 40 * sequence + number)
            # 24 bits from the least: red, green, blue.
            steps = round((5.0 + number) / 1000 * (256**3 - 1))
            colour = [steps % 256, steps // 256 % 256, steps // 65536]
            depth = np.broadcast_to(np.array(colour, np.uint8), (6, 8, 3))
            (root / f"SEQ{sequence}" / "DepthLeft").mkdir(exist_ok=True)
            Image.fromarray(depth).save(root / f"SEQ{sequence}" / "DepthLeft" / f"{number:07d}.png")
    return root


def test_sequences_of_synthia_sf(synthia):
    dataset = open_synthia_sf(synthia, frames=None)
    assert [(item.key, item.label, item.source) for item in dataset.items] == [
        ("SEQ1", "SEQ1", "SEQ1"),
        ("SEQ2", "SEQ2", "SEQ2"),
    ]
    with dataset.open(1) as reader:
        assert reader.read()[:, 0, 0, 0].tolist() == list(range(80, 86))
        assert reader.info.duration == pytest.approx(6 / 5)
        depths = np.stack(list(reader.depths(range(6))))
    np.testing.assert_allclose(depths[:, 2, 2], np.arange(5, 11), atol=1e-4)
    usual = open_dataset(f"synthia-sf:{synthia}").items  # six frames are nearer to one video of twenty than to none
    assert [(item.key, item.source) for item in usual] == [(f"SEQ{n}/0000000-0000005",) * 2 for n in (1, 2)]
    clips = open_dataset(f"synthia-sf,frames=3,rate=10:{synthia}")
    assert [(item.key, item.label, item.source) for item in clips.items][:2] == [
        ("SEQ1/0000000-0000002", "SEQ1", "SEQ1/0000000-0000002"),
        ("SEQ1/0000003-0000005", "SEQ1", "SEQ1/0000003-0000005"),
    ]
    assert clips.open(1).read([0])[0, 0, 0, 0] == 43
    (synthia / "SEQ1" / "DepthLeft" / "0000002.png").unlink()
    assert "frames have no depth image and are left out, such as" in open_synthia_sf(synthia).damaged[0].reason
    with pytest.raises(ConfigError, match="holds no sequences SEQ1, SEQ2"):
        open_synthia_sf(synthia / "SEQ1")
