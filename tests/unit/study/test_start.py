"""Starting centroids from the moments alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpcseg.reference.moments import Moments, moment_sums
from mpcseg.study.start import following_centers, sample_from_moments, starting_centers


def skewed(seed: int, n: int = 5000) -> np.ndarray:
    """Customers as they are: crowded at a lower bound, two-humped, correlated."""
    rng = np.random.default_rng(seed)
    base = rng.exponential(1.0, n)
    columns = [base, base + rng.exponential(0.5, n), rng.beta(0.4, 0.3, n), rng.normal(size=n)]
    table = np.column_stack(columns)
    low, high = table.min(axis=0), table.max(axis=0)
    return 2 * (table - low) / (high - low) - 1


def moments_of(records: np.ndarray) -> Moments:
    return Moments.from_sums(moment_sums(records), records.shape[1])


def test_sample_has_the_moments_and_keeps_the_bounds() -> None:
    moments = moments_of(skewed(1))
    points = sample_from_moments(moments, 20_000, np.random.default_rng(0))
    assert np.abs(points).max() <= 1
    deviations = np.sqrt(np.diag(moments.covariance))
    assert (np.abs(points.mean(axis=0) - moments.mean) < 0.05 * deviations).all()
    np.testing.assert_allclose(points.std(axis=0), deviations, rtol=0.05)
    wanted = moments.covariance / np.outer(deviations, deviations)
    np.testing.assert_allclose(np.corrcoef(points.T), wanted, atol=0.05)


def test_start_is_reproducible_and_follows_the_seed() -> None:
    moments = moments_of(skewed(2))
    first, again, other = (
        starting_centers(moments, 3, np.random.default_rng(seed)) for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_start_finds_two_humps() -> None:
    """Mean 0 and a deviation near 1 leave no other shape in [-1, 1]."""
    records = np.repeat([[-0.9], [0.9]], 50, axis=0)
    centers = starting_centers(moments_of(records), 2, np.random.default_rng(0))
    np.testing.assert_allclose(np.sort(centers[:, 0]), [-0.9, 0.9], atol=0.15)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(2, 5), st.integers(2, 30))
def test_any_records_give_a_start_inside_the_domain(seed: int, d: int, k: int, n: int) -> None:
    """Also moments that no beta copula meets: few records, perfect correlation, only corners."""
    rng = np.random.default_rng(seed)
    records = rng.choice([-1.0, -0.999, 0.3, 1.0], (n, d))
    records[0], records[1] = -1.0, 1.0  # no constant feature
    centers = starting_centers(moments_of(records), k, rng)
    assert centers.shape == (k, d)
    assert np.isfinite(centers).all()
    assert np.abs(centers).max() <= 1


@pytest.mark.parametrize("mean", [-1 + 1e-6, 0.0, 1 - 1e-6])
def test_extreme_moments_give_finite_points(mean: float) -> None:
    moments = Moments(100.0, np.array([mean, 0.0]), np.diag([2e-8, 0.9999]))
    points = sample_from_moments(moments, 500, np.random.default_rng(0))
    assert np.isfinite(points).all()
    assert np.abs(points).max() <= 1


@pytest.mark.parametrize("k", [2, 3, 5])
def test_errors_of_encryption_do_not_decide_where_a_study_starts(k: int) -> None:
    """The same place and order, although runs that tie differ in their last bits."""
    rng = np.random.default_rng(3)
    blob = np.array([[-0.5, -0.4], [0.5, -0.2], [0.0, 0.6]])
    records = np.clip(blob[rng.integers(0, 3, 240)] + rng.normal(0, 0.15, (240, 2)), -1, 1)
    sums = moment_sums(records)
    exact = starting_centers(Moments.from_sums(sums, 2), k, np.random.default_rng(0))
    for _ in range(5):
        disturbed = Moments.from_sums(sums + rng.normal(0, 4e-4, sums.shape), 2)
        found = starting_centers(disturbed, k, np.random.default_rng(0))
        assert np.abs(found - exact).max() < 1e-3


def test_a_follow_up_starts_where_the_former_segments_ended() -> None:
    moments = moments_of(skewed(3))
    former = np.array([[0.1, -0.2, 0.3, 0.4], [-0.5, -1.2, 0.7, 0.0]])
    start = following_centers(former, moments, 2, np.random.default_rng(0))
    np.testing.assert_array_equal(start, [[0.1, -0.2, 0.3, 0.4], [-0.5, -1.0, 0.7, 0.0]])


def test_segments_that_were_hidden_start_far_from_the_others() -> None:
    moments = moments_of(skewed(3))
    former = np.array([[-0.9, -0.9, 0.0, 0.0], [-0.8, -0.8, 0.9, 0.0]])
    start = following_centers(former, moments, 4, np.random.default_rng(0))
    assert start.shape == (4, 4)
    np.testing.assert_array_equal(start[:2], former)
    assert np.abs(start).max() <= 1
    weights = 1 / np.diag(moments.covariance)
    apart = ((start[:, None] - start[None]) ** 2 @ weights)[np.triu_indices(4, 1)]
    assert apart.min() > 0.5
