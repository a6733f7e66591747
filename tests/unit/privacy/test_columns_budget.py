"""Noise of the profile columns: it covers what a record can move, and costs nothing without any."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpcseg.privacy.budget import COLUMNS_SHARE, PROFILE_SHARE
from mpcseg.privacy.sensitivity import (
    ERROR_DEVIATIONS,
    SIGN_MARGIN,
    SUM_MARGIN,
    admission_sensitivities,
    columns_bound,
    weight_bound,
)
from mpcseg.reference.admission import error_stds, outside_rounding
from mpcseg.reference.columns import ColumnLayout, column_sums
from mpcseg.reference.hyperplanes import cluster_pairs
from mpcseg.reference.lloyd import assignment_weights
from mpcseg.reference.sign import sign_for
from tests.unit.privacy.test_budget import SHARP, planned

LAYOUTS = st.builds(
    ColumnLayout,
    st.integers(0, 4),
    st.lists(st.integers(2, 5), max_size=3).map(tuple),
    st.integers(0, 3),
)


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), LAYOUTS, st.integers(2, 5))
def test_no_record_moves_the_sums_of_columns_by_more_than_the_bound(
    seed: int, layout: ColumnLayout, k: int
) -> None:
    rng = np.random.default_rng(seed)
    reach = 1 + sign_for(SHARP).error + SIGN_MARGIN
    signs = rng.choice([-reach, reach, 0.3], (len(cluster_pairs(k)), 20))
    numeric = rng.choice([-1.0, 1.0, 0.4], (20, layout.n_numeric))
    labels = [np.eye(count)[rng.integers(0, count, 20)] for count in layout.groups]
    columns, weights = np.hstack([numeric, *labels]), assignment_weights(signs, k)
    parties = rng.integers(0, max(layout.n_parties, 1), 20)
    largest = weight_bound(SHARP, k) * columns_bound(layout)
    for record in range(20):
        one = slice(record, record + 1)
        sums = column_sums(weights[:, one].T, columns[one], layout, parties[one])
        assert sums.shape == (k, layout.n_sums)
        assert np.linalg.norm(sums) <= largest * (1 + 1e-9)


def test_the_bound_is_reached_at_the_ends_of_the_domain() -> None:
    layout = ColumnLayout(2, (3,), 2)
    record = np.array([[1.0, -1.0, 0.0, 1.0, 0.0]])
    sums = column_sums(np.ones((1, 1)), record, layout, np.array([1]))
    assert np.linalg.norm(sums) == pytest.approx(columns_bound(layout)) == math.sqrt(6)


def test_a_study_without_columns_has_the_plan_that_it_had() -> None:
    plan, same = planned(), planned(columns=ColumnLayout())
    for kind, sign in (("admission", ()), ("moments", ()), ("lloyd", SHARP), ("profile", SHARP)):
        assert plan.rho(kind, sign) == same.rho(kind, sign)
        assert (plan.stds(kind, sign) == same.stds(kind, sign)).all()
    assert (plan.admission_limits(2, 8192) == same.admission_limits(2, 8192)).all()
    # As it is when there are no profile columns at all.
    before = [76.77062757183799, 31.341477464040768, 44.32354249445717]
    assert plan.stds("profile", SHARP)[0, [0, 6, 7]].tolist() == pytest.approx(before, rel=1e-12)
    assert plan.rho("lloyd", SHARP) == pytest.approx(0.001866490115379214, rel=1e-12)
    before = [32.01048084483798, 224.11682381528178, 313.4991070514087]
    assert plan.admission_limits(2, 8192).tolist() == pytest.approx(before, rel=1e-12)


def test_columns_take_their_share_from_the_lloyd_rounds_and_pay_for_it() -> None:
    layout = ColumnLayout(2, (3, 4), 3)
    plain, plan = planned(), planned(columns=layout)
    assert plan.study_rho == pytest.approx(plain.study_rho, rel=1e-2)
    assert plan.total_rho == plain.total_rho
    ratio = plan.rho("profile", SHARP) / plain.rho("profile", SHARP)
    assert ratio == pytest.approx((PROFILE_SHARE + COLUMNS_SHARE) / PROFILE_SHARE, rel=1e-2)
    stds = plan.stds("profile", SHARP)
    assert stds.shape == (5, 13 + layout.n_sums)
    assert stds[0, :13] == pytest.approx(plain.stds("profile", SHARP)[0], rel=1e-2)
    # The columns' cost again, from their noise.
    cost = (weight_bound(SHARP, 5) * columns_bound(layout) / stds[0, -1]) ** 2 / 2
    due = COLUMNS_SHARE / (PROFILE_SHARE + COLUMNS_SHARE) * plan.rho("profile", SHARP)
    assert 0.98 * due < cost <= due


def test_admission_allows_for_the_vectors_of_columns_and_charges_for_them() -> None:
    layout = ColumnLayout(1, (3, 2))
    less, more = admission_sensitivities(2), admission_sensitivities(2, layout)
    assert all(one < other for one, other in zip(less, more, strict=True))
    # A numeric column is one more coordinate, and each category turns one label with presence.
    assert more[0] == pytest.approx(admission_sensitivities(3)[0])
    once = SUM_MARGIN + ERROR_DEVIATIONS * outside_rounding(16384)
    assert more[1] - once == pytest.approx(3 * (less[1] - once))
    assert (error_stds(1, 8192, 2, layout) > error_stds(1, 8192, 2)).all()
    assert error_stds(2, 8192, 2, layout)[1] == pytest.approx(
        math.sqrt(6) * error_stds(2, 8192, 2)[1]
    )
