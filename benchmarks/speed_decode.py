"""Decode and resize 16 frames of a clip: ours against OpenCV and decord, and whether the frames are the right ones.

    python benchmarks/speed_decode.py                # JHMDB clips under $JAXRET_SHARED (default ../shared)
    pip install opencv-python-headless decord        # the peers; those that are missing are left out

Every method is asked for the same frame numbers of each clip, scales them to cover 224x224 and cuts the
centre, on one thread, file opening included. Methods take turns over the same clips; the figure is the
median over the rounds, and ratios are medians of the per-round ratios. A frame counts as right when, of
all frames of the clip, it looks most like the one asked for; for that the clips are also taken through
containers in which tools are known to miscount (variable rate, B-frames in AVI, open groups of images).
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from common.paths import JHMDB
from common.results_file import row, write

from jaxret.data.datasets.moving_digits import MovingDigits
from jaxret.data.decode.video import VideoReader
from jaxret.data.sampling.frames import even_samples
from jaxret.data.sampling.transforms import centre_geometry
from jaxret.preprocessing import Preprocessing

SETTINGS = Preprocessing(height=224, width=224, frames=16)
Method = Callable[[str, np.ndarray], np.ndarray]


def ours(path: str, indices: np.ndarray) -> np.ndarray:
    """One open, one pass, scaled while converting."""
    with VideoReader(path) as reader:
        return reader.read(indices, centre_geometry(reader.info.height, reader.info.width, SETTINGS))


def opencv(path: str, indices: np.ndarray) -> np.ndarray:
    """Frames before the one wanted are decoded (`grab`) but not converted."""
    import cv2

    capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    frames, position = [], -1
    for index in indices:
        while position < index:
            capture.grab()
            position += 1
        found, frame = capture.retrieve()
        if not found:
            raise ValueError(f"no frame {index}")
        height, width = frame.shape[:2]
        plan = centre_geometry(height, width, SETTINGS)
        frame = cv2.resize(frame, (plan.scaled_width, plan.scaled_height), interpolation=cv2.INTER_LINEAR)
        window = frame[plan.top : plan.top + plan.height, plan.left : plan.left + plan.width]
        frames.append(cv2.cvtColor(window, cv2.COLOR_BGR2RGB))
    capture.release()
    return np.stack(frames)


def decord(path: str, indices: np.ndarray) -> np.ndarray:
    """Its own batch reading, which scales while decoding."""
    import decord as peer

    if path not in SIZES:
        SIZES[path] = peer.VideoReader(path, num_threads=1)[0].shape[:2]
    plan = centre_geometry(*SIZES[path], SETTINGS)
    reader = peer.VideoReader(path, width=plan.scaled_width, height=plan.scaled_height, num_threads=1)
    frames = reader.get_batch(indices.tolist()).asnumpy()
    return frames[:, plan.top : plan.top + plan.height, plan.left : plan.left + plan.width]


SIZES: dict[str, tuple[int, int]] = {}  # decord scales while decoding, so it must know the size beforehand


def installed(methods: dict[str, Method]) -> dict[str, Method]:
    """The methods whose library is there."""
    found = {}
    for name, method in methods.items():
        try:
            if name != "jaxret":
                __import__({"OpenCV": "cv2"}.get(name, name))
            found[name] = method
        except ImportError:
            print(f"{name} is not installed and left out")
    return found


def every_frame(path: str) -> tuple[np.ndarray, np.ndarray]:
    """The clip decoded straight through, small, with the times of its frames."""
    with av.open(path) as container:
        stream = container.streams.video[0]
        decoded = [
            (float(frame.time), frame.reformat(width=56, height=56, format="rgb24").to_ndarray())
            for frame in container.decode(stream)
        ]
    times = np.array(sorted(time for time, _ in decoded))
    return np.stack([pixels for _, pixels in decoded]), times - times[0]


def right_frames(method: Method, path: str, indices: np.ndarray, frames: np.ndarray) -> float:
    """Share of the frames given that look most like the frame asked for; 0 if the method fails."""
    try:
        given = method(path, indices)
    except Exception as error:
        print(f"  {method.__name__} fails on {Path(path).name}: {str(error).splitlines()[0][:80]}")
        return 0.0
    with av.open(path) as container:
        height, width = next(container.decode(video=0)).to_ndarray(format="rgb24").shape[:2]
    plan = centre_geometry(height, width, SETTINGS)
    shown = np.stack([window_of(frame, plan) for frame in frames])
    hits = 0
    for index, frame in zip(indices, given, strict=True):
        small = frame.reshape(28, 8, 28, 8, 3).mean((1, 3))
        distances = np.abs(shown - small).mean((1, 2, 3))
        hits += distances[index] <= distances.min() + 0.25  # frames that do not move are equally right
    return hits / len(indices)


def window_of(frame: np.ndarray, plan) -> np.ndarray:
    """The part of a 56x56 frame that the centre window shows, as 28x28 means."""
    top, bottom = (56 * edge / plan.scaled_height for edge in (plan.top, plan.top + plan.height))
    left, right = (56 * edge / plan.scaled_width for edge in (plan.left, plan.left + plan.width))
    image = av.VideoFrame.from_ndarray(
        np.ascontiguousarray(frame[round(top) : round(bottom), round(left) : round(right)])
    )
    return image.reformat(width=28, height=28, interpolation="AREA").to_ndarray().astype(float)


def awkward_files(folder: Path) -> dict[str, str]:
    """Files whose frames are easy to miscount, made from moving digits."""
    digits = MovingDigits(train_clips=0, validation_clips=0, test_clips=1, frames=60, size=96)
    clip = digits.render([3])[0]
    gaps = np.random.default_rng(0).integers(1, 120, len(clip))
    kinds = {
        "variable rate": ("vfr.mkv", np.cumsum(gaps) - gaps[0], {}),
        "B-frames in AVI": ("b.avi", None, {"x264-params": "keyint=12:bframes=3"}),
        "open GOP in TS": ("open.ts", None, {"x264-params": "keyint=12:min-keyint=12:scenecut=0:open-gop=1:bframes=3"}),
    }
    made = {}
    for kind, (name, stamps, options) in kinds.items():
        made[kind] = str(folder / name)
        with av.open(made[kind], "w") as container:
            stream = container.add_stream("libx264", rate=25, options=options)
            stream.height, stream.width, stream.pix_fmt = *clip.shape[1:3], "yuv420p"
            if stamps is not None:
                stream.codec_context.time_base = Fraction(1, 1000)
            for number, pixels in enumerate(clip):
                frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
                if stamps is not None:
                    frame.pts, frame.time_base = int(stamps[number]), Fraction(1, 1000)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return made


def main() -> None:
    """Measure, print and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=120, help="JHMDB clips to read")
    parser.add_argument("--rounds", type=int, default=7, help="times that the methods take turns")
    settings = parser.parse_args()
    clips = sorted(str(path) for path in JHMDB.glob("*/*.mp4"))
    if not clips:
        parser.exit(1, f"no clips in {JHMDB} (set JAXRET_SHARED)\n")
    clips = clips[:: max(1, len(clips) // settings.clips)]
    methods = installed({"jaxret": ours, "OpenCV": opencv, "decord": decord})

    wanted = {}
    for path in clips:
        with VideoReader(path) as reader:
            wanted[path] = even_samples(reader.times, 0, reader.info.duration, SETTINGS.frames)
    for method in methods.values():  # warm up: libraries loaded, files in the page cache
        for path in clips:
            method(path, wanted[path])
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for _ in range(settings.rounds):
        for name, method in methods.items():
            start = time.perf_counter()
            for path in clips:
                method(path, wanted[path])
            seconds[name].append((time.perf_counter() - start) / len(clips))

    rows = []
    setting = f"{SETTINGS.frames} frames to {SETTINGS.height}x{SETTINGS.width}, 1 thread"
    for name, taken in seconds.items():
        milliseconds = 1000 * statistics.median(taken)
        ratio = statistics.median(peer / own for peer, own in zip(taken, seconds["jaxret"], strict=True))
        rows.append(row(data="JHMDB", method=name, metric="ms per clip", value=round(milliseconds, 2), setting=setting))
        rows.append(row(data="JHMDB", method=name, metric="time / jaxret's", value=round(ratio, 2), setting=setting))
        print(f"{name:8} {milliseconds:6.2f} ms a clip, {ratio:.2f} of jaxret's time")

    with tempfile.TemporaryDirectory() as folder:
        sets = {"JHMDB": clips[::10], **{kind: [path] for kind, path in awkward_files(Path(folder)).items()}}
        for data, paths in sets.items():
            for name, method in methods.items():
                shares = []
                for path in paths:
                    frames, times = every_frame(path)
                    indices = even_samples(times, 0, float(times[-1]) + 0.04, SETTINGS.frames)
                    shares.append(right_frames(method, path, indices, frames))
                share = 100 * statistics.mean(shares)
                rows.append(row(data=data, method=name, metric="right frames, %", value=round(share, 1)))
                print(f"{data:16} {name:8} {share:5.1f} % of the frames are the ones asked for")
    print("written:", write("speed_decode", rows, packages=("av", "opencv-python-headless", "decord")))


if __name__ == "__main__":
    main()
