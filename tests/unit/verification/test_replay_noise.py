"""How well a replay tells agreed noise from other noise, by simulation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from mpcseg.errors import ReplayError
from mpcseg.reference.columns import NO_COLUMNS, ColumnLayout
from mpcseg.reference.rounds import RoundKind, sums_shape
from mpcseg.verification.replay_noise import (
    LEAST_P_STUDY,
    Array,
    Draw,
    RoundDraws,
    chance_to_notice,
    column_groups,
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


COLUMNS = ColumnLayout(n_numeric=2, groups=(6,), n_parties=3)
MANY = (3, 12, 5, 6)
FEW = (3, 2, 5, 6)
"""Shapes with profile columns: from 11 on sums and squares of two numbers, 6 labels, 3 parties."""


def study(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    change: Change,
    columns: ColumnLayout = NO_COLUMNS,
) -> list[RoundDraws]:
    n_parties, k, d, n_rounds = shape
    kinds: list[RoundKind] = ["admission", "moments", *["lloyd"] * n_rounds, "profile"]  # type: ignore[list-item]
    rounds = []
    for index, kind in enumerate(kinds):
        sums = sums_shape(kind, k, d, n_parties, columns)
        z = rng.normal(size=sums)
        change(kind, index, z)
        draws = [Draw(f"{kind}-{i}", round(value * STD), STD) for i, value in enumerate(z.flat)]
        groups = column_groups(kind, d, columns, ("band", "party")[: len(columns.all_groups)])
        rounds.append(RoundDraws(kind, sums, draws, groups))
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


def in_the_profile(columns: slice, factor: float) -> Change:
    def change(kind: RoundKind, index: int, z: Array) -> None:
        if kind == "profile":
            z[:, columns] *= factor

    return change


@pytest.mark.parametrize("column", [6, 11, 13, 15, 23])
def test_a_profile_column_without_its_noise_is_found_where_there_are_many_clusters(
    column: int,
) -> None:
    """A square of a feature or number, a number, a label, a party: twelve draws each."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        tenth = in_the_profile(slice(column, column + 1), 0.1)
        said = complaint(study(rng, MANY, tenth, COLUMNS))
        assert f"of column {column} of all clusters has 0." in said
        none = in_the_profile(slice(column, column + 1), 0.01)
        assert complaint(study(rng, MANY, none, COLUMNS)) != ""


@pytest.mark.parametrize(
    ("columns", "name"),
    [
        (slice(6, 11), "the squares of features"),
        (slice(11, 15), "all numeric profile columns"),
        (slice(15, 21), "the profile column 'band'"),
        (slice(21, 24), "the profile column 'party'"),
    ],
)
def test_columns_that_belong_together_are_found_with_two_clusters(
    columns: slice, name: str
) -> None:
    """What one column of two draws would not show: docs/threat-model.md says so."""
    rng = np.random.default_rng(3)
    said = complaint(study(rng, FEW, in_the_profile(columns, 0.05), COLUMNS))
    assert f"of {name} has 0.0" in said
    one = in_the_profile(slice(columns.start, columns.start + 1), 0.05)
    assert complaint(study(rng, FEW, one, COLUMNS)) == ""


def test_groups_of_columns_are_all_that_the_profile_has_and_lloyd_rounds_have_not() -> None:
    groups = column_groups("profile", 5, COLUMNS, ("band", "party"))
    columns = [j for group in groups.values() for j in range(group.start, group.stop)]
    assert columns == list(range(6, sums_shape("profile", 2, 5, 3, COLUMNS)[1]))
    assert column_groups("lloyd", 5, COLUMNS, ("band", "party")) == {}


def test_honest_studies_with_profile_columns_pass() -> None:
    rng = np.random.default_rng(20261128)
    for shape in (FEW, MANY):
        for _ in range(60):
            assert verify_rounds(study(rng, shape, honest, COLUMNS)) is not None


def test_the_squares_of_scout_rounds_are_tested_by_themselves() -> None:
    rng = np.random.default_rng(5)
    shape = sums_shape("appraisal", 2, 5)
    rounds = study(rng, FEW, honest)
    for index in range(2):
        z = rng.normal(size=shape)
        z[:, 6:] *= 0.2
        draws = [Draw(f"{index}-{i}", round(v * STD), STD) for i, v in enumerate(z.flat)]
        rounds.append(
            RoundDraws("appraisal", shape, draws, column_groups("appraisal", 5, NO_COLUMNS, ()))
        )
    with pytest.raises(ReplayError, match="the squares of features in scout rounds has 0"):
        verify_rounds(rounds)


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
