"""Estimates from noised sums: exact without noise, and better than plain division with it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpcseg.reference.lloyd import weighted_sums
from mpcseg.reference.metrics import inertia, inertia_from_means, nearest
from mpcseg.reference.moments import Moments, moment_sums
from mpcseg.study.estimation import (
    Totals,
    combined,
    combined_stds,
    noised_means,
    positive_part,
    repaired_moments,
    shrinkage,
)

SEEDS = st.integers(0, 2**32 - 1)


@given(SEEDS, st.integers(2, 6), st.integers(1, 5))
def test_without_noise_estimates_are_plain_arithmetic(seed: int, k: int, d: int) -> None:
    rng = np.random.default_rng(seed)
    sums, none = rng.uniform(5, 50, (k, d + 1)), np.zeros((k, d + 1))
    corrected, left = Totals(rng.uniform(0, 500, d + 1), none[0]).correct(sums, none)
    np.testing.assert_array_equal(corrected, sums)
    assert not left.any()
    means = noised_means(sums / 60, none, 0.01, np.zeros((k, d)))
    np.testing.assert_allclose(means.values, np.clip(sums[:, :-1] / sums[:, -1:], -1, 1))
    assert not means.stds.any()
    assert (shrinkage(rng.normal(size=(k, d)), none[:, :-1], np.ones(d)) == 1).all()


def test_totals_take_noise_out_of_the_clusters_and_say_how_much() -> None:
    rng = np.random.default_rng(0)
    truth = np.array([[300.0, 4000.0], [-200.0, 3000.0], [100.0, 5000.0]])
    stds = np.tile([40.0, 30.0], (3, 1))
    errors, stated = [], []
    for _ in range(2000):
        totals = Totals(truth.sum(axis=0) + rng.normal(0, 60, 2), np.array([60.0, 60.0]))
        for _ in range(4):
            corrected, left = totals.correct(truth + rng.normal(0, 1, (3, 2)) * stds, stds)
        errors.append(corrected - truth)
        stated.append(left)
    found = np.sqrt(np.mean(np.square(errors), axis=(0, 1)))
    np.testing.assert_allclose(found, np.mean(stated, axis=(0, 1)), rtol=0.05)
    assert (found < 0.9 * stds[0]).all()


def test_soft_weights_that_do_not_add_up_are_left_alone_where_noise_is_fine() -> None:
    sums = np.array([[10.0, 50_000.0], [20.0, 50_000.0]])
    totals = Totals(np.array([30.0, 100_100.0]), np.array([0.5, 0.5]))
    corrected, _ = totals.correct(sums, np.full((2, 2), 0.5))
    np.testing.assert_allclose(corrected[:, 1], 50_000, atol=0.1)


def test_shrinkage_leaves_what_noise_does_not_explain() -> None:
    """Half of it where the step is twice the noise, nothing where it is less."""
    step = np.array([[0.2, 0.0], [0.01, 0.0], [np.sqrt(2) * 0.1, 0.0]])
    stds = np.array([[1e-6, 0.0], [0.1, 0.0], [0.1, 0.0]])
    factor = shrinkage(step, stds, np.ones(2))[:, 0]
    np.testing.assert_allclose(factor, [1, 0, 0.5], atol=1e-6)


def test_counts_in_the_noise_are_not_divided_by() -> None:
    sums = np.array([[50.0, 100.0], [5.0, 15.0], [5.0, 25.0], [0.0, -40.0]])
    stds = np.tile([10.0, 10.0], (4, 1))
    means = noised_means(sums, stds, 0.5, np.full((4, 1), 0.7))
    np.testing.assert_array_equal(means.filled, [True, False, True, False])
    np.testing.assert_allclose(means.values[:, 0], [0.5, 0.7, 5 / 30, 0.7])
    assert np.isinf(means.stds[[1, 3]]).all()


def test_stds_of_means_are_those_of_a_ratio() -> None:
    rng = np.random.default_rng(1)
    sums, stds = np.array([[300.0, 1000.0]]), np.array([[30.0, 20.0]])
    draws = [
        noised_means(sums + rng.normal(0, 1, (1, 2)) * stds, stds, 0.5, np.zeros((1, 1))).values
        for _ in range(4000)
    ]
    stated = noised_means(sums, stds, 0.5, np.zeros((1, 1))).stds[0, 0]
    assert np.std(draws) == pytest.approx(stated, rel=0.05)


def test_two_estimates_are_weighted_by_precision() -> None:
    first, second = np.array([1.0, 1.0, 1.0, 1.0]), np.array([3.0, 3.0, 3.0, 3.0])
    first_stds = np.array([1.0, np.inf, 1.0, np.inf])
    second_stds = np.array([2.0, 1.0, np.inf, np.inf])
    np.testing.assert_allclose(combined(first, first_stds, second, second_stds), [1.4, 3, 1, 3])
    np.testing.assert_allclose(combined_stds(first_stds, second_stds), [np.sqrt(0.8), 1, 1, np.inf])


@given(SEEDS, st.integers(1, 6), st.integers(1, 5000), st.floats(0, 500))
def test_repaired_moments_are_those_of_records_in_the_domain(
    seed: int, d: int, n: int, std: float
) -> None:
    rng = np.random.default_rng(seed)
    sums = moment_sums(rng.choice([-1.0, 0.4, 1.0], (n, d)))
    noise = rng.normal(0, std, sums.shape)
    noise[0] = abs(noise[0])
    moments = repaired_moments(sums + noise, np.full(sums.shape, std), d)
    variances = np.diag(moments.covariance)
    assert (np.abs(moments.mean) < 1).all()
    assert (variances > 0).all()
    assert (variances < 1 - moments.mean**2).all()
    assert (np.linalg.eigvalsh(moments.covariance) > 0).all()


def test_good_moments_are_hardly_touched() -> None:
    rng = np.random.default_rng(2)
    mixing = np.array([[0.3, 0.0, 0.0], [0.1, 0.2, 0.0], [0.0, -0.2, 0.4]])
    records = np.clip(rng.normal(size=(20_000, 3)) @ mixing.T, -1, 1)
    sums = moment_sums(records)
    exact = Moments.from_sums(sums, 3)
    repaired = repaired_moments(sums, np.full(sums.shape, 20.0), 3)
    np.testing.assert_allclose(repaired.mean, exact.mean)
    np.testing.assert_allclose(repaired.covariance, exact.covariance, atol=1e-3)


def test_drowned_variances_are_drawn_together() -> None:
    """Their mean is known better than any of them."""
    rng = np.random.default_rng(4)
    records = np.clip(rng.normal(size=(300, 6)) * [0.2, 0.25, 0.3, 0.3, 0.35, 0.4], -1, 1)
    sums = moment_sums(records)
    truth = records.var(axis=0)
    plain, repaired = [], []
    for _ in range(200):
        noised = sums + rng.normal(0, 60, sums.shape)
        noised[0] = sums[0]
        plain.append(np.diag(Moments.from_sums(noised, 6).covariance) - truth)
        repaired.append(np.diag(repaired_moments(noised, np.full(sums.shape, 60.0), 6).covariance))
    assert np.mean((np.array(repaired) - truth) ** 2) < 0.5 * np.mean(np.square(plain))


def test_inertia_from_means_is_the_inertia() -> None:
    rng = np.random.default_rng(6)
    records, centers = rng.uniform(-1, 1, (500, 3)), rng.uniform(-1, 1, (4, 3))
    weights = 1 / records.var(axis=0)
    sums = weighted_sums(records, np.eye(4)[:, nearest(records, centers, weights)])
    means = sums[:, :-1] / sums[:, -1:]
    found = inertia_from_means(sums[:, -1], means, centers, records.mean(axis=0), weights)
    assert found == pytest.approx(inertia(records, centers, weights))


def test_positive_part_is_positive_and_leaves_alone_what_stands_out() -> None:
    values = np.array([5.0, 0.0, -1.0, -1e6, 3.0, -3.0])
    stds = np.array([0.5, 1.0, 1.0, 1.0, 0.0, 0.0])
    found = positive_part(values, stds)
    assert found[0] == pytest.approx(5.0)
    assert found[1] == pytest.approx(np.sqrt(2 / np.pi))  # of the half normal distribution
    assert 0 < found[3] < found[2] < found[1]
    assert found[4:].tolist() == [3.0, 0.0]
