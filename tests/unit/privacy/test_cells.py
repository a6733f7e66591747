"""No cell of a few customers is shown, and none follows from those that are."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from mpcseg.privacy.cells import HiddenLabels, hidden_labels

LIMIT = 5


def attack(counts: np.ndarray, overall: np.ndarray, hidden: HiddenLabels, cell: tuple[int, int]):
    """What a reader can tell of one cell who has sizes, totals and all that is shown.

    Returns:
        The smallest and the largest value that it can have, by linear programming.
    """
    r, c = counts.shape
    names = list(itertools.product(range(r), range(c)))
    equations, values = [], []

    def add(chosen, value: float) -> None:
        equations.append([float(name in chosen) for name in names])
        values.append(value)

    for row in range(r):
        add({(row, label) for label in range(c)}, counts[row].sum())
        for label in range(c):
            if label not in hidden.in_segments:
                add({(row, label)}, counts[row, label])
    for label in range(c):
        if label not in hidden.overall:
            add({(row, label) for row in range(r)}, overall[label])
    found = []
    for sign in (1, -1):
        cost = [sign * float(name == cell) for name in names]
        found.append(sign * linprog(cost, A_eq=equations, b_eq=values, method="highs").fun)
    return found


@settings(max_examples=30, deadline=None)
@given(
    st.integers(2, 4).flatmap(
        lambda c: st.lists(
            st.lists(st.integers(0, 14), min_size=c, max_size=c), min_size=2, max_size=4
        )
    )
)
def test_a_small_cell_can_have_any_size_under_the_limit(rows: list[list[int]]) -> None:
    counts = np.array(rows, dtype=np.float64)
    counts[counts.sum(axis=1) < LIMIT, -1] += LIMIT  # no segment of fewer is shown
    overall = counts.sum(axis=0)
    hidden = hidden_labels(counts, overall, LIMIT)
    assert hidden.overall <= hidden.in_segments
    for row, label in zip(*np.nonzero(counts < LIMIT), strict=True):
        assert label in hidden.in_segments
        low, high = attack(counts, overall, hidden, (row, label))
        assert low <= 1e-6
        assert high >= LIMIT - 1e-6


def test_the_attack_finds_a_cell_that_is_hidden_alone() -> None:
    counts = np.array([[3.0, 50.0, 40.0], [30.0, 60.0, 45.0]])
    alone = HiddenLabels(in_segments=frozenset({0}))
    assert attack(counts, counts.sum(axis=0), alone, (0, 0)) == pytest.approx([3.0, 3.0])


def test_large_cells_are_shown() -> None:
    counts = np.array([[30.0, 50.0], [20.0, 60.0]])
    assert hidden_labels(counts, counts.sum(axis=0), LIMIT) == HiddenLabels()


def test_the_next_rarest_label_is_hidden_with_a_small_one() -> None:
    counts = np.array([[3.0, 50.0, 40.0, 90.0], [30.0, 60.0, 45.0, 90.0]])
    hidden = hidden_labels(counts, counts.sum(axis=0), LIMIT)
    assert hidden == HiddenLabels(frozenset(), frozenset({0, 2}))


def test_a_label_that_is_rare_everywhere_is_hidden_of_everybody_too() -> None:
    counts = np.array([[1.0, 50.0, 40.0], [0.0, 60.0, 45.0]])
    hidden = hidden_labels(counts, counts.sum(axis=0), LIMIT)
    assert hidden == HiddenLabels(frozenset({0, 2}), frozenset({0, 2}))


def test_without_a_limit_nothing_is_hidden() -> None:
    counts = np.array([[0.0, 1.0], [2.0, 0.0]])
    assert hidden_labels(counts, counts.sum(axis=0), 1) == HiddenLabels()


def test_with_no_row_nothing_is_shown() -> None:
    everything = frozenset({0, 1})
    hidden = hidden_labels(np.empty((0, 2)), np.array([50.0, 60.0]), LIMIT)
    assert hidden == HiddenLabels(everything, everything)
