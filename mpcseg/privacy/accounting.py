"""Zero-concentrated differential privacy and its conversion to (epsilon, delta).

docs/privacy.md. All releases of a study are Gaussian, and the cost rho of Gaussian releases adds
up, also when the key node chooses each query by the answers before it. Only the total is turned
into epsilon and delta, which is what an agreement states. OpenDP does the conversion (Proposition
12 of Canonne, Kamath and Steinke, *The Discrete Gaussian for Differential Privacy*, 2020).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

# Not opendp.prelude: that imports scikit-learn where it is installed, which takes seconds.
from opendp.combinators import make_zCDP_to_approxDP
from opendp.domains import atom_domain
from opendp.measurements import make_gaussian
from opendp.metrics import absolute_distance
from opendp.mod import enable_features

# rho is searched to this relative accuracy, from below: a plan never reaches past its epsilon.
_ACCURACY = 1e-9
_LARGEST_EPSILON = 1e4


def gaussian_rho(sensitivity: float, std: float) -> float:
    """Cost of one Gaussian release, sensitivity² / (2·std²); 0 where nothing can change.

    Args:
        sensitivity: largest change in L2 by one record.
        std: of the noise on every coordinate, in the same unit. With 0 the cost is infinite.
    """
    if sensitivity == 0:
        return 0.0
    return math.inf if std == 0 else (sensitivity / std) ** 2 / 2


def gaussian_std(sensitivity: float, rho: float) -> float:
    """Noise that makes a release of this sensitivity cost ``rho``; inverse of `gaussian_rho`."""
    return 0.0 if math.isinf(rho) else sensitivity / math.sqrt(2 * rho)


@lru_cache(maxsize=4096)
def epsilon_for(rho: float, delta: float) -> float:
    """Epsilon at which ``rho``-zCDP is (epsilon, delta)-DP; infinite for infinite rho.

    Raises:
        ValueError: for a negative rho or a delta outside (0, 1).
    """
    if not 0 < delta < 1:
        raise ValueError(f"delta lies between 0 and 1, not at {delta}")
    if not rho >= 0:
        raise ValueError(f"rho is not negative, as {rho} is")
    if rho == 0 or math.isinf(rho):
        return rho
    enable_features("contrib")
    # A Gaussian whose cost at distance 1 is rho: OpenDP converts measurements, not numbers.
    measurement = make_gaussian(
        atom_domain(T="i64"), absolute_distance(T=float), scale=1 / math.sqrt(2 * rho)
    )
    converted: Any = make_zCDP_to_approxDP(measurement)
    return float(converted.map(1.0).epsilon(delta))


@lru_cache(maxsize=256)
def rho_for(epsilon: float, delta: float) -> float:
    """Largest rho that is (epsilon, delta)-DP, by bisection on `epsilon_for`.

    Raises:
        ValueError: for an epsilon that is not positive (or absurdly large), or a bad delta.
    """
    if not 0 < epsilon <= _LARGEST_EPSILON:
        raise ValueError(f"epsilon lies between 0 and {_LARGEST_EPSILON:g}, not at {epsilon}")
    low, high = 0.0, 1e-6
    while epsilon_for(high, delta) <= epsilon:
        low, high = high, 2 * high
    while high - low > _ACCURACY * high:
        middle = (low + high) / 2
        if epsilon_for(middle, delta) <= epsilon:
            low = middle
        else:
            high = middle
    return low
