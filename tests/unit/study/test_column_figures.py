"""What is told of the profile columns: rounded, no small cell, nothing that one follows from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mpcseg.errors import SealError
from mpcseg.reference.columns import column_sums
from mpcseg.study.column_estimates import Sizes, estimate_columns
from mpcseg.study.column_figures import CategoryFigures
from mpcseg.study.figures import Report, report_of
from mpcseg.study.outcome import StudyResult
from mpcseg.study.results import make_results, open_results, seal_results, sealed_bytes
from mpcseg.study.spec import StudySpec
from tests.made_up import SPENT, agreed, finished
from tests.organisations import identity

COLUMNS: list[dict[str, Any]] = [
    {"name": "income", "kind": "numeric", "transform": "log1p", "lower": 0, "upper": 1000},
    {"name": "band", "kind": "category", "values": ["a", "b", "c"], "protected": True},
]
COUNTS = np.array([[300, 60, 40, 0], [25, 200, 100, 0], [90, 7, 50, 0]])
"""Of a, b, c and other, in each segment; small are b in the last one, and other everywhere."""


def study(*, noise: bool = False, **overrides: Any) -> StudySpec:
    terms = {"profile_columns": COLUMNS, "party_shares": True, **overrides}
    return agreed(3, noise=noise, **terms)


def result(spec: StudySpec, counts: np.ndarray = COUNTS, noise: float = 0.0) -> StudyResult:
    """A finished study whose columns are estimated from a table with these counts."""
    sizes = counts.sum(axis=1)
    made = finished(sizes.tolist())
    segment = np.repeat(np.arange(len(counts)), sizes)
    labels = np.vstack([np.repeat(np.eye(counts.shape[1]), row, axis=0) for row in counts])
    numeric = np.linspace(-1, 1, len(segment))[:, None]
    party = np.arange(len(segment)) % 2
    sums = column_sums(
        np.eye(len(counts))[segment], np.hstack([numeric, labels]), spec.column_layout, party
    )
    k = len(counts)
    known = Sizes(np.append(sizes, sizes.sum()), np.full(k + 1, noise), np.full(k + 1, True))
    estimates = estimate_columns(sums, np.full(sums.shape, noise), known, spec.column_layout)
    return replace(made, columns=estimates)


def category(report: Report, name: str = "band") -> CategoryFigures:
    (found,) = [one for one in report.categories if one.name == name]
    return found


def sizes_of(figures: CategoryFigures, place: int) -> list[int | None]:
    return [cell and cell.size for cell in figures.segments[place].cells]


def test_small_cells_are_hidden_in_all_segments_and_told_together() -> None:
    spec = study()
    found = category(report_of(spec, result(spec)))
    # c has fewer customers than b, and is hidden with other; b is small in the last segment.
    assert found.hidden_labels == ("b", "c", "other")
    assert [sizes_of(found, place) for place in range(3)] == [
        [300, None, None, None],
        [25, None, None, None],
        [90, None, None, None],
    ]
    assert [row.together and row.together.size for row in found.segments] == [100, 300, 57]
    overall = [cell and cell.size for cell in found.overall.cells]
    assert overall == [415, 267, None, None]
    assert found.overall.together
    assert found.overall.together.size == 457


def test_parties_and_numbers_are_told_in_full() -> None:
    spec = study()
    report = report_of(spec, result(spec))
    parties = category(report, "party")
    assert parties.labels == tuple(card.name for card in spec.parties)
    assert sizes_of(parties, 0) == [200, 200]
    (income,) = report.numeric_columns
    assert income.overall is not None
    assert income.overall.centre == pytest.approx(np.expm1(np.log(1001) / 2), rel=0.01)
    for cell in (*income.segments, income.overall):
        assert cell.low is not None
        assert cell.high is not None
        assert 0 <= cell.low < cell.centre < cell.high <= 1000
        assert cell.noise is None


def test_a_small_segment_takes_what_everybody_is_like_with_it() -> None:
    """Otherwise the means of the hidden segments would follow by subtraction."""
    counts = np.vstack([COUNTS[:1] * 4, [[9, 3, 2, 0]], [[500, 300, 40, 0]]])
    spec = study()
    report = report_of(spec, result(spec, counts))
    assert report.n_hidden > 1
    (income,) = report.numeric_columns
    assert income.overall is None
    assert len(income.segments) == len(report.segments)


def test_hidden_segments_count_as_a_row_of_cells() -> None:
    """Of a label with 3 customers in the hidden segments, the rest must not be shown in full."""
    counts = np.array([[300, 200, 100, 60], [12, 2, 9, 40], [9, 1, 9, 40], [500, 400, 300, 90]])
    spec = agreed(4, noise=False, profile_columns=COLUMNS, release={"smallest_segment": 64})
    report = report_of(spec, result(spec, counts))
    assert report.n_hidden == 2
    assert "b" in category(report).hidden_labels


def test_where_no_segment_is_shown_nothing_is_told() -> None:
    spec = study(release={"smallest_segment": 10_000})
    report = report_of(spec, result(spec))
    assert (report.numeric_columns, report.categories) == ((), ())


def test_every_number_is_rounded_and_has_its_noise() -> None:
    spec = study(noise=True)
    report = report_of(spec, result(spec, COUNTS * 11 + 1234, noise=7.123456))
    for one in report.categories:
        for row in (one.overall, *one.segments):
            for cell in filter(None, (*row.cells, row.together)):
                numbers = (cell.size, cell.share, cell.noise, cell.share_noise)
                assert None not in numbers
                assert all(float(f"{number:.3g}") == number for number in numbers)
                assert cell.noise
                assert cell.noise > 0


def test_results_with_columns_travel_and_their_length_tells_nothing() -> None:
    spec = study()
    for counts in (COUNTS, COUNTS * 100 + 100):
        sealed = seal_results(spec, identity("keeper"), result(spec, counts), SPENT)
        opened = open_results(spec, identity("alder"), sealed["alder"])
        assert opened.report == report_of(spec, result(spec, counts))
        assert len(sealed["alder"]) == sealed_bytes(spec, "alder")


@pytest.mark.parametrize(
    "change",
    [
        lambda report: replace(report, categories=report.categories[:1]),
        lambda report: replace(report, numeric_columns=()),
        lambda report: replace(report, fairness_threshold=0.1),
        lambda report: replace(
            report, categories=(replace(report.categories[0], segments=()), report.categories[1])
        ),
    ],
)
def test_columns_of_another_shape_than_agreed_are_refused(
    change: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, made = study(), make_results
    monkeypatch.setattr(
        "mpcseg.study.results.make_results",
        lambda *terms: replace(done := made(*terms), report=done.report and change(done.report)),
    )
    sealed = seal_results(spec, identity("keeper"), result(spec), SPENT)
    with pytest.raises(SealError, match="not results of this study"):
        open_results(spec, identity("alder"), sealed["alder"])
