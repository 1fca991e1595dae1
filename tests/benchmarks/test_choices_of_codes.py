"""Codes are chosen by training videos alone, and no source is on both sides."""

import numpy as np
from studies.unseen_classes.choices import without_tests
from studies.unseen_classes.videos import Videos

CLASSES, SOURCES, EACH = 4, 7, 3


def videos() -> Videos:
    """Of each class seven sources of three videos, of which the last is for tests."""
    labels = np.repeat(np.arange(CLASSES), SOURCES * EACH)
    sources = np.repeat(np.arange(CLASSES * SOURCES), EACH)
    test = np.flatnonzero(sources % SOURCES == SOURCES - 1)
    train = np.setdiff1d(np.arange(len(labels)), test)
    return Videos("some", 2, labels, sources, train, test, lambda: np.zeros((len(labels), 1, 1), np.float32))


def test_queries_are_of_a_third_of_each_classes_training_sources() -> None:
    given = videos()
    for seed in range(5):
        shown = without_tests(given, seed)
        np.testing.assert_array_equal(np.sort(np.concatenate([shown.train, shown.test])), given.train)
        queries = np.unique(given.sources[shown.test])
        assert not set(given.sources[shown.train]) & set(queries)
        np.testing.assert_array_equal(np.bincount(queries // SOURCES), [2] * CLASSES)  # of six
    assert not np.array_equal(without_tests(given, 0).test, without_tests(given, 1).test)


def test_a_source_of_two_classes_is_on_one_side() -> None:
    given = videos()
    given.sources[given.labels == 1] -= SOURCES  # those of class 0
    for seed in range(5):
        shown = without_tests(given, seed)
        assert not set(given.sources[shown.train]) & set(given.sources[shown.test])
