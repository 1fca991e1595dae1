"""VideoReader against decoding everything, on files of every awkward kind."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import Interpolation
from PIL import Image, ImageOps

import jaxret
from jaxret.data.decode.video import VideoReader
from jaxret.data.sampling.transforms import FrameGeometry, centre_geometry, to_grey
from jaxret.errors import MediaError
from jaxret.preprocessing import Preprocessing

CAREFUL = Interpolation.BILINEAR | Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND
CLOSED = {"x264-params": "keyint=12:min-keyint=12:scenecut=0:bframes=3:b-pyramid=normal"}
OPEN = {"x264-params": "keyint=12:min-keyint=12:scenecut=0:bframes=3:open-gop=1"}
OPEN_HEVC = {
    "x265-params": "open-gop=1:keyint=12:min-keyint=12:scenecut=0:bframes=3:log-level=none",
    "preset": "ultrafast",
}
VFR = [
    0,
    40,
    80,
    90,
    400,
    410,
    1000,
    1001,
    1040,
    2500,
    2530,
    2600,
    2601,
    2700,
    3000,
    3500,
    3510,
    3520,
    4000,
    4100,
]
VP9 = {"cpu-used": "8", "g": "16", "lag-in-frames": "16"}
FRAGMENTS = {"movflags": "frag_keyframe+empty_moov"}

FILES = {
    "one-gop.mp4": {},
    "b-frames.mp4": {"count": 100, "options": CLOSED},
    "open-gop.mp4": {"count": 100, "options": OPEN},
    "open-gop.ts": {"count": 100, "options": OPEN},
    "open-gop-hevc.mp4": {"count": 60, "codec": "libx265", "options": OPEN_HEVC},
    "long.mkv": {"count": 300, "options": CLOSED},
    "vfr.mp4": {"count": 20, "stamps": VFR},
    "vfr.mkv": {"count": 20, "stamps": VFR, "options": {"x264-params": "keyint=6:min-keyint=6:bframes=2"}},
    "divx.avi": {"count": 60, "codec": "mpeg4", "gop_size": 10, "max_b_frames": 2},
    "no-stamps.avi": {"count": 100, "options": CLOSED},
    "intra.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "mpeg2.mpg": {"count": 60, "codec": "mpeg2video", "gop_size": 10, "max_b_frames": 2},
    "vp9.webm": {"count": 40, "codec": "libvpx-vp9", "options": VP9},
    "fragments.mp4": {"count": 60, "options": CLOSED, "container_options": FRAGMENTS},
    "interlaced.ts": {"count": 40, "options": {"x264-params": "interlaced=1:keyint=12"}},
    "one-frame.mp4": {"count": 1},
    "one-frame.avi": {"count": 1, "codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "two-frames.webm": {"count": 2, "codec": "libvpx-vp9", "options": {"cpu-used": "8"}},
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_exactly_the_wanted_frames(name, make_video, decode_all):
    path = make_video(name, **FILES[name])
    pixels, times = decode_all(path)
    rng = np.random.default_rng(len(name))
    with VideoReader(path) as reader:
        assert reader.info.frame_count == len(pixels)
        assert reader.damage is None
        assert (reader.info.height, reader.info.width) == pixels.shape[1:3]
        np.testing.assert_allclose(reader.times, times, atol=1e-9)
        assert reader.info.duration > times[-1]
        for size in (1, 2, 5, 3, 16, 1):
            wanted = np.sort(rng.integers(0, len(pixels), size))
            np.testing.assert_array_equal(np.stack(list(reader.frames(wanted))), pixels[wanted])
        shuffled = rng.integers(0, len(pixels), 7)
        np.testing.assert_array_equal(reader.read(shuffled), pixels[shuffled])
    with VideoReader(path) as reader:  # untouched by earlier requests: everything, in one pass
        np.testing.assert_array_equal(reader.read(), pixels)


@pytest.mark.parametrize("name", ["b-frames.mp4", "open-gop.mp4", "long.mkv", "open-gop.ts"])
def test_every_single_frame_alone(name, make_video, decode_all):
    path = make_video(name, **FILES[name])
    pixels, _ = decode_all(path)
    with VideoReader(path) as reader:
        for number in reversed(range(0, len(pixels), 3)):
            np.testing.assert_array_equal(reader.read([number])[0], pixels[number])


def test_by_time_gives_the_frame_on_display(make_video, decode_all):
    path = make_video("vfr.mp4", **FILES["vfr.mp4"])
    pixels, times = decode_all(path)
    np.testing.assert_allclose(times * 1000, VFR, atol=1e-6)
    with VideoReader(path) as reader:
        wanted = [1.0, 0.999, 0.0, 99.0, 2.45, -1.0, 3.515]
        slow = [max([n for n, time in enumerate(times) if time <= moment + 1e-9], default=0) for moment in wanted]
        assert slow == [6, 5, 0, 19, 8, 0, 16]
        np.testing.assert_array_equal(reader.read_at(wanted), pixels[slow])


def test_seeking_decodes_no_more_than_it_must(make_video, monkeypatch):
    path = make_video("long.mkv", **FILES["long.mkv"])
    decoded = []
    with VideoReader(path) as reader:
        original = reader._video.next_frame
        monkeypatch.setattr(reader._video, "next_frame", lambda *wanted: decoded.append(1) or original(*wanted))
        list(reader.frames([290]))
        assert len(decoded) <= 12  # one group of images, not 290 frames
        decoded.clear()
        list(reader.frames([5, 150, 290]))
        assert len(decoded) <= 36


def test_threads_give_the_same_frames(make_video, decode_all):
    path = make_video("b-frames.mp4", **FILES["b-frames.mp4"])
    pixels, _ = decode_all(path)
    with VideoReader(path, threads=3) as reader:
        for wanted in ([0, 1, 2], [50, 51, 99], [12], [98, 99]):
            np.testing.assert_array_equal(reader.read(wanted), pixels[wanted])


@pytest.mark.parametrize(
    ("rotation", "turn"),
    [((90,), 1), ((-90,), 3), ((180,), 2), ((0, True), 0), ((90, True), 1), ((-90, True), 3)],
)
def test_rotation_is_applied(make_video, decode_all, rotation, turn):
    path = make_video(f"turned{rotation}.mp4", count=3, rotation=rotation)
    pixels, _ = decode_all(path)
    upright = np.rot90(pixels, turn, axes=(1, 2))
    if len(rotation) == 2:
        upright = upright[:, :, ::-1]  # the matrix mirrors what it has turned
    with VideoReader(path) as reader:
        assert (reader.info.height, reader.info.width) == upright.shape[1:3]
        np.testing.assert_array_equal(reader.read(), upright)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_of_a_cameras_jpeg_frames_is_obeyed(tmp_path, orientation):
    stored = np.full((48, 64, 3), 40, np.uint8)
    stored[:16, :32] = 220
    exif = Image.Exif()
    exif[0x0112] = orientation
    jpeg = io.BytesIO()
    Image.fromarray(stored).save(jpeg, "JPEG", quality=95, exif=exif)
    path = tmp_path / "camera.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuvj420p"
        for number in range(3):
            packet = av.Packet(jpeg.getvalue())
            packet.stream, packet.pts, packet.dts, packet.is_keyframe = stream, number, number, True
            packet.time_base = Fraction(1, 25)
            container.mux(packet)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(jpeg)))
    with VideoReader(path) as reader:
        assert (reader.info.height, reader.info.width) == upright.shape[:2]
        np.testing.assert_allclose(reader.read()[2].astype(int), upright, atol=3)


def test_pixels_that_are_not_square_are_made_square(make_video):
    path = make_video("wide.mp4", count=2, sample_aspect_ratio=Fraction(4, 3))
    with VideoReader(path) as reader:
        assert (reader.info.height, reader.info.width) == (48, 85)
        assert reader.read([1]).shape == (1, 48, 85, 3)


def test_resized_while_converting(make_video, decode_all):
    path = make_video("b-frames.mp4", **FILES["b-frames.mp4"])
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        scaled = frame.reformat(width=32, height=24, format="yuv420p", threads=1).to_ndarray(format="rgb24")
        careful = frame.reformat(width=32, height=24, format="rgb24", interpolation=CAREFUL, threads=1).to_ndarray()
        luma = frame.reformat(width=32, height=24, format="gray", threads=1).to_ndarray()
    geometry = centre_geometry(48, 64, Preprocessing(height=24, width=24))
    with VideoReader(path) as reader:
        np.testing.assert_array_equal(reader.read([0], geometry)[0], scaled[:, 4:28])
        np.testing.assert_array_equal(reader.read([0], geometry, channels=1)[0, :, :, 0], luma[:, 4:28])
        padded = FrameGeometry(24, 32, top=-4, left=0, height=32, width=32, mirror=True)
        tall = reader.read([0], padded)[0]
        assert not tall[:4].any()
        assert not tall[28:].any()
        np.testing.assert_array_equal(tall[4:28], scaled[:, ::-1])
        assert np.abs(scaled.astype(int) - careful).mean() < 3
        grey = reader.read([0], geometry, channels=1)[0]
        assert np.abs(grey.astype(int) - to_grey(scaled[:, 4:28])).mean() < 3


@pytest.mark.parametrize(("height", "width"), [(24, 33), (37, 49), (63, 65)])
def test_colours_of_an_odd_width_lie_where_the_luma_lies(make_video, height, width):
    path = make_video("b-frames.mp4", **FILES["b-frames.mp4"])
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        careful = frame.reformat(width=width, height=height, format="rgb24", interpolation=CAREFUL, threads=1)
    with VideoReader(path) as reader:
        pixels = reader.read([0], FrameGeometry(height, width, 0, 0, height, width))[0]
    np.testing.assert_allclose(pixels.astype(int), careful.to_ndarray(), atol=2)


@pytest.mark.parametrize("matrix", [1, 5])  # BT.709 and BT.601
@pytest.mark.parametrize("full_range", [False, True])
def test_colour_survives_whatever_the_matrix_and_range(tmp_path, matrix, full_range):
    colours = np.zeros((1, 48, 64, 3), np.uint8)
    colours[:, :24, :32], colours[:, :24, 32:], colours[:, 24:, :32] = (200, 20, 10), (30, 180, 60), (20, 60, 220)
    colours[:, 24:, 32:] = 245
    path = tmp_path / "colours.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "4"})
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuvj420p" if full_range else "yuv420p"
        stream.codec_context.colorspace = matrix
        stream.codec_context.color_range = 2 if full_range else 1
        frame = av.VideoFrame.from_ndarray(colours[0], "rgb24").reformat(
            format=stream.pix_fmt, dst_colorspace=matrix, dst_color_range=2 if full_range else 1
        )
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    places = np.ix_([10, 38], [14, 50])
    scaled_places = np.ix_([5, 19], [7, 25])
    with VideoReader(path) as reader:
        native = reader.read([0])[0][places].astype(int)
        scaled = reader.read([0], FrameGeometry(24, 32, 0, 0, 24, 32))[0][scaled_places].astype(int)
    np.testing.assert_allclose(native, colours[0][places], atol=5)
    np.testing.assert_allclose(scaled, colours[0][places], atol=5)


def test_edit_list_hides_frames(make_video, tmp_path):
    source = make_video("b-frames.mp4", **FILES["b-frames.mp4"])
    trimmed = tmp_path / "trimmed.mp4"
    with av.open(str(source)) as old, av.open(str(trimmed), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        shift = 512 * 16  # negative stamps make the muxer write an edit list
        for packet in old.demux(video=0):
            if packet.dts is None:
                continue
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            packet.stream = stream
            new.mux(packet)
    with av.open(str(trimmed)) as container:
        shown = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    with VideoReader(trimmed) as reader:
        assert reader.info.frame_count == len(shown)
        assert reader.times[0] == 0
        np.testing.assert_array_equal(reader.read(), np.stack(shown))
        np.testing.assert_array_equal(reader.read([40, 3]), np.stack([shown[40], shown[3]]))


def test_stream_that_begins_between_key_frames(make_video, tmp_path):
    source = make_video("open-gop.ts", **FILES["open-gop.ts"])
    cut = tmp_path / "cut.ts"
    data = source.read_bytes()
    cut.write_bytes(data[len(data) // 3 // 188 * 188 :])
    with av.open(str(cut)) as container:
        shown = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    with VideoReader(cut) as reader:
        assert reader.info.frame_count == len(shown)
        for wanted in ([0, 1], [len(shown) - 1], [7, 20]):
            np.testing.assert_array_equal(reader.read(wanted), np.stack([shown[number] for number in wanted]))


class TestBrokenFiles:
    def test_audio_only(self, tmp_path):
        path = tmp_path / "sound.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("aac", rate=16000, layout="mono")
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            frame.sample_rate = 16000
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        with pytest.raises(MediaError, match="no video stream"):
            VideoReader(path)

    @pytest.mark.parametrize("content", [b"", b"not a video at all", bytes(range(256)) * 40])
    def test_garbage(self, tmp_path, content):
        path = tmp_path / "garbage.mp4"
        path.write_bytes(content)
        with pytest.raises(MediaError) as caught:
            VideoReader(path)
        assert caught.value.path == str(path)
        assert "\n" not in str(caught.value)

    def test_missing(self, tmp_path):
        with pytest.raises(MediaError, match=r"nowhere\.mp4: No such file or directory"):
            VideoReader(tmp_path / "nowhere.mp4")

    def test_mp4_without_its_end_cannot_be_opened(self, make_video, tmp_path):
        data = make_video("b-frames.mp4", **FILES["b-frames.mp4"]).read_bytes()
        path = tmp_path / "cut.mp4"
        path.write_bytes(data[: len(data) // 2])
        with pytest.raises(MediaError):
            VideoReader(path)

    def test_a_packet_that_the_end_cuts_gives_no_frame(self, make_video, tmp_path):
        """Wherever the end lies: packets of H.264 in AVI do not say which frames come out, so they are counted."""
        data = make_video("counted.avi", count=100, options=CLOSED).read_bytes()
        path = tmp_path / "cut.avi"
        for end in np.linspace(0.5, 0.7, 25) * len(data):
            path.write_bytes(data[: int(end)])
            with VideoReader(path) as reader:
                count = reader.info.frame_count
                assert reader.damage == f"truncated: {count} of 100 frames are there"
                assert len(reader.read()) == count

    @pytest.mark.parametrize("name", ["faststart.mp4", "cut.mkv", "cut.avi", "cut.ts", "cut.mpg"])
    def test_truncated_gives_what_is_there(self, make_video, tmp_path, name):
        settings = {"count": 100, "options": CLOSED}
        if name == "cut.mpg":
            settings = {"count": 100, "codec": "mpeg2video", "gop_size": 10, "max_b_frames": 2}
        if name == "faststart.mp4":
            settings["container_options"] = {"movflags": "faststart"}
        whole = make_video("whole-" + name, **settings)
        data = whole.read_bytes()
        path = tmp_path / name
        path.write_bytes(data[: len(data) * 6 // 10])
        with VideoReader(whole) as reader:
            complete = reader.read()
        with VideoReader(path) as reader:
            count = reader.info.frame_count
            assert 20 < count < 90
            assert reader.times[-1] < 4
            np.testing.assert_array_equal(reader.read([0, count // 2]), complete[[0, count // 2]])
            if name in (
                "faststart.mp4",
                "cut.avi",
            ):  # the headers of the others do not say how many there were
                assert reader.damage == f"truncated: {count} of 100 frames are there"

    def test_damage_in_the_middle_names_the_frame_or_conceals_it(self, make_video, tmp_path):
        data = bytearray(make_video("intra.avi", **FILES["intra.avi"]).read_bytes())
        with av.open(str(make_video("intra.avi", **FILES["intra.avi"]))) as container:
            victim = [packet for packet in container.demux(video=0) if packet.size][20]
        data[victim.pos : victim.pos + victim.size] = bytes(victim.size)
        path = tmp_path / "hole.avi"
        path.write_bytes(data)
        with VideoReader(path) as reader:
            assert reader.read([19, 21]).shape[0] == 2
            with pytest.raises(MediaError, match=r"frame 20 of 30 \(at 0.800 s\) does not decode"):
                reader.read([20])
            assert reader.read([25]).shape[0] == 1

    def test_every_truncation_ends_soon(self, make_video, tmp_path):
        """Cut anywhere, a file either opens or is a MediaError; nothing hangs."""
        data = make_video("fragments.mp4", **FILES["fragments.mp4"]).read_bytes()
        outcomes = set()

        def try_all():
            for length in range(0, len(data), max(1, len(data) // 40)):
                path = tmp_path / "cut.mp4"
                path.write_bytes(data[:length])
                try:
                    with VideoReader(path, threads=1 + length % 2) as reader:
                        reader.read([reader.info.frame_count // 2])
                        outcomes.add("read")
                except MediaError:
                    outcomes.add("error")

        worker = threading.Thread(target=try_all, daemon=True)
        worker.start()
        worker.join(60)
        assert not worker.is_alive()
        assert outcomes == {"read", "error"}


def test_a_reader_that_is_never_closed_says_nothing_at_the_end(make_video):
    code = (
        "import os, sys\n"  # of which Python lets go after the modules that read videos
        "from jaxret.data.decode.video import VideoReader\n"
        "os.kept = reader = VideoReader(sys.argv[1])\n"
        "os.under_way = reader.frames([0, 5])\n"
        "next(os.under_way)\n"
    )
    for name in ("one-gop.mp4", "open-gop.ts"):
        path = make_video(name, **FILES[name])
        done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
        assert (done.stdout, done.stderr) == ("", "")


def test_wrong_requests_are_named(make_video):
    with VideoReader(make_video("one-gop.mp4", **FILES["one-gop.mp4"])) as reader:
        with pytest.raises(IndexError, match=r"0\.\.29, got 30"):
            reader.read([3, 30])
        with pytest.raises(IndexError, match=r"got -1"):
            reader.read([-1])
        with pytest.raises(ValueError, match="must not decrease"):
            list(reader.frames([3, 2]))
        assert reader.read([]).shape == (0, 48, 64, 3)
    with pytest.raises(ValueError, match="closed"):
        reader.read([0])
    with pytest.raises(ValueError, match="threads must be at least 1, got 0"):
        VideoReader("x.mp4", threads=0)


def test_file_names_are_not_protocols(make_video, tmp_path, monkeypatch):
    source = make_video("one-gop.mp4", **FILES["one-gop.mp4"])
    odd = tmp_path / "concat:a|b %03d.mp4"
    odd.write_bytes(source.read_bytes())
    monkeypatch.chdir(tmp_path)
    with VideoReader("concat:a|b %03d.mp4") as reader:
        assert reader.info.frame_count == 30


def test_bounded_memory_on_a_long_video(tmp_path):
    """All frames of a video that would not fit the allowance at once, in a process of its own."""
    path = tmp_path / "film.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "g": "50"})
        stream.height, stream.width, stream.pix_fmt = 240, 320, "yuv420p"
        for number in range(800):
            pixels = np.full((240, 320, 3), number % 256, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        container.mux(stream.encode(None))
    program = f"""
import resource
from jaxret.data.decode.video import VideoReader
with VideoReader({str(path)!r}) as reader:
    next(reader.frames([0]))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    count = sum(1 for _ in reader.frames(range(reader.info.frame_count)))
    print(count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    root = Path(jaxret.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, timeout=120)
    count, kilobytes = map(int, done.stdout.split())
    assert count == 800
    assert kilobytes < 40_000  # the frames together are 180 MB


def test_real_clips(shared_media: Path, decode_all):
    clips = sorted((shared_media / "data/jhmdb").glob("*/*.mp4"))[::97]
    clips += sorted((shared_media / "data/near_duplicates").glob("*.mp4"))[:3]
    assert len(clips) > 8
    for path in clips:
        pixels, times = decode_all(path)
        with VideoReader(path) as reader:
            np.testing.assert_allclose(reader.times, times, atol=1e-6)
            wanted = np.linspace(0, len(pixels) - 1, 7).astype(int)
            np.testing.assert_array_equal(reader.read(wanted), pixels[wanted])
