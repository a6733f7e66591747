"""The admission round's numbers: honest data vanishes, other data does not."""

from __future__ import annotations

import numpy as np
import pytest

from mpcseg.privacy.sensitivity import admission_sensitivities
from mpcseg.reference.admission import (
    HONEST_POWER,
    LARGEST_FACTOR,
    MAGNITUDE_WEIGHT,
    MARGIN,
    POWER,
    error_stds,
)
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
    one, four = error_stds(1, 8192, 6), error_stds(4, 8192, 6)
    np.testing.assert_allclose(four, 2 * one)
    wide = error_stds(1, 8192, 24)
    assert wide[1] == one[1], "presence knows no features"
    np.testing.assert_allclose(wide[[0, 2]], 2 * one[[0, 2]])
