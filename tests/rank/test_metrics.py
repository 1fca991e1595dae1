"""The table of ranking metrics, and one that is added from outside the package."""

from __future__ import annotations

import numpy as np
import pytest

from jaxret import evaluate, rank, search
from jaxret.data.items import MediaItem
from jaxret.data.rows import Rows
from jaxret.errors import ConfigError
from jaxret.evaluation import Ranking, rank_items
from jaxret.index import EncoderRecord, MediaIndex, SearchOptions, Space
from jaxret.preprocessing import Preprocessing


def manhattan_topk(queries, gallery, k, /, *, threads=None):
    """The k gallery rows nearest by the sum of absolute differences."""
    distances = np.abs(queries[:, None, :] - np.asarray(gallery, np.float32)[None]).sum(axis=-1)
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return rank.SearchResult(order, np.take_along_axis(distances, order, axis=1).astype(np.float32))


@pytest.fixture
def manhattan(monkeypatch):
    monkeypatch.setitem(rank.METRICS, "manhattan", rank.RankingMetric(manhattan_topk, "float32", "city blocks"))


# From 0 the order is b, a, c by Manhattan distance, and a, b, c by the Euclidean.
VECTORS = np.array([[3.0, 3.0], [5.0, 0.0], [0.0, 9.0]], np.float32)


@pytest.fixture
def index(tmp_path):
    made = MediaIndex.create(tmp_path, spaces=[Space("frame", 2)], encoder=EncoderRecord("sha256:0", Preprocessing()))
    made.add([MediaItem(key, "image") for key in "abc"], {"frame": Rows(VECTORS, [0, 1, 2])})
    return made


def test_the_table_names_what_each_metric_compares():
    assert rank.metrics_of("float32") == ("euclidean", "cosine")
    assert rank.metrics_of("uint8") == ("hamming",)
    assert [name for name, metric in rank.METRICS.items() if metric.whole] == ["hamming"]


def test_an_added_metric_ranks_an_index_that_was_made_before(index, manhattan):
    found = index.search("frame", [0.0, 0.0], 3, options=SearchOptions("manhattan"))
    assert [index.items[number].key for number in found.ids[0]] == ["b", "a", "c"]
    assert found.distances.tolist() == [[5.0, 6.0, 9.0]]
    nearest = index.search("frame", [0.0, 0.0], 3).ids[0]
    assert [index.items[number].key for number in nearest] == ["a", "b", "c"]
    with pytest.raises(ValueError, match="min_cosine needs metric 'euclidean'"):
        index.search("frame", [0.0, 0.0], 3, options=SearchOptions("manhattan", min_cosine=0.0))


def test_an_index_without_the_metric_names_those_that_there_are(index):
    with pytest.raises(ValueError, match="metric must be one of euclidean, cosine, got 'manhattan'"):
        index.search("frame", [0.0, 0.0], 3, options=SearchOptions("manhattan"))


def test_an_added_metric_is_evaluated(manhattan):
    query = Rows(np.zeros((1, 2), np.float32), [0])
    ranked = rank_items(query, Rows(VECTORS, [0, 1, 2]), Ranking("manhattan", depth=2))
    assert ranked.ids.tolist() == [[1, 0]]
    assert ranked.distances.tolist() == [[5.0, 6.0]]


def test_evaluation_refuses_a_metric_that_is_not_in_the_table():
    with pytest.raises(ConfigError, match="distance must be one of euclidean, cosine, hamming, got 'manhattan'"):
        Ranking("manhattan")


@pytest.mark.parametrize("command", [search, evaluate])
def test_an_added_metric_can_be_named_on_the_command_line(command, manhattan, capsys):
    with pytest.raises(SystemExit):
        command.main(["--help"])
    assert "{euclidean,cosine,hamming,manhattan}" in capsys.readouterr().out
