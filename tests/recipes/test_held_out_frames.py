"""Held-out frames that ask for shots, against a loop."""

from __future__ import annotations

import numpy as np
import pytest

from jaxret.recipes.image_to_video.held_out import HeldOutFrames
from jaxret.retrieval.encode import Shot, shots_between


class SumEncoder:
    """The sum of the vectors that count."""

    clip_embedding_size = 6

    def encode_clips_from_frame_vectors(self, vectors, lengths=None):
        vectors = np.asarray(vectors)
        return np.where(np.arange(vectors.shape[1])[None, :, None] < lengths[:, None, None], vectors, 0).sum(axis=1)


def shots_and_videos() -> tuple[list[Shot], list[int]]:
    rng = np.random.default_rng(0)
    shots, videos = [], []
    for video, lengths in enumerate([(3, 1, 4), (2, 5), (6,)]):
        vectors = rng.normal(size=(sum(lengths), 6)).astype(np.float32)
        found = shots_between(vectors, np.arange(len(vectors)) / 3, len(vectors) / 3, np.cumsum(lengths)[:-1])
        shots += found
        videos += [video] * len(found)
    return shots, videos


def test_a_frame_of_every_shot_of_several_is_taken_out_and_asks() -> None:
    shots, videos = shots_and_videos()
    held_out = HeldOutFrames.of(shots, videos, seed=1)
    assert held_out.shot_of_query.tolist() == [0, 2, 3, 4, 5]  # the second shot has one frame
    for place, number in enumerate(held_out.shot_of_query.tolist()):
        whole, rest = shots[number], held_out.shots[number]
        frame = int(held_out.frames[place])
        where = whole.frames.tolist().index(frame)
        np.testing.assert_array_equal(held_out.vectors[place], whole.vectors[where])
        assert rest.frames.tolist() == [other for other in whole.frames.tolist() if other != frame]
        np.testing.assert_array_equal(rest.vectors, np.delete(whole.vectors, where, axis=0))
    assert held_out.shots[1] is shots[1]
    drawn = {tuple(HeldOutFrames.of(shots, videos, seed=seed).frames.tolist()) for seed in range(8)}
    assert len(drawn) > 1


def test_figures_are_those_of_a_loop() -> None:
    shots, videos = shots_and_videos()
    held_out = HeldOutFrames.of(shots, videos, seed=1)
    embedded = [shot.vectors.sum(axis=0) for shot in held_out.shots]
    shot_ranks, video_ranks = [], []
    for own, vector in zip(held_out.shot_of_query.tolist(), held_out.vectors, strict=True):
        cosines = [float(vector @ v / np.linalg.norm(vector) / np.linalg.norm(v)) for v in embedded]
        shot_ranks.append(1 + sum(c > cosines[own] for c in cosines))
        best = [max(c for c, v in zip(cosines, videos, strict=True) if v == video) for video in range(3)]
        video_ranks.append(1 + sum(score > best[videos[own]] for score in best))
    found = held_out.figures(SumEncoder(), max_frames=8)
    assert found == {
        "mAP": pytest.approx(np.mean([1 / rank for rank in shot_ranks])),
        "R@1": pytest.approx(np.mean([rank == 1 for rank in shot_ranks])),
        "R@5": pytest.approx(np.mean([rank <= 5 for rank in shot_ranks])),
        "video mAP": pytest.approx(np.mean([1 / rank for rank in video_ranks])),
        "video R@1": pytest.approx(np.mean([rank == 1 for rank in video_ranks])),
        "queries": 5.0,
    }
    assert len(set(shot_ranks)) > 1  # some find, some do not


def test_nothing_to_ask_gives_no_figures() -> None:
    shots, _ = shots_and_videos()
    assert HeldOutFrames.of([], [], seed=0).figures(SumEncoder(), 8) == {}
    assert HeldOutFrames.of(shots[:1], [0], seed=0).figures(SumEncoder(), 8) == {}
    assert HeldOutFrames.of([shots[1], shots[1]], [0, 1], seed=0).figures(SumEncoder(), 8) == {}
