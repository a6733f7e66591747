"""What admission finds on real ciphertexts: nothing in honest ones, each kind of cheat in others.

``--capture=no`` prints the figures of docs/privacy.md. The random functionals of cheats have fixed
seeds, so that a test does not fail by the chance of one in thousands that is measured below.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable

import numpy as np
import pytest
import tenseal.sealapi as seal

from mpcseg.ckks import admission
from mpcseg.ckks.admission import random_functional
from mpcseg.ckks.circuit import Circuit, Encrypted
from mpcseg.ckks.parameters import TARGET_SCALE, ParameterSet
from mpcseg.ckks.simulation import ClearBackend
from mpcseg.errors import PlanError
from mpcseg.privacy.budget import no_noise_plan, noise_plan
from mpcseg.privacy.sensitivity import ERROR_DEVIATIONS
from mpcseg.reference.admission import (
    AMPLIFICATION,
    LARGEST_FACTOR,
    OUTSIDE_SCALE,
    SMALLEST_FACTOR,
    error_stds,
    outside_rounding,
)
from mpcseg.reference.columns import ColumnLayout
from mpcseg.reference.rounds import ADMISSION_RULES
from tests.unit.ckks.admitted import (
    Findings,
    encrypt_rows,
    honest_rows,
    largest_limits,
    negated,
)
from tests.unit.ckks.conftest import Keys

SMALLEST = ParameterSet(16384, 9)
D, N_RECORDS = 2, 6000
RECORD, OTHER, EMPTY = 17, 4000, 7000
"""Slots: of two records, and of padding."""

Rows = np.ndarray


@pytest.fixture(scope="module")
def admission_keys(make_keys: Callable[[ParameterSet], Keys]) -> Keys:
    """The smallest set of any study."""
    return make_keys(SMALLEST)


def rows_of(seed: int, n: int = N_RECORDS) -> Rows:
    return honest_rows(np.random.default_rng(seed), SMALLEST.slots, D, n)


def at_the_bounds() -> Rows:
    rows = rows_of(1, SMALLEST.slots)
    rows[:-1] = np.sign(rows[:-1].real)
    return rows


HONEST = {
    "uniform": rows_of(0),
    "every coordinate -1 or 1": at_the_bounds(),
    "one record": rows_of(0, 1),
    "no record": rows_of(0, 0),
}


@pytest.mark.parametrize("name", HONEST)
def test_honest_data_is_near_zero(admission_keys: Keys, name: str) -> None:
    limits = largest_limits(1, SMALLEST.slots, D)
    blobs = encrypt_rows(admission_keys, HONEST[name])
    found = np.array([Findings.of(admission_keys, blobs).sums() for _ in range(3)])
    for row in found:
        shown = "  ".join(f"{r} {v:+.4f}" for r, v in zip(ADMISSION_RULES, row, strict=True))
        print(f"{name:26} {shown}")  # noqa: T201
    assert (np.abs(found) < limits / 3).all()


def test_errors_of_honest_data_are_as_predicted(admission_keys: Keys) -> None:
    """Presence and padding are nothing but errors of encryption; their size sets the limits."""
    found = []
    for seed in range(6):
        blobs = encrypt_rows(admission_keys, rows_of(seed))
        for _ in range(6):
            # A shared block that is nearly this party's alone: where most is added.
            findings = Findings.of(admission_keys, blobs, slice(0, N_RECORDS))
            found.append([findings.presence_sum(), findings.padding()])
    measured = np.sqrt(np.mean(np.square(found), axis=0))
    predicted = error_stds(1, SMALLEST.slots, D)[1:]
    print(f"rms of presence, padding: {measured}, predicted {predicted}")  # noqa: T201
    assert (measured < 1.5 * predicted).all()
    assert (measured > 0.4 * predicted).all()


@pytest.mark.parametrize("own", [slice(0, 8192), slice(0, 4096), slice(4096, 6144)], ids=str)
def test_honest_presence_in_a_shared_block_is_far_under_the_limit(
    admission_keys: Keys, own: slice
) -> None:
    """Also without noise, where the limit is lowest, and with every own slot in use."""
    shape = {"n_clusters": 2, "n_features": D, "n_rounds": 1, "n_parties": 2}
    plan = no_noise_plan(**shape, radius=math.sqrt(D), signs=((7, 7), (7, 15)))
    limit = plan.admission_limits(1, SMALLEST.slots)[ADMISSION_RULES.index("presence")]
    rows = rows_of(0, 0)
    rows[:-1, own] = 0.5
    rows[-1, own] = 1.0
    blobs = encrypt_rows(admission_keys, rows)
    found = [Findings.of(admission_keys, blobs, own).presence_sum() for _ in range(24)]
    measured = math.sqrt(np.mean(np.square(found)))
    predicted = error_stds(1, SMALLEST.slots, D)[ADMISSION_RULES.index("presence")]
    print(f"{own}: rms {measured:.2f}, predicted {predicted:.2f}, limit {limit:.1f}")  # noqa: T201
    assert measured < 1.6 * predicted
    # With its own noise of 1 beside it.
    assert math.hypot(measured, 1.0) < limit / 5


TERMS = [
    (0.5, False, ()),
    (0.5, True, ()),
    (1.0, True, ()),
    (1.0, True, (3, 4)),
    (0.5, True, (3, 4)),
]


@pytest.mark.parametrize(("epsilon", "own_draw", "groups"), TERMS)
def test_one_record_in_a_foreign_slot_is_over_every_limit(
    epsilon: float, own_draw: bool, groups: tuple[int, ...]
) -> None:
    """Whatever noise was agreed: a sum of two records in one slot is what bounds do not allow."""
    plan = noise_plan(
        n_clusters=5, n_features=D, n_rounds=8, n_parties=2, radius=math.sqrt(D),
        signs=((7, 7), (7, 15)), epsilon=epsilon, delta=1e-6, own_draw=own_draw,
        columns=ColumnLayout(0, groups),
    )  # fmt: skip
    limit = plan.admission_limits(1, SMALLEST.slots)[ADMISSION_RULES.index("presence")]
    assert 1.2 * limit < AMPLIFICATION * SMALLEST_FACTOR


def test_one_record_in_a_foreign_slot_adds_what_the_limits_count_on(admission_keys: Keys) -> None:
    own = slice(1000, 1500)
    rows = rows_of(0, 0)
    rows[:-1, own] = 0.5
    rows[-1, own] = rows[-1, 999] = 1.0
    blobs = encrypt_rows(admission_keys, rows)
    found = [abs(Findings.of(admission_keys, blobs, own).presence_sum()) for _ in range(20)]
    assert min(found) > 0.98 * AMPLIFICATION * SMALLEST_FACTOR
    assert max(found) < 1.02 * AMPLIFICATION * LARGEST_FACTOR


@pytest.mark.parametrize("n_foreign", [1, 2, 4000])
def test_few_foreign_slots_round_no_worse_than_many(n_foreign: int) -> None:
    """What rounding adds for one own record is never more than the accounting has."""
    encoder = seal.CKKSEncoder(SMALLEST.ring.context)
    worst = 0.0
    for seed in range(3):
        rng = np.random.default_rng(seed)
        outside = rng.uniform(SMALLEST_FACTOR, LARGEST_FACTOR, (2, SMALLEST.slots))
        own = slice(n_foreign, SMALLEST.slots)
        foreign = admission.foreign_functional(outside[0] + 1j * outside[1], own)
        assert not foreign.real[own].any()
        assert foreign.imag[own].all()
        np.testing.assert_array_equal(foreign.real[:n_foreign], outside[0, :n_foreign])
        plain = seal.Plaintext()
        encoder.encode(foreign.tolist(), OUTSIDE_SCALE, plain)
        encoded = np.array(encoder.decode_complex(plain))
        rounded = np.abs((encoded - foreign).real[n_foreign:]).max()
        worst = max(worst, AMPLIFICATION * float(rounded))
    assert 2 * outside_rounding(SMALLEST.slots) < worst
    assert worst < ERROR_DEVIATIONS * outside_rounding(SMALLEST.slots)


def changed(*changes: tuple[int, int, complex]) -> Callable[[Rows], None]:
    """(row, slot, value); row D is presence."""

    def change(rows: Rows) -> None:
        for row, slot, value in changes:
            rows[row, slot] = value

    return change


def many_phases(rows: Rows) -> None:
    rows[0, :400] = np.exp(1j * np.pi / 512)


ROOT = 0.5 + 0.5j * np.sqrt(7.0)
"""p·(1 - p) = 2; for p = 2 it is -2."""

CHEATS: dict[str, tuple[str, Callable[[Rows], None]]] = {
    "a coordinate of 1.03": ("bounds", changed((0, RECORD, 1.03))),
    "a coordinate of 1.05": ("bounds", changed((0, RECORD, 1.05))),
    "a coordinate of -1.05": ("bounds", changed((1, RECORD, -1.05))),
    "a coordinate of 3": ("bounds", changed((0, RECORD, 3))),
    "a coordinate of 10,000": ("bounds", changed((0, RECORD, 1e4))),
    "1.05 in a phase whose power is imaginary": (
        "bounds",
        changed((0, RECORD, 1.05 * np.exp(1j * np.pi / 1024))),
    ),
    "two coordinates of 1.05": ("bounds", changed((0, RECORD, 1.05), (0, OTHER, 1.05))),
    "1.05 twice, powers opposite": (
        "bounds",
        changed((0, RECORD, 1.05), (0, OTHER, 1.05 * np.exp(1j * np.pi / 512))),
    ),
    "an imaginary coordinate, 0.5i": ("padding", changed((0, RECORD, 0.5j))),
    "a phase of π/64 within bounds": ("padding", changed((0, RECORD, np.exp(1j * np.pi / 64)))),
    "400 phases of π/512 within bounds": ("padding", many_phases),
    "imaginary parts that add up to zero": (
        "padding",
        changed((0, RECORD, 0.5 + 0.5j), (0, OTHER, 0.5 - 0.5j)),
    ),
    "presence 2": ("presence", changed((D, RECORD, 2))),
    "presence 0.5": ("presence", changed((D, RECORD, 0.5))),
    "presence -1": ("presence", changed((D, RECORD, -1))),
    "presence 40": ("presence", changed((D, RECORD, 40))),
    "presence i": ("presence", changed((D, RECORD, 1j))),
    "presences whose products add up to zero": (
        "presence",
        changed((D, RECORD, 2), (D, OTHER, ROOT)),
    ),
    "a record without presence": ("padding", changed((0, EMPTY, 0.7))),
    "two that add up to zero, without presence": (
        "padding",
        changed((0, EMPTY, 0.7), (0, EMPTY + 1, -0.7)),
    ),
}


def fixed_seed(name: str) -> bytes:
    return hashlib.sha512(name.encode()).digest()


@pytest.mark.parametrize("name", CHEATS)
def test_each_cheat_is_far_over_the_limit(admission_keys: Keys, name: str) -> None:
    rule, change = CHEATS[name]
    rows = rows_of(3)
    change(rows)
    findings = Findings.of(
        admission_keys, encrypt_rows(admission_keys, rows), seed=fixed_seed(name)
    )
    value = {
        "bounds": findings.bounds,
        "presence": findings.presence_sum,
        "padding": findings.padding,
    }[rule]()
    limit = largest_limits(1, SMALLEST.slots, D)[ADMISSION_RULES.index(rule)]
    print(f"{name:42} {rule:8} {value:+14.1f}  limit {limit:.0f}")  # noqa: T201
    assert abs(value) > 1.5 * limit


@pytest.mark.parametrize("what", ["presence and record", "presence", "record"])
def test_slots_of_another_party_are_not_touched(admission_keys: Keys, what: str) -> None:
    """A shared block: this party has slots 1000 to 1500."""
    own = slice(1000, 1500)
    rows = rows_of(0, 0)
    rows[:-1, own] = 0.5
    rows[-1, own] = 1.0
    limits = largest_limits(1, SMALLEST.slots, D)
    honest = Findings.of(admission_keys, encrypt_rows(admission_keys, rows), own)
    assert (np.abs(honest.sums()) < limits / 3).all()
    for slot in (999, 1500):
        cheat = rows.copy()
        if "presence" in what:
            cheat[-1, slot] = 1.0
        if "record" in what:
            cheat[0, slot] = 0.5
        blobs = encrypt_rows(admission_keys, cheat)
        found = Findings.of(admission_keys, blobs, own, fixed_seed(f"{what}{slot}"))
        _, presence, padding = abs(found.sums()) / limits
        print(f"{what} in slot {slot}: {presence:.1f}, {padding:.1f} limits")  # noqa: T201
        assert max(presence, padding) > 3
        assert (presence > 3) == ("presence" in what)


@pytest.mark.parametrize("prime", [0, 1, 2, 6, 10])
def test_residues_of_the_other_sign_modulo_one_prime(admission_keys: Keys, prime: int) -> None:
    """Every even power of such a ciphertext is that of an honest one; magnitudes give it away."""
    first, *others = encrypt_rows(admission_keys, rows_of(0))
    blobs = [negated(SMALLEST, first, prime), *others]
    findings = Findings.of(admission_keys, blobs, seed=fixed_seed(f"sign {prime}"))
    assert abs(findings.released(findings.powers())) < 1, "the power alone sees nothing"
    bounds = findings.bounds()
    print(f"prime {prime}: {bounds:+.1f}")  # noqa: T201
    assert abs(bounds) > 10 * largest_limits(1, SMALLEST.slots, D)[0]


@pytest.mark.parametrize("prime", [0, 1, 2])
def test_presence_turned_round_modulo_one_prime(admission_keys: Keys, prime: int) -> None:
    """p·(1 - p) is the same for 1 - p, here modulo one prime of three: nonsense when decrypted."""
    *features, presence = encrypt_rows(admission_keys, rows_of(0))
    forged = negated(SMALLEST, presence, prime, plus=int(TARGET_SCALE))
    findings = Findings.of(
        admission_keys, [*features, forged], seed=fixed_seed(f"presence {prime}")
    )
    value = findings.presence_sum()
    assert abs(value) > 10 * largest_limits(1, SMALLEST.slots, D)[1]


def test_a_smaller_radius_is_tested_too(admission_keys: Keys) -> None:
    radius = 0.8
    rows = rows_of(5)
    rows[:-1] *= radius / np.sqrt(D)
    limit = largest_limits(1, SMALLEST.slots, D)[0]
    honest = Findings.of(admission_keys, encrypt_rows(admission_keys, rows))
    assert abs(honest.norm(radius)) < 1
    rows[:-1, RECORD] = 0.6  # a norm of 0.85, each coordinate well in bounds
    blobs = encrypt_rows(admission_keys, rows)
    outside = Findings.of(admission_keys, blobs, seed=fixed_seed("radius"))
    assert abs(outside.norm(radius)) > 10 * limit
    assert abs(outside.bounds()) < 1


def test_the_larger_ring(make_keys: Callable[[ParameterSet], Keys]) -> None:
    """N = 32768, and more levels than the power takes."""
    parameters = ParameterSet(32768, 12)
    keys = make_keys(parameters)
    rows = honest_rows(np.random.default_rng(0), parameters.slots, 1, 9000)
    limits = largest_limits(1, parameters.slots, 1)
    blobs = encrypt_rows(keys, rows)
    assert (np.abs(Findings.of(keys, blobs).sums()) < limits / 3).all()
    for prime in (11, 12, 13):  # those above the power's level, and the one at its top
        forged = [negated(parameters, blobs[0], prime), blobs[1]]
        found = Findings.of(keys, forged, seed=fixed_seed(f"large {prime}"))
        assert abs(found.released(found.magnitudes())) > 10 * limits[0]
    rows[0, RECORD] = 1.05
    outside = Findings.of(keys, encrypt_rows(keys, rows), seed=fixed_seed("large"))
    assert abs(outside.bounds()) > 10 * limits[0]
    rows[0] *= 0.8
    assert abs(outside.norm(1.05)) < 1, "the radius is inside for every record"
    outside = Findings.of(keys, encrypt_rows(keys, rows), seed=fixed_seed("norm"))
    assert abs(outside.norm(0.8)) > 10 * limits[0]


def test_ciphertexts_agree_with_the_same_functionals_in_the_clear(admission_keys: Keys) -> None:
    rows = rows_of(3)
    rows[0, RECORD], rows[D, OTHER], rows[1, EMPTY] = 1.025, 0.5, 0.3 + 0.01j
    findings = Findings.of(admission_keys, encrypt_rows(admission_keys, rows))
    found = findings.sums()
    circuit = Circuit(SMALLEST, ClearBackend(SMALLEST))
    *x, p = (
        Encrypted(row, level, TARGET_SCALE)
        for row, level in zip(rows, [SMALLEST.n_levels] * D + [1], strict=True)
    )
    rho = findings.rhos
    bounds = [
        *map(lambda *a: admission.coordinate_power(circuit, *a), x, rho("power")),
        admission.magnitudes(circuit, x, rho("magnitude")),
    ]
    presence = admission.presence_product(
        circuit, p, findings.rho("presence"), findings.rho("outside"), findings.own
    )
    padding = admission.padding_product(circuit, x, p, rho("padding"), rho("imaginary"))
    expected = [
        sum(term.payload for term in terms).sum().real
        for terms in (bounds, [circuit.finish(presence)], [circuit.finish(padding)])
    ]
    assert np.abs(expected).min() > 100, "nothing to compare"
    errors = 6 * error_stds(1, SMALLEST.slots, D) + 0.02 * np.abs(expected)
    assert (np.abs(found - expected) < errors).all(), (found, expected)


def test_functionals_follow_from_the_seed_and_differ_by_label() -> None:
    slots, seed = SMALLEST.slots, bytes(64)
    rho = random_functional(seed, "0/party-0-0/power-0", slots)
    assert np.array_equal(rho, random_functional(seed, "0/party-0-0/power-0", slots))
    for other in (
        random_functional(seed, "0/party-0-0/power-1", slots),
        random_functional(b"\1" * 64, "0/party-0-0/power-0", slots),
    ):
        assert abs(np.vdot(rho, other)) < 6 * np.sqrt(slots) * 2
    parts = np.concatenate([rho.real, rho.imag])
    assert np.abs(parts).min() >= SMALLEST_FACTOR
    assert np.abs(parts).max() <= LARGEST_FACTOR
    assert abs((parts > 0).mean() - 0.5) < 0.03
    assert abs(np.abs(parts).mean() - (SMALLEST_FACTOR + LARGEST_FACTOR) / 2) < 0.01


def test_sets_without_room_for_the_power_are_refused_in_words() -> None:
    with pytest.raises(PlanError, match="needs 9"):
        admission.verify_depth(ParameterSet(16384, 8))


def test_how_often_a_cheat_passes_by_chance() -> None:
    """The same functionals in the clear, drawn 20,000 times, against the largest limit."""
    limits = dict(zip(ADMISSION_RULES, largest_limits(1, SMALLEST.slots, 6), strict=True))
    rng = np.random.default_rng(0)

    def passing(rule: str, *values: complex) -> float:
        sign = rng.choice([-1.0, 1.0], (2, 20_000, len(values)))
        size = rng.uniform(SMALLEST_FACTOR, LARGEST_FACTOR, sign.shape)
        real, imaginary = sign * size
        total = ((real + 1j * imaginary) * np.array(values)).sum(axis=1).real
        return float((np.abs(total) < limits[rule]).mean())

    power = (1.05 / 1.0125) ** 512
    rates = {
        "one coordinate of 1.05": passing("bounds", power),
        "two of 1.05": passing("bounds", power, power),
        "two of 1.05, opposite": passing("bounds", power, -power),
        "one of 1.05 at 45 degrees": passing("bounds", power * np.exp(1j * np.pi / 4)),
        "two of 1.03": passing("bounds", *[(1.03 / 1.0125) ** 512] * 2),
        "one presence of 2": passing("presence", -8192.0),
        "two presences of 2": passing("presence", -8192.0, -8192.0),
        "one imaginary part of 0.01": passing("padding", 655.36j),
        "one record of 0.5 without presence": passing("padding", 2048.0),
    }
    for name, rate in rates.items():
        print(f"{name:36} passes {100 * rate:.2f} %")  # noqa: T201
    assert max(rate for name, rate in rates.items() if "1.05" in name) < 1e-3
    assert rates["two of 1.03"] < 0.1
    assert rates["one presence of 2"] == 0
    assert rates["two presences of 2"] < 0.05
    assert rates["one imaginary part of 0.01"] == 0
