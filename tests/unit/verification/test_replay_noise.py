"""How well a replay tells agreed noise from other noise, by simulation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from mpcseg.errors import ReplayError
from mpcseg.reference.rounds import RoundKind, sums_shape
from mpcseg.verification.replay_noise import (
    LEAST_P_STUDY,
    Array,
    Draw,
    RoundDraws,
    chance_to_notice,
    verify_draws,
    verify_rounds,
)

STD = 2e6
"""Of the README's noise, in units: some 30 customers at 2^16 units each."""

SMALL = (3, 4, 5, 6)
LARGE = (2, 5, 6, 10)
"""Parties, clusters, features and Lloyd rounds."""

Change = Callable[[RoundKind, int, Array], None]
"""Changes the deviations of a round, given its kind and index, in place."""


def study(rng: np.random.Generator, shape: tuple[int, ...], change: Change) -> list[RoundDraws]:
    n_parties, k, d, n_rounds = shape
    kinds: list[RoundKind] = ["admission", "moments", *["lloyd"] * n_rounds, "profile"]  # type: ignore[list-item]
    rounds = []
    for index, kind in enumerate(kinds):
        sums = sums_shape(kind, k, d, n_parties)
        z = rng.normal(size=sums)
        change(kind, index, z)
        draws = [Draw(f"{kind}-{i}", round(value * STD), STD) for i, value in enumerate(z.flat)]
        rounds.append(RoundDraws(kind, sums, draws))
    return rounds


def honest(kind: RoundKind, index: int, z: Array) -> None:
    """As agreed."""


def in_a_cluster(factor: float) -> Change:
    def change(kind: RoundKind, index: int, z: Array) -> None:
        if kind == "lloyd":
            z[1] *= factor

    return change


def complaint(rounds: list[RoundDraws]) -> str:
    """What a replay finds, or nothing."""
    try:
        for one in rounds:
            verify_draws(one.draws, one.kind)
        verify_rounds(rounds)
    except ReplayError as error:
        return error.message
    return ""


def found(shape: tuple[int, ...], change: Change, n: int = 100) -> int:
    """In how many of n studies."""
    rng = np.random.default_rng(20261128)
    return sum(complaint(study(rng, shape, change)) != "" for _ in range(n))


@pytest.mark.parametrize("shape", [SMALL, LARGE])
def test_1000_of_1000_honest_studies_of_each_shape_pass(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(20261128)
    for _ in range(900):
        fit = verify_rounds(study(rng, shape, honest))
        assert fit is not None
        assert fit.p_parts > LEAST_P_STUDY
    assert found(shape, honest) == 0  # round by round as well


@pytest.mark.parametrize("shape", [SMALL, LARGE])
@pytest.mark.parametrize("factor", [0.01, 0.1, 0.3])
def test_a_cluster_with_a_third_of_its_noise_or_less_is_found(
    shape: tuple[int, ...], factor: float
) -> None:
    assert found(shape, in_a_cluster(factor)) >= 99


def test_a_cluster_with_half_its_noise_is_found_in_ten_rounds_and_by_chance_in_six() -> None:
    assert found(LARGE, in_a_cluster(0.5)) >= 98
    assert 30 <= found(SMALL, in_a_cluster(0.5)) <= 70


def test_a_cluster_with_most_of_its_noise_is_hardly_ever_found() -> None:
    """What docs/threat-model.md says of small reductions."""
    assert found(LARGE, in_a_cluster(0.8)) <= 5


def test_the_chance_that_is_told_is_the_measured_one() -> None:
    for shape in (SMALL, LARGE):
        fit = verify_rounds(study(np.random.default_rng(1), shape, honest))
        assert fit is not None
        assert fit.n_of_cluster == shape[3] * (shape[2] + 1)
        told = 100 * chance_to_notice(fit.n_of_cluster, 0.5, fit.least_p_part)
        assert abs(found(shape, in_a_cluster(0.5)) - told) < 20


# --- other ways to add other noise -----------------------------------------------------------


def another_cluster_each_round(kind: RoundKind, index: int, z: Array) -> None:
    if kind == "lloyd":
        z[index % len(z)] *= 0.01


def sizes(kind: RoundKind, index: int, z: Array) -> None:
    """Of column d = 5."""
    if kind in ("lloyd", "profile"):
        z[:, 5] *= 0.1


def a_cluster_with_too_much(kind: RoundKind, index: int, z: Array) -> None:
    if kind == "lloyd":
        z[0] *= 2.0


def a_party(kind: RoundKind, index: int, z: Array) -> None:
    if kind == "admission":
        z[1] *= 0.003


def a_rule(kind: RoundKind, index: int, z: Array) -> None:
    if kind == "admission":
        z[:, 2] *= 0.003


def a_release_without(kind: RoundKind, index: int, z: Array) -> None:
    if kind == "lloyd" and index == 4:
        z[2, 3] = 0.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (another_cluster_each_round, "is below 0.01 times the agreed"),
        (sizes, "of column 5 of all clusters has 0."),
        (in_a_cluster(0.3), "of cluster 1 in Lloyd rounds has 0.3"),
        (a_cluster_with_too_much, "of cluster 0 in Lloyd rounds has "),
        (a_party, "of party 1 in admission has 0.00"),
        (a_rule, "of the rule of padding in admission has 0.00"),
        (a_release_without, "lloyd: the noise was left out of a release"),
    ],
)
def test_other_noise_is_found_and_named(change: Change, message: str) -> None:
    assert message in complaint(study(np.random.default_rng(3), SMALL, change))


def test_without_agreed_noise_there_is_nothing_to_fit() -> None:
    moments = RoundDraws("moments", (3,), [Draw("a", 0, 0.0)] * 3)
    assert verify_rounds([moments]) is None
    with pytest.raises(ReplayError, match="a has noise where the agreement has none"):
        verify_rounds([RoundDraws("moments", (3,), [Draw("a", 1, 0.0)] * 3)])


def test_a_part_of_the_rounds_can_be_tested() -> None:
    """A replay of single rounds, and of a study whose admission alone has noise."""
    admission, moments, *lloyd, profile = study(np.random.default_rng(4), SMALL, honest)
    for some in ([moments], [admission], [lloyd[0]], [profile], [admission, profile]):
        assert verify_rounds(some) is not None
    exact = [
        replace(one, draws=[replace(draw, units=0, std=0.0) for draw in one.draws])
        for one in (*lloyd, profile)
    ]
    fit = verify_rounds([admission, *exact])
    assert fit is not None
    assert (fit.n_draws, fit.n_of_cluster) == (9, 0)
