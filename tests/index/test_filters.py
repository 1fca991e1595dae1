"""Filters: what passes is what SQLite says, searches find the nearest of it, and errors name the place."""

from __future__ import annotations

import sqlite3
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.item_search import nearest_items

from jaxret.data.items import FileState
from jaxret.index import MediaItem, Rows, SearchOptions, Space
from jaxret.index.filters.parse import FilterError, parse_filter
from jaxret.index.items import columns as columns_module
from jaxret.index.items import item_file

COLUMNS = ("key", "kind", "label", "source", "split", "path", "duration", "size", "year", "score", "note", "seen")
TEXT = ["cat", "Cat", "cow", "a_b", "50%", "it's", "", "\u00e9t\u00e9"]


def items_of(seed: int) -> list[MediaItem]:
    rng = np.random.default_rng(seed)

    def one_of(values, missing=0.3):
        return None if rng.random() < missing else values[rng.integers(len(values))]

    return [
        MediaItem(
            f"{'holiday' if number % 3 else 'work'}/{number}.mp4",
            "video" if number % 2 else "image",
            label=one_of(TEXT),
            split=one_of(["train", "test"]),
            duration=one_of([0.0, 1.5, 10.0, 12.25]),
            file=one_of([FileState(number, 1_700_000_000_123_456_789 + number * 10**15, "x")]),
            columns={
                "year": one_of([1999, 2000, -3, 2**62]),
                # Whole in one segment and not in the other.
                "score": one_of([1, 2] if seed else [0.5, 2.0]),
                "note": one_of(TEXT),
                "seen": one_of([True, False]),
            },
        )
        for number in range(seed * 20, seed * 20 + 17)
    ]


@pytest.fixture(scope="module")
def filled(make_many):
    """An index of two segments of several batches, and the same items as a table of SQLite."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (columns_module, item_file):
            patch.setattr(module, "BATCH_ITEMS", 5)
        index = make_many.empty(Space("frame", 2), Space.of_codes("code", 8))
        rng = np.random.default_rng(2)
        for seed in (0, 1):
            items = items_of(seed)
            owners = np.sort(np.concatenate([np.arange(17), rng.integers(0, 17, 20)]))
            vectors = rng.integers(-2, 3, (37, 2)).astype(np.float32)
            codes = rng.integers(0, 256, (37, 1), np.uint8)
            index.add(items, {"frame": Rows(vectors, owners), "code": Rows(codes, owners)})
        index.remove(["work/3.mp4", "holiday/22.mp4"])
        table = sqlite3.connect(":memory:")
        table.execute("PRAGMA case_sensitive_like = ON")
        table.execute(f"CREATE TABLE items (id, {', '.join(COLUMNS)})")
        for number, item in enumerate(index.items):
            size = None if item.file is None else item.file.size
            fields = [getattr(item, name) for name in COLUMNS[:7]]
            table.execute(
                f"INSERT INTO items VALUES ({', '.join('?' * 13)})",
                [number, *fields, size, *(item.columns.get(name) for name in COLUMNS[8:])],
            )
        yield index, table


def passing_by_sqlite(table, where, more="1"):
    return {number for (number,) in table.execute(f"SELECT id FROM items WHERE ({where}) AND {more}")}


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


TEXTS, NUMBERS = st.sampled_from([*TEXT, "holiday/4.mp4", "image"]).map(quoted), st.sampled_from(
    ["0", "1.5", "-3", "2000", "1e1", ".5", "4611686018427387904", "+2", "-1e30", "1e30", "0.7"]
)  # fmt: skip
TEXT_COLUMN = st.sampled_from(["key", "kind", '"label"', "note", "split", "NOTE".lower()])
NUMBER_COLUMN = st.sampled_from(["duration", "year", "score", "size"])
OPERATOR = st.sampled_from(["=", "!=", "<>", "<", "<=", ">", ">=", "=="])
PATTERN = st.sampled_from(["c%", "%a%", "_at", "%", "", "holiday/%", "%.mp4", "%t_"]).map(quoted)
SIMPLE = st.one_of(
    st.tuples(TEXT_COLUMN, OPERATOR, TEXTS).map(" ".join),
    st.tuples(NUMBER_COLUMN, OPERATOR, NUMBERS).map("".join),
    st.tuples(TEXT_COLUMN, st.sampled_from([" LIKE ", " not like "]), PATTERN).map("".join),
    st.tuples(TEXT_COLUMN, st.sampled_from([" IN ", " NOT IN "]), TEXTS, TEXTS).map(
        lambda p: f"{p[0]}{p[1]}({p[2]},{p[3]})"
    ),
    st.tuples(NUMBER_COLUMN, st.sampled_from([" in ", " not in "]), NUMBERS).map("{0[0]}{0[1]}({0[2]})".format),
    st.tuples(NUMBER_COLUMN, NUMBERS, NUMBERS).map("{0[0]} BETWEEN {0[1]} AND {0[2]}".format),
    st.tuples(st.sampled_from(COLUMNS), st.sampled_from([" IS NULL", " is not null"])).map("".join),
    st.sampled_from(["seen", "seen = TRUE", "seen != true", "NOT seen"]),
)
CONDITION = st.recursive(
    SIMPLE,
    lambda inner: st.one_of(
        inner.map("NOT ({})".format),
        st.tuples(inner, st.sampled_from([" AND ", " or ", "\nAnd "]), inner).map("".join),
        st.tuples(inner, st.sampled_from([" AND ", " OR "]), inner).map(lambda parts: f"({''.join(parts)})"),
    ),
    max_leaves=5,
)


@settings(max_examples=100, deadline=None)
@given(where=CONDITION)
def test_what_passes_is_what_sqlite_says(filled, where):
    index, table = filled
    assert set(np.flatnonzero(index.passing(where=where)).tolist()) == passing_by_sqlite(table, where)


@settings(max_examples=40, deadline=None)
@given(
    where=CONDITION,
    k=st.integers(1, 9),
    kind=st.sampled_from([None, "image", "video"]),
    way=st.sampled_from(["scan", "cosine", "par", "every cell", "codes", "hash tables"]),
    excluded=st.sampled_from([None, "holiday/4.mp4"]),
)
def test_a_search_finds_the_nearest_of_what_passes(filled, where, k, kind, way, excluded):
    index, table = filled
    passing = passing_by_sqlite(table, where, "1" if kind is None else f"kind = '{kind}'")
    space = "code" if way in ("codes", "hash tables") else "frame"
    rows = index.rows(space)
    if space == "code":
        rows = Rows(np.unpackbits(rows.vectors, axis=1), rows.items)
    vectors = [rows.vectors[rows.items == number] for number in range(len(index))]
    options = {
        "scan": SearchOptions(),
        "cosine": SearchOptions("cosine"),
        "par": SearchOptions(min_cosine=0.3),
        "every cell": SearchOptions(probes=100),
        "codes": SearchOptions(),
        "hash tables": SearchOptions(multi_index=True),
    }[way]
    query = np.array([[37]], np.uint8) if space == "code" else np.array([[1, -1]], np.float32)
    found = index.search(
        space, query, k, options=options, kinds=kind, where=where, exclude_sources=[excluded] if excluded else None
    )

    def allowed(number):
        return number in passing and index.items[number].source != excluded

    point = np.unpackbits(query) if space == "code" else query[0]
    metric = "cosine" if way == "cosine" else "euclidean"
    wanted = nearest_items(point, vectors, k, metric, allowed, options.min_cosine)
    assert [number for number in found.ids[0].tolist() if number >= 0] == [number for number, _, _ in wanted]
    assert sorted(found.found) == sorted(number for number, _, _ in wanted)


@pytest.mark.parametrize("word", ["like", "ilike"])
def test_signs_of_a_pattern_stand_for_themselves_behind_a_backslash(make_many, word):
    keys = ["a_b/1", "acb/1", "50%/1", "50x/1"]
    index = make_many.empty(Space("frame", 1))
    vectors = np.zeros((len(keys), 1), np.float32)
    index.add([MediaItem(key, "image") for key in keys], {"frame": Rows(vectors, np.arange(len(keys)))})

    def found(pattern):
        return [keys[number] for number in np.flatnonzero(index.passing(where=f"key {word} '{pattern}'"))]

    assert found("a_b/%") == ["a_b/1", "acb/1"]
    assert found(r"a\_b/%") == ["a_b/1"]
    assert found(r"50\%/%") == ["50%/1"]
    assert found(r"%\%%") == ["50%/1"]


def test_times_are_compared_with_dates(filled):
    index, _ = filled
    modified = np.array([np.nan if value is None else value for value in index.values("modified")], float)
    for text, moment in (("2023-11-15", 1_700_006_400), ("2023-11-16T10:00:00+01:00", 1_700_125_200)):
        with np.errstate(invalid="ignore"):
            wanted = modified < moment * 1e9
        assert 0 < wanted.sum() < len(index)
        np.testing.assert_array_equal(index.passing(where=f"modified < '{text}'"), wanted)
    with pytest.raises(ValueError, match=r"character 1: column modified holds times, such as .*, got 'soon'"):
        index.passing(where="modified < 'soon'")


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("", r"character 1: expected a column, NOT or \(, got the end"),
        ("label", "character 1: column label holds text: compare it with a value"),
        ("label = cat", "character 9: text stands in single quotes: write 'cat'"),
        ('label = "o\'neill"', "character 9: text stands in single quotes: write 'o''neill'"),
        ("label = )", "character 9: expected a value: 'text', a number, TRUE or FALSE, got [)]"),
        ("label = 'cat", "character 9: the quote is not closed"),
        ("label = 'cat' duration > 3", "character 15: expected AND, OR or the end, got duration"),
        ("(label = 'cat'", r"character 15: expected \), got the end"),
        ("label ? 3", "character 7: unexpected '[?]'"),
        ("label 3", "character 7: expected a comparison after column label, got 3"),
        ("colour = 'red'", "character 1: no column colour, there are key, kind, label, .*, seen"),
        ("year = 'x'", "character 1: column year holds numbers, got 'x' for it"),
        ("kind = 'image' or seen = 3", "character 19: column seen holds truth values, got 3 for it"),
        ("seen > true", "character 1: column seen holds truth values, which have no order"),
        ("label in ('cat', 3)", "character 1: column label holds text, got 3 for it"),
        ("year like '2%'", "character 1: column year holds numbers, and LIKE wants text"),
        ("label like 3", "character 12: expected a pattern in '...', got 3"),
        ("label = null", "character 9: nothing equals NULL: write IS NULL or IS NOT NULL"),
        ("label is 3", "character 10: expected NULL, got 3"),
        ("year between 3 or 4", "character 16: expected AND, got or"),
        ("label not = 'x'", "character 11: expected IN, LIKE, ILIKE or BETWEEN, got ="),
        ("label in 'x'", r"character 10: expected \(, got 'x'"),
        ("year = 3x", "character 8: unexpected '3'"),
        ("year = 1e999", "character 8: 1e999 is too large"),
        ("__import__('os')", r"character 11: expected a comparison after column __import__, got \("),
        ("not " * 200 + "seen", "more than 100 conditions within each other"),
    ],
)
def test_errors_name_the_place(filled, where, message):
    with pytest.raises(FilterError, match=rf"filter .*, {message}" if "character" in message else message):
        filled[0].search("frame", np.zeros(2, np.float32), 1, where=where)
    with pytest.raises(TypeError, match="a filter must be a string, got 3"):
        filled[0].passing(where=3)


def test_letters_of_either_case(filled):
    index, _ = filled
    labels = np.array([value or "" for value in index.values("label")])
    np.testing.assert_array_equal(index.passing(where="label ILIKE 'CAT'"), np.isin(labels, ["cat", "Cat"]))


def test_a_filter_is_parsed_once_and_answers_are_kept_for_a_while(make, monkeypatch):
    index = make.filled()
    assert parse_filter("key = 'a'") is parse_filter("key = 'a'")
    query = np.zeros(3, np.float32)
    for number in range(40):
        index.search("frame", query, 1, where=f"duration > {number}")
    assert len(index._snapshot.galleries) == 8
    assert len(index._snapshot._passing) == 16
    assert index.search("frame", query, 3, where="key != 'a'").ids.tolist() == [[1, 2, -1]]
    index.remove(["c"])
    assert index.search("frame", query, 3, where="key != 'a'").ids.tolist() == [[1, -1, -1]]


def test_a_filter_loads_no_pandas(make, tmp_path):
    """Which is slow to load, and installed beside many."""
    index = make.empty(Space("frame", 2))
    items = [MediaItem(f"{n}", "video", label=["cat", "dog"][n % 2], duration=float(n)) for n in range(5)]
    index.add(items, {"frame": Rows(np.zeros((5, 2), np.float32), range(5))})
    (tmp_path / "pandas.py").write_text("print('pandas is loaded')\nraise ImportError")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from jaxret.index import MediaIndex\n"
        f"print(MediaIndex.open({str(index.folder)!r}).passing(where=sys.argv[1]).tolist())"
    )
    where = "(label in ('cat', 'x') or modified < '2026-01-01' or duration > 2) and not key like '%4'"
    done = subprocess.run([sys.executable, "-c", code, where], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == str(index.passing(where=where).tolist()), done.stderr
    assert index.passing(where=where).tolist() == [True, False, True, True, False]
