"""How centroids move between rounds."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mpcseg.reference.hyperplanes import hyperplanes
from mpcseg.reference.moments import Moments, moment_sums
from mpcseg.study.centroids import (
    COINCIDENT,
    emptiness_threshold,
    lengths,
    relaxation,
    separate,
    split_largest,
    splitting_axis,
)


@given(st.integers(0, 2**32 - 1), st.integers(2, 12), st.integers(1, 4))
def test_separated_centroids_are_distinct_deterministic_and_in_the_domain(
    seed: int, k: int, d: int
) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.uniform(1, 1e4, d)
    centers = rng.choice([-1.0, 0.2, 1.0], (k, d))  # many coincide, many at the bounds
    apart, moved = separate(centers, weights)
    again, _ = separate(centers, weights)
    np.testing.assert_array_equal(apart, again)
    assert np.abs(apart).max() <= 1
    for b in range(1, k):
        assert (lengths(apart[:b] - apart[b], weights) >= COINCIDENT).all()
    untouched = [b for b in range(k) if b not in moved]
    np.testing.assert_array_equal(apart[untouched], centers[untouched])
    assert np.isfinite(hyperplanes(apart, weights, np.sqrt(d))).all()


def test_distinct_centroids_stay_where_they_are() -> None:
    centers = np.array([[0.0, 0.0], [0.0, 0.01]])
    apart, moved = separate(centers, np.ones(2))
    assert moved == ()
    np.testing.assert_array_equal(apart, centers)


def test_relaxation_looks_ahead_only_in_a_kept_direction() -> None:
    step = np.array([[0.1, 0.0], [0.1, 0.0], [0.0, 0.1]])
    previous = np.array([[0.2, 0.1], [-0.2, 0.1], [0.1, 0.0]])
    np.testing.assert_array_equal(relaxation(step, previous, np.ones(2))[:, 0], [2, 1, 1])
    np.testing.assert_array_equal(relaxation(step, None, np.ones(2))[:, 0], [1, 1, 1])


def test_splitting_axis_is_where_the_clusters_are_wide() -> None:
    """Means that explain the first feature leave the second one to split along."""
    rng = np.random.default_rng(0)
    side = rng.choice([-1.0, 1.0], 2000)
    records = np.column_stack([0.6 * side + rng.normal(0, 0.02, 2000), rng.normal(0, 0.3, 2000)])
    moments = Moments.from_sums(moment_sums(records), 2)
    means = np.array([records[side < 0].mean(axis=0), records[side > 0].mean(axis=0)])
    axis = splitting_axis(moments, means, np.array([np.sum(side < 0), np.sum(side > 0)]))
    assert abs(axis[1]) > 0.1
    assert abs(axis[0]) < 0.1 * abs(axis[1])


def test_splitting_axis_is_never_zero() -> None:
    records = np.array([[-0.5, 0.1], [0.5, -0.3]])
    moments = Moments.from_sums(moment_sums(records), 2)
    axis = splitting_axis(moments, records, np.ones(2))
    assert lengths(axis[None], 1 / np.diag(moments.covariance))[0] > 0.05


def test_split_takes_the_largest_cluster() -> None:
    centers = np.array([[0.1], [0.95], [-0.7]])
    moved, largest = split_largest(centers, np.array([3.0, 8.0, 0.0]), 2, np.array([0.1]))
    assert largest == 1
    np.testing.assert_allclose(moved, [[0.1], [1.0], [0.85]])


def test_one_record_is_a_cluster_in_a_small_study_but_noise_in_a_large_one() -> None:
    assert emptiness_threshold(20, 0.04) < 1
    assert emptiness_threshold(1e6, 0.04) > 100
