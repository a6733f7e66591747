"""The noise of releases, read off by a replay, against its agreed distribution (step 6).

A draw divided by its agreed standard deviation is one from the standard normal distribution, so
draws of all sums and rounds can be tested together. That finds noise of another size, left out of
a release, or written by hand in a shape of its own. It cannot find a compute node that draws until
it likes what it got: nobody sees the draws that were thrown away.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from mpcseg.errors import ReplayError

LEAST_P = 1e-6
"""An honest round fails such a test once in a million times."""

LEAST_P_SMALLEST = 1e-4
"""Of the draw next to zero. Noise has 10^5 units and more, so that a draw of exactly 0, which is
what a release without noise shows, is about as rare as one in 10^5; a stricter bound would not
notice it in a round of some ten releases."""

MOST_SDS = 7.0
"""Of a draw; an honest one is beyond it once in 10^11 times."""


@dataclass(frozen=True)
class Draw:
    """The noise of one release.

    Attributes:
        place: names the release.
        units: the integer that was added to the constant coefficient.
        std: agreed standard deviation, in the same units; 0 for no noise.
    """

    place: str
    units: int
    std: float


@dataclass(frozen=True)
class NoiseFit:
    """How draws fit their agreed distribution.

    Attributes:
        n_draws: releases with noise.
        measured: root mean square of the draws over their agreed standard deviations; about 1.
        p_squares: of the two-sided chi-squared test of the sum of squares.
        p_shape: of the Kolmogorov-Smirnov test.
        p_smallest: of a draw as close to zero as the closest one.
    """

    n_draws: int
    measured: float
    p_squares: float
    p_shape: float
    p_smallest: float


def verify_draws(draws: Sequence[Draw], place: str) -> NoiseFit | None:
    """Check that draws fit their distribution; returns how well, or None where none is agreed.

    Args:
        draws: of one round or of several.
        place: names what they are of, for errors.

    Raises:
        ReplayError: noise where none is agreed, a draw beyond :data:`MOST_SDS` standard
            deviations, or a p-value under its bound.
    """
    for draw in draws:
        if draw.std == 0 and draw.units != 0:
            raise ReplayError(
                f"{draw.place} has noise where the agreement has none",
                "Its constant coefficient is not that of the agreed sum.",
            )
        if abs(draw.units) > MOST_SDS * draw.std and draw.std > 0:
            raise ReplayError(
                f"{draw.place} is off the agreed sum by more than {MOST_SDS:g} standard "
                "deviations of its noise",
                "Its constant coefficient is not that of the agreed sum with the agreed noise.",
            )
    noised = [draw for draw in draws if draw.std > 0]
    if not noised:
        return None
    z = np.array([draw.units / draw.std for draw in noised])
    squares = float(np.square(z).sum())
    halves = (stats.chi2.cdf(squares, len(z)), stats.chi2.sf(squares, len(z)))
    # Half a unit more: a draw of exactly 0 is not impossible, only as rare as any other integer.
    nearest = min((abs(draw.units) + 0.5) / draw.std for draw in noised)
    fit = NoiseFit(
        n_draws=len(z),
        measured=math.sqrt(squares / len(z)),
        p_squares=min(1.0, 2.0 * float(min(halves))),
        p_shape=float(stats.kstest(z, "norm").pvalue),
        p_smallest=min(1.0, len(z) * math.erf(nearest / math.sqrt(2.0))),
    )
    for p, least, what in (
        (fit.p_squares, LEAST_P, f"has {fit.measured:.3g} times the agreed standard deviation"),
        (fit.p_shape, LEAST_P, "is not normally distributed"),
        (fit.p_smallest, LEAST_P_SMALLEST, "was left out of a release"),
    ):
        if p < least:
            raise ReplayError(
                f"{place}: the noise {what} (p = {p:.1e} with {len(z)} draws)",
                "The compute node did not add the noise that was agreed.",
            )
    return fit


def chance_to_notice(n_draws: int, factor: float) -> float:
    """Probability that noise of ``factor`` times the agreed size fails the test of squares."""
    low, high = stats.chi2.ppf([LEAST_P / 2, 1 - LEAST_P / 2], n_draws) / factor**2
    return float(stats.chi2.cdf(low, n_draws) + stats.chi2.sf(high, n_draws))
