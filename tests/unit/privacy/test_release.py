"""What is hidden stays hidden from a reader who knows the rules and can calculate."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpcseg.privacy.release import Suppression, significant, suppression, whole


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [
        (123456.7, 5, 123460.0), (-0.000123456, 5, -0.00012346), (0.0, 3, 0.0), (23570, 3, 23600.0),
        (0.9999, 3, 1.0), (1e300, 2, 1e300), (5e-324, 3, 5e-324), (-7.005, 6, -7.005),
    ],
)  # fmt: skip
def test_significant_digits(value: float, digits: int, expected: float) -> None:
    assert significant(value, digits) == expected


def test_minus_zero_is_zero() -> None:
    assert str(significant(-0.0, 3)) == "0.0"


@given(
    st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300),
    st.integers(1, 6),
)
def test_rounding_is_close_and_final(value: float, digits: int) -> None:
    rounded = significant(value, digits)
    assert significant(rounded, digits) == rounded
    assert abs(rounded - value) <= 0.5000001 * 10.0 ** (1 - digits) * abs(value) + 1e-323
    assert len(Decimal(repr(rounded)).normalize().as_tuple().digits) <= digits


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_not_rounded(value: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        significant(value, 3)
    with pytest.raises(ValueError, match="finite"):
        whole(value, 3)
    with pytest.raises(ValueError, match="finite"):
        suppression([value, 30], 100, 20)
    with pytest.raises(ValueError, match="finite"):
        suppression([30, 30], value, 20)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(-57.3, 0), (0.4, 0), (57.4, 57), (999.6, 1000), (23570.2, 23600), (-1e-9, 0)],
)
def test_counts_are_whole_rounded_and_never_negative(value: float, expected: int) -> None:
    counted = whole(value, 3)
    assert (counted, type(counted)) == (expected, int)


@pytest.mark.parametrize(
    ("sizes", "shown"),
    [
        ([100, 300, 200], (1, 2, 0)),  # nobody is under the limit
        ([20, 20, 20], (0, 1, 2)),  # at the limit is not under it
        ([19, 300, 200, 1000], (3, 1)),  # the small one and the next
        ([5, 9, 200, 1000], (3,)),  # two small ones are 14 together: a third
        ([12, 13, 200, 1000], (3, 2)),  # two small ones have the limit
        ([0, 300, 200, 1000], (3, 1)),  # an empty one looks like a small one
        ([-7.5, 300, 200, 1000], (3, 1)),  # noise can make an empty one negative
        ([19, 300], ()),  # nothing is left
        ([19, 100, 100, 100], ()),  # hiding one or two of these would tell their sizes
        ([19, 100, 110, 1000], (3,)),  # 19 + 100 is more than 110
        ([19.9, 300, 200, 1000], (3, 1)),
        ([3, 4, 5], ()),
        ([0, 0, 0, 50], ()),
    ],
)
def test_examples_with_a_limit_of_20(sizes: list[float], shown: tuple[int, ...]) -> None:
    decided = suppression(sizes, sum(max(size, 0) for size in sizes), 20)
    assert decided.shown == shown
    assert decided.hidden == tuple(sorted(set(range(len(sizes))) - set(shown)))
    assert decided.shows_total == bool(shown)


def test_without_a_limit_nothing_is_hidden_not_even_an_empty_segment() -> None:
    assert suppression([0, 1, 300], 301, 1).shown == (2, 1, 0)


def test_a_segment_that_cannot_be_told_from_an_empty_one_is_hidden_whatever_its_size() -> None:
    decided = suppression([80, 300, 2000], 2380, 20, [True, False, False])
    assert decided.hidden == (0, 1)


def test_noise_that_makes_segments_and_total_disagree_hides_more_rather_than_less() -> None:
    # By the total, the two smallest come to 5 customers only; by their own sizes, to 119.
    assert suppression([19, 100, 400, 1000], 1405, 20).shown == (3,)
    # By their own sizes 119, which 130 hides; by the total 139, which it does not.
    assert suppression([19, 100, 130, 1000], 1249, 20).shown == (3, 2)
    assert suppression([19, 100, 130, 1000], 1269, 20).shown == (3,)
    assert suppression([30, 30, 30], 15, 20) == Suppression((), (0, 1, 2), 20)


NOTHING_SHOWN = "under 20 customers or needed to hide one; no segment and no total can be shown"


@pytest.mark.parametrize(
    ("sizes", "reason"),
    [
        ([100, 300], ""),
        ([5, 30, 300, 900], "under 20 customers or needed to hide one"),
        ([5, 30, 300], "under 20 customers or needed to hide one; one segment only can be shown"),
        ([5, 300], NOTHING_SHOWN),
        ([5, 3], NOTHING_SHOWN),
    ],
)
def test_the_reason_is_said_in_words(sizes: list[float], reason: str) -> None:
    assert suppression(sizes, sum(sizes), 20).reason == reason


def test_the_reason_of_a_noised_study_fits_segments_that_are_lost_in_the_noise() -> None:
    decided = suppression([80, 300, 2000], 2380, 20, [True, False, False], is_noised=True)
    assert decided.reason.startswith("under 20 customers, lost in the noise, or needed to hide one")


def published(sizes: tuple[int, ...], limit: int) -> tuple[object, ...]:
    """Everything that a reader of the results can know of the sizes of a study."""
    decided = suppression(sizes, sum(sizes), limit)
    return (
        tuple(sizes[index] for index in decided.shown),
        len(decided.hidden),
        sum(sizes) if decided.shows_total else None,
    )


@pytest.mark.parametrize(("n_clusters", "largest"), [(2, 16), (3, 16), (4, 13), (6, 9)])
def test_for_a_reader_who_tries_every_study_a_hidden_segment_may_have_any_small_size(
    n_clusters: int, largest: int
) -> None:
    """The strongest reader: compares what is published with that of every possible study.

    Studies of up to ``largest`` customers per segment, with a limit of 5. Studies that publish
    the same cannot be told apart: among those with a given publication, some have a hidden
    segment of 0 customers, some of 1, and so on up to the limit.
    """
    limit = 5
    classes = defaultdict(list)
    for sizes in itertools.combinations_with_replacement(range(largest + 1), n_clusters):
        decided = suppression(sizes, sum(sizes), limit)
        hidden = sorted(sizes[index] for index in decided.hidden)
        if hidden:
            classes[published(sizes, limit)].append(hidden)
    for (shown, n_hidden, total), possible in classes.items():
        small_sizes = {n for hidden in possible for n in hidden if n < limit}
        together = {sum(hidden) for hidden in possible}
        assert n_hidden >= 2
        assert total is None or min(together) >= limit
        assert small_sizes == set(range(limit)), (shown, total, possible)


def test_hiding_only_the_next_smallest_would_have_told_a_size() -> None:
    """Why step 2c is there: without it, one study alone publishes this."""
    naive = [
        sizes
        for sizes in itertools.combinations_with_replacement(range(120), 3)
        if sum(sizes) == 19 + 100 + 100 and sizes[2] == 100 and sizes[0] < 20
    ]
    assert naive == [(19, 100, 100)]
    assert suppression([19, 100, 100], 219, 20).shown == ()


sizes_with_small_ones = st.lists(
    st.one_of(st.integers(0, 25), st.integers(0, 3000)), min_size=2, max_size=9
)


@given(sizes_with_small_ones, st.integers(2, 40), st.integers(-30, 30))
def test_what_is_published_spans_no_small_group(sizes: list[int], limit: int, missing: int) -> None:
    """No combination of the published numbers is the number of a small group of segments."""
    decided = suppression(sizes, sum(sizes) + missing, limit)
    k = len(sizes)
    rows = [np.eye(k)[index] for index in decided.shown]
    if decided.shows_total:
        rows.append(np.ones(k))
    span = np.array(rows).reshape(-1, k)
    rank = np.linalg.matrix_rank(span) if len(span) else 0
    for n in range(1, len(decided.hidden) + 1):
        for group in itertools.combinations(decided.hidden, n):
            if n > 1 and sum(sizes[index] for index in group) >= limit:
                continue
            indicator = np.isin(np.arange(k), group).astype(float)
            assert np.linalg.matrix_rank(np.vstack([span, indicator])) == rank + 1


@given(sizes_with_small_ones, st.integers(1, 40))
def test_shown_segments_are_large_enough_and_come_by_size(sizes: list[int], limit: int) -> None:
    decided = suppression(sizes, sum(sizes), limit)
    shown = [sizes[index] for index in decided.shown]
    assert shown == sorted(shown, reverse=True)
    if limit > 1:
        assert all(size >= limit for size in shown)
        assert all(sizes[index] <= min(shown, default=math.inf) for index in decided.hidden)
    assert sorted(decided.shown + decided.hidden) == list(range(len(sizes)))


@given(sizes_with_small_ones, st.integers(2, 40), st.integers(0, 8), st.integers(0, 39))
def test_an_empty_segment_and_a_tiny_one_look_the_same(
    sizes: list[int], limit: int, index: int, tiny: int
) -> None:
    """Moving customers between two hidden segments shows nowhere, one emptied included."""
    decided = suppression(sizes, sum(sizes), limit)
    if len(decided.hidden) < 2:
        return
    one, other = decided.hidden[index % len(decided.hidden)], decided.hidden[0]
    moved = list(sizes)
    if one == other or sizes[one] >= limit:
        return
    moved[one], moved[other] = 0, sizes[one] + sizes[other]
    again = suppression(moved, sum(moved), limit)
    if again.hidden == decided.hidden:
        assert again == decided


@given(sizes_with_small_ones, st.integers(2, 40), st.randoms())
def test_the_order_of_the_clusters_does_not_matter(
    sizes: list[int], limit: int, random: object
) -> None:
    order = list(range(len(sizes)))
    random.shuffle(order)  # type: ignore[attr-defined]
    decided = suppression(sizes, sum(sizes), limit)
    shuffled = suppression([sizes[index] for index in order], sum(sizes), limit)
    assert [sizes[i] for i in decided.shown] == [sizes[order[i]] for i in shuffled.shown]
