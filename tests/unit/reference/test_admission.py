"""The admission round's numbers: honest data vanishes, other data does not."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mpcseg.privacy.sensitivity import admission_sensitivities
from mpcseg.reference.admission import (
    AMPLIFICATION,
    HONEST_POWER,
    LARGEST_FACTOR,
    MAGNITUDE_WEIGHT,
    MARGIN,
    POWER,
    SMALLEST_FACTOR,
    amplified_error,
    error_stds,
    outside_rounding,
)
from mpcseg.reference.columns import ColumnLayout
from mpcseg.reference.hyperplanes import DOMAIN_SLACK
from mpcseg.reference.sign import sign_for


def test_a_coordinate_outside_stands_out_by_orders_of_magnitude() -> None:
    assert pytest.approx(0.00173, rel=0.01) == HONEST_POWER
    assert (DOMAIN_SLACK / MARGIN) ** POWER > 1e8
    assert (1.025 / MARGIN) ** POWER > 500


def test_an_honest_record_adds_no_more_than_the_privacy_accounting_has() -> None:
    """Of one feature, with 1 % for rounding ρ."""
    largest = LARGEST_FACTOR * (1.01 * HONEST_POWER + MAGNITUDE_WEIGHT)
    assert largest < admission_sensitivities(1)[0]


def test_the_slack_is_needed() -> None:
    """Just outside [-1, 1] a sign polynomial explodes, and so would a weight."""
    sign = sign_for((7, 15))
    assert abs(sign(np.array([DOMAIN_SLACK]))[0]) > 1000
    assert np.abs(sign(np.linspace(-1, 1, 10001))).max() < 1.03


def test_errors_grow_with_the_root_of_what_is_added_up() -> None:
    two, eight = error_stds(2, 8192, 6), error_stds(8, 8192, 6)
    np.testing.assert_allclose(eight, 2 * two)
    wide = error_stds(2, 8192, 24)
    assert wide[1] == two[1], "presence knows no features"
    np.testing.assert_allclose(wide[[0, 2]], 2 * two[[0, 2]])


def test_a_block_that_may_be_shared_has_the_rounding_of_its_factors_too() -> None:
    one, two = error_stds(1, 8192, 6), error_stds(2, 8192, 6)
    np.testing.assert_allclose(one[[0, 2]], two[[0, 2]] / math.sqrt(2))
    rounding = outside_rounding(8192) * math.sqrt(8192)
    errors = amplified_error(8192) * math.sqrt(8192 * 2)
    assert one[1] == pytest.approx(math.hypot(rounding, errors))
    # Little beside a foreign slot that is in use, and within what an own record is accounted for.
    assert one[1] < 1e-3 * AMPLIFICATION * SMALLEST_FACTOR
    turn = admission_sensitivities(6)[1] - admission_sensitivities(6, ColumnLayout(0, (3,)))[1]
    assert abs(turn) > 8 * outside_rounding(8192)
