"""Profile columns in a real study, noise of both nodes included: what was planted is found."""

from __future__ import annotations

import numpy as np
import pytest

from mpcseg.report.fairness import audit_fairness
from mpcseg.study.figures import Report
from mpcseg.study.results import open_results
from tests.finished import COHORTS, IN_CLUB, finished_study

N_SEGMENTS = 2


@pytest.fixture(scope="module")
def report() -> Report:
    study = finished_study()
    own = study.nodes.parties[0]
    sealed = (study.left / "key" / "sealed" / f"{own.name}.sealed").read_bytes()
    found = open_results(study.spec, own, sealed).report
    assert found is not None
    assert len(found.segments) == N_SEGMENTS
    return found


def in_first_group() -> np.ndarray:
    """Of each record of both parties, whether it lies around the lower centre."""
    return np.concatenate([cohort.records[:, 0] < 0 for cohort in COHORTS])


def of_first_group(report: Report) -> int:
    """The place of the segment around the lower centre."""
    return int(report.segments[1].features[0].centre < report.segments[0].features[0].centre)


def test_means_shares_and_sizes_by_party_are_those_of_the_tables(report: Report) -> None:
    columns = np.vstack([np.asarray(cohort.columns) for cohort in COHORTS])
    party = np.repeat([0, 1], [len(cohort.records) for cohort in COHORTS])
    (visits,), (club, parties) = report.numeric_columns, report.categories
    assert [club.name, parties.name] == ["club", "party"]
    first = of_first_group(report)
    for place, is_here in (first, in_first_group()), (1 - first, ~in_first_group()):
        mean = columns[is_here, 0].mean()
        assert visits.segments[place].noise
        assert abs(visits.segments[place].centre - mean) < 5 * visits.segments[place].noise + 0.01
        for found, due in (
            (club.segments[place], columns[is_here, 1:].sum(axis=0)),
            (parties.segments[place], np.bincount(party[is_here])),
        ):
            for cell, count in zip(found.cells, due, strict=True):
                assert cell is not None
                assert cell.noise
                assert abs(cell.size - count) < 5 * cell.noise + 3
                assert cell.share == pytest.approx(count / is_here.sum(), abs=0.06)
    assert visits.overall is not None
    assert visits.overall.centre == pytest.approx(columns[:, 0].mean(), abs=0.05)


def test_the_group_that_was_planted_too_rarely_is_found_and_no_other(report: Report) -> None:
    first = report.segments[of_first_group(report)].number
    for audit in audit_fairness(report):
        rare = (audit.group == "in") == (audit.segment == first)
        assert audit.verdict == ("under-represented" if rare else "within"), audit
        assert audit.share is not None
        assert audit.noise
    assert IN_CLUB[-0.5] < IN_CLUB[0.5]


def test_a_sum_is_released_for_every_column_and_segment_and_none_else() -> None:
    study = finished_study()
    layout = study.spec.column_layout
    assert (layout.n_numeric, layout.groups, layout.n_parties) == (1, (2,), 2)
    folder = study.storage / "study" / "releases"
    last = max(path.name.split("-")[1] for path in folder.iterdir())
    assert len(list(folder.glob(f"release-{last}-*"))) == N_SEGMENTS * (5 + 2 + 2 + 2)
