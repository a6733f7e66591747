"""The circuit wrapper refuses what does not fit, in words, and counts what it does."""

from __future__ import annotations

import numpy as np
import pytest

from mpcseg.ckks.circuit import Circuit, Encrypted
from mpcseg.ckks.parameters import TARGET_SCALE, ParameterSet
from mpcseg.ckks.simulation import ClearBackend
from mpcseg.errors import CircuitError
from tests.unit.ckks.conftest import Keys

PARAMETERS = ParameterSet(16384, 2)


@pytest.fixture
def circuit() -> Circuit:
    return Circuit(PARAMETERS, ClearBackend(PARAMETERS))


def value(level: int = 2, scale: float = TARGET_SCALE, size: int = 2) -> Encrypted:
    return Encrypted(np.array([0.5, -0.25]), level, scale, size)


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        (lambda c: c.add(value(2), value(1)), "levels 2 and 1 differ"),
        (lambda c: c.multiply(value(2), value(1)), "levels 2 and 1 differ"),
        (lambda c: c.add(value(), value(scale=TARGET_SCALE * 1.001)), "scales .* differ"),
        (lambda c: c.multiply(value(size=3), value()), "relinearise it first"),
        (lambda c: c.square(value(size=3)), "relinearise it first"),
        (lambda c: c.relinearise(value()), "size 2"),
        (lambda c: c.rescale(value(level=0)), "too deep"),
        (lambda c: c.lower(value(level=1), 2), "from level 1 to level 2"),
        (lambda c: c.multiply(value(0, 2.0**40), value(0, 2.0**40)), "beyond the modulus"),
        (lambda c: c.lower(value(2, 2.0**70), 0), "beyond the modulus"),
        (lambda c: c.halve(value(0, 2.0**61)), "beyond the modulus"),
        (lambda c: c.multiply_scalar(value(), 1e-12, TARGET_SCALE), "vanishes"),
        (lambda c: c.multiply_plain(value(0), np.ones(2), 2.0**40), "by a vector .* beyond"),
    ],
)
def test_mismatches_are_refused_in_words(circuit: Circuit, operation, message: str) -> None:
    with pytest.raises(CircuitError, match=message):
        operation(circuit)


def test_scales_that_differ_by_rounding_alone_are_added(circuit: Circuit) -> None:
    total = circuit.add(value(), value(scale=TARGET_SCALE * (1 + 1e-15)))
    assert total.scale == TARGET_SCALE


def test_operations_are_counted_by_level(circuit: Circuit) -> None:
    product = circuit.finish(circuit.multiply(value(), value()))
    circuit.finish(circuit.square(Encrypted(product.payload, 1, TARGET_SCALE)))
    assert circuit.counts["multiply", 2] == 1
    assert circuit.counts["relinearise", 2] == 1
    assert circuit.counts["rescale", 2] == 1
    assert circuit.counts["square", 1] == 1


def test_every_operation_on_ciphertexts_agrees_with_the_clear(small_keys: Keys) -> None:
    """SEAL and the clear backend run the same calls; level, scale and slots must agree."""
    rng = np.random.default_rng(3)
    rows = rng.uniform(-1, 1, (3, small_keys.parameters.slots))
    rows[2] = 1.0
    encrypted = small_keys.load_block(rows)[:2]
    clear = [Encrypted(row, encrypted[0].level, TARGET_SCALE) for row in rows[:2]]

    vector = rng.uniform(-1, 1, small_keys.parameters.slots).astype(np.complex128)

    def run(circuit: Circuit, a: Encrypted, b: Encrypted) -> list[Encrypted]:
        product = circuit.finish(circuit.multiply(a, b))
        square = circuit.finish(circuit.square(a))
        scaled = circuit.rescale(circuit.multiply_scalar(a, -0.7, b.scale))
        weighed = circuit.rescale(circuit.multiply_plain(a, vector, b.scale))
        return [
            product,
            square,
            scaled,
            weighed,
            circuit.add(product, square),
            circuit.add_scalar(product, 0.125),
            circuit.double(product),
            circuit.negate(square),
            circuit.halve(product),
            circuit.lower(a, 0),
        ]

    open_ = Circuit(small_keys.parameters, ClearBackend(small_keys.parameters))
    pairs = zip(run(small_keys.circuit, *encrypted), run(open_, *clear), strict=True)
    for ours, expected in pairs:
        assert (ours.level, ours.scale, ours.size) == (
            expected.level,
            expected.scale,
            expected.size,
        )
        assert ours.payload.scale == pytest.approx(ours.scale, rel=1e-15)
        # 14 bits and more after one product, in the worst of 8192 slots.
        assert np.abs(small_keys.slots(ours) - expected.payload).max() < 5e-5
