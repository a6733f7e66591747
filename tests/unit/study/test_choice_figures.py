"""What is told of the choice of a number of segments: rounded, and nothing of hidden segments."""

from __future__ import annotations

from dataclasses import replace

import altair as alt
import numpy as np
import pytest

from mpcseg.errors import ConfigError
from mpcseg.report.choice import choice_section
from mpcseg.report.received import Received
from mpcseg.study.choice import Candidate, Choice
from mpcseg.study.choice_figures import CandidateFigures, choice_figures, choice_fits
from mpcseg.study.documents import check
from mpcseg.study.outcome import StudyResult
from mpcseg.study.results import NO_NOISE, make_results, seal_results, sealed_bytes
from mpcseg.study.spec import StudySpec
from tests.organisations import identity, no_noise, study_spec

RANGE = {"smallest": 2, "largest": 4}


def candidate(k: int, smallest_share: float = 0.2) -> Candidate:
    return Candidate(
        k, 0.71234, 1234.56, 0.81234, 0.91234, (0.012345, 45.678, 0.034567), smallest_share,
        np.zeros((k, 2)),
    )  # fmt: skip


def result_of(sizes: list[float], choice: Choice) -> StudyResult:
    k = len(sizes)
    means = np.linspace(-0.5, 0.5, 2 * k).reshape(k, 2)
    return StudyResult(
        cluster_centers=means,
        segment_sizes=np.array(sizes),
        segment_means=means,
        segment_spreads=np.full((k, 2), 0.1),
        size_stds=np.zeros(k),
        mean_stds=np.zeros((k, 2)),
        inertia=123.0,
        n_records=int(sum(sizes)),
        feature_means=np.zeros(2),
        feature_covariance=np.eye(2) * 0.2,
        feature_weights=np.full(2, 5.0),
        starting_centers=means,
        n_iter=2,
        converged=True,
        history=(),
        choice=choice,
    )


@pytest.fixture
def spec() -> StudySpec:
    return study_spec(n_clusters=RANGE, privacy={"epsilon": 2.0})


def choice_of(*smallest: float) -> Choice:
    candidates = tuple(candidate(k, share) for k, share in zip((2, 3, 4), smallest, strict=True))
    return Choice(candidates[1], candidates, "the Calinski-Harabasz index is largest", 0.02)


def test_indices_are_told_rounded_with_their_noise(spec: StudySpec) -> None:
    result = result_of([400, 300, 300], choice_of(0.2, 0.2, 0.2))
    told = choice_figures(spec, result, 0)
    assert told is not None
    assert (told.chosen, told.reason) == (3, "the Calinski-Harabasz index is largest")
    assert told.candidates[0] == CandidateFigures(
        2, 0.288, 0.0123, 1230, 45.7, 0.812, 0.0346, 0.912
    )
    exact = choice_figures(study_spec(n_clusters=RANGE, privacy=no_noise()), result, 0)
    assert exact is not None
    assert exact.candidates[0].inertia_noise is None


def test_a_number_with_a_segment_too_small_to_be_shown_has_no_indices(spec: StudySpec) -> None:
    result = result_of([400, 300, 300], choice_of(0.2, 0.2, 0.019))
    told = choice_figures(spec, result, 0)
    assert told is not None
    assert told.candidates[2] == CandidateFigures(4)
    assert told.candidates[1].inertia is not None


def test_nothing_is_told_where_the_study_hides_a_segment(spec: StudySpec) -> None:
    """From the inertia of two segments and what is shown of three, a hidden one would follow."""
    result = result_of([600, 390, 10], choice_of(0.2, 0.2, 0.2))
    results = make_results(spec, "alder", result, NO_NOISE)
    assert results.report is not None
    assert results.report.n_hidden == 2
    assert results.report.choice is not None
    assert results.report.choice.candidates == tuple(CandidateFigures(k) for k in (2, 3, 4))
    assert results.report.choice.reason == ""
    section = choice_section(Received(spec, results))
    assert section is not None
    assert section.figures == ()
    assert "segments are hidden" in section.paragraphs[1]


def test_the_report_shows_every_curve_the_table_and_the_reason(spec: StudySpec) -> None:
    result = result_of([400, 300, 300], choice_of(0.2, 0.2, 0.019))
    results = make_results(spec, "alder", result, NO_NOISE)
    section = choice_section(Received(spec, results))
    assert section is not None
    assert "and 3 were chosen: the Calinski-Harabasz index is largest." in section.paragraphs[0]
    assert "1 number" in section.paragraphs[1]
    (figure,) = section.figures
    alt.Chart.from_dict(dict(figure.chart))
    assert len(figure.chart["vconcat"]) == 4
    (table,) = section.tables
    assert [row[:2] for row in table.rows] == [(2, "no"), (3, "yes"), (4, "no")]
    assert [row[2] for row in table.rows] == [0.288, 0.288, None]


def test_no_section_where_the_number_was_agreed() -> None:
    spec = study_spec(n_clusters=3)
    result = replace(result_of([400, 300, 300], choice_of(1, 1, 1)), choice=None)
    results = make_results(spec, "alder", result, NO_NOISE)
    assert choice_section(Received(spec, results)) is None
    assert not choice_fits(study_spec(n_clusters=RANGE), None)


@pytest.mark.parametrize("sizes", [[500.0, 500.0], [250.0] * 4])
def test_the_length_of_sealed_results_does_not_tell_what_was_chosen(
    spec: StudySpec, sizes: list[float]
) -> None:
    choice = choice_of(0.2, 0.2, 0.2)
    choice = replace(choice, chosen=choice.candidates[len(sizes) - 2])
    result = result_of(sizes, choice)
    for recipient, sealed in seal_results(spec, identity("keeper"), result, NO_NOISE).items():
        assert len(sealed) == sealed_bytes(spec, recipient)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (1, "n_clusters must be greater than or equal to 2"),
        ("3-7", "n_clusters must be a valid integer"),
        ({"smallest": 3}, "n_clusters largest is missing"),
        ({"smallest": 3, "largest": 3}, "is not below the largest"),
        ({"smallest": 2, "largest": 10}, "more than 8 numbers"),
        ({"smallest": 2, "largest": 4, "starts": 1}, "n_clusters starts must be greater"),
        ({"smallest": 2, "largest": 4, "step": 2}, "n_clusters step is unknown"),
    ],
)
def test_a_range_that_makes_no_sense_is_refused(given: object, message: str) -> None:
    fields = study_spec().model_dump() | {"n_clusters": given}
    with pytest.raises(ConfigError, match=message):
        check(StudySpec, fields, "the draft")


def test_a_fixed_number_is_agreed_on_as_before() -> None:
    fixed = study_spec(n_clusters=4)
    assert fixed.document["n_clusters"] == 4
    assert (fixed.scouting, fixed.most_clusters, fixed.cluster_numbers) == (None, 4, (4,))
    ranged = study_spec(n_clusters=RANGE)
    assert ranged.document["n_clusters"] == {**RANGE, "starts": 2, "rounds": 2}
    assert (ranged.most_clusters, ranged.cluster_numbers) == (4, (2, 3, 4))
    assert StudySpec.model_validate(ranged.model_dump()) == ranged
