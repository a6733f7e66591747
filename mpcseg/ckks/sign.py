"""The composite sign on ciphertexts, with few key switches (docs/protocol.md section 9).

Each stage is an odd polynomial p(x) = x·G(u) with u = 2x² - 1, the Chebyshev polynomial T2, and
is factored over u, so that it costs far fewer products than it has terms:

degree 7, 4 key switches in 3 levels:  p = c·x·(u - r) · ((u + b/2)² + e)
degree 15, 7 key switches in 4 levels: p = q1·T8 + q0 with q1, q0 odd of degree 7, factored as
    above over the shared u²; T8 = 2·(2u² - 1)² - 1, and the two last products are added before
    the one relinearisation they share.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.polynomial import Polynomial
from numpy.typing import NDArray

from mpcseg.ckks.circuit import Circuit, Encrypted
from mpcseg.ckks.parameters import TARGET_SCALE
from mpcseg.errors import PlanError
from mpcseg.reference.sign import CompositeSign

SIGN_SCALE = TARGET_SCALE / 2.0
"""Scale of a sign: (1 + s)/2 is read at twice that, and so the product of many of them stays at
:data:`TARGET_SCALE`, however many clusters there are."""

LEVELS_OF_DEGREE = {7: 3, 15: 4}
"""Levels that a stage of this degree takes."""


@dataclass(frozen=True)
class Factored:
    """An odd polynomial of degree 7 as ``factor·x·(u - root)·(u² + linear·u + constant)``."""

    factor: float
    root: float
    linear: float
    constant: float


def evaluate_sign(circuit: Circuit, t: Encrypted, sign: CompositeSign) -> Encrypted:
    """P(t) for slots in [-1, 1], at :data:`SIGN_SCALE`. Runs on the compute node.

    Raises:
        PlanError: a stage has a degree without a circuit.
    """
    *first, last = sign.stages
    for coefficients in first:
        t = _evaluate_stage(circuit, t, coefficients, TARGET_SCALE)
    return _evaluate_stage(circuit, t, last, SIGN_SCALE)


def sign_levels(degrees: tuple[int, ...]) -> int:
    """Levels of a composite with these stage degrees.

    Raises:
        PlanError: a stage has a degree without a circuit.
    """
    unknown = [degree for degree in degrees if degree not in LEVELS_OF_DEGREE]
    if unknown or not degrees:
        raise PlanError(f"There is no sign circuit for the stage degrees {degrees}.", "Use 7, 15.")
    return sum(LEVELS_OF_DEGREE[degree] for degree in degrees)


def _evaluate_stage(
    circuit: Circuit, x: Encrypted, coefficients: NDArray[np.float64], scale: float
) -> Encrypted:
    degree = 2 * len(coefficients) - 1
    sign_levels((degree,))
    if degree == 7:
        return _degree_7(circuit, x, factor_degree_7(tuple(coefficients)), scale)
    return _degree_15(circuit, x, *split_degree_15(tuple(coefficients)), scale)


def _chebyshev_2(circuit: Circuit, x: Encrypted) -> Encrypted:
    """U = 2x² - 1: one key switch, one level."""
    t = circuit.finish(circuit.square(x))
    return circuit.add_scalar(circuit.double(t), -1.0)


def _linear_factor(
    circuit: Circuit, x: Encrypted, u: Encrypted, factored: Factored, scale: float
) -> Encrypted:
    """factor·x·(u - root), two levels below x, at ``scale``: one key switch."""
    level = x.level
    top, below = (circuit.parameters.top_prime(i) for i in (level, level - 1))
    # (x.scale · s / top) · u.scale / below = scale
    scalar_scale = scale * below / u.scale * top / x.scale
    cx = circuit.rescale(circuit.multiply_scalar(x, factored.factor, scalar_scale))
    return circuit.finish(circuit.multiply(cx, circuit.add_scalar(u, -factored.root)))


def _degree_7(circuit: Circuit, x: Encrypted, factored: Factored, scale: float) -> Encrypted:
    u = _chebyshev_2(circuit, x)
    half = factored.linear / 2.0
    square = circuit.finish(circuit.square(circuit.add_scalar(u, half)))
    quadratic = circuit.add_scalar(square, factored.constant - half * half)
    last = circuit.parameters.top_prime(quadratic.level)
    linear = _linear_factor(circuit, x, u, factored, scale * last / quadratic.scale)
    return circuit.finish(circuit.multiply(linear, quadratic))


def _degree_15(
    circuit: Circuit, x: Encrypted, high: Factored, low: Factored, scale: float
) -> Encrypted:
    u = _chebyshev_2(circuit, x)
    square = circuit.finish(circuit.square(u))
    t4 = circuit.add_scalar(circuit.double(square), -1.0)
    t8 = circuit.add_scalar(circuit.double(circuit.finish(circuit.square(t4))), -1.0)

    def quadratic(factored: Factored) -> Encrypted:
        # Encoded at u's own scale, the linear term meets u² at exactly its scale.
        term = circuit.rescale(circuit.multiply_scalar(u, factored.linear, u.scale))
        return circuit.add_scalar(circuit.add(square, term), factored.constant)

    primes = circuit.parameters
    last = primes.top_prime(t8.level)
    # Scales such that q1·T8 and q0 agree and their sum ends at ``scale``.
    q1_scale = scale * last / t8.scale
    b1 = quadratic(high)
    a1_scale = q1_scale * primes.top_prime(b1.level) / b1.scale
    q1 = circuit.finish(circuit.multiply(_linear_factor(circuit, x, u, high, a1_scale), b1))
    b0 = quadratic(low)
    a0 = _linear_factor(circuit, x, u, low, scale * last / b0.scale)
    q0 = circuit.multiply(circuit.lower(a0, t8.level), circuit.lower(b0, t8.level))
    return circuit.finish(circuit.add(circuit.multiply(q1, t8), q0))


@lru_cache
def factor_degree_7(coefficients: tuple[float, ...]) -> Factored:
    """Factor an odd polynomial of degree 7 over u = 2x² - 1.

    Args:
        coefficients: of x, x³, x⁵, x⁷.

    The cubic G(u) may have three real roots; the one is split off that keeps both factors'
    largest values on [-1, 1] closest to each other, as noise in one is amplified by the other.
    """
    # p(x) / x as a polynomial in t = x² = (u + 1) / 2
    cubic = Polynomial(coefficients)(Polynomial([0.5, 0.5]))
    return min(_factorisations(cubic), key=_amplification)


def _factorisations(cubic: Polynomial) -> Iterator[Factored]:
    roots: list[complex] = np.asarray(cubic.roots(), np.complex128).tolist()
    for i, root in enumerate(roots):
        if abs(root.imag) > 1e-9 * (1.0 + abs(root)):
            continue
        rest = Polynomial.fromroots(np.delete(roots, i))
        constant, linear = rest.coef.real[:2]
        yield Factored(float(cubic.coef[3]), float(root.real), float(linear), float(constant))


def _amplification(factored: Factored) -> float:
    x = np.linspace(0.0, 1.0, 513)
    u = 2.0 * x * x - 1.0
    linear = factored.factor * x * (u - factored.root)
    quadratic = u * u + (factored.linear * u + factored.constant)
    return float(np.hypot(linear, quadratic).max())


@lru_cache
def split_degree_15(coefficients: tuple[float, ...]) -> tuple[Factored, Factored]:
    """Split an odd polynomial of degree 15 as q1·T8 + q0 and factor both.

    Args:
        coefficients: of x, x³, …, x¹⁵.

    Returns:
        The factored q1 and q0, odd of degree 7.
    """
    odd = np.zeros(16)
    odd[1::2] = coefficients
    t8 = Polynomial(np.polynomial.chebyshev.cheb2poly([0.0] * 8 + [1.0]))
    quotient, remainder = divmod(Polynomial(odd), t8)
    return tuple(factor_degree_7(tuple(part.coef[1:8:2])) for part in (quotient, remainder))  # type: ignore[return-value]
