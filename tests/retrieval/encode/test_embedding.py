"""Reading ahead, batching across items, and the rows of the spaces, on made-up media."""

from __future__ import annotations

import threading
import time
import weakref
from functools import partial

import numpy as np
import pytest

from jaxret.data.dataset import MediaDataset
from jaxret.data.items import MediaItem
from jaxret.data.readers import ArrayReader, Chunk
from jaxret.data.sampling.reading import read_chunks
from jaxret.errors import MediaError
from jaxret.preprocessing import Preprocessing
from jaxret.retrieval.encode import (
    FrameVectors,
    clip_rows,
    encode_in_batches,
    frame_rows,
    frame_vectors,
    mean_frame_rows,
    read_ahead,
)

PREPROCESSING = Preprocessing(height=4, width=4, frames=3, chunk_seconds=1.0)


class Ramps(MediaDataset):
    """Item n is a video of n + 1 seconds at 6 frames a second whose pixels count the frames; some are broken."""

    def __init__(self, count: int, broken: tuple[int, ...] = (), images: tuple[int, ...] = ()):
        self.items = tuple(MediaItem(f"item-{n}", "image" if n in images else "video", path=None) for n in range(count))
        self.broken = broken

    def open(self, index: int) -> ArrayReader:
        if index in self.broken:
            raise MediaError(f"item-{index}", "made to fail")
        frames = 1 if self.items[index].kind == "image" else 6 * (index + 1)
        values = (100 * (index % 2) + np.arange(frames)).astype(np.uint8)
        pixels = np.broadcast_to(values[:, None, None, None], (frames, 4, 4, 3)).copy()
        return ArrayReader(pixels, np.arange(frames) / 6.0, 0.0 if frames == 1 else frames / 6.0)


class MeanEncoder:
    """The vector of a frame is its mean pixel and that squared; of a clip, the difference of last and first."""

    preprocessing = PREPROCESSING
    unit = "frame"

    def __init__(self) -> None:
        self.batches: list[int] = []

    def encode_frames(self, frames):
        self.batches.append(len(frames))
        mean = np.asarray(frames, np.float32).mean(axis=(1, 2, 3))
        return np.stack([mean, mean**2], axis=1)

    def encode_clips_from_frame_vectors(self, vectors):
        return np.asarray(vectors)[:, -1] - np.asarray(vectors)[:, 0]


@pytest.mark.parametrize("threads", [1, 3])
def test_chunks_come_item_after_item_with_errors_in_place(threads: int) -> None:
    dataset = Ramps(5, broken=(2,))
    seen = list(read_ahead(partial(read_chunks, dataset, preprocessing=PREPROCESSING), [4, 2, 0], threads=threads))
    assert [index for index, _ in seen] == [4] * 5 + [2] + [0]
    assert isinstance(seen[5][1], MediaError)
    starts = [chunk.start for index, chunk in seen if index == 4]
    np.testing.assert_allclose(starts, [0, 1, 2, 3, 4])


def test_an_abandoned_reader_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    stream = read_ahead(partial(read_chunks, Ramps(40), preprocessing=PREPROCESSING), list(range(40)), threads=3)
    next(stream)
    stream.close()
    for thread in threading.enumerate():
        if thread.name.startswith("decode-"):
            thread.join(timeout=5)
    assert threading.active_count() <= before


def test_items_are_decoded_while_the_consumer_is_busy() -> None:
    """As long as few pixels wait: small images run far ahead, and large ones do not."""
    for side, least, most in ((4, 40, 40), (4096, 1, 6)):
        decoded: list[int] = []

        def read(index: int, side: int = side, decoded: list[int] = decoded):
            decoded.append(index)
            yield Chunk(np.zeros((1, side, side, 3), np.uint8), np.zeros(1), 0.0, 0.0)

        stream = read_ahead(read, range(40), threads=2)
        assert next(stream)[0] == 0
        deadline = time.monotonic() + 20
        while len(decoded) < least and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)
        assert least <= len(decoded) <= most
        assert [index for index, _ in stream] == list(range(1, 40))


def test_frame_vectors_equal_encoding_each_item_alone() -> None:
    dataset = Ramps(6, broken=(1,), images=(3,))
    encoder = MeanEncoder()
    done: list[int] = []
    results = dict(frame_vectors(dataset, encoder, on_item=done.append))
    assert list(results) == done == list(range(6))
    assert isinstance(results[1], MediaError)
    assert results[3].vectors.shape == (1, 1, 2)
    for index in (0, 2, 4, 5):
        item = results[index]
        assert item.vectors.shape == (index + 1, 3, 2)
        # Segment centres at 1/6, 3/6 and 5/6 s of each second: frames 1, 3 and 5 of six.
        frames = np.array([[6 * c + f for f in (1, 3, 5)] for c in range(index + 1)])
        np.testing.assert_allclose(item.vectors[..., 0], 100 * (index % 2) + frames, rtol=1e-6)
        np.testing.assert_allclose(item.times, frames / 6.0)
        np.testing.assert_allclose(item.spans[:, 1] - item.spans[:, 0], 1.0)
    assert len(set(encoder.batches)) == 1, "batches of several shapes would compile several times"


def test_pixels_of_a_long_video_are_let_go_once_they_are_encoded() -> None:
    decoded: list[weakref.ref] = []
    held: list[int] = []

    def read(index: int):
        for number in range(300):
            pixels = np.full((16, 4, 4, 3), number % 200, np.uint8)
            decoded.append(weakref.ref(pixels))
            yield Chunk(pixels, np.arange(16.0), 0.0, 1.0)
            held.append(sum(ref() is not None for ref in decoded))

    (_, found), *_ = frame_vectors(Ramps(1), MeanEncoder(), threads=1, read=read)
    assert found.vectors.shape == (300, 16, 2)
    assert max(held) < 60, "a batch is 512 frames, 32 chunks"


@pytest.mark.parametrize("sizes", [[1], [3, 1, 700, 2, 511, 1], [512, 512], [513]])
def test_batches_lose_nothing_and_keep_the_order(sizes: list[int]) -> None:
    rng = np.random.default_rng(0)
    groups = [rng.integers(0, 255, (size, 2, 2, 3)).astype(np.uint8) for size in sizes]
    out = list(encode_in_batches(enumerate(groups), MeanEncoder().encode_frames))
    assert [name for name, _ in out] == list(range(len(sizes)))
    for (_, vectors), group in zip(out, groups, strict=True):
        np.testing.assert_allclose(vectors[:, 0], group.mean(axis=(1, 2, 3)), rtol=1e-5)


def test_images_of_several_sizes_are_encoded_size_by_size() -> None:
    rng = np.random.default_rng(0)
    sizes = [(2, 3), (2, 3), (4, 2), (2, 3), (2, 3)]
    groups = [rng.integers(0, 255, (count, *size, 3)).astype(np.uint8) for count, size in enumerate(sizes, start=1)]
    encoder = MeanEncoder()
    out = list(encode_in_batches(enumerate(groups), encoder.encode_frames))
    assert [name for name, _ in out] == list(range(len(sizes)))
    for (_, vectors), group in zip(out, groups, strict=True):
        np.testing.assert_allclose(vectors[:, 0], group.mean(axis=(1, 2, 3)), rtol=1e-5)


def test_images_of_several_sizes_share_batches_of_few_shapes() -> None:
    """Each is padded to its canvas, is told its size, and comes out in its place whatever waited for what."""
    rng = np.random.default_rng(0)
    sizes = [(int(h), int(w)) for h, w in rng.integers(1, 9, (400, 2))]
    groups = [rng.integers(1, 255, (1, *size, 3)).astype(np.uint8) for size in sizes]
    shapes: set[tuple[int, ...]] = set()

    def encode(frames, given):
        shapes.add(frames.shape)
        inside = [frame[:h, :w] for frame, (h, w) in zip(frames, given.tolist(), strict=True)]
        assert frames.sum() == sum(int(part.sum()) for part in inside), "padding is of zeros"
        return np.array([(*part.shape[:2], part.mean()) for part in inside])

    out = list(encode_in_batches(enumerate(groups), encode, canvas=lambda h, w: (4 if h <= 4 else 8, 8)))
    assert [name for name, _ in out] == list(range(len(sizes)))
    for (_, rows), group in zip(out, groups, strict=True):
        np.testing.assert_allclose(rows, [(*group.shape[1:3], group.mean())])
    assert {shape[1:3] for shape in shapes} == {(4, 8), (8, 8)}
    assert len(shapes) <= 4, "a batch is filled up to a length that was used before"


def test_a_group_does_not_wait_for_ever_nor_with_much_memory() -> None:
    """One image of a rare size among many of another: what comes after it is not held until the end."""
    taken = 0

    def groups():
        nonlocal taken
        for number in range(1000):
            taken += 1
            yield number, np.full((1, 2 if number == 5 else 4, 4, 3), number % 200, np.uint8)

    lead = 0
    for name, rows in encode_in_batches(groups(), MeanEncoder().encode_frames):
        assert rows[0, 0] == name % 200
        lead = max(lead, taken - name)
    assert lead <= 514  # a full batch of 512 frames


def test_large_images_wait_in_bounded_memory() -> None:
    sizes = [64 * (1 + number % 7) for number in range(140)]
    waiting: list[int] = []

    def groups():
        for number, side in enumerate(sizes):
            waiting.append(side * 512 * 3)
            yield number, np.zeros((1, side, 512, 3), np.uint8)

    most = 0
    for _ in encode_in_batches(groups(), lambda frames: np.zeros((len(frames), 1))):
        most = max(most, sum(waiting))
        waiting.pop(0)
    assert most <= (48 << 20) + 2 * (12 << 20)


class WholeChunks(MeanEncoder):
    """The vector of a chunk is the mean pixel of its first and of its last frame."""

    unit = "chunk"

    def encode_frames(self, frames):
        assert frames.shape[1:] == (3, 4, 4, 3)
        return np.asarray(frames[:, [0, -1]], np.float32).mean(axis=(2, 3, 4))


def test_an_encoder_of_whole_chunks_gives_one_vector_a_chunk_and_sees_images_stand_still() -> None:
    found = dict(frame_vectors(Ramps(3, images=(1,)), WholeChunks()))
    first, image, last = (found[n] for n in range(3))
    np.testing.assert_array_equal(first.vectors, [[[1, 5]]])  # frames 1, 3 and 5 of 6 are the centres of thirds
    np.testing.assert_array_equal(image.vectors, [[[100, 100]]])
    np.testing.assert_array_equal(last.vectors, [[[1, 5]], [[7, 11]], [[13, 17]]])
    np.testing.assert_allclose(last.times, [[0.5], [1.5], [2.5]])
    clips = clip_rows(found, WholeChunks())
    assert clips.items.tolist() == [0, 2, 2, 2]


def make_item(chunks: int, frames: int, value: float) -> FrameVectors:
    vectors = value + np.arange(chunks * frames * 2, dtype=np.float32).reshape(chunks, frames, 2)
    times = np.arange(chunks * frames, dtype=np.float64).reshape(chunks, frames) / 10
    spans = np.stack([times[:, 0], times[:, 0] + frames / 10], axis=1)
    return FrameVectors(vectors, times, spans)


def test_rows_of_the_spaces() -> None:
    image = FrameVectors(np.full((1, 1, 2), 7, np.float32), np.zeros((1, 1)), np.zeros((1, 2)))
    media = {5: make_item(2, 3, 0.0), 2: image, 9: make_item(1, 3, 50.0)}
    clips = clip_rows(media, MeanEncoder())
    assert clips.items.tolist() == [5, 5, 9]
    np.testing.assert_allclose(clips.vectors, [[4, 4]] * 3)
    np.testing.assert_allclose(clips.ends - clips.starts, 0.3)
    frames = frame_rows(media)
    assert frames.items.tolist() == [2] + [5] * 6 + [9] * 3
    assert (frames.starts == frames.ends).all()
    means = mean_frame_rows({5: media[5]})
    np.testing.assert_allclose(means.vectors, media[5].vectors.mean(axis=1))
    renumbered = clips.of_items(np.array([9, 5]))
    assert renumbered.items.tolist() == [0, 1, 1]
    np.testing.assert_allclose(renumbered.starts, [0.0, 0.0, 0.3])


def test_repeated_frames_of_a_short_clip_are_one_row() -> None:
    item = make_item(1, 3, 0.0)
    repeated = FrameVectors(item.vectors[:, [0, 0, 1]], item.times[:, [0, 0, 1]], item.spans)
    rows = frame_rows({0: repeated})
    np.testing.assert_allclose(rows.starts, [0.0, 0.1])
    np.testing.assert_allclose(rows.vectors, item.vectors[0, :2])


def test_images_alone_have_no_clip_rows() -> None:
    image = FrameVectors(np.full((1, 1, 2), 7, np.float32), np.zeros((1, 1)), np.zeros((1, 2)))
    assert clip_rows({0: image}, MeanEncoder()).vectors.shape == (0, 0)


def test_what_is_kept_of_a_batch_does_not_hold_the_batch() -> None:
    """The vectors of a film of many chunks lie around until its end: they must not each hold a batch."""
    kept = [
        vectors
        for _, vectors in encode_in_batches(
            ((number, np.zeros((3, 4, 4, 3), np.uint8)) for number in range(400)), MeanEncoder().encode_frames
        )
    ]
    assert sum(vectors.nbytes for vectors in kept) == 400 * 3 * 2 * 4
    assert all(vectors.base is None for vectors in kept)


def test_damage_travels_with_the_vectors() -> None:
    class Damaged(Ramps):
        def open(self, index: int) -> ArrayReader:
            reader = super().open(index)
            reader.damage = "something is missing" if index == 1 else None
            return reader

    found = dict(frame_vectors(Damaged(3), MeanEncoder()))
    assert [found[number].damage for number in range(3)] == [None, "something is missing", None]
