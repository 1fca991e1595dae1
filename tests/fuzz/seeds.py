"""Small whole files of every kind that is read, from which a fuzzer starts."""

from __future__ import annotations

import io
import json
import struct
import tempfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
from film_making import scene
from PIL import Image
from safetensors.numpy import save
from weights_making import Storage, keras_file, legacy_file, tensor, zip_file

from jaxret.data.decode.write import write_video
from jaxret.index import EncoderRecord, MediaIndex, MediaItem, Rows, Space
from jaxret.preprocessing import Preprocessing

Seeds = list[tuple[str, bytes]]
"""Suffix and content of each file."""


def keras_seeds() -> Seeds:
    arrays = {"conv/kernel": np.ones((2, 2, 1, 2), np.float32), "conv/bias": np.zeros(2, np.float16)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "w.h5"
        keras_file(path, arrays)
        legacy = path.read_bytes()
        layered = []
        for version in ("earliest", "latest"):  # the latest one is half as large: more of what changes is read
            with h5py.File(path, "w", libver=version) as file:
                variables = file.create_group("layers/conv2d/vars")
                variables.attrs["name"] = "conv"
                for number, array in enumerate(arrays.values()):
                    variables[str(number)] = array
                variables = file.create_group("layers/dense/vars")
                variables.attrs["name"] = "dense"
                variables.create_dataset("0", data=np.zeros((4, 4), np.float32), chunks=(2, 2), compression="gzip")
            layered.append(path.read_bytes())
        return [(".h5", content) for content in (legacy, *layered)]


def safetensors_seeds() -> Seeds:
    arrays = {"a.kernel": np.ones((2, 3), np.float32), "b": np.zeros(4, np.float16), "c": np.arange(3)}
    return [(".safetensors", save(arrays)), (".safetensors", save({"x": np.zeros((0, 2), np.float32)}))]


def torch_seeds() -> Seeds:
    storage = Storage("FloatStorage", "0", np.arange(12, dtype=np.float32))
    halves = Storage("HalfStorage", "1", np.arange(4, dtype=np.float16))
    state = OrderedDict(w=tensor(storage, (3, 4)), v=tensor(storage, (2, 2), (1, 4), 3), h=tensor(halves))
    return [
        (".pth", layout(content, [storage, halves]))
        for layout in (legacy_file, zip_file)
        for content in (state, {"state_dict": state, "epoch": 3})
    ]


def image_seeds() -> Seeds:
    rng = np.random.default_rng(0)
    colour = Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8))
    still: dict[str, tuple[Image.Image, dict[str, object]]] = {
        ".png": (colour, {}),
        ".jpg": (colour, {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"}),
        ".bmp": (colour, {}),
        ".tif": (colour, {"compression": "tiff_lzw"}),
        ".webp": (colour, {"lossless": True}),
        ".gif": (colour.quantize(16), {"save_all": True, "append_images": [colour.quantize(16).rotate(90)]}),
        ".ppm": (colour, {}),
        ".tga": (colour, {"compression": "tga_rle"}),
        ".jp2": (colour, {}),
    }
    seeds = []
    for suffix, (image, options) in still.items():
        file = io.BytesIO()
        image.save(file, Image.registered_extensions()[suffix], **options)
        seeds.append((suffix, file.getvalue()))
    return seeds


def video_seeds() -> Seeds:
    frames = scene(np.random.default_rng(1), 6, (32, 48))
    kinds = {".mp4": "libx264", ".mkv": "libvpx-vp9", ".avi": "mjpeg", ".ts": "mpeg2video", ".flv": "flv"}
    seeds = []
    with tempfile.TemporaryDirectory() as folder:
        for suffix, codec in kinds.items():
            path = Path(folder) / f"film{suffix}"
            write_video(path, frames, fps=10, codec=codec, options={"threads": "1"})
            seeds.append((suffix, path.read_bytes()))
    return seeds


def media_seeds() -> Seeds:
    return image_seeds() + video_seeds()


def table_seeds() -> Seeds:
    boxes = "path,left,top,right,bottom,label,split\na.png,1,2,30,40,cup,train\n"
    photos = "path,film,start,end\nq.png,film.mp4,0:01,1:02.5\n"
    revisited = {
        "imlist": ["a", "b"],
        "qimlist": ["q"],
        "gnd": [{"bbx": [0, 0, 5, 5], "easy": [0], "hard": [1], "junk": []}],
    }
    texts = [
        'path,label,source,split\na/0.png,cats,film,train\n"b, 1.png",dogs,,test\n',
        boxes,
        photos,
        json.dumps(revisited),
        "3 film.mp4 1.5 20 other.mp4 0 3\n4 film.mp4 0 2\n",
        "1 0 0 0.5\n0 1 0 0\n0 0 1 0\n0 0 0 1\n",
        "oxc1_all_souls 136.5 34.1 648.5 955.7\n",
        "Query 3\nfilm.mp4\nother.mp4\n",
    ]
    # The first byte chooses the reader, see targets.py.
    return [(".txt", f"{reader}{text}".encode()) for reader, text in enumerate(texts)]


def record_seeds() -> Seeds:
    """Records of `tf.train.Example`, as YouTube-8M has them: an id and labels; checksums of contents are not read."""
    from jaxret.data.datasets.published.tf_records import _masked_crc32c

    def field(number: int, content: bytes) -> bytes:
        return bytes([number << 3 | 2, len(content)]) + content

    ids = field(1, b"id") + field(2, field(1, field(1, b"abcd")))
    labels = field(1, b"labels") + field(2, field(3, field(1, bytes([3, 0x80, 0x01]))))
    example = field(1, field(1, ids) + field(1, labels))
    length = struct.pack("<Q", len(example))
    record = length + struct.pack("<I", _masked_crc32c(length)) + example + struct.pack("<I", _masked_crc32c(example))
    return [(".tfrecord", record), (".tfrecord", record * 2)]


def index_files() -> Mapping[str, bytes]:
    """The files of a small index: vectors, codes and records, three segments, a removed item."""
    rng = np.random.default_rng(0)

    def rows(array: np.ndarray, items: list[int]) -> Rows:
        return Rows(array, items, np.arange(len(items), dtype=float), np.arange(len(items)) + 0.5)

    with tempfile.TemporaryDirectory() as folder:
        index = MediaIndex.create(
            folder,
            spaces=[
                Space("frame", 3),
                Space.of_codes("code", 16),
                Space.of_records("words", 4, "uint16"),
            ],
            encoder=EncoderRecord("sha256:abc", Preprocessing(), {"name": "small-convnet"}),
        )
        for start in (0, 2, 3):
            items = [MediaItem(f"{start}-{n}.mp4", "video", label="a", duration=2.0) for n in range(2)]
            index.add(
                items,
                {
                    "frame": rows(rng.normal(size=(3, 3)).astype(np.float32), [0, 0, 1]),
                    "code": rows(rng.integers(0, 256, (2, 2), np.uint8), [0, 1]),
                    "words": rows(rng.integers(0, 9, (2, 4)).astype(np.uint16), [0, 1]),
                },
            )
        index.remove(["2-1.mp4"])
        root = Path(folder)
        return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}
