"""What the packets of a stream say about its frames, on streams that no encoder here will write."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

from jaxret.data.decode.endings import missing_end
from jaxret.data.decode.packets import PacketTable


class Packet(bytearray):
    """As much of a packet as the table looks at; its first byte is the codec's."""

    def __new__(cls, *arguments, **attributes):
        return super().__new__(cls)

    def __init__(self, pts, dts=None, *, first=0x10, key=False, discard=False, corrupt=False, duration=0, size=9):
        super().__init__([first] + [0] * (size - 1) if size else b"")
        self.pts, self.dts = pts, pts if dts is None else dts
        self.size, self.duration = size, duration
        self.is_keyframe, self.is_discard, self.is_corrupt = key, discard, corrupt


def scan(packets, codec="h264", container="mov", field_order=1, delay=False, rate=Fraction(25)) -> PacketTable:
    stream = SimpleNamespace(
        time_base=Fraction(1, 100),
        average_rate=rate,
        guessed_rate=rate,
        codec_context=SimpleNamespace(name=codec, field_order=field_order, has_b_frames=delay),
    )
    source = SimpleNamespace(demux=lambda _: iter(packets), format=SimpleNamespace(name=container))
    return PacketTable.scan(source, stream)


def test_frames_are_shown_in_the_order_of_their_stamps():
    table = scan([Packet(0, key=True), Packet(12, duration=4), Packet(4), Packet(8), Packet(None, size=0)])
    np.testing.assert_allclose(table.times, [0, 0.04, 0.08, 0.12])
    assert table.last_duration == pytest.approx(0.04)
    assert table.reliable
    assert table.damage is None


def test_hidden_frames_of_vp8_are_not_shown():
    packets = [Packet(0, key=True), Packet(3, first=0x00), Packet(4), Packet(8)]
    assert scan(packets, codec="vp8").shown_pts.tolist() == [0, 4, 8]
    assert scan(packets, codec="vp9").shown_pts.tolist() == [0, 3, 4, 8]


def test_frames_cut_off_by_an_edit_list_are_not_shown_but_decoded():
    table = scan([Packet(-8, key=True, discard=True), Packet(-4, discard=True), Packet(0), Packet(4)])
    assert table.shown_pts.tolist() == [0, 4]
    assert table.key_before(4) == 0
    assert len(table) == 4


@pytest.mark.parametrize(
    "settings",
    [
        {"packets": [Packet(0, key=True), Packet(0)]},
        {"packets": [Packet(0, key=True), Packet(None)]},
        {"packets": [Packet(0), Packet(4, key=True)]},
        {"packets": [Packet(0, key=True), Packet(4)], "field_order": 2},
        {"packets": [Packet(0, key=True), Packet(4)], "container": "avi", "delay": True},
    ],
)
def test_streams_that_must_be_counted(settings):
    assert not scan(**settings).reliable


def test_older_pyav_knows_no_order_of_fields():
    """The reader then looks at the first frame."""
    packets = [Packet(0, key=True), Packet(4)]
    stream = SimpleNamespace(
        time_base=Fraction(1, 100),
        average_rate=Fraction(25),
        guessed_rate=Fraction(25),
        codec_context=SimpleNamespace(name="h264", has_b_frames=False),
    )
    source = SimpleNamespace(demux=lambda _: iter(packets), format=SimpleNamespace(name="mov"))
    assert PacketTable.scan(source, stream).reliable


def test_avi_of_key_frames_or_without_delay_is_trusted():
    assert scan([Packet(0, key=True), Packet(4, key=True)], container="avi", delay=True).reliable
    assert scan([Packet(0, key=True), Packet(4)], container="avi").reliable


def test_open_groups_start_at_the_group_before():
    stamps = [(0, True), (8, False), (4, False), (20, True), (12, False), (16, False), (24, False)]
    table = scan([Packet(pts, key=key) for pts, key in stamps])
    assert [table.key_before(pts) for pts in (0, 8, 12, 16, 20, 24)] == [0, 0, 0, 0, 3, 3]


def test_last_duration_falls_back_to_the_gaps_and_the_rate():
    assert scan([Packet(0, key=True), Packet(10), Packet(20), Packet(60)]).last_duration == pytest.approx(0.1)
    assert scan([Packet(0, key=True)]).last_duration == pytest.approx(0.04)
    assert scan([Packet(0, key=True)], rate=None).last_duration == 0


def missing(table, frames=0) -> str | None:
    container = SimpleNamespace(format=SimpleNamespace(name="matroska"), duration=None)
    return missing_end("none.mkv", container, SimpleNamespace(frames=frames, id=0), table)


def test_damage_is_told():
    assert missing(scan([Packet(0, key=True), Packet(4)]), frames=5) == "truncated: 2 of 5 frames are there"
    cut = scan([Packet(0, key=True), Packet(4), Packet(8, corrupt=True)])
    assert missing(cut) == "truncated: 2 frames are there"
    assert len(cut) == 2
    assert cut.damage is None

    def breaking():
        yield Packet(0, key=True, corrupt=True)
        yield Packet(4)
        raise OSError(5, "Input/output error")

    told = "reading stops after 2 frames: Input/output error; 1 of 2 packets are marked as damaged"
    assert scan(breaking()).damage == told
    assert missing(scan(breaking()), frames=5) is None


def test_packets_are_recognised_by_stamp_and_size():
    table = scan([Packet(0, key=True, size=5), Packet(4, size=6), Packet(8, size=6)])
    assert table.find(Packet(4, size=6)) == 1
    assert table.find(Packet(4, size=7)) is None
    assert table.find(Packet(5, size=6)) is None
    assert table.matches(2, Packet(8, size=6))
    assert not table.matches(3, Packet(8, size=6))
