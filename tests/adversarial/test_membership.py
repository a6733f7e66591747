"""A membership attack on the whole view: moments, all rounds, profile.

The strongest attacker there is against differential privacy: it knows every record but the
target's, and tests the one question that is left. The target is the customer that is easiest to
see, alone in a corner of the domain, where a record adds to every sum as much as one can.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.stats import norm

from mpcseg.ckks.planner import SHARP
from mpcseg.reference.hyperplanes import hyperplanes
from mpcseg.reference.rounds import RoundKind
from tests.adversarial.membership import (
    advantage_under_dp,
    advantage_under_gaussian_noise,
    log_likelihood_ratio,
    spent,
)
from tests.adversarial.studies import DELTA, EPSILON, Design, clear_view, groups
from tests.adversarial.table import percent, show
from tests.adversarial.views import Array, Release, View

DESIGN = Design(n_clusters=3, n_features=2, n_rounds=10)
PLAN = DESIGN.noise()
KNOWN = 0.5 * groups(60, 3, 2, np.random.default_rng(3)) - 0.3
TARGET = np.ones(2)

BOUND = advantage_under_dp(EPSILON, DELTA)
"""What epsilon and delta promise."""
TIGHT_BOUND = advantage_under_gaussian_noise(PLAN.total_rho)
"""What the noise that they were turned into promises; much less, as delta is so small."""

SURE = float(norm.isf(1e-6))
"""Deviations outside of which a correct program would be once in a million runs, were seeds new."""


def advantage(trials: int, scale: float) -> tuple[float, float]:
    """True minus false positive rate over so many studies each with and without the target.

    Returns:
        The advantage and its standard error.
    """
    rates = []
    for world, records in enumerate((KNOWN, np.vstack([KNOWN, TARGET]))):
        accused = 0
        for number in range(trials):
            rng = np.random.default_rng([world, number])
            view = clear_view(records, DESIGN, rng, epsilon=EPSILON, scale=scale)
            accused += log_likelihood_ratio(view, KNOWN, TARGET) > 0
        rates.append(accused / trials)
    false, true = rates
    error = math.sqrt((false * (1 - false) + true * (1 - true)) / trials)
    show(
        f"membership: {trials} studies with, {trials} without",
        {0.0: "none", 1.0: f"epsilon = {EPSILON:g}"}.get(scale, f"{scale:g} of it"),
        f"accused rightly {percent(true)}, wrongly {percent(false)}, advantage {true - false:.3f} "
        f"± {1.96 * error:.3f} (bounds {TIGHT_BOUND:.3f}, {BOUND:.3f})",
    )
    return true - false, error


def test_without_noise_nobody_hides() -> None:
    found, _ = advantage(100, 0.0)
    assert found == 1


def test_with_the_default_noise_the_bounds_hold() -> None:
    found, error = advantage(400, 1.0)
    assert found - SURE * error <= TIGHT_BOUND < BOUND


def test_a_tenth_of_the_noise_is_noticed() -> None:
    """So that the test above can fail: it would, for noise that is too small."""
    found, error = advantage(200, 0.1)
    assert found - SURE * error > BOUND


def test_no_record_is_charged_more_than_the_plan_says() -> None:
    rng = np.random.default_rng(5)
    corners = [TARGET, -TARGET, np.array([1.0, -1.0])]
    targets = [*corners, *rng.uniform(-1, 1, (20, 2))]
    costs = []
    for seed in range(20):
        view = clear_view(KNOWN, DESIGN, np.random.default_rng(seed), epsilon=EPSILON)
        costs += [spent(view, target) for target in targets]
    show(
        "cost of a study to 23 customers, 20 studies",
        f"epsilon = {EPSILON:g}",
        f"rho up to {max(costs):.5f} of {PLAN.total_rho:.5f} planned",
    )
    assert max(costs) <= PLAN.total_rho
    # Nor much less: the sensitivities are not padded.
    assert max(costs) > 0.7 * PLAN.total_rho


def test_hyperplanes_chosen_against_somebody_cost_no_more() -> None:
    """A key node that asks about one customer: in every round what shows most of that one."""
    rng = np.random.default_rng(7)
    k, d = DESIGN.n_clusters, DESIGN.n_features
    dearest: dict[RoundKind, float] = {"moments": 0.0, "lloyd": 0.0, "profile": 0.0}
    for _ in range(3000):
        target = rng.choice([-1.0, 1.0], d) * rng.choice([1.0, rng.uniform()], d)
        near = rng.choice([0.02, 0.2, 2.0])
        centers = target + near * rng.uniform(-1, 1, (k, d))
        planes = hyperplanes(centers, rng.uniform(0.1, 10, d), math.sqrt(d))
        asked: list[tuple[RoundKind, tuple[int, ...], Array | None]] = [
            ("moments", (), None),
            ("lloyd", SHARP, planes),
            ("profile", SHARP, planes),
        ]
        for kind, sign, own in asked:
            stds = PLAN.stds(kind, sign)
            release = Release(kind, sign, own, np.zeros(stds.shape), stds)
            dearest[kind] = max(dearest[kind], spent(View(k, d, (release,)), target))
    total = dearest["moments"] + DESIGN.n_rounds * dearest["lloyd"] + dearest["profile"]
    show(
        "the dearest of 3000 hostile hyperplanes, every round",
        f"epsilon = {EPSILON:g}",
        f"rho {total:.5f} of {PLAN.total_rho:.5f} planned",
    )
    assert 0.8 * PLAN.total_rho < total <= PLAN.total_rho
