"""Fitting on some classes makes those easier to find, and loses nothing on classes that were never shown."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from sklearn.linear_model import LogisticRegression

from jaxret.errors import ConfigError
from jaxret.models.temporal.open_set import OpenSetEncoder
from jaxret.models.temporal.open_set_hash import OpenSetHash
from jaxret.training.itq import Planes, fit_itq
from jaxret.training.open_set import Deal, LearnedWithout, OpenSetSettings, fit_open_set, hold_out, trials
from jaxret.training.open_set.codes import Codes, _best
from jaxret.training.open_set.nuisances import Nuisances
from jaxret.training.open_set.rounds import Classifier, Items, Known, Round

T, D, CLASSES, SEEN, SOURCES, EACH = 3, 12, 12, 9, 6, 4
SETTINGS = OpenSetSettings(
    strengths=(0.3, 1.0),
    inverse_regularisation=(1.0,),
    weights=(1.0, 0.5),
    code_weights=(1.0, 0.5),
    doubts=(10.0, 100.0),
    marks=(0.0, 1 / 16),
    rounds=3,
)


def sequences(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vectors (N, T, D), classes and sources. A class shifts a few numbers, a larger nuisance others,
    so that the mean finds classes poorly."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(CLASSES, D)) * ([1.2] * 8 + [0.0] * (D - 8))
    labels = np.repeat(np.arange(CLASSES), SOURCES * EACH)
    sources = np.repeat(np.arange(CLASSES * SOURCES), EACH)
    of_source = 0.6 * rng.normal(size=(CLASSES * SOURCES, D))
    nuisance = rng.normal(size=(len(labels), D)) * ([0.2] * 8 + [3.0] * (D - 8))
    vectors = (centres[labels] + of_source[sources] + nuisance)[:, None] + 0.3 * rng.normal(size=(len(labels), T, D))
    return vectors.astype(np.float32), labels, sources


def average_precisions(queries: np.ndarray, gallery: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Of each query by inner product; queries and gallery have the same classes and no source in common."""
    order = np.argsort(-(queries @ gallery.T), axis=1, kind="stable")
    relevant = labels[order] == labels[:, None]
    precision = np.cumsum(relevant, axis=1) / np.arange(1, relevant.shape[1] + 1)
    return (precision * relevant).sum(axis=1) / relevant.sum(axis=1)


def gains_on_means(encoder: OpenSetEncoder, test: np.ndarray, train: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """By how much the encoder finds each test item better than the mean vectors do."""
    embedded = [np.asarray(encoder(jnp.asarray(vectors)).embedding) for vectors in (test, train)]
    means = [vectors.mean(axis=1) for vectors in (test, train)]
    plain = [m / np.linalg.norm(m, axis=1, keepdims=True) for m in means]
    return average_precisions(*embedded, labels) - average_precisions(*plain, labels)


@pytest.mark.parametrize("nuisances", [0, D])
def test_seen_classes_gain_and_unseen_ones_lose_nothing(nuisances: int) -> None:
    (train, labels, sources), (test, _, _) = sequences(0), sequences(1)
    known = labels < SEEN
    encoder = OpenSetEncoder(D, SEEN, nuisances=nuisances, rngs=nnx.Rngs(0))
    fit = fit_open_set(encoder, train[known], labels[known], sources[known], SETTINGS)
    gains = gains_on_means(encoder, test, train, labels)
    assert fit.weight > 0
    assert fit.held_out_gain >= 0
    assert gains[known].mean() > 0.1
    # What varies within classes hides the unseen ones, too: without it they are found much better.
    assert gains[~known].mean() >= (0.2 if nuisances else 0)
    assert (fit.strength is not None) == bool(nuisances)


def test_codes_gain_on_both_as_well_and_codewords_find_what_is_known() -> None:
    found = []
    for draw in range(3):
        (train, labels, sources), (test, _, _) = sequences(2 * draw), sequences(2 * draw + 1)
        known = labels < SEEN
        hashed = OpenSetHash(OpenSetEncoder(D, SEEN, rngs=nnx.Rngs(0)), 32, rngs=nnx.Rngs(0))
        fit = fit_open_set(hashed, train[known], labels[known], sources[known], SETTINGS)
        assert fit.doubt == hashed.doubt
        assert fit.kept_gain > 0
        assert fit.held_out_gain >= 0
        plain = fit_itq(train[known].mean(axis=1), 32, seed=0)
        codes = [[np.sign(plain(vectors.mean(axis=1))) for vectors in (test, train)]]
        codes += [[np.sign(np.asarray(hashed(jnp.asarray(vectors)).embedding) - 0.5) for vectors in (test, train)]]
        hashed.codewords[...] = jnp.zeros_like(hashed.codewords[...])
        codes += [[np.sign(np.asarray(hashed(jnp.asarray(vectors)).embedding) - 0.5) for vectors in (test, train)]]
        scores = [average_precisions(*signs, labels) for signs in codes]
        found.append([(score[known].mean(), score[~known].mean()) for score in scores])
    before, fitted, without_codewords = np.mean(found, axis=0)
    assert fitted[0] > before[0] + 0.3
    assert fitted[1] > before[1]
    assert fitted[0] > without_codewords[0] + 0.1


def test_codes_are_chosen_by_both_scores_held_out_ones_twice_among_those_that_hold_held_out_classes() -> None:
    before = np.array([[0.2, 0.3], [0.4, 0.5]])  # two rounds; held-out classes are found by 0.4
    scores = {
        (1.0, 10.0): np.array([[0.9, 0.3], [0.9, 0.4]]),  # the largest, and held-out classes lose
        (1.0, 30.0): np.array([[0.5, 0.3], [0.5, 0.5]]),
        (2.0, 10.0): np.array([[0.3, 0.5], [0.5, 0.5]]),  # 0.4 x 0.5 ** 2, of the one above 0.5 x 0.4 ** 2
        (2.0, 30.0): np.array([[0.1, 0.5], [0.3, 0.6]]),
    }
    assert _best(scores, before=before, power=2) == (2.0, 10.0)
    assert _best(scores, before=before, power=1) == (1.0, 30.0)  # 0.5 x 0.4, of the other 0.4 x 0.5: the first
    assert _best(scores, before=before + 0.2, power=2) == (1.0, 10.0)


def test_codes_of_the_means_stay_where_nothing_that_is_tried_is_worth_more() -> None:
    """Classes that nothing tells apart: no codeword can help, so the codes are those of ITQ on the means."""
    rng = np.random.default_rng(0)
    vectors, labels = rng.normal(size=(27, T, D)).astype(np.float32), np.repeat(np.arange(9), 3)
    hashed = OpenSetHash(OpenSetEncoder(D, 9, rngs=nnx.Rngs(0)), 32, rngs=nnx.Rngs(0))
    fit = fit_open_set(
        hashed, vectors, labels, np.arange(27), dataclasses.replace(SETTINGS, doubts=(1.0,), marks=(0.0,))
    )
    assert (fit.weight, fit.doubt, fit.kept_gain, fit.held_out_gain) == (0.0, None, 0.0, 0.0)
    means = vectors.mean(axis=1).astype(np.float64)
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    expected = fit_itq(means, 32, seed=0)(means) >= 0
    assert np.mean(expected == (np.asarray(hashed(jnp.asarray(vectors)).embedding) >= 0.5)) > 0.99


def test_a_codeword_is_the_signs_of_what_a_classes_items_say_on_the_mean() -> None:
    rng = np.random.default_rng(0)
    labels = np.array([0, 0, 1, 1, 2])
    fitted = np.array([True, True, True, False, False])  # nothing of class 2, which the round does not know
    mean, posterior = rng.normal(size=(5, 3)), np.array([[1.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0], [0.5, 0.5, 0]])
    classifier = Classifier(np.arange(2), np.zeros((9, 2)), np.zeros(2), np.zeros((2, 3)))
    seen = Round(Deal(labels < 2, fitted, ~fitted), classifier, mean, posterior, np.zeros((5, 8)))
    known = Known(np.zeros(8), 2.0)
    planes = Planes(rng.normal(size=7), rng.normal(size=(7, 16)), rng.normal(size=16))
    codes = Codes.fit(planes, seen, known, 0.5, labels)
    k = 1 / (1 + np.exp(-2.0))
    rows = np.array([[*mean[n], *np.sqrt(0.5 * k * posterior[n]), np.sqrt(0.5 * (1 - k))] for n in range(5)])
    linear = (rows - planes.mean) @ planes.normals + planes.offsets
    np.testing.assert_array_equal(codes.codewords[0], np.where(linear[:2].mean(axis=0) >= 0, 1, -1))
    np.testing.assert_array_equal(codes.codewords[1], np.where(linear[2] >= 0, 1, -1))
    sure = posterior * k / (k + 20 * (1 - k))
    expected = np.where(linear + 4 * sure @ codes.codewords >= 0, 1, -1)
    np.testing.assert_array_equal(codes.signs(seen, known, 0.5, 20.0), expected)
    # Marks, the last eighth, say whether the class is surely known; other bits stay as they are.
    marked = codes.marked(1 / 8).signs(seen, known, 0.5, 2.0)
    np.testing.assert_array_equal(marked[:, :14], codes.signs(seen, known, 0.5, 2.0)[:, :14])
    surely = (posterior * k / (k + 2 * (1 - k))).sum(axis=1) > 1 / 4
    np.testing.assert_array_equal(marked[:, 14:], np.where(surely, -1, 1)[:, None].repeat(2, axis=1))
    assert not codes.marked(1 / 8).signs(seen, Known(np.zeros(8), -9.0), 0.5, 2.0)[:, 14:].min() < 1


def test_the_last_bits_are_marks_where_only_marks_are_offered() -> None:
    train, labels, sources = sequences(0)
    known = labels < 4
    hashed = OpenSetHash(OpenSetEncoder(D, 4, rngs=nnx.Rngs(0)), 32, rngs=nnx.Rngs(0))
    settings = dataclasses.replace(SETTINGS, code_weights=(0.5,), doubts=(10.0,), marks=(0.25,))
    fit = fit_open_set(hashed, train[known], labels[known], sources[known], settings)
    assert fit.marks == 0.25
    encoding = hashed(jnp.asarray(train))
    posterior, k = (np.asarray(encoding.stages[name]) for name in ("posterior", "known"))
    surely = 4 * posterior.sum(axis=1) * k / (k + hashed.doubt * (1 - k)) > 1
    assert 0.1 < surely.mean() < 0.9
    bits = np.asarray(encoding.embedding) >= 0.5
    np.testing.assert_array_equal(bits[:, 24:], ~surely[:, None].repeat(8, axis=1))
    assert 0 < bits[:, :24].mean(axis=0).min() <= bits[:, :24].mean(axis=0).max() < 1


def test_a_choice_that_costs_either_kind_of_class_is_not_taken() -> None:
    before = np.array([[0.5, 0.5], [0.7, 0.7]])  # two rounds, of kept and of held-out classes
    scores = {
        "nothing": before,
        "kept classes lose": before + np.array([-0.01, 0.5]),
        "held-out classes lose": before + np.array([0.5, -0.01]),
        "both gain": before + np.array([[0.2, 0.0], [-0.1, 0.1]]),
    }
    assert trials._best(scores, before=before) == "both gain"
    del scores["both gain"]
    assert trials._best(scores, before=before) == "nothing"


def test_where_few_classes_are_held_out_the_posterior_weighs_little_and_doubt_is_large() -> None:
    settings = OpenSetSettings(weights=(4.0, 1.0, 0.25, 0.125), code_weights=(1.0, 0.5), doubts=(30.0, 300.0, 100.0))
    assert [settings.held_out_classes(classes) for classes in (3, 4, 5, 8, 9, 10, 14)] == [1, 1, 2, 2, 3, 3, 4]
    assert [settings.holds_out(classes) for classes in (2, 3)] == [False, True]
    assert settings.for_classes(9) is settings
    few = settings.for_classes(8)
    assert few == dataclasses.replace(settings, weights=(0.25, 0.125), code_weights=(0.25,), doubts=(300.0,))
    assert dataclasses.replace(settings, weight_of_few=0.5).for_classes(3).weights == (0.5, 0.25, 0.125)


def test_few_classes_of_few_items_lose_nothing_for_others() -> None:
    """Three classes of eight items: found by the posterior, and not at the cost of nine others."""
    gains = []
    for draw in range(4):
        (train, labels, sources), (test, _, _) = sequences(2 * draw), sequences(2 * draw + 1)
        order = np.random.default_rng(draw).permutation(CLASSES)
        labels = np.argsort(order)[labels]
        shown = (labels < 3) & (sources % SOURCES < 2)
        encoder = OpenSetEncoder(D, 3, nuisances=D, rngs=nnx.Rngs(0))
        fit_open_set(encoder, train[shown], labels[shown], sources[shown], OpenSetSettings(rounds=3))
        assert encoder.weight <= 0.25
        gain = gains_on_means(encoder, test, train, labels)
        gains.append((gain[labels < 3].mean(), gain[labels >= 3].mean()))
    assert np.mean(gains, axis=0).min() > 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weight_of_few": 0.0}, r"weight_of_few must be finite numbers above 0, got 0\.0"),
        ({"strengths": (0.1, -1.0)}, r"strengths must be finite numbers of at least 0, got -1\.0"),
        ({"inverse_regularisation": (0.0,)}, r"inverse_regularisation must be finite numbers above 0, got 0\.0"),
        ({"weights": (float("nan"),)}, "weights must be finite numbers above 0, got nan"),
        ({"code_weights": (0.5, 0.0)}, r"code_weights must be finite numbers above 0, got 0\.0"),
        ({"doubts": (0.5,)}, r"doubts must be finite numbers of at least 1, got 0\.5"),
        ({"marks": (0.5, 1.0)}, r"marks must be shares of a code's bits below 1, got 1\.0"),
        ({"marks": (-0.1,)}, r"marks must be finite numbers of at least 0, got -0\.1"),
        ({"weights": ()}, "weights must hold at least one number to choose from, got none"),
        ({"held_out_power": -1.0}, "held_out_power must be finite numbers of at least 0, got -1.0"),
        ({"rounds": 1}, "rounds must be at least 2"),
        ({"held_out": 1.0}, "held_out must be a share of the classes above 0 and below 1"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        OpenSetSettings(**settings)


def test_nuisances_are_the_directions_of_the_largest_deviation_within_classes() -> None:
    vectors, labels, _ = sequences(0)
    means = vectors.mean(axis=1).astype(np.float64)
    within = np.concatenate([means[labels == one] - means[labels == one].mean(axis=0) for one in range(CLASSES)])
    variances = np.linalg.eigvalsh(within.T @ within)[::-1]
    found = Nuisances.fit(means, labels, D)
    np.testing.assert_allclose(found.variances, variances / variances.mean(), rtol=1e-9)
    # With all directions, shortening is a product with (S + mean / strength) ** -0.5, but for the length.
    scatter, axes = np.linalg.eigh(within.T @ within)
    whitening = (axes / np.sqrt(scatter + scatter.mean() / 0.3)) @ axes.T
    expected = (means - means.mean(axis=0)) @ whitening
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(found.shortened(0.3)(means), expected, atol=1e-9)
    np.testing.assert_allclose(found.shortened(0.3).padded(D + 2)(means), expected, atol=1e-9)


def test_rounds_hold_out_every_class_as_often_and_show_no_source_that_they_fit_on() -> None:
    _, labels, sources = sequences(0)
    settings = OpenSetSettings(rounds=6, held_out=0.5)
    deals = [Deal.of(held_out, labels, sources) for held_out in hold_out(labels, sources, settings)]
    held_out = np.array([[not deal.kept[labels == one].any() for one in range(CLASSES)] for deal in deals])
    np.testing.assert_array_equal(held_out.sum(axis=0), 3)
    for deal in deals:
        assert not set(sources[deal.fitted]) & set(sources[deal.shown])
        np.testing.assert_array_equal(deal.fitted | deal.shown, True)
        assert (deal.kept & deal.shown).sum() == deal.kept.sum() // 3


def test_the_same_seed_gives_the_same_numbers() -> None:
    train, labels, sources = sequences(0)
    known = labels < 4
    found = []
    for _ in range(2):
        encoder = OpenSetEncoder(D, 4, rngs=nnx.Rngs(0))
        fit_open_set(encoder, train[known], labels[known], sources[known], SETTINGS)
        found.append(np.asarray(encoder(jnp.asarray(train[:5])).embedding))
    np.testing.assert_array_equal(*found)


def test_where_no_class_can_be_held_out_it_is_the_mean() -> None:
    train, labels, sources = sequences(0)
    two = labels < 2
    given = (train[two], labels[two], sources[two], SETTINGS)
    encoder = OpenSetEncoder(D, 2, rngs=nnx.Rngs(0))
    fit = fit_open_set(encoder, *given)
    assert (fit.strength, fit.weight, fit.kept_gain, fit.held_out_gain) == (None, 0, 0, 0)
    encoding = encoder(jnp.asarray(train))
    np.testing.assert_array_equal(encoding.embedding[:, :D], encoding.stages["mean"])
    np.testing.assert_array_equal(encoding.embedding[:, D:], 0)
    hashed = OpenSetHash(OpenSetEncoder(D, 2, rngs=nnx.Rngs(0)), 16, rngs=nnx.Rngs(0))
    fit_open_set(hashed, *given)
    means = np.asarray(encoding.stages["mean"])
    planes = fit_itq(means[two], 16, seed=SETTINGS.seed)
    found, expected = np.asarray(hashed(jnp.asarray(train)).embedding) >= 0.5, planes(means) >= 0
    assert (found != expected).mean() < 0.01  # the sign of a product that is nearly 0 may be rounded either way
    learned = OpenSetEncoder(D, 2, learned=2, rngs=nnx.Rngs(0))
    with pytest.raises(ConfigError, match="holding classes out needs at least 3 training classes, got 2"):
        fit_open_set(learned, *given)
    with pytest.raises(ConfigError, match="each of the 5 classes needs an item, got items of 2"):
        fit_open_set(OpenSetEncoder(D, 5, rngs=nnx.Rngs(0)), train[two], labels[two], sources[two], SETTINGS)


def test_one_source_a_class_is_enough_to_fit() -> None:
    train, labels, _ = sequences(0)
    known = labels < 4
    encoder = OpenSetEncoder(D, 4, rngs=nnx.Rngs(0))
    fit = fit_open_set(encoder, train[known], labels[known], labels[known], SETTINGS)
    assert np.isfinite(np.asarray(encoder(jnp.asarray(train[:5])).embedding)).all()
    # Nothing has another source to be found from, so nothing can be measured: the means stay as they are.
    assert (fit.strength, fit.weight, fit.kept_gain, fit.held_out_gain) == (None, 0, 0, 0)


def test_what_was_learned_by_heart_is_judged_by_networks_that_did_not_see_it() -> None:
    """The final network knows every training item's class, as trained ones do, and nothing of others. Rounds whose
    networks know what they were trained on alone promise nothing; those that know all kept classes promise much."""
    vectors, labels, sources = sequences(0)
    known = labels < SEEN
    vectors, labels, sources = vectors[known], labels[known], sources[known]
    by_heart = 5 * np.eye(SEEN, dtype=np.float32)[labels]
    noise = np.random.default_rng(0).normal(size=by_heart.shape).astype(np.float32)

    def beside(numbers: np.ndarray) -> np.ndarray:
        return np.concatenate([np.repeat(numbers[:, None], T, axis=1), vectors], axis=-1)

    fits = {}
    for name, knows in (("heart", lambda deal: deal.fitted), ("gift", lambda deal: deal.kept)):
        rounds = []
        for held_out in hold_out(labels, sources, SETTINGS):
            shown = knows(Deal.of(held_out, labels, sources))[:, None]
            rounds.append(LearnedWithout(held_out, beside(np.where(shown, by_heart, noise))))
        encoder = OpenSetEncoder(SEEN + D, SEEN, learned=SEEN, rngs=nnx.Rngs(0))
        fits[name] = fit_open_set(encoder, beside(by_heart), labels, sources, SETTINGS, rounds)
        assert encoder.weight == fits[name].weight
    assert fits["gift"].kept_gain > 0.3
    assert abs(fits["heart"].kept_gain) < 0.1


def test_learned_numbers_need_rounds_and_others_have_none() -> None:
    vectors, labels, sources = sequences(0)
    known = labels < 4
    given = (vectors[known], labels[known], sources[known], SETTINGS)
    with pytest.raises(ValueError, match="an encoder with 2 learned numbers, and 0 rounds"):
        fit_open_set(OpenSetEncoder(D, 4, learned=2, rngs=nnx.Rngs(0)), *given)
    rounds = [LearnedWithout(held_out, given[0]) for held_out in hold_out(*given[1:])]
    with pytest.raises(ValueError, match="an encoder with 0 learned numbers, and 3 rounds"):
        fit_open_set(OpenSetEncoder(D, 4, rngs=nnx.Rngs(0)), *given, rounds)


def test_few_items_of_long_vectors_give_the_classifier_that_scikit_learn_gives() -> None:
    rng = np.random.default_rng(0)
    items = Items(rng.normal(size=(20, 15)), rng.normal(size=(20, 45)), np.arange(20) % 3, np.arange(20))
    found = Classifier.fit(items, 0.3)
    centre, deviation = items.seen.mean(axis=0), items.seen.std(axis=0)
    scale = np.sqrt(deviation * np.sqrt((deviation**2).mean()))
    reference = LogisticRegression(C=0.3, tol=1e-8, max_iter=1000).fit((items.seen - centre) / scale, items.labels)
    expected = reference.predict_proba((items.seen - centre) / scale)
    np.testing.assert_allclose(found.read(items)[0], expected, atol=2e-3)
    np.testing.assert_allclose(found.kernel * scale[:, None], reference.coef_.T, atol=5e-3)
