"""The composite sign polynomials keep their promises, and the cache is what the code makes."""

import json
from importlib import resources
from itertools import pairwise

import numpy as np
import pytest

from mpcseg.reference import sign as sign_module
from mpcseg.reference.make_sign_coefficients import sign_table
from mpcseg.reference.remez import evaluate_odd, minimax_sign
from mpcseg.reference.sign import COMMAND, available_degrees, compute_sign, sign_for

ALL = available_degrees()
# Dense near 0, where the composite is steep, and even over the rest.
GRID = np.union1d(np.linspace(0, 1, 100_001), np.geomspace(1e-6, 1, 20_001))


def test_cache_holds_what_the_code_computes() -> None:
    text = resources.files("mpcseg.reference").joinpath(sign_module.COEFFICIENT_FILE).read_text()
    cached, fresh = json.loads(text), sign_table()
    assert cached["made_with"] == fresh["made_with"] == COMMAND
    assert len(cached["composites"]) == len(fresh["composites"])
    for old, new in zip(cached["composites"], fresh["composites"], strict=True):
        assert (old["degrees"], old["threshold"]) == (new["degrees"], new["threshold"])
        assert old["error"] == pytest.approx(new["error"], abs=1e-11)
        for old_stage, new_stage in zip(old["stages"], new["stages"], strict=True):
            # Another LAPACK may differ in the last digits of coefficients up to 5e4.
            np.testing.assert_allclose(old_stage, new_stage, rtol=1e-7)


def test_cache_has_the_degrees_the_planner_needs() -> None:
    assert {(7, 7), (7, 15), (15, 15), (7, 7, 15), (15, 15, 15)} <= set(ALL)
    with pytest.raises(ValueError, match="no cached sign polynomial has degrees"):
        sign_for((3, 5))


@pytest.mark.parametrize("degrees", ALL)
def test_error_bound_holds_from_the_threshold_on(degrees: tuple[int, ...]) -> None:
    sign = sign_for(degrees)
    beyond = np.append(GRID[sign.threshold < GRID], sign.threshold)
    largest = np.abs(sign(beyond) - 1).max()
    assert largest <= sign.error + 1e-10
    # A minimax polynomial attains its bound; a looser one would be a wrong coefficient.
    assert largest >= sign.error * 0.999


@pytest.mark.parametrize("degrees", ALL)
def test_odd_and_bounded_on_the_whole_interval(degrees: tuple[int, ...]) -> None:
    sign = sign_for(degrees)
    np.testing.assert_array_equal(sign(-GRID), -sign(GRID))
    assert np.abs(sign(GRID)).max() <= 1 + sign.error + 1e-10
    assert (sign(GRID[1:]) > 0).all()


@pytest.mark.parametrize("degrees", ALL)
def test_every_stage_is_normalised(degrees: tuple[int, ...]) -> None:
    sign = sign_for(degrees)
    assert [2 * len(stage) - 1 for stage in sign.stages] == list(degrees)
    for stage in sign.stages[:-1]:
        reached = np.abs(evaluate_odd(stage, GRID)).max()
        assert reached == pytest.approx(1, abs=1e-6)
        assert reached <= 1 + 1e-12
    with pytest.raises(ValueError, match="read-only"):
        sign.stages[0][0] = 0.0


@pytest.mark.parametrize(
    ("degrees", "depth"), [((7, 7), 6), ((7, 15), 7), ((15, 15), 8), ((7, 7, 15), 10)]
)
def test_depth(degrees: tuple[int, ...], depth: int) -> None:
    assert sign_for(degrees).depth == depth


def test_interval_between_the_stages_is_the_protocols() -> None:
    """docs/protocol.md section 9: an interval of 1.8 between the stages of (7, 15) at 1/52."""
    _, error = minimax_sign(7, 1 / 52)
    assert 1 + error == pytest.approx(1.8, abs=0.01)


@pytest.mark.parametrize(("degree", "lower"), [(3, 0.3), (7, 0.05), (15, 0.02), (15, 0.2)])
def test_minimax_error_alternates(degree: int, lower: float) -> None:
    """Chebyshev's criterion: n + 1 alternations prove that no odd polynomial does better."""
    coefficients, error = minimax_sign(degree, lower)
    x = np.linspace(lower, 1, 400_001)
    deviation = evaluate_odd(coefficients, x) - 1
    touching = np.sign(deviation[np.abs(deviation) > error * (1 - 1e-6)])
    assert np.count_nonzero([a != b for a, b in pairwise(touching)]) == len(coefficients)


def test_known_solution_of_degree_one() -> None:
    coefficients, error = minimax_sign(1, 0.5)
    assert coefficients[0] == pytest.approx(4 / 3)
    assert error == pytest.approx(1 / 3)


@pytest.mark.parametrize(("degree", "lower"), [(4, 0.1), (-1, 0.1), (7, 0.0), (7, 1.0)])
def test_minimax_refuses_what_it_cannot_do(degree: int, lower: float) -> None:
    with pytest.raises(ValueError, match="must"):
        minimax_sign(degree, lower)


def test_composites_without_stages_or_beyond_double_precision_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one stage"):
        compute_sign((), 0.1)
    with pytest.raises(ArithmeticError, match="degree 31"):
        compute_sign((31,), 0.9)
