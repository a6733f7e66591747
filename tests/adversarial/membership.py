"""Was this customer in the study? The best test that there is, on all that the key node sees."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from tests.adversarial.views import SUM_ERROR, View

Array = NDArray[np.float64]


def log_likelihood_ratio(view: View, known: Array, target: Array) -> float:
    """How much better the view is explained with the target than without, as a logarithm.

    The attacker knows all other records, and the noise's distribution. By Neyman and Pearson no
    test is better than this number against a threshold, and 0 is the threshold at which the share
    of right accusations exceeds that of wrong ones by most.

    Args:
        view: what the key node saw.
        known: all other records, shape (n, d).
        target: the record in question, shape (d,).
    """
    variances = view.deviations(SUM_ERROR) ** 2
    added = view.contributions(target[None])[0]
    unexplained = view.numbers() - view.contributions(known).sum(axis=0)
    return float(((unexplained - added / 2) * added / variances).sum())


def spent(view: View, target: Array) -> float:
    """What the releases of this view really cost the target, in zCDP (docs/privacy.md)."""
    added = view.contributions(target[None])[0]
    return float(((added / view.deviations(0.0)) ** 2).sum() / 2)


def advantage_under_dp(epsilon: float, delta: float) -> float:
    """Largest true minus false positive rate of any test against (epsilon, delta)-DP.

    At the point where both errors of a test are equal, Kairouz, Oh and Viswanath (2015), "The
    composition theorem for differential privacy", theorem 2.1.
    """
    return (math.exp(epsilon) - 1 + 2 * delta) / (math.exp(epsilon) + 1)


def advantage_under_gaussian_noise(rho: float) -> float:
    """The same against Gaussian releases that cost ``rho`` in all: two normals, √(2·rho) apart."""
    return float(2 * norm.cdf(math.sqrt(2 * rho) / 2) - 1)
