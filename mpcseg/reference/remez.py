"""The best odd polynomial approximation of the sign function (docs/protocol.md section 4).

sign is the constant 1 on [lower, 1], and odd symmetry takes care of [-1, -lower], so the task is
to approximate 1 by odd polynomials on one interval. There Chebyshev's alternation theorem holds:
the best polynomial with n coefficients touches 1 ± error alternately at n + 1 points, and Remez'
exchange finds it. For this problem the exchange is simpler than usual, see `minimax_sign`.
"""

from __future__ import annotations

import numpy as np
from numpy.polynomial import chebyshev, polynomial
from numpy.typing import NDArray

_MAX_EXCHANGES = 100
# The levelled and the largest error agree to this many parts of 1 when the exchange has ended;
# rounding in the linear solve leaves about 1e-14 for the degrees in use.
_AGREEMENT = 1e-12


def minimax_sign(degree: int, lower: float) -> tuple[NDArray[np.float64], float]:
    """Return the odd polynomial of a degree that is nearest to 1 on [lower, 1].

    The derivative of an odd polynomial of degree 2n - 1 has n - 1 positive roots at most, and an
    error that alternates on n + 1 points needs all of them between ``lower`` and 1. So each
    exchange takes *all* the extrema there are, lower, the n - 1 roots and 1, without a search.

    Args:
        degree: odd, at least 1.
        lower: where the approximation begins, in (0, 1).

    Returns:
        The coefficients of x, x³, x⁵, … (shape ((degree + 1) / 2,)), and the largest error on
        [lower, 1]. The polynomial rises from 0 at 0 to 1 - error at ``lower`` and never leaves
        [1 - error, 1 + error] from there to 1.

    Raises:
        ValueError: for an even degree or a bound outside (0, 1).
        ArithmeticError: if the exchange does not settle (degree too high for double precision).
    """
    if degree < 1 or degree % 2 == 0:
        raise ValueError(f"degree must be odd and positive, not {degree}")
    if not 0.0 < lower < 1.0:
        raise ValueError(f"lower must lie between 0 and 1, not {lower}")
    n = (degree + 1) // 2
    odd = np.arange(1, degree + 1, 2)
    # Start: extrema of the Chebyshev polynomial of [lower, 1].
    points = (1 + lower) / 2 - (1 - lower) / 2 * np.cos(np.pi * np.arange(n + 1) / n)
    alternation = (-1.0) ** np.arange(n + 1)
    for _ in range(_MAX_EXCHANGES):
        # Chebyshev basis: the same system in powers of x loses ten digits at degree 15.
        system = np.column_stack([chebyshev.chebvander(points, degree)[:, odd], alternation])
        solution = np.linalg.solve(system, np.ones(n + 1))
        series = np.zeros(degree + 1)
        series[odd] = solution[:-1]
        inner = _roots_between(np.asarray(chebyshev.chebder(series), dtype=np.float64), lower, 1.0)
        points = np.concatenate([[lower], inner, [1.0]])
        if points.size != n + 1:
            break
        largest = float(np.max(np.abs(chebyshev.chebval(points, series) - 1)))
        if largest - abs(solution[-1]) <= _AGREEMENT:
            return np.ascontiguousarray(chebyshev.cheb2poly(series)[1::2]), largest
    raise ArithmeticError(f"no minimax polynomial of degree {degree} on [{lower}, 1] was found")


def _roots_between(series: NDArray[np.float64], lower: float, upper: float) -> NDArray[np.float64]:
    """Real roots of a Chebyshev series inside an open interval, ascending."""
    roots = np.asarray(chebyshev.chebroots(series), dtype=np.complex128)
    real = roots[np.abs(roots.imag) < 1e-9].real
    return np.sort(real[(real > lower) & (real < upper)])


def evaluate_odd(coefficients: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Evaluate an odd polynomial given by the coefficients of x, x³, x⁵, … at ``x``."""
    return np.asarray(x * polynomial.polyval(x * x, coefficients), dtype=np.float64)
