"""Do a party's ciphertexts hold what was agreed? Random functionals of them that should vanish.

docs/protocol.md section 5, docs/adr/0012. All of it runs on the compute node, on ciphertexts only,
on each upload by itself. A functional multiplies every slot by a secret random complex number ρ;
the slot sum that is released is Σ Re(ρ_i·z_i). A party does not know ρ, so it cannot make what is
wrong in one slot cancel what is wrong in another, or hide it in a phase.

- bounds: (x_j/1.0125)^512 vanishes in [-1, 1] and explodes outside. With a radius under √d, the
  same is done to ‖x‖/R.
- presence: p·(1 - p) is zero for 0 and 1 alone; p is zero outside the party's slots.
- padding: x_j·(1 - p) is zero where presence is 1 or x_j is 0; Im x_j is zero.

A numeric profile column is tested as one more coordinate. A label of a category is tested as
presence is, and padding tests that the labels of a category add up to presence.

Powers and products are blind to one thing: multiply some residues of a ciphertext by -1, modulo one
prime, and its square is the same, while it decrypts to nonsense. So Σ Re(ρ·x) and Σ Re(ρ·p), taken
where the party's ciphertext has all its primes, are added with so small a weight that an honest sum
is nothing beside the noise, and such a polynomial, as large as the modulus, still stands out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce

import numpy as np
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from numpy.typing import NDArray

from mpcseg.ckks.assignment import SUM_LEVEL
from mpcseg.ckks.circuit import Circuit, Encrypted
from mpcseg.ckks.parameters import TARGET_SCALE, ParameterSet
from mpcseg.ckks.sampling import KEY_BYTES, uniform_words
from mpcseg.errors import PlanError
from mpcseg.reference.admission import (
    AMPLIFICATION,
    FACTOR_SCALE,
    IMAGINARY_AMPLIFICATION,
    LARGEST_FACTOR,
    MAGNITUDE_WEIGHT,
    MARGIN,
    OUTSIDE_SCALE,
    POWER,
    PRESENCE_WEIGHT,
    SMALLEST_FACTOR,
    SQUARINGS,
)

Functional = NDArray[np.complex128]
"""ρ, shape (slots,)."""

_POWER_FACTOR_SCALE = 2.0**14
"""Scale of ρ on powers: leaves 2²⁰ of room at level 0, and rounds ρ by a quarter of a percent."""


def random_functional(seed: bytes, label: str, slots: int) -> Functional:
    """ρ for one purpose: the same on every machine that has the seed. Compute node.

    Args:
        seed: secret, of the round, :data:`mpcseg.ckks.slot_sum.SEED_BYTES` long.
        label: names the purpose within the study; two never share one.
        slots: N/2.
    """
    info = b"mpcseg admission|" + label.encode()
    words = uniform_words(HKDF(SHA512(), KEY_BYTES, None, info).derive(seed), 2 * slots)
    sign = np.where(words >> 31, -1.0, 1.0)
    size = SMALLEST_FACTOR + (LARGEST_FACTOR - SMALLEST_FACTOR) * ((words & 0x7FFFFFFF) / 2.0**31)
    return np.asarray((sign * size).view(np.complex128), np.complex128)


def verify_depth(parameters: ParameterSet) -> None:
    """Check that the power fits.

    Raises:
        PlanError: the set has fewer levels than squarings; no planned set has.
    """
    if parameters.n_levels < SQUARINGS:
        raise PlanError(
            f"{parameters.name} has {parameters.n_levels} levels; admission needs {SQUARINGS}."
        )


def bounds_scale(parameters: ParameterSet) -> float:
    """Scale at which the terms of bounds are added: that of a coordinate's power times ρ."""
    scale = TARGET_SCALE * MARGIN
    for level in range(SQUARINGS, 0, -1):
        scale = scale * scale / parameters.top_prime(level)
    return scale * _POWER_FACTOR_SCALE


def coordinate_power(circuit: Circuit, feature: Encrypted, functional: Functional) -> Encrypted:
    """ρ·(x_j/MARGIN)^512 at level 0, nine key switches; the scale is read as larger to divide."""
    x = circuit.lower(feature, SQUARINGS)
    return _power(circuit, circuit.with_scale(x, x.scale * MARGIN), functional)


def norm_power(
    circuit: Circuit, features: Sequence[Encrypted], radius: float, functional: Functional
) -> Encrypted:
    """ρ·(‖x‖/(R·MARGIN))^512 at level 0, for an agreed radius R under √d.

    Squares take a level, and so does the division by R², which is not free. A set without a level
    to spare (two clusters) gets ρ·(‖x‖/(R·MARGIN²))^256: an honest norm is as small, one of 1.05·R
    makes 460.
    """
    level = min(SQUARINGS + 1, features[0].level)
    lowered = [circuit.lower(x, level) for x in features]
    total = circuit.finish(reduce(circuit.add, [circuit.square(x) for x in lowered]))
    prime = float(circuit.parameters.top_prime(total.level))
    y = circuit.rescale(circuit.multiply_scalar(total, 1.0 / radius**2, prime))
    margin = MARGIN ** (POWER / 2**y.level)
    return _power(circuit, circuit.with_scale(y, y.scale * margin), functional)


def _power(circuit: Circuit, y: Encrypted, functional: Functional) -> Encrypted:
    while y.level > 0:
        y = circuit.finish(circuit.square(y))
    scale = bounds_scale(circuit.parameters) / y.scale
    return circuit.multiply_plain(y, functional, scale)


def magnitudes(
    circuit: Circuit, features: Sequence[Encrypted], functionals: Sequence[Functional]
) -> Encrypted:
    """MAGNITUDE_WEIGHT·Σ_j ρ_j·x_j at level 0, from the level at which features were uploaded.

    Products of coefficients of ρ and x are far beyond each prime: random modulo every one.

    Args:
        circuit: on the compute node.
        features: of one upload, at the top level.
        functionals: one for each.
    """
    parameters = circuit.parameters
    terms = zip(features, functionals, strict=True)
    total = reduce(
        circuit.add,
        [circuit.multiply_plain(x, rho, FACTOR_SCALE) for x, rho in terms],
    )
    # A power of two that leaves, after all rescales, the weight at the scale of bounds.
    scale = bounds_scale(parameters)
    dropped = sum(math.log2(parameters.top_prime(level)) for level in range(1, total.level + 1))
    bits = math.log2(scale * MAGNITUDE_WEIGHT / total.scale) + dropped
    total = circuit.multiply_scalar(total, 1.0, 2.0 ** math.floor(bits))
    while total.level > 0:
        total = circuit.rescale(total)
    return circuit.with_scale(total, scale)


def presence_product(
    circuit: Circuit,
    presence: Encrypted,
    functional: Functional,
    outside: Functional,
    own: slice,
) -> Encrypted:
    """AMPLIFICATION·(ρ·p·(1 - p) + ρ'·p outside the own slots), to be finished and summed.

    A label of a category needs no own slots: that labels add up to presence is tested everywhere.

    Args:
        circuit: on the compute node.
        presence: p of one upload, or a label of a category, which is 0 or 1 as well.
        functional: ρ.
        outside: ρ', which the function weighs down over the party's own slots.
        own: the party's slots of this block.
    """
    inside = np.zeros_like(outside)
    inside[own] = outside[own]
    p = circuit.lower(presence, SUM_LEVEL)
    total = _times_absence(circuit, circuit.multiply_plain(p, functional, FACTOR_SCALE), p)
    if inside.any():
        total = circuit.add(total, _linear(circuit, p, inside, PRESENCE_WEIGHT, total.scale))
    if len(outside[own]) < len(outside):
        foreign = foreign_functional(outside, own)
        term = _linear(circuit, p, foreign, 1.0, total.scale, factor_scale=OUTSIDE_SCALE)
        total = circuit.add(total, term)
    return _amplified(circuit, total)


def foreign_functional(outside: Functional, own: slice) -> Functional:
    """ρ' for slots that are not a party's own: over the own ones, where p is real, imaginary.

    Zeros there, beside few foreign slots, would leave roundings that are anything but random.
    """
    foreign = outside.copy()
    foreign[own] = 1j * outside[own].imag
    return foreign


def padding_product(
    circuit: Circuit,
    features: Sequence[Encrypted],
    presence: Encrypted,
    functionals: Sequence[Functional],
    imaginary: Sequence[Functional],
    categories: Sequence[tuple[Sequence[Encrypted], Functional]] = (),
) -> Encrypted:
    """AMPLIFICATION·Σ_j ρ_j·x_j·(1 - p) and the imaginary parts, to be finished and summed.

    And, for each category, Σ ρ·(Σ_c z_c - p): a record has one of its labels.

    Args:
        circuit: on the compute node.
        features: x_j of one upload; numeric profile columns among them.
        presence: p of the same.
        functionals: ρ_j.
        imaginary: of these the real parts τ_j are used: Σ Re(i·τ_j·x_j) is zero for real x_j.
        categories: labels z_c of each category, at :data:`SUM_LEVEL`, and ρ.
    """
    p = circuit.lower(presence, SUM_LEVEL)
    low = [circuit.lower(x, SUM_LEVEL) for x in features]
    terms = zip(low, functionals, strict=True)
    weighed = reduce(
        circuit.add, [circuit.multiply_plain(x, rho, FACTOR_SCALE) for x, rho in terms]
    )
    total = _times_absence(circuit, weighed, p)
    weight = IMAGINARY_AMPLIFICATION / AMPLIFICATION
    for x, tau in zip(low, imaginary, strict=True):
        turned = np.asarray(1j * tau.real, np.complex128)
        total = circuit.add(total, _linear(circuit, x, turned, weight, total.scale))
    for labels, rho in categories:
        surplus = circuit.add(reduce(circuit.add, labels), circuit.negate(p))
        total = circuit.add(total, _linear(circuit, surplus, rho, 1.0, total.scale))
    return _amplified(circuit, total)


def _linear(
    circuit: Circuit,
    z: Encrypted,
    functional: Functional,
    weight: float,
    scale: float,
    factor_scale: float = FACTOR_SCALE,
) -> Encrypted:
    """weight·ρ·z at ``scale``, in two factors.

    A vector is encoded by a Fourier transform in floating point, whose last bits differ between
    processors. At :data:`FACTOR_SCALE` they are far below what is rounded away, at a scale of 2⁵¹
    they are not, and a replay on another machine would get other bits. A number is encoded exactly.
    """
    weighed = circuit.multiply_plain(z, functional, factor_scale)
    return circuit.multiply_scalar(weighed, weight, scale / weighed.scale)


def _times_absence(circuit: Circuit, z: Encrypted, presence: Encrypted) -> Encrypted:
    """z·(1 - p), not relinearised: one factor for both terms, so that nothing has to cancel."""
    return circuit.multiply(z, circuit.add_scalar(circuit.negate(presence), 1.0))


def _amplified(circuit: Circuit, total: Encrypted) -> Encrypted:
    return circuit.with_scale(total, total.scale / AMPLIFICATION)
