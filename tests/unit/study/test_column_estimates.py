"""What the key node makes of the columns' sums: right without noise, sensible with it."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from mpcseg.reference.columns import ColumnLayout, column_sums
from mpcseg.study.column_estimates import ColumnEstimates, Sizes, estimate_columns

LAYOUT = ColumnLayout(2, (3,), 2)
K = 3


def table(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Segment, columns and party of each record."""
    rng = np.random.default_rng(seed)
    segment = rng.choice(K, n, p=[0.5, 0.3, 0.2])
    numeric = np.clip(rng.normal(0.3 * segment[:, None] - 0.2, 0.2, (n, 2)), -1, 1)
    labels = np.eye(3)[(rng.random(n) < 0.2 + 0.2 * segment).astype(int)]  # the third has nobody
    return segment, np.hstack([numeric, labels]), rng.integers(0, 2, n)


def estimated(noise: float, size_noise: float, n: int = 2000, seed: int = 0) -> ColumnEstimates:
    segment, columns, party = table(n)
    rng = np.random.default_rng(seed)
    sums = column_sums(np.eye(K)[segment], columns, LAYOUT, party)
    sums = sums + noise * rng.normal(size=sums.shape)
    values = np.append(np.bincount(segment), n) + size_noise * rng.normal(size=K + 1)
    sizes = Sizes(values, np.full(K + 1, size_noise), np.full(K + 1, True))
    return estimate_columns(sums, np.full(sums.shape, noise), sizes, LAYOUT)


@functools.cache
def many_draws() -> list[ColumnEstimates]:
    return [estimated(3.0, 2.0, n=500, seed=seed) for seed in range(400)]


def test_without_noise_they_are_those_of_the_table() -> None:
    segment, columns, party = table(2000)
    found = estimated(0.0, 0.0)
    for row in range(K + 1):
        here = columns[segment == row] if row < K else columns
        own = party[segment == row] if row < K else party
        np.testing.assert_allclose(found.means[row], here[:, :2].mean(axis=0), atol=1e-9)
        np.testing.assert_allclose(found.spreads[row], here[:, :2].std(axis=0), atol=1e-9)
        labels, parties = found.categories
        np.testing.assert_allclose(labels.counts[row], here[:, 2:].sum(axis=0), atol=1e-9)
        np.testing.assert_allclose(parties.counts[row], np.bincount(own), atol=1e-9)
        assert labels.count_std(row, [0]) == labels.share_std(row, [0]) == 0.0


def test_with_noise_counts_fit_their_sizes_and_none_is_negative() -> None:
    found = estimated(30.0, 10.0)
    for category in found.categories:
        np.testing.assert_allclose(category.counts.sum(axis=1), category.sizes.values)
        assert (category.counts >= 0).all()
    assert (found.spreads > 0).all()
    assert (np.abs(found.means) <= 1).all()


@pytest.mark.parametrize("some", [[0], [1], [0, 1]])
def test_the_noise_of_counts_and_shares_is_what_they_say(some: list[int]) -> None:
    """Over many draws, of sizes by party, where nothing is clipped; both together are the size."""
    draws = [draw.categories[1] for draw in many_draws()]
    for row in (0, K):
        counts = [draw.counts[row, some].sum() for draw in draws]
        shares = [draw.counts[row, some].sum() / draw.sizes.values[row] for draw in draws]
        assert np.std(counts) == pytest.approx(draws[0].count_std(row, some), rel=0.12)
        assert np.std(shares) == pytest.approx(draws[0].share_std(row, some), rel=0.12, abs=1e-9)


def test_the_noise_of_means_is_what_they_say() -> None:
    draws = many_draws()
    measured = np.std([draw.means for draw in draws], axis=0)
    np.testing.assert_allclose(measured, draws[0].mean_stds, rtol=0.15)


def test_an_empty_segment_has_nothing() -> None:
    sizes = Sizes(np.array([0.1, 50.0, 50.0]), np.zeros(3), np.array([False, True, True]))
    sums = np.array([[0.1, 0.1, 0.0, 0.0], [10.0, 5.0, 20.0, 30.0]])
    found = estimate_columns(sums, np.zeros((2, 4)), sizes, ColumnLayout(1, (2,)))
    assert found.means[0] == found.spreads[0] == 0.0
    assert found.categories[0].counts[0].tolist() == [0.0, 0.0]
    assert found.categories[0].counts[1].tolist() == [20.0, 30.0]
