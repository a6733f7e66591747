"""The draws against the discrete Gaussian distribution."""

import math

import numpy as np
import pytest
from scipy.stats import chi2

from mpcseg.privacy.noise import draw


def test_draws_are_discrete_gaussian() -> None:
    """Chi-squared over every integer that 20,000 draws should meet five times or more.

    False alarm once in 10⁶ runs.
    """
    std, n = 3.7, 20_000
    values = np.array([draw(std) for _ in range(n)])
    support = np.arange(-200, 201)
    weights = np.exp(-(support**2) / (2 * std**2))
    expected = n * weights / weights.sum()
    common = expected >= 5
    observed = np.array([np.sum(values == value) for value in support[common]])
    rest = n - observed.sum(), n - expected[common].sum()
    statistic = ((observed - expected[common]) ** 2 / expected[common]).sum()
    statistic += (rest[0] - rest[1]) ** 2 / rest[1]
    assert chi2.sf(statistic, common.sum()) > 1e-6


def test_noise_as_large_as_that_of_a_study_has_its_deviation_and_no_memory() -> None:
    std, n = 47.0 * 2**18, 4_000
    values = np.array([draw(std) for _ in range(n)]) / std
    # Six standard errors of each statistic.
    assert abs(values.mean()) < 6 / math.sqrt(n)
    assert abs(values.var() - 1) < 6 * math.sqrt(2 / n)
    assert abs(np.mean(values[1:] * values[:-1])) < 6 / math.sqrt(n)
    # Of 1.2·10⁷ likely values, 0.2 pairs of equal ones are expected; nine come once in 10¹³ runs.
    assert np.unique(values).size > n - 9


def test_no_noise_is_zero_and_a_draw_is_an_integer() -> None:
    assert draw(0.0) == 0
    assert type(draw(5.0)) is int
    assert abs(draw(1e-6)) == 0  # all but certain: the next integer is at 10⁶ deviations


@pytest.mark.parametrize("std", [-1.0, math.nan, math.inf, 1e19])
def test_what_cannot_be_drawn_is_refused(std: float) -> None:
    with pytest.raises(ValueError, match="cannot be drawn"):
        draw(std)
