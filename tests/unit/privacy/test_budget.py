"""The noise plan: it spends what was agreed and no more, and its noise covers the sensitivities."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpcseg.errors import BudgetError
from mpcseg.privacy.accounting import epsilon_for
from mpcseg.privacy.budget import ADMISSION_ROUNDS, NoisePlan, no_noise_plan, noise_plan
from mpcseg.privacy.sensitivity import squares_bound, weight_bound
from mpcseg.reference.admission import error_stds
from mpcseg.reference.rounds import RoundKind, sums_shape

BLUNT, SHARP = (7, 7), (7, 15)
SHAPE: dict[str, Any] = {
    "n_clusters": 5,
    "n_features": 6,
    "n_rounds": 10,
    "n_parties": 3,
    "radius": math.sqrt(6),
    "signs": (BLUNT, SHARP),
}


def planned(**changes: Any) -> NoisePlan:
    return noise_plan(**{"epsilon": 1.0, "delta": 1e-6, "own_draw": False, **SHAPE, **changes})


def rounds_of(plan: NoisePlan) -> list[tuple[RoundKind, tuple[int, ...]]]:
    lloyd: list[tuple[RoundKind, tuple[int, ...]]] = [("lloyd", SHARP)] * plan.n_rounds
    return [("admission", ()), ("moments", ()), *lloyd, ("profile", SHARP)]


@settings(max_examples=25, deadline=None)
@given(
    st.floats(0.05, 10),
    st.integers(2, 8),
    st.integers(1, 12),
    st.integers(1, 20),
    st.floats(0.4, 1.0),
)
def test_a_whole_study_costs_the_agreed_budget(
    epsilon: float, k: int, d: int, n_rounds: int, share: float
) -> None:
    plan = planned(
        epsilon=epsilon, n_clusters=k, n_features=d, n_rounds=n_rounds,
        radius=share * math.sqrt(d),
    )  # fmt: skip
    spent = math.fsum(plan.rho(kind, sign) for kind, sign in rounds_of(plan))
    assert spent == pytest.approx(plan.study_rho, rel=1e-12)
    # Kept for runs that stop at their admission round.
    kept = (ADMISSION_ROUNDS - 1) * plan.rho("admission")
    assert 0 < kept < 0.021 * plan.total_rho
    assert spent + kept == pytest.approx(plan.total_rho, rel=1e-12)
    assert epsilon_for(spent + kept, 1e-6) == pytest.approx(epsilon, rel=1e-6)


@pytest.mark.parametrize("sign", [BLUNT, SHARP])
def test_the_noise_covers_what_a_record_can_move(sign: tuple[int, ...]) -> None:
    """A round's cost again, from its noise: sum of (sensitivity / std)² / 2 over the parts."""
    plan = planned()
    weight, record, squares = weight_bound(sign, 5), math.sqrt(6), squares_bound(6, math.sqrt(6))

    lloyd = plan.stds("lloyd", sign)
    cost = (weight / lloyd[0, -1]) ** 2 / 2 + (weight * record / lloyd[0, 0]) ** 2 / 2
    assert 0.995 * plan.rho("lloyd", sign) < cost <= plan.rho("lloyd", sign)

    profile = plan.stds("profile", sign)
    cost = (weight / profile[0, 6]) ** 2 / 2 + (weight * record / profile[0, 0]) ** 2 / 2
    cost += (weight * squares / profile[0, 7]) ** 2 / 2
    assert 0.99 * plan.rho("profile", sign) < cost <= plan.rho("profile", sign)

    moments = plan.stds("moments")
    d = 6
    corner = np.ones(1 + d + d * (d + 1) // 2)  # of the record (1, …, 1), which is the worst
    cost = float(((corner / moments) ** 2).sum() / 2)
    assert 0.99 * plan.rho("moments") < cost <= plan.rho("moments")


def test_stds_have_the_shapes_of_the_sums_and_are_alike_for_all_clusters() -> None:
    plan = planned()
    for kind, sign in rounds_of(plan):
        stds = plan.stds(kind, sign)
        assert stds.shape == sums_shape(kind, 5, 6, 3)
        assert (stds > 0).all()
    for kind in ("lloyd", "profile"):
        assert (np.ptp(plan.stds(kind, SHARP), axis=0) == 0).all()
    # A blunt sign's weights reach farther: the same cost needs more noise.
    ratio = plan.stds("lloyd", BLUNT) / plan.stds("lloyd", SHARP)
    assert (ratio > 1.05).all()


def test_own_draws_are_alike_and_add_up() -> None:
    single, both = planned(), planned(own_draw=True)
    for kind, sign in rounds_of(single):
        np.testing.assert_array_equal(single.stds(kind, sign), both.stds(kind, sign))
        np.testing.assert_array_equal(single.effective_stds(kind, sign), single.stds(kind, sign))
        np.testing.assert_allclose(
            both.effective_stds(kind, sign), math.sqrt(2) * both.stds(kind, sign)
        )


def test_more_budget_less_noise_and_a_smaller_radius_too() -> None:
    loose, tight, small = planned(epsilon=4.0), planned(), planned(radius=1.5)
    assert (loose.stds("lloyd", SHARP) < tight.stds("lloyd", SHARP)).all()
    assert (small.stds("lloyd", SHARP)[:, :-1] < tight.stds("lloyd", SHARP)[:, :-1]).all()
    np.testing.assert_array_equal(
        small.stds("lloyd", SHARP)[:, -1], tight.stds("lloyd", SHARP)[:, -1]
    )


def test_without_noise_only_admission_has_some_and_the_cost_is_infinite() -> None:
    plan = no_noise_plan(**SHAPE)
    assert not plan.is_noised
    assert (plan.stds("admission") == 1).all()
    assert math.isfinite(plan.rho("admission"))
    assert plan.epsilon == plan.total_rho == math.inf
    for kind, sign in rounds_of(plan)[1:]:
        assert (plan.stds(kind, sign) == 0).all()
        assert plan.rho(kind, sign) == math.inf


@pytest.mark.parametrize(("kind", "sign"), [("lloyd", ()), ("lloyd", (15, 15)), ("moments", SHARP)])
def test_rounds_that_are_not_planned_are_refused(kind: RoundKind, sign: tuple[int, ...]) -> None:
    with pytest.raises(BudgetError, match="noise plan has no"):
        planned().stds(kind, sign)
    with pytest.raises(BudgetError, match="noise plan has no"):
        planned().rho(kind, sign)


@pytest.mark.parametrize("epsilon", [0.05, 0.5, 1.0, 4.0, 20.0])
@pytest.mark.parametrize("d", [1, 6, 17])
def test_admission_costs_next_to_nothing(epsilon: float, d: int) -> None:
    plan = planned(epsilon=epsilon, n_features=d, radius=math.sqrt(d))
    assert plan.rho("admission") <= 0.01 * plan.total_rho * (1 + 1e-9)
    assert (plan.stds("admission") >= 1).all()


@pytest.mark.parametrize("own_draw", [False, True])
def test_honest_parties_are_admitted_and_a_record_outside_is_not(own_draw: bool) -> None:
    """Limits are seven deviations of all that an honest sum has in it."""
    for plan in (planned(own_draw=own_draw), replace(no_noise_plan(**SHAPE), own_draw=own_draw)):
        for n_blocks in (1, 100):
            limits = plan.admission_limits(n_blocks, 8192)
            honest = np.hypot(plan.effective_stds("admission")[0], error_stds(n_blocks, 8192, 6))
            assert (limits >= 7 * honest).all()
            # The least that one record at 1.05 adds, and presence of 1.25 and padding of 1.
            assert limits[0] < 0.7 * (1.05 / 1.0125) ** 512 / 1e4
            assert limits[1] < 0.7 * 4096 * 0.25 * 1.25
            assert limits[2] < 0.7 * 4096
