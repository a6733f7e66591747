"""The factored sign circuit is the composite polynomial, for the promised key switches."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpcseg.ckks.circuit import Circuit, Encrypted
from mpcseg.ckks.parameters import TARGET_SCALE, ParameterSet
from mpcseg.ckks.sign import (
    SIGN_SCALE,
    evaluate_sign,
    factor_degree_7,
    sign_levels,
    split_degree_15,
)
from mpcseg.ckks.simulation import ClearBackend
from mpcseg.errors import PlanError
from mpcseg.reference.sign import CompositeSign, sign_for

PARAMETERS = ParameterSet(32768, 20)
T = np.linspace(-1.0, 1.0, 4097)


def key_switches(circuit: Circuit) -> int:
    return sum(n for (name, _), n in circuit.counts.items() if name == "relinearise")


@pytest.mark.parametrize(
    ("degrees", "switches", "levels"),
    [((7, 7), 8, 6), ((7, 15), 11, 7), ((15, 15), 14, 8), ((7, 7, 15), 15, 10)],
)
def test_circuit_is_the_polynomial(degrees: tuple[int, ...], switches: int, levels: int) -> None:
    sign = sign_for(degrees)
    circuit = Circuit(PARAMETERS, ClearBackend(PARAMETERS))
    start = Encrypted(T, PARAMETERS.n_levels, TARGET_SCALE)
    result = evaluate_sign(circuit, start, sign)
    # Scalars are rounded to the scale, so exact equality is not to be had.
    assert np.abs(result.payload - sign(T)).max() < 1e-6
    assert key_switches(circuit) == switches
    assert PARAMETERS.n_levels - result.level == levels == sign_levels(degrees) == sign.depth
    assert result.scale == pytest.approx(SIGN_SCALE, rel=1e-12)


def test_unknown_degrees_are_refused() -> None:
    stage = np.array([1.0, -0.5, 0.1])
    circuit = Circuit(PARAMETERS, ClearBackend(PARAMETERS))
    with pytest.raises(PlanError, match=r"\(5,\)"):
        evaluate_sign(circuit, Encrypted(T, 20, TARGET_SCALE), CompositeSign((5,), (stage,), 0, 0))
    with pytest.raises(PlanError):
        sign_levels(())


coefficient = st.floats(-5.0, 5.0).filter(lambda c: abs(c) > 1e-2)


@given(st.tuples(*[coefficient] * 4))
def test_factors_multiply_to_any_polynomial_of_degree_7(c: tuple[float, ...]) -> None:
    f = factor_degree_7(c)
    u = 2 * T * T - 1
    product = f.factor * T * (u - f.root) * (u * u + f.linear * u + f.constant)
    expected = sum(a * T ** (2 * i + 1) for i, a in enumerate(c))
    assert np.allclose(product, expected, atol=1e-7)


def test_degree_15_splits_over_the_chebyshev_polynomial() -> None:
    stage = sign_for((7, 15)).stages[1]
    high, low = split_degree_15(tuple(stage))
    u = 2 * T * T - 1
    t8 = 2 * (2 * u * u - 1) ** 2 - 1

    def odd(f) -> np.ndarray:
        return f.factor * T * (u - f.root) * (u * u + f.linear * u + f.constant)

    expected = sum(a * T ** (2 * i + 1) for i, a in enumerate(stage))
    assert np.abs(odd(high) * t8 + odd(low) - expected).max() < 1e-9
