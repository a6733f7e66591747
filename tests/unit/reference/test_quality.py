"""Quality indices from sizes, means and spreads alone, against scikit-learn on the records."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import calinski_harabasz_score, davies_bouldin_score

from mpcseg.reference.quality import Separation, separation

Array = np.ndarray


def profile(records: Array, labels: Array) -> tuple[Array, Array, Array, Array, Array]:
    """What the key node knows: sizes, means, spreads, the joint mean and the weights."""
    groups = [records[labels == a] for a in np.unique(labels)]
    return (
        np.array([float(len(group)) for group in groups]),
        np.array([group.mean(axis=0) for group in groups]),
        np.array([group.std(axis=0) for group in groups]),
        records.mean(axis=0),
        1 / records.var(axis=0),
    )


def found(records: Array, labels: Array) -> Separation:
    got = separation(*profile(records, labels))
    assert got is not None
    return got


@pytest.fixture(scope="module", params=[0, 1, 2])
def clustered(request: pytest.FixtureRequest) -> tuple[Array, Array, Array]:
    """Records in units of their own, their labels, and the standardised records."""
    rng = np.random.default_rng(request.param)
    centers = rng.normal(0, 2, (4, 3))
    records = centers[rng.integers(0, 4, 600)] + rng.normal(0, 0.7, (600, 3))
    records = records * [1, 20, 0.3] + [5, -100, 0]
    standardised = (records - records.mean(axis=0)) / records.std(axis=0)
    return records, KMeans(4, n_init=3, random_state=0).fit_predict(standardised), standardised


def test_calinski_harabasz_is_that_of_scikit_learn(
    clustered: tuple[Array, Array, Array],
) -> None:
    records, labels, standardised = clustered
    expected = calinski_harabasz_score(standardised, labels)
    assert found(records, labels).calinski_harabasz == pytest.approx(expected, rel=1e-9)


def test_the_share_explained_is_one_minus_the_inertia_over_all_of_it(
    clustered: tuple[Array, Array, Array],
) -> None:
    records, labels, standardised = clustered
    means = np.array([standardised[labels == a].mean(axis=0) for a in range(4)])
    inertia = float(((standardised - means[labels]) ** 2).sum())
    assert found(records, labels).explained == pytest.approx(1 - inertia / standardised.size)


def test_davies_bouldin_is_a_little_more_than_scikit_learns_mean_distances(
    clustered: tuple[Array, Array, Array],
) -> None:
    """A root mean square is never below a mean, and for round clusters not far above it."""
    records, labels, standardised = clustered
    expected = davies_bouldin_score(standardised, labels)
    assert expected <= found(records, labels).davies_bouldin <= 1.2 * expected


def test_davies_bouldin_is_scikit_learns_where_records_are_equally_far_from_their_mean() -> None:
    """Pairs around each mean: mean and root mean square distance are the same."""
    centers = np.array([[0, 0], [4, 1], [-3, 5.0]])
    offsets = np.array([[0.3, 0.4], [-0.1, 0.7], [1.0, 0.2]])
    records = np.concatenate([centers + offsets, centers - offsets])
    labels = np.array([0, 1, 2, 0, 1, 2])
    standardised = (records - records.mean(axis=0)) / records.std(axis=0)
    expected = davies_bouldin_score(standardised, labels)
    assert found(records, labels).davies_bouldin == pytest.approx(expected, rel=1e-9)


def test_noise_in_the_means_is_taken_off_what_they_explain() -> None:
    sizes, spreads = np.array([300.0, 200.0, 100.0]), np.full((3, 2), 0.7)
    means = np.array([[0.6, 0.3], [-0.4, -0.6], [-1.0, 0.3]])
    stds, origin, ones = np.full((3, 2), 0.1), np.zeros(2), np.ones(2)
    rng = np.random.default_rng(1)
    shares = []
    for _ in range(6000):
        noised = separation(sizes, means + rng.normal(0, stds), spreads, origin, ones, stds)
        assert noised is not None
        shares.append(noised.explained)
    without = separation(sizes, means, spreads, origin, ones)
    assert without is not None
    error = float(np.std(shares)) / np.sqrt(len(shares))
    assert np.mean(shares) == pytest.approx(without.explained, abs=4 * error)
    assert 8 * error < 0.1**2  # what the noise adds where it is not taken off


@pytest.mark.parametrize("case", ["one cluster", "no record", "two at one place", "noise alone"])
def test_nothing_is_told_where_there_is_nothing_to_tell(case: str) -> None:
    sizes, means = np.array([50.0, 50.0]), np.array([[-0.5, 0.0], [0.5, 0.1]])
    spreads, stds = np.full((2, 2), 0.3), np.zeros((2, 2))
    assert separation(sizes, means, spreads, np.zeros(2), np.ones(2), stds) is not None
    if case == "one cluster":
        sizes, means, spreads, stds = sizes[:1], means[:1], spreads[:1], stds[:1]
    elif case == "no record":
        sizes[1] = 0
    elif case == "two at one place":
        means[1] = means[0]
    else:
        stds += 0.4
    assert separation(sizes, means, spreads, np.zeros(2), np.ones(2), stds) is None
