"""Media as they are found in the field: lost packets, clocks that jump, files cut off, covers, odd colours, garbage."""

from __future__ import annotations

import io
import struct
import warnings

import av
import numpy as np
import pytest
from PIL import Image

from jaxret.data.datasets.folders import MediaFiles, media_kind, open_media
from jaxret.data.datasets.rgbd import RgbdFolders, open_rgbd, write_rgbd_folder
from jaxret.data.decode.convert import FrameConverter
from jaxret.data.decode.video import VideoReader
from jaxret.data.items import MediaItem
from jaxret.data.sampling.frames import LONGEST_FRAME, parts_between_gaps
from jaxret.data.sampling.reading import read_encoded, read_training_clip
from jaxret.errors import MediaError
from jaxret.preprocessing import Preprocessing, ShotSampling

SMALL = Preprocessing(height=32, width=32, frames=4, chunk_seconds=1.0)
AT_RATE = Preprocessing(height=32, width=32, resize="limit", shots=ShotSampling(rate=5.0))


def repacked(source, target, change):
    """Copy a video's packets; `change(number, packet)` gives new bytes, None for the old, or b"" to drop it."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        number = 0
        for packet in old.demux(stream):
            if not packet.size:
                continue
            content = change(number, packet)
            number += 1
            if content == b"":
                continue
            if content is not None:
                fresh = av.Packet(content)
                fresh.pts, fresh.dts, fresh.time_base = packet.pts, packet.dts, packet.time_base
                fresh.duration, fresh.is_keyframe = packet.duration or 0, packet.is_keyframe
                packet = fresh
            packet.stream = copy
            new.mux(packet)
    return target


CODECS = {
    "h264": ("libx264", "yuv420p", "mp4", {"g": "10", "bf": "0"}),
    "hevc": ("libx265", "yuv420p", "mp4", {"g": "10", "x265-params": "bframes=0:log-level=none"}),
    "vp9": ("libvpx-vp9", "yuv420p", "mkv", {"g": "10"}),
    "mjpeg": ("mjpeg", "yuvj420p", "mkv", {}),
    "prores": ("prores_ks", "yuv422p10le", "mov", {}),
    "ffv1": ("ffv1", "yuv420p", "mkv", {"g": "5"}),
}


class TestHoles:
    @pytest.mark.parametrize("name", CODECS)
    @pytest.mark.parametrize("damage", ["zeros", "cut"])
    def test_what_decodes_is_used_and_the_rest_is_named(self, name, damage, make_video, tmp_path):
        codec, pixels, container, options = CODECS[name]
        whole = make_video(f"holes-{name}.{container}", codec=codec, pix_fmt=pixels, options=options)

        def change(number, packet):
            if number not in (12, 13):
                return None
            return bytes(packet.size) if damage == "zeros" else bytes(packet)[: max(2, packet.size // 20)]

        path = repacked(whole, tmp_path / f"hole.{container}", change)
        with VideoReader(whole) as reader:
            complete = reader.read()
        with VideoReader(path) as reader:
            frames, times, told = reader.read(), reader.times, reader.damage
        assert 28 <= len(frames) <= 30  # a demultiplexer may drop what it cannot parse
        numbers = np.rint(times * 25).astype(int)
        assert numbers[-1] == 29
        intact = (numbers < 12) | (numbers >= 25)  # from the next key frame on
        np.testing.assert_array_equal(frames[intact], complete[numbers[intact]])
        if len(frames) == 30 and name in ("vp9", "mjpeg", "prores"):  # the others conceal
            assert "do not decode: 12 (at 0.480 s)" in told

    def test_av1(self, make_video, tmp_path):
        options = {"g": "10", "svtav1-params": "pred-struct=1"}
        whole = make_video("holes-av1.mkv", codec="libsvtav1", options=options)
        data = whole.read_bytes()
        with av.open(str(whole)) as container:
            victim = [bytes(packet) for packet in container.demux(video=0) if packet.size][12]
        assert data.count(victim) == 1
        path = tmp_path / "hole.mkv"
        path.write_bytes(data.replace(victim, bytes(len(victim))))
        with VideoReader(whole) as reader:
            complete = reader.read()
        with VideoReader(path) as reader:
            frames = reader.read()
            assert len(frames) == 30
            np.testing.assert_array_equal(frames[:12], complete[:12])
            np.testing.assert_array_equal(frames[20:], complete[20:])
            assert "frames do not decode: 12 (at 0.480 s)" in reader.damage

    def test_a_hole_shows_the_frame_before(self, make_video, tmp_path):
        whole = make_video("intra-holes.mkv", codec="mjpeg", pix_fmt="yuvj420p")
        path = repacked(whole, tmp_path / "hole.mkv", lambda n, packet: bytes(packet.size) if n in (5, 6, 20) else None)
        with VideoReader(whole) as reader:
            complete = reader.read()
        for wanted in (range(30), [4, 5, 6, 7, 19, 20, 29], [0, 5, 29]):
            with VideoReader(path) as reader:
                frames = reader.read(list(wanted))
                shown = [{5: 4, 6: 4, 20: 19}.get(n, n) for n in wanted]
                np.testing.assert_array_equal(frames, complete[shown])
                assert "frames do not decode: 5 (at 0.200 s)" in reader.damage

    def test_packets_that_a_broadcast_lost_are_counted(self, make_video, tmp_path):
        settings = {"codec": "mpeg2video", "gop_size": 1, "max_b_frames": 0}
        path = repacked(
            make_video("broadcast.ts", **settings),
            tmp_path / "lost.ts",
            lambda n, packet: b"" if n in (7, 8, 20) else None,
        )
        with VideoReader(make_video("broadcast.ts", **settings)) as reader:
            assert reader.damage is None
            complete = reader.read()
        with VideoReader(path) as reader:
            assert "frames are missing: 2 after 0.2 s, 1 after 0.8 s" in reader.damage
            np.testing.assert_array_equal(reader.read(), np.delete(complete, [7, 8, 20], axis=0))

    def test_the_first_frame_is_a_hole(self, make_video, tmp_path):
        whole = make_video("intra-holes.mkv", codec="mjpeg", pix_fmt="yuvj420p")
        path = repacked(whole, tmp_path / "hole.mkv", lambda n, packet: bytes(packet.size) if n == 0 else None)
        with VideoReader(whole) as reader:
            complete = reader.read()
        with VideoReader(path) as reader:
            assert reader.info.frame_count == 30
            np.testing.assert_array_equal(reader.read([0, 1, 2]), complete[[1, 1, 2]])
            assert reader.damage == "1 frames do not decode: 0 (at 0.000 s)"

    def test_more_than_half_is_too_much(self, make_video, tmp_path):
        whole = make_video("intra-holes.mkv", codec="mjpeg", pix_fmt="yuvj420p")
        path = repacked(whole, tmp_path / "hole.mkv", lambda n, packet: bytes(packet.size) if 8 <= n < 24 else None)
        with VideoReader(path) as reader, pytest.raises(MediaError, match=r"frame 23 .* does not decode, as 15 others"):
            reader.read()
        with VideoReader(path) as reader:
            assert len(reader.read([*range(8), 10, 11, *range(24, 30)])) == 16
            with pytest.raises(MediaError, match=r"frame 10 of 30 \(at 0.400 s\) does not decode"):
                reader.read([10])


class TestGaps:
    @pytest.fixture
    def jumping(self, make_video):
        def make(jump):
            stamps = [100 * n for n in range(19)] + [jump]
            return make_video(f"jump-{jump}.mkv", count=20, stamps=stamps)

        return make

    @pytest.mark.parametrize("jump", [90_000, 8_000_000, 139_811_800, 10**12])
    def test_work_goes_by_the_frames_there_are(self, jumping, jump):
        path = jumping(jump)
        files = MediaFiles([MediaItem("jump.mkv", "video", path=str(path))])
        assert "no new frame for more than 60 s in 1 place: after 1.9 s" in files.damaged[0].reason
        info = files.info(0)
        assert info.parts[0] == pytest.approx((0, 1.9))
        assert info.parts[1] == pytest.approx((jump / 1000, info.duration), abs=1e-3)
        chunks = list(read_encoded(files, 0, SMALL))
        assert len(chunks) == 3
        assert chunks[-1].start == pytest.approx(jump / 1000)
        assert "no new frame" in chunks[-1].damage
        images = list(read_encoded(files, 0, AT_RATE))
        assert sum(len(chunk.pixels) for chunk in images) == 11
        rng = np.random.default_rng(0)
        clips = {read_training_clip(files, 0, SMALL, rng).tobytes() for _ in range(20)}
        assert len(clips) > 5  # of the film, not of its last frame

    def test_rgbd_frames_with_a_far_number(self, tmp_path):
        frames = np.zeros((6, 24, 32, 3), np.uint8)
        write_rgbd_folder(tmp_path / "walk", frames, np.ones((6, 24, 32)), times=[0, 0.5, 1, 1.5, 2, 900_000])
        videos = open_rgbd(RgbdFolders(str(tmp_path / "walk")))
        assert len(list(read_encoded(videos, 0, SMALL))) == 4
        assert "no new frame" in videos.damaged[0].reason

    def test_what_a_gap_is(self):
        times = np.array([0.0, 1.0, 1.0 + LONGEST_FRAME])
        assert parts_between_gaps(times, 62.0) == ()
        first, second = parts_between_gaps(times * 1.01, 63.0)
        assert first == pytest.approx((0, 1.01 + (1.01 + 1.39) / 2))  # the frame before the gap as long as most
        assert second == pytest.approx((61.61, 63.0))
        assert parts_between_gaps(np.zeros(1), 1e9) == ((0.0, 1.0),)

    def test_frames_that_all_stand_alone(self):
        parts = parts_between_gaps(np.arange(30) * 1e5, 30e5)
        assert len(parts) == 30
        assert all(end - start == 1.0 for start, end in parts)

    def test_stamps_at_both_ends_of_64_bits(self):
        table = np.array([-(2**63) + 5, 0, 2**63 - 1], np.int64)
        from jaxret.data.decode.packets import seconds_from_first

        np.testing.assert_allclose(seconds_from_first(table, 1.0), [0, 2.0**63, 2.0**64])


def test_the_film_is_the_stream_that_moves(tmp_path, bar_frames):
    """A cover as the first video stream, without its mark."""
    path = tmp_path / "cover.mkv"
    with av.open(str(path), "w") as container:
        cover = container.add_stream("mjpeg", rate=25)
        film = container.add_stream("libx264", rate=25)
        for stream, pixels in ((cover, "yuvj420p"), (film, "yuv420p")):
            stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
        for packet in (
            *cover.encode(av.VideoFrame.from_ndarray(np.full((48, 64, 3), 9, np.uint8), "rgb24")),
            *cover.encode(),
        ):
            container.mux(packet)
        for pixels in bar_frames(30):
            container.mux(film.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        container.mux(film.encode(None))
    with VideoReader(path) as reader:
        assert reader.info.frame_count == 30
        assert reader.read([0, 29])[..., 0].std() > 10
        assert reader.damage is None


CONTAINERS = {
    "cut.mkv": ("libx264", "yuv420p", {}),
    "cut.webm": ("libvpx-vp9", "yuv420p", {}),
    "cut.wmv": ("wmv2", "yuv420p", {}),
    "cut.flv": ("flv", "yuv420p", {}),
    "cut.mxf": ("mpeg2video", "yuv420p", {}),
    "cut.gif": ("gif", "rgb8", {}),
    "cut.mp4": ("libx264", "yuv420p", {"movflags": "faststart"}),
    "cut.avi": ("mpeg4", "yuv420p", {}),
    "cut.vob": ("mpeg2video", "yuv420p", {}),
    "cut.mjpeg": ("mjpeg", "yuvj420p", {}),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_cut_in_half_is_told(name, make_video, tmp_path):
    codec, pixels, options = CONTAINERS[name]
    whole = make_video("half-" + name, count=100, codec=codec, pix_fmt=pixels, container_options=options)
    with open_media(whole) as reader:
        assert reader.damage is None
    data = whole.read_bytes()
    for length in (len(data) // 2, len(data) // 2 + 1):
        path = tmp_path / f"{length}-{name}"
        path.write_bytes(data[:length])
        with open_media(path) as reader:
            assert 10 < reader.info.frame_count < 90
            assert reader.damage.startswith(("truncated", "reading stops"))


def test_a_transport_stream_that_ends_within_a_packet_or_a_frame(make_video, tmp_path):
    noise = {"bit_rate": 4_000_000, "codec": "mpeg2video", "count": 40}
    whole = make_video("half.ts", **noise)
    data = whole.read_bytes()
    with VideoReader(whole) as reader:
        assert reader.damage is None
    packets = [data[n : n + 188] for n in range(0, len(data), 188)]
    inner = next(
        n for n in range(len(packets) // 2, len(packets)) if packets[n][1:3] == b"\x01\x00" and not packets[n][3] & 0x20
    )
    for length, told in ((len(data) // 2 // 188 * 188 + 7, "a packet of 188 bytes"), (188 * (inner + 1), "a frame")):
        path = tmp_path / "cut.ts"
        path.write_bytes(data[:length])
        with VideoReader(path) as reader:
            assert f"it ends within {told}" in reader.damage


def test_sound_that_is_longer_than_the_film_is_no_damage(tmp_path, bar_frames):
    path = tmp_path / "long.mkv"
    with av.open(str(path), "w") as container:
        film = container.add_stream("libx264", rate=25)
        film.width, film.height, film.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream("aac", rate=16000, layout="mono")
        for pixels in bar_frames(25):
            container.mux(film.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        container.mux(film.encode(None))
        for number in range(64):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            frame.sample_rate, frame.pts = 16000, 1024 * number
            container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    with VideoReader(path) as reader:
        assert reader.info.duration == pytest.approx(1)
        assert reader.damage is None


class TestColours:
    @pytest.mark.parametrize("matrix", ["YCgCo", "bt2020c", "smpte2085", "chroma-derived-c", "ICtCp"])
    def test_odd_matrices_are_read_with_a_note(self, matrix, make_video):
        path = make_video(f"{matrix}.mkv", options={"x264-params": f"colormatrix={matrix}"})
        with VideoReader(path) as reader:
            assert "matrix" in reader.damage
            assert reader.read([0, 9, 29]).shape == (3, 48, 64, 3)
            assert reader.read([3], channels=1).shape == (1, 48, 64, 1)

    @pytest.mark.parametrize("full", [False, True])
    def test_ycgco_is_exact(self, full):
        rgb = np.full((32, 48, 3), 90.0)
        rgb[:16, :24], rgb[16:, 24:], rgb[:16, 24:] = (250, 10, 20), (0, 0, 255), (30, 200, 60)
        red, green, blue = np.moveaxis(rgb, -1, 0)
        planes = np.stack([(red + 2 * green + blue) / 4, (2 * green - red - blue) / 4, (red - blue) / 2])
        luma, chroma = (1, 1) if full else (219 / 255, 224 / 255)
        stored = (
            planes * np.array([luma, chroma, chroma])[:, None, None]
            + np.array([0 if full else 16, 128, 128])[:, None, None]
        )
        frame = av.VideoFrame.from_ndarray(np.rint(stored).clip(0, 255).astype(np.uint8), "yuv444p")
        frame.colorspace, frame.color_range = 8, 2 if full else 1
        converter = FrameConverter(frame, None)
        assert "YCgCo" in converter.note
        np.testing.assert_allclose(converter.convert(frame, None, 3), rgb, atol=3)

    def test_near_colours_are_near(self, make_video, decode_all):
        plain = decode_all(make_video("bt2020nc.mkv", options={"x264-params": "colormatrix=bt2020nc"}))[0]
        with VideoReader(make_video("ictcp.mkv", options={"x264-params": "colormatrix=ICtCp"})) as reader:
            np.testing.assert_allclose(reader.read(), plain, atol=8)


FORMATS = {"jpg": "JPEG", "apng": "PNG", "tif": "TIFF", "jp2": "JPEG2000", "ppm": "PPM"}
BROKEN = [KeyError(7), struct.error("unpack"), MemoryError(), AssertionError(), RecursionError("deep"), EOFError()]


class TestNoFileEndsACommand:
    HUGE = (
        b"GIF89a"
        + struct.pack("<HHBBB", 65535, 65535, 128, 0, 0)
        + bytes(3)
        + b"\xff" * 3
        + b","
        + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0)
        + b"\x02\x02D\x01\x00;"
    )

    def test_a_gif_that_claims_much(self, tmp_path):
        path = tmp_path / "huge.gif"
        path.write_bytes(self.HUGE)
        Image.new("RGB", (8, 8)).save(tmp_path / "fine.png")
        files = MediaFiles(
            [MediaItem(n, media_kind(tmp_path / n), path=str(tmp_path / n)) for n in ("huge.gif", "fine.png")]
        )
        assert [item.key for item in files.items] == ["fine.png"]
        assert "above" in files.skipped[0].reason

    def test_a_film_that_claims_much(self, tmp_path, make_video):
        data = bytearray(make_video("claims.y4m", codec="wrapped_avframe").read_bytes())
        path = tmp_path / "claims.y4m"
        path.write_bytes(data.replace(b"W64 H48", b"W60000 H48000", 1))
        with pytest.raises(MediaError):
            VideoReader(path)

    @pytest.mark.parametrize(
        "name",
        ["a.gif", "a.png", "a.apng", "a.jpg", "a.webp", "a.tif", "a.tga", "a.jp2", "a.ico", "a.dds", "a.ppm", "a.avif"],
    )
    def test_mutated_images(self, name, tmp_path):
        rng = np.random.default_rng(0)
        frames = [Image.fromarray(rng.integers(0, 255, (24, 32, 3), np.uint8)) for _ in range(3)]
        buffer = io.BytesIO()
        kind = FORMATS.get(name[2:], name[2:].upper())
        Image.init()
        if kind not in Image.SAVE:
            pytest.skip(f"this Pillow writes no {kind}")
        moving = {"save_all": True, "append_images": frames[1:]} if kind in ("GIF", "PNG") else {}
        frames[0].save(buffer, kind, **moving)
        data = buffer.getvalue()
        path = tmp_path / name
        lines = {0}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for _ in range(60):
                content = bytearray(data[: int(rng.integers(1, len(data) + 1))] if rng.random() < 0.3 else data)
                for place in rng.integers(0, min(len(content), 400), rng.integers(1, 12)):
                    content[place] = rng.integers(256)
                path.write_bytes(content)
                files = MediaFiles([MediaItem(name, media_kind(path), path=str(path))])
                for index in range(len(files)):
                    try:
                        chunks = [chunk.pixels.shape for chunk in read_encoded(files, index, SMALL)]
                        assert chunks
                    except MediaError as error:
                        lines.add(str(error).count("\n"))

        assert lines == {0}

    @pytest.mark.parametrize("name", ["m.flv", "m.mkv", "m.mp4", "m.wmv", "m.gif", "m.ts", "m.avi"])
    def test_mutated_films(self, name, tmp_path, make_video):
        codec = {"wmv": "wmv2", "gif": "gif", "flv": "flv", "avi": "mpeg4"}.get(name[2:], "libx264")
        data = make_video(name, codec=codec, pix_fmt="rgb8" if codec == "gif" else "yuv420p").read_bytes()
        rng = np.random.default_rng(0)
        path = tmp_path / name
        lines = {0}
        for _ in range(25):
            content = bytearray(data)
            for place in rng.integers(0, len(content), rng.integers(1, 20)):
                content[place] = rng.integers(256)
            path.write_bytes(content)
            files = MediaFiles([MediaItem(name, "video", path=str(path))])
            for index in range(len(files)):
                count = files.info(index).frame_count
                try:
                    chunks = sum(1 for _ in read_encoded(files, index, SMALL))
                    assert chunks <= (LONGEST_FRAME + 1) * count
                except MediaError as error:
                    lines.add(str(error).count("\n"))

        assert lines == {0}

    def test_what_pillow_throws_only_when_pixels_are_wanted(self, tmp_path, monkeypatch):
        path = tmp_path / "a.png"
        Image.new("RGB", (8, 8)).save(path)
        for error in BROKEN:

            def load(self, error=error):
                raise error

            monkeypatch.setattr(Image.Image, "load", load)
            monkeypatch.setattr("PIL.ImageFile.ImageFile.load", load)
            files = MediaFiles([MediaItem("a.png", "image", path=str(path))])
            assert len(files.skipped) == 1
            assert files.skipped[0].path == str(path)
            assert files.skipped[0].reason
