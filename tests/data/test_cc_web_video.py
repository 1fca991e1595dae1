"""CC_WEB_VIDEO: small files in exactly the layout of its download page."""

from __future__ import annotations

from pathlib import Path

import pytest

from jaxret.data.datasets.published.cc_web_video import open_cc_web_video, read_cc_web_video
from jaxret.data.open import open_dataset
from jaxret.errors import ConfigError

LIST = """1\t1\tYouTube\t1_1_Y.flv\thttp://www.youtube.com/watch?v=a
2\t1\tGoogle\t1_2_G.flv\thttp://video.google.com/b
3\t1\tYahoo\t1_3_H.flv\thttp://video.yahoo.com/c
4\t1\tYouTube\t1_4_Y.flv\thttp://www.youtube.com/watch?v=d
5\t2\tYouTube\t2_1_Y.flv\thttp://www.youtube.com/watch?v=e
6\t2\tYouTube\t2_2_Y.flv\thttp://www.youtube.com/watch?v=f
"""


@pytest.fixture
def root(tmp_path) -> Path:
    (tmp_path / "Video_List.txt").write_text(LIST)
    (tmp_path / "Seed.txt").write_text("1*\t1\r\n2\t5\r\n")
    (tmp_path / "GT").mkdir()
    (tmp_path / "GT" / "GT_1.rst").write_text("1\tE\r\n2\tS\r\n3\tX\r\n4\tL\r\n99\t-1\r\n")
    (tmp_path / "GT" / "GT_2.rst").write_text("5 E\n6 V\n")
    return tmp_path


def test_lists_and_ground_truth(root):
    lists = read_cc_web_video(root)
    assert lists.names[3] == "1_3_H.flv"
    assert lists.topics[6] == 2
    first, second = lists.queries
    assert (first.number, first.seed, first.codes[4]) == (1, 1, "L")
    assert first.relevant() == (2, 4)
    assert second.relevant() == (6,)
    assert lists.ground_truth() == {
        "1_1_Y.flv": {"1_2_G.flv": True, "1_3_H.flv": False, "1_4_Y.flv": True},  # neither the seed nor a missing video
        "2_1_Y.flv": {"2_2_Y.flv": True},
    }


def test_the_complete_list_has_a_header_and_quotes(root):
    (root / "Video_List.txt").unlink()
    header = "ID\tTopicID\tSource\tVideoName\tDuration\tFormat\tTitle\n"
    rows = [line.split("\t") for line in LIST.splitlines()]
    text = header + "".join(f'{a}\t{b}\t"{c}"\t"{d}"\t"01:03"\t"flv"\t"Caf\xe9"\n' for a, b, c, d, _ in rows)
    (root / "Video_Complete.txt").write_bytes(text.encode("latin-1"))
    lists = read_cc_web_video(root)
    assert lists.names[1] == "1_1_Y.flv"
    assert len(lists.names) == 6


def test_the_videos_that_are_there(root, make_video):
    video = make_video("web.mp4", count=4).read_bytes()
    for name in ("1/1_1_Y.flv", "1/1_2_G.flv", "1/1_3_H.flv", "2/2_2_Y.flv", "1/unlisted.flv"):
        (root / "videos" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "videos" / name).write_bytes(video)
    dataset = open_dataset(f"cc-web-video:{root}")
    assert [(item.key, item.label, item.source) for item in dataset.items] == [
        ("1_1_Y.flv", "query-1", "1_1_Y.flv"),
        ("1_2_G.flv", "query-1", "1_2_G.flv"),
        ("1_3_H.flv", None, "1_3_H.flv"),  # its query found it, and it is dissimilar
        ("2_2_Y.flv", "query-2", "2_2_Y.flv"),
    ]
    queries = open_dataset(f"cc-web-video,seeds=yes:{root}")
    (seed,) = queries.items  # the other is not there
    assert (seed.key, seed.label) == ("1_1_Y.flv", "query-1")
    assert queries.ground_truth == read_cc_web_video(root).ground_truth()
    assert not dataset.ground_truth
    assert dataset.info(0).frame_count == 4
    with pytest.raises(ConfigError, match="options of cc-web-video are seeds"):
        open_dataset(f"cc-web-video,frames=3:{root}")


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("Video_List.txt", LIST + "6\t2\tYahoo\tz.flv\tu\n", r"Video_List\.txt, line 7: video 6 is listed twice"),
        ("Video_List.txt", LIST + "7 2 Yahoo z.flv\n", r"line 7: expected VideoID, QueryID, Source and VideoName"),
        ("Seed.txt", "1\t1\n", "query 2 has a seed or ground truth, not both"),
        ("Seed.txt", "1\t1\n2\t77\n", "query 2 names video 77, which is not listed"),
        ("Seed.txt", "1\n", r"Seed\.txt, line 1: expected QueryID and VideoID, got '1'"),
        ("Seed.txt", "a\t1\n", r"Seed\.txt, line 1: expected a number, got 'a'"),
        ("GT/GT_2.rst", "5\tQ\n", r"GT_2\.rst, line 1: expected VideoID and one of E, S, .*, got '5 Q'"),
    ],
)
def test_damage_is_named(root, file, text, message):
    (root / file).write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_cc_web_video(root)


def test_what_is_missing_is_named(root):
    with pytest.raises(ConfigError, match="holds none of the 6 videos that it lists"):
        open_cc_web_video(root)
    for path in (root / "GT").iterdir():
        path.unlink()
    with pytest.raises(ConfigError, match=r"holds no ground truth GT/GT_1\.rst"):
        read_cc_web_video(root)
    (root / "Seed.txt").unlink()
    with pytest.raises(ConfigError, match=r"Seed\.txt: No such file"):
        read_cc_web_video(root)
    (root / "Video_List.txt").unlink()
    with pytest.raises(ConfigError, match=r"holds neither Video_List\.txt nor Video_Complete\.txt"):
        read_cc_web_video(root)
