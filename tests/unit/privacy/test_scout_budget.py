"""The budget of a study that chooses its number of clusters: every scout round is paid for."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from mpcseg.errors import BudgetError
from mpcseg.privacy.accounting import gaussian_rho
from mpcseg.privacy.budget import ADMISSION_ROUNDS, SCOUT_SHARE, NoisePlan, noise_plan
from mpcseg.privacy.ledger import Ledger
from mpcseg.privacy.sensitivity import record_bound, squares_bound, weight_bound, with_margin
from mpcseg.reference.rounds import RoundKind, ScoutTerms, scout_sample, sums_shape

BLUNT, SHARP = (7, 7), (7, 15)
TERMS = ScoutTerms((3, 4, 5, 6), 2, 2)


def planned(scouting: ScoutTerms | None = TERMS, **changes: object) -> NoisePlan:
    shape = {
        "epsilon": 2.0, "delta": 1e-6, "n_clusters": 6, "n_features": 3, "n_rounds": 4,
        "n_parties": 2, "radius": math.sqrt(3), "signs": (BLUNT, SHARP), "own_draw": False,
    }  # fmt: skip
    return noise_plan(**{**shape, "scouting": scouting, **changes})


def rounds_of(plan: NoisePlan) -> list[tuple[RoundKind, tuple[int, ...]]]:
    scouts = plan.scouting.sequence if plan.scouting else ()
    lloyd: list[tuple[RoundKind, tuple[int, ...]]] = [("lloyd", SHARP)] * plan.n_rounds
    return [
        ("admission", ()), ("moments", ()), *((kind, plan.scout_sign(kind)) for kind, _ in scouts),
        *lloyd, ("profile", SHARP),
    ]  # fmt: skip


def test_a_study_that_chooses_costs_the_agreed_budget_and_no_more() -> None:
    plan = planned()
    spent = math.fsum(plan.rho(*one) for one in rounds_of(plan))
    assert spent == pytest.approx(plan.study_rho, rel=1e-12)
    kept = (ADMISSION_ROUNDS - 1) * plan.rho("admission")
    assert spent + kept == pytest.approx(plan.total_rho, rel=1e-12)
    scouts = math.fsum(
        plan.rho(*one) for one in rounds_of(plan) if one[0] in ("scout", "appraisal")
    )
    available = plan.total_rho - ADMISSION_ROUNDS * plan.rho("admission")
    assert scouts == pytest.approx(SCOUT_SHARE * available)


def test_every_round_is_in_the_ledger_and_one_more_is_refused() -> None:
    plan = planned()
    ledger = Ledger(plan)
    for index, (kind, sign) in enumerate(rounds_of(plan)):
        ledger.spend(kind, index, sign)
    counts = Counter(entry.kind for entry in ledger.entries)
    assert (counts["scout"], counts["appraisal"]) == (16, 8)
    assert ledger.epsilon <= 2.0
    for kind in ("scout", "appraisal"):
        with pytest.raises(BudgetError, match="would exceed the agreed privacy budget"):
            ledger.spend(kind, 99, plan.scout_sign(kind))
    with pytest.raises(BudgetError, match="another run"):
        ledger.verify_study_affordable()


@pytest.mark.parametrize("kind", ["scout", "appraisal"])
@pytest.mark.parametrize("k", TERMS.candidates)
def test_a_round_costs_what_its_noise_is_worth_whatever_its_clusters(
    kind: RoundKind, k: int
) -> None:
    plan = planned()
    sign = plan.scout_sign(kind)
    stds = plan.stds(kind, sign, k)
    assert stds.shape == sums_shape(kind, k, 3)
    assert (stds == stds[0]).all()
    weight = weight_bound(sign, k)
    record, squares = record_bound(3, math.sqrt(3)), squares_bound(3, math.sqrt(3))
    cost = gaussian_rho(with_margin(weight, k), stds[0, 3])
    cost += gaussian_rho(with_margin(weight * record, k * 3), stds[0, 0])
    if kind == "appraisal":
        cost += gaussian_rho(with_margin(weight * squares, k * 3), stds[0, 4])
    assert cost == pytest.approx(plan.rho(kind, sign), rel=1e-9)


def test_noise_does_not_shrink_because_a_round_sees_a_sample() -> None:
    """No amplification by sampling is claimed: a record in the sample is protected as any other."""
    plan = planned()
    lloyd, scout = plan.rho("lloyd", SHARP), plan.rho("scout", BLUNT)
    ratio = plan.stds("scout", BLUNT, 6)[0, 0] / plan.stds("lloyd", SHARP, 6)[0, 0]
    weights = weight_bound(BLUNT, 6) / weight_bound(SHARP, 6)
    assert ratio == pytest.approx(math.sqrt(lloyd / scout) * weights, rel=1e-3)


def test_what_the_plan_does_not_have_is_refused() -> None:
    plan = planned()
    with pytest.raises(BudgetError, match="no round of 7 clusters"):
        plan.stds("scout", BLUNT, 7)
    with pytest.raises(BudgetError, match="with the sign"):
        plan.rho("scout", SHARP)
    with pytest.raises(BudgetError, match="with the sign"):
        plan.rho("appraisal", BLUNT)
    fixed = planned(None)
    with pytest.raises(BudgetError, match="with the sign"):
        fixed.rho("scout", BLUNT)
    with pytest.raises(BudgetError, match="no round of 5 clusters"):
        fixed.stds("lloyd", SHARP, 5)


def test_a_study_of_a_fixed_number_spends_as_before() -> None:
    """By the formulas of a study without scouting, to the last bit."""
    plan = planned(None)
    available = plan.total_rho - ADMISSION_ROUNDS * plan.rho("admission")
    assert plan.rho("lloyd", SHARP) == (1 - 0.10 - 0.12) * available / 4
    assert plan.rho("moments") == 0.10 * available
    assert plan.rho("profile", SHARP) == 0.12 * available
    np.testing.assert_array_equal(plan.stds("lloyd", SHARP), plan.stds("lloyd", SHARP, 6))
    assert replace(plan, scouting=TERMS).rho("lloyd", SHARP) < plan.rho("lloyd", SHARP)


@pytest.mark.parametrize(
    ("n_blocks", "n_parties", "sample"),
    [
        (1, 1, [0]),
        (4, 2, [0, 1, 2, 3]),
        (7, 2, [0, 1, 2, 3, 4, 5, 6]),
        (8, 2, [0, 2, 4, 6]),
        (20, 2, [2, 7, 12, 17]),
        (60, 3, [4, 14, 24, 34, 44, 54]),
    ],
)
def test_scout_rounds_work_on_every_so_manyth_block(
    n_blocks: int, n_parties: int, sample: list[int]
) -> None:
    assert scout_sample(range(n_blocks), n_parties) == sample
