"""Composite odd polynomials that stand in for the sign function on ciphertexts.

docs/protocol.md section 4. A composite P = p_m ∘ … ∘ p_1 of odd polynomials of low degree reaches
a steepness near 0 that a single polynomial of the same depth cannot. Every stage is the minimax
polynomial for what the stage before it leaves, *normalised*: the outputs of p_1 … p_{m-1} fill
[-1, 1] exactly, because the interval [1 - e, 1 + e] that a stage maps to is divided by 1 + e and
the next stage is made for [(1 - e)/(1 + e), 1]. On ciphertexts that is worth one to two digits:
powers of numbers up to 1.8 grow, powers of numbers in [-1, 1] do not (section 9).

For given degrees one number is free, the threshold τ: below it a record is shared between two
clusters, above it the sign is wrong by `error` at most. `THRESHOLDS` holds the choice made.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mpcseg.reference.remez import evaluate_odd, minimax_sign

COEFFICIENT_FILE = "sign_coefficients.json"
COMMAND = "python -m mpcseg.reference.make_sign_coefficients"

# τ by degrees. Ten rounds in the clear on the CDNOW customers (k = 2, 3, 5, 8) and a wholesaler's
# (k = 3, 5), six features each, final inertia against scikit-learn's from the same start:
#   (7, 15): 1/30 to 1/40 is best or within 1e-4 of it everywhere; 1/20 costs up to 2e-4 (too wide
#            a band), 1/52 up to 1e-3 and 1/80 up to 2e-3 (an error of 0.1 and more in the weights).
#   (15, 15): flat from 1/40 to 1/60, 1/200 costs up to 1e-2.  (7, 7, 7): flat from 1/40 to 1/70.
#   (7, 7), early rounds only: no difference seen from 1/10 to 1/52.
# Where the inertia is flat the smaller error is taken: it is what a record deep in one cluster
# still weighs in another, so it bends sizes, spreads and the inertia of well separated clusters;
# and a composite is as steep at 0 as its band is narrow, which amplifies the noise of the
# ciphertexts. Those of three stages of other degrees follow the same rule, without a measurement.
THRESHOLDS: Mapping[tuple[int, ...], float] = MappingProxyType(
    {
        (7, 7): 1 / 20,
        (7, 15): 1 / 30,
        (15, 15): 1 / 45,
        (7, 7, 7): 1 / 50,
        (7, 7, 15): 1 / 90,
        (7, 15, 15): 1 / 150,
        (15, 15, 15): 1 / 300,
    }
)


@dataclass(frozen=True, eq=False)
class CompositeSign:
    """A composite polynomial near the sign function on [-1, -threshold] and [threshold, 1].

    Attributes:
        degrees: odd degree of each stage, the first applied first.
        stages: coefficients of x, x³, x⁵, … of each stage, shape ((degree + 1) / 2,), read-only.
            Every stage maps [-1, 1] into [-1, 1], the last into [-1 - error, 1 + error].
        threshold: τ, from where on the error bound holds.
        error: largest |P(t) - sign(t)| for τ <= |t| <= 1.
    """

    degrees: tuple[int, ...]
    stages: tuple[NDArray[np.float64], ...]
    threshold: float
    error: float

    @property
    def depth(self) -> int:
        """Multiplicative levels the composite needs: ceil(log2(degree + 1)) per stage."""
        # d.bit_length() is ceil(log2(d + 1)) for every positive integer d.
        return sum(degree.bit_length() for degree in self.degrees)

    def __call__(self, t: ArrayLike) -> NDArray[np.float64]:
        """Evaluate P at ``t`` (any shape, values in [-1, 1]); same shape."""
        value = np.asarray(t, dtype=np.float64)
        for stage in self.stages:
            value = evaluate_odd(stage, value)
        return value


def compute_sign(degrees: tuple[int, ...], threshold: float) -> CompositeSign:
    """Compute a composite sign polynomial from nothing (a fraction of a second).

    Args:
        degrees: odd degree of each stage, first stage first.
        threshold: τ in (0, 1).

    Raises:
        ValueError: for no stages, an even degree or a threshold outside (0, 1).
        ArithmeticError: if a stage would be so good that double precision cannot show its error.
    """
    if not degrees:
        raise ValueError("a composite sign needs at least one stage")
    stages: list[NDArray[np.float64]] = []
    lower = threshold
    error = 0.0
    for index, degree in enumerate(degrees):
        coefficients, error = minimax_sign(degree, lower)
        if index < len(degrees) - 1:
            coefficients = coefficients / (1 + error)
            lower = (1 - error) / (1 + error)
        stages.append(_read_only(coefficients))
    return CompositeSign(degrees, tuple(stages), threshold, error)


@cache
def sign_for(degrees: tuple[int, ...]) -> CompositeSign:
    """Return the project's composite sign polynomial for the given degrees, from the cache file.

    Raises:
        ValueError: if the cache has none for these degrees.
    """
    for entry in _cache()["composites"]:
        if tuple(entry["degrees"]) == tuple(degrees):
            return CompositeSign(
                tuple(degrees),
                tuple(_read_only(np.asarray(stage, dtype=np.float64)) for stage in entry["stages"]),
                float(entry["threshold"]),
                float(entry["error"]),
            )
    known = ", ".join(str(degrees) for degrees in available_degrees())
    raise ValueError(f"no cached sign polynomial has degrees {degrees}; there are {known}")


def available_degrees() -> tuple[tuple[int, ...], ...]:
    """Degrees for which `sign_for` has a polynomial, in the order of the cache file."""
    return tuple(tuple(entry["degrees"]) for entry in _cache()["composites"])


@cache
def _cache() -> dict[str, Any]:
    text = resources.files(__package__).joinpath(COEFFICIENT_FILE).read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def _read_only(array: NDArray[np.float64]) -> NDArray[np.float64]:
    array.flags.writeable = False
    return array
