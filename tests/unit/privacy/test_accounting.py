"""The conversion against one of our own, and what Gaussian releases cost."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from mpcseg.privacy.accounting import epsilon_for, gaussian_rho, gaussian_std, rho_for


def delta_of(rho: float, epsilon: float) -> float:
    """Smallest delta of rho-zCDP at an epsilon: Canonne, Kamath and Steinke (2020), Corollary 13.

    The infimum over Rényi orders alpha, found by SciPy on a logarithmic scale.
    """

    def logarithm(log_excess: float) -> float:
        excess = math.exp(log_excess)  # alpha - 1
        alpha = 1 + excess
        return excess * (alpha * rho - epsilon) - math.log(excess) + alpha * math.log1p(-1 / alpha)

    found = minimize_scalar(
        logarithm, bounds=(-12.0, 20.0), method="bounded", options={"xatol": 1e-12}
    )
    return math.exp(float(found.fun))


def epsilon_by_ourselves(rho: float, delta: float) -> float:
    """Bisection on `delta_of`."""
    low, high = 0.0, rho + 2 * math.sqrt(rho * math.log(1 / delta)) + 1
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if delta_of(rho, middle) > delta else (low, middle)
    return high


@pytest.mark.parametrize("rho", [1e-5, 1e-3, 0.0243, 0.3, 2.0])
@pytest.mark.parametrize("delta", [1e-5, 1e-6, 1e-9])
def test_conversion_equals_the_optimum_over_renyi_orders(rho: float, delta: float) -> None:
    assert epsilon_for(rho, delta) == pytest.approx(epsilon_by_ourselves(rho, delta), rel=2e-6)


@pytest.mark.parametrize("rho", [0.01, 0.2])
def test_conversion_is_no_better_than_the_gaussian_really_is(rho: float) -> None:
    """The exact curve of the Gaussian mechanism (Balle and Wang, 2018) lies below the bound."""
    from scipy.stats import norm  # noqa: PLC0415

    epsilon = epsilon_for(rho, 1e-6)
    shift = math.sqrt(2 * rho)
    exact = norm.cdf(shift / 2 - epsilon / shift) - math.exp(epsilon) * norm.cdf(
        -shift / 2 - epsilon / shift
    )
    assert 0.05e-6 < exact <= 1e-6


@settings(max_examples=25, deadline=None)
@given(st.floats(0.01, 20), st.sampled_from([1e-5, 1e-6, 1e-8]))
def test_rho_is_the_largest_that_the_budget_allows(epsilon: float, delta: float) -> None:
    rho = rho_for(epsilon, delta)
    assert epsilon * (1 - 1e-6) <= epsilon_for(rho, delta) <= epsilon
    assert epsilon_for(rho * 1.00001, delta) > epsilon


def test_a_gaussian_release_costs_its_renyi_divergence() -> None:
    """D_alpha(N(0, s²) ‖ N(Δ, s²)) = alpha·rho, integrated numerically for two orders."""
    sensitivity, std = 0.7, 1.3
    x, width = np.linspace(-40, 40, 400_001, retstep=True)
    p = -(x**2) / (2 * std**2)
    q = -((x - sensitivity) ** 2) / (2 * std**2)
    for alpha in (2.0, 5.5):
        total = np.exp(alpha * p + (1 - alpha) * q).sum() * width / (std * math.sqrt(2 * math.pi))
        divergence = math.log(total) / (alpha - 1)
        assert gaussian_rho(sensitivity, std) == pytest.approx(divergence / alpha, rel=1e-9)
    assert gaussian_std(sensitivity, gaussian_rho(sensitivity, std)) == pytest.approx(std)


def test_without_noise_the_cost_is_infinite_but_for_what_cannot_change() -> None:
    assert gaussian_rho(1.0, 0.0) == math.inf
    assert gaussian_rho(0.0, 0.0) == 0
    assert gaussian_std(3.0, math.inf) == 0
    assert epsilon_for(math.inf, 1e-6) == math.inf
    assert epsilon_for(0.0, 1e-6) == 0


@pytest.mark.parametrize(
    ("epsilon", "delta"), [(0.0, 1e-6), (-1.0, 1e-6), (math.nan, 1e-6), (1.0, 0.0), (1.0, 1.0)]
)
def test_budgets_that_are_none_are_refused(epsilon: float, delta: float) -> None:
    with pytest.raises(ValueError, match="lies between"):
        rho_for(epsilon, delta)


def test_a_negative_cost_is_refused() -> None:
    with pytest.raises(ValueError, match="not negative"):
        epsilon_for(-0.1, 1e-6)
