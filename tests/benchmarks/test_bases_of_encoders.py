"""What stands in the place of an open-set encoder's mean vectors, and how it is chosen in the rounds."""

from __future__ import annotations

import numpy as np
from studies.unseen_classes.bases import (
    BOTH,
    DEFAULT,
    HELD_OUT,
    OF_MEANS,
    OF_RIDGE,
    OF_SHORTENED,
    SUMS,
    bases,
    chosen,
)

from jaxret.training.open_set.nuisances import Nuisances


def test_bases_are_components_of_what_was_fitted_on_and_sums() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(90, 6)) * [5.0, 3.0, 2.0, 1.0, 0.5, 0.2]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    fitted, labels = vectors[:60], np.arange(60) % 4
    shortened = Nuisances.fit(fitted, labels, 6).shortened(1.0)
    made = bases(fitted, shortened, vectors)
    assert list(made) == [DEFAULT, *OF_MEANS, *OF_RIDGE, *OF_SHORTENED, *SUMS]
    for rows in made.values():
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1)

    def cosines(rows: np.ndarray, of: np.ndarray, added: float, scale: float, power: float) -> np.ndarray:
        values, axes = np.linalg.eigh(np.cov(of.T))
        found = ((rows - of.mean(axis=0)) @ axes) * (added + scale * values / values.mean()) ** -power
        found /= np.linalg.norm(found, axis=1, keepdims=True)
        return found @ found.T

    of_default = made[DEFAULT] @ made[DEFAULT].T
    np.testing.assert_allclose(of_default, shortened(vectors) @ shortened(vectors).T)
    for names, every, of, added, scale in (
        (OF_MEANS, vectors, fitted, 0, 1),
        (OF_RIDGE, vectors, fitted, 1, 100),
        (OF_SHORTENED, made[DEFAULT], shortened(fitted), 0, 1),
    ):
        for name, power in names.items():
            np.testing.assert_allclose(
                made[name] @ made[name].T, cosines(every, of, added, scale, power), atol=1e-5, err_msg=name
            )
    alike = cosines(vectors, fitted, 0, 1, 1 / 4)
    for name, share in SUMS.items():
        np.testing.assert_allclose(made[name] @ made[name].T, (1 - share) * of_default + share * alike, atol=1e-5)


def test_the_default_stays_where_nothing_is_better() -> None:
    before, default = np.array([0.5, 0.5]), (DEFAULT, 0.5)
    tried = {default: np.array([0.8, 0.6]), ("other", 0.5): np.array([0.79, 0.7]), ("other", 1.0): np.array([0.8, 0.6])}
    # What loses on kept classes is not taken by the first rule; by the second it has the larger sum.
    assert chosen(tried, default, before) == {HELD_OUT: default, BOTH: ("other", 0.5)}
    tried["other", 0.25] = np.array([0.8, 0.61])
    assert chosen(tried, default, before)[HELD_OUT] == ("other", 0.25)
    # What loses against the means on either is left where another does not.
    assert chosen({default: tried[default], ("other", 0.5): np.array([0.4, 1.3])}, default, before)[BOTH] == default
