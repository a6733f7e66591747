"""The noise of releases, read off by a replay, against its agreed distribution (step 6).

A draw divided by its agreed standard deviation is one from the standard normal distribution, so
draws of all sums and rounds can be tested together, or those of one cluster or column over all
rounds. That finds noise of another size, left out of a release, or written by hand in a shape of
its own, if it is in enough draws that a test has together. What no test finds:

- noise somewhat smaller than agreed in a few draws: 0.8 times the agreed size in one cluster, or
  half of it in another cluster each round; nor any size in a column that the profile round alone
  has, where there are two or three clusters;
- a compute node that draws until it likes what it got: nobody sees the draws that it threw away.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from mpcseg.errors import ReplayError
from mpcseg.reference.columns import ColumnLayout
from mpcseg.reference.rounds import ADMISSION_RULES, SCOUT_KINDS, SQUARE_KINDS, RoundKind

Array = NDArray[np.float64]

LEAST_P = 1e-6
"""An honest round fails such a test once in a million times."""

LEAST_P_ZERO = 1e-4
"""Of a draw of exactly 0, which is what a release without noise shows. Noise has 10^5 units and
more, so that such a draw is about as rare as one in 10^5; a stricter bound would not notice it in a
round of some ten releases."""

LEAST_P_STUDY = 1e-4
"""Of all tests of parts of a study together: each has this, divided by their number. With
:data:`LEAST_P`, half the noise in one cluster would hardly ever be noticed in a study of six Lloyd
rounds."""

MOST_SDS = 7.0
"""Of a draw; an honest one is beyond it once in 10^11 times."""

SMALL = (0.01, 0.03, 0.1, 0.3, 1.0)
"""Sizes, in agreed standard deviations; draws below each are counted over a whole study."""

_HINT = "The compute node did not add the noise that was agreed."


@dataclass(frozen=True)
class Draw:
    """The noise of one release.

    Attributes:
        place: names the release.
        units: the integer that was added to the constant coefficient.
        std: agreed standard deviation, in the same units; 0 for no noise.
    """

    place: str
    units: int
    std: float


@dataclass(frozen=True)
class RoundDraws:
    """The noise of one round.

    Attributes:
        kind: of the round.
        shape: of its sums.
        draws: of all sums, row-major.
        groups: columns of the sums that are tested together as well, by a name for errors; as
            :func:`column_groups` has them.
    """

    kind: RoundKind
    shape: tuple[int, ...]
    draws: Sequence[Draw]
    groups: Mapping[str, slice] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class NoiseFit:
    """How draws fit their agreed distribution.

    Attributes:
        n_draws: releases with noise.
        measured: root mean square of the draws over their agreed standard deviations; about 1.
        p_squares: of the two-sided chi-squared test of the sum of squares.
        p_shape: of the Kolmogorov-Smirnov test.
        p_zero: of a draw of exactly 0; 1 if there is none.
    """

    n_draws: int
    measured: float
    p_squares: float
    p_shape: float
    p_zero: float


@dataclass(frozen=True)
class StudyNoiseFit(NoiseFit):
    """How the draws of several rounds fit together.

    Attributes:
        n_of_cluster: draws with noise of one cluster in the Lloyd rounds.
        p_parts: least p-value of the tests of parts, times their number.
        least_p_part: bound of each of these tests.
    """

    n_of_cluster: int
    p_parts: float
    least_p_part: float


def column_groups(
    kind: RoundKind, n_features: int, columns: ColumnLayout, categories: Sequence[str]
) -> dict[str, slice]:
    """Columns of a round's sums that one release is made of, and that few clusters have few of.

    A column has as many draws as there are clusters where one round alone has it.

    Args:
        kind: of the round.
        n_features: d.
        columns: the study's profile columns.
        categories: names of `columns.all_groups`, in their order.

    Returns:
        Squares of features; sums and squares of numeric columns; labels of each category.
    """
    if kind not in SQUARE_KINDS:
        return {}
    begin, end = n_features + 1, 2 * n_features + 1
    if kind != "profile":
        return {"the squares of features in scout rounds": slice(begin, end)}
    groups = {"the squares of features": slice(begin, end)}
    if columns.n_numeric:
        begin, end = end, end + 2 * columns.n_numeric
        groups["all numeric profile columns"] = slice(begin, end)
    for name, size in zip(categories, columns.all_groups, strict=True):
        begin, end = end, end + size
        groups[f"the profile column '{name}'"] = slice(begin, end)
    return groups


def verify_draws(draws: Sequence[Draw], place: str) -> NoiseFit | None:
    """Check that draws fit their distribution; returns how well, or None where none is agreed.

    Args:
        draws: of one round or of several.
        place: names what they are of, for errors.

    Raises:
        ReplayError: noise where none is agreed, a draw beyond :data:`MOST_SDS` standard
            deviations, or a p-value under its bound.
    """
    for draw in draws:
        if draw.std == 0 and draw.units != 0:
            raise ReplayError(
                f"{draw.place} has noise where the agreement has none",
                "Its constant coefficient is not that of the agreed sum.",
            )
        if abs(draw.units) > MOST_SDS * draw.std and draw.std > 0:
            raise ReplayError(
                f"{draw.place} is off the agreed sum by more than {MOST_SDS:g} standard "
                "deviations of its noise",
                "Its constant coefficient is not that of the agreed sum with the agreed noise.",
            )
    noised = [draw for draw in draws if draw.std > 0]
    if not noised:
        return None
    z = np.array([draw.units / draw.std for draw in noised])
    squares = float(np.square(z).sum())
    fit = NoiseFit(
        n_draws=len(z),
        measured=math.sqrt(squares / len(z)),
        p_squares=float(_p_squares(squares, len(z))),
        p_shape=float(stats.kstest(z, "norm").pvalue),
        p_zero=_p_zero(noised),
    )
    for p, least, what in (
        (fit.p_squares, LEAST_P, f"has {fit.measured:.3g} times the agreed standard deviation"),
        (fit.p_shape, LEAST_P, "is not normally distributed"),
        (fit.p_zero, LEAST_P_ZERO, "was left out of a release"),
    ):
        if p < least:
            raise ReplayError(f"{place}: the noise {what} (p = {p:.1e} with {len(z)} draws)", _HINT)
    return fit


def verify_rounds(rounds: Sequence[RoundDraws]) -> StudyNoiseFit | None:
    """Check the draws of several rounds together; returns how they fit, or None without noise.

    All draws are tested as those of a round are. Then parts are: how many draws are small, and
    the sums of squares of each cluster, column, group of columns, party and rule of admission over
    all rounds.

    Raises:
        ReplayError: as :func:`verify_draws`, or a part's p-value is under its bound.
    """
    whole = verify_draws([draw for one in rounds for draw in one.draws], "all rounds together")
    if whole is None:
        return None
    z = np.concatenate([_deviations(one).ravel() for one in rounds])
    parts = dict(_parts(rounds))
    tests = list(_tests(z[~np.isnan(z)], parts))
    least = LEAST_P_STUDY / len(tests)
    for what, p in tests:
        if p < least:
            raise ReplayError(f"all rounds together: the noise {what} (p = {p:.1e})", _HINT)
    return StudyNoiseFit(
        **dataclasses.asdict(whole),
        n_of_cluster=len(parts.get("cluster 0 in Lloyd rounds", ())),
        p_parts=min(1.0, min(p for _, p in tests) * len(tests)),
        least_p_part=least,
    )


def chance_to_notice(n_draws: int, factor: float, least_p: float = LEAST_P) -> float:
    """Probability that noise of ``factor`` times the agreed size fails the test of squares."""
    low, high = stats.chi2.ppf([least_p / 2, 1 - least_p / 2], n_draws) / factor**2
    return float(stats.chi2.cdf(low, n_draws) + stats.chi2.sf(high, n_draws))


def _deviations(one: RoundDraws) -> Array:
    """Draws in agreed standard deviations, in the round's shape; NaN where no noise is agreed."""
    z = [draw.units / draw.std if draw.std > 0 else math.nan for draw in one.draws]
    return np.reshape(z, one.shape)


def _tests(z: Array, parts: Mapping[str, Array]) -> Iterator[tuple[str, float]]:
    """What each test of a study finds wrong if it fails, and its p-value.

    Args:
        z: all draws.
        parts: those that are tested for themselves, by name.
    """
    numbers = (np.abs(z)[:, None] < SMALL).sum(axis=0)
    chances = stats.chi2.cdf(np.square(SMALL), 1)
    p_small = stats.binom.sf(numbers - 1, len(z), chances)  # so many or more
    for size, number, p in zip(SMALL, numbers, p_small, strict=True):
        of = f"in {number} of {len(z)} releases"
        yield f"is below {size:g} times the agreed standard deviation {of}", float(p)
    squares = [float(np.square(part).sum()) for part in parts.values()]
    p_parts = _p_squares(squares, [len(part) for part in parts.values()])
    for (name, part), square, p in zip(parts.items(), squares, p_parts, strict=True):
        times = f"{math.sqrt(square / len(part)):.3g} times the agreed standard deviation"
        yield f"of {name} has {times} in {len(part)} releases", float(p)


def _parts(rounds: Sequence[RoundDraws]) -> Iterator[tuple[str, Array]]:
    """Names and draws of all that is tested for itself, without parts that have no draw."""
    for kinds, row, column in (
        (("admission",), "party {} in admission", "the rule of {} in admission"),
        (("lloyd",), "cluster {} in Lloyd rounds", ""),
        (("lloyd", "profile"), "cluster {} in all rounds", "column {} of all clusters"),
        (SCOUT_KINDS, "cluster {} in scout rounds", "column {} of all clusters in scout rounds"),
    ):
        tables = [_deviations(one) for one in rounds if one.kind in kinds]
        if not tables:
            continue
        # Scout rounds have more clusters from one number that is tried out to the next.
        named = [
            (row.format(i), [table[i] for table in tables if i < len(table)])
            for i in range(max(map(len, tables)))
        ]
        # A profile's first columns are those of a Lloyd round: sums of features, then sizes. What
        # it has beyond them, squares and profile columns, is in no other round.
        for j in range(max(table.shape[1] for table in tables)) if column else ():
            name = column.format(ADMISSION_RULES[j] if kinds == ("admission",) else j)
            named.append((name, [table[:, j] for table in tables if j < table.shape[1]]))
        yield from _with_draws(named)
    groups: dict[str, list[Array]] = {}
    for one in rounds:
        for name, columns in one.groups.items():
            groups.setdefault(name, []).append(_deviations(one)[:, columns].ravel())
    yield from _with_draws(groups.items())


def _with_draws(named: Iterable[tuple[str, list[Array]]]) -> Iterator[tuple[str, Array]]:
    """Each part in one piece, without what has no noise; parts without any are left out."""
    for name, pieces in named:
        z = np.concatenate(pieces)
        if len(z := z[~np.isnan(z)]):
            yield name, z


def _p_squares(squares: ArrayLike, n_draws: ArrayLike) -> Array:
    """Two-sided p-values of sums of so many squares."""
    halves = np.minimum(stats.chi2.cdf(squares, n_draws), stats.chi2.sf(squares, n_draws))
    return np.minimum(1.0, 2.0 * np.asarray(halves, np.float64))


def _p_zero(noised: Sequence[Draw]) -> float:
    """Probability of so rare a 0 in any of the draws."""
    stds = [draw.std for draw in noised if draw.units == 0]
    return min(1.0, len(noised) * math.erf(0.5 / max(stds) / math.sqrt(2.0))) if stds else 1.0
