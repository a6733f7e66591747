"""The fairness audit: planted answers, the limits of noise, and what the report says of both."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mpcseg.report.columns import columns_section
from mpcseg.report.fairness import GroupAudit, audit_fairness
from mpcseg.report.fairness_section import fairness_section
from mpcseg.report.pictures import svg
from mpcseg.report.received import Received
from mpcseg.report.sections import Section
from mpcseg.study.figures import Report, report_of
from mpcseg.study.results import make_results
from tests.made_up import SPENT, agreed
from tests.unit.study.test_column_figures import COLUMNS, result, study

# Of a, b, c and other. Overall a has 20 %, in the first segment half of that, in the second 17 %.
PLANTED = np.array([[100, 500, 300, 100], [170, 430, 300, 100], [330, 270, 300, 100]])


def audited(threshold: float = 0.8, noise: float = 0.0) -> dict[tuple[str, int], GroupAudit]:
    spec = study(noise=noise > 0, fairness={"threshold": threshold})
    report = report_of(spec, result(spec, PLANTED, noise))
    by_cluster = {segment.number: segment.cluster for segment in report.segments}
    return {(one.group, by_cluster[one.segment]): one for one in audit_fairness(report)}


def test_a_group_that_was_planted_too_rarely_is_found_in_its_segment() -> None:
    found = audited()
    assert {key for key, one in found.items() if one.verdict == "under-represented"} == {
        ("a", 0),
        ("b", 2),
    }
    assert found["a", 0].ratio == pytest.approx(0.5, abs=0.01)
    assert found["a", 1].ratio == pytest.approx(0.85, abs=0.01)
    assert found["a", 1].verdict == found["c", 0].verdict == "within"
    assert found["a", 0].noise is None
    assert len(found) == 4 * 3  # sizes by party are not protected


@pytest.mark.parametrize(("threshold", "verdict"), [(0.4, "within"), (0.9, "under-represented")])
def test_the_agreed_threshold_decides(threshold: float, verdict: str) -> None:
    group = ("a", 0) if verdict == "within" else ("a", 1)
    assert audited(threshold)[group].verdict == verdict


def test_where_noise_is_large_it_says_that_it_cannot_tell() -> None:
    little, much = audited(noise=4.0), audited(noise=60.0)
    assert little["a", 0].verdict == "under-represented"
    assert little["a", 2].verdict == "within"
    assert much["a", 0].verdict == "cannot tell at this noise"
    noise = [one.noise for one in (little["a", 0], much["a", 0])]
    assert noise[0] is not None
    assert noise[1] is not None
    assert 0 < noise[0] < noise[1]


def test_the_noise_of_a_ratio_is_what_draws_come_to() -> None:
    """The delta method against simulation; it may be a little too large, never too small."""
    spec = study(noise=True)
    exact = result(spec, PLANTED, 5.0).columns
    assert exact is not None
    counts, everybody = exact.categories[0].counts, len(PLANTED)
    rng = np.random.default_rng(0)
    ratios = []
    for _ in range(2000):
        noised = counts[:everybody] + 5.0 * rng.normal(size=counts[:everybody].shape)
        shares = noised / noised.sum(axis=1, keepdims=True)
        overall = noised.sum(axis=0) / noised.sum()
        ratios.append(shares[0, 0] / overall[0])
    told = audited(noise=5.0)["a", 0].noise
    assert told is not None
    assert 0.95 * np.std(ratios) < told < 1.4 * np.std(ratios)


def test_groups_that_are_too_small_to_be_shown_are_audited_as_one() -> None:
    spec = study()
    report = report_of(spec, result(spec))
    groups = {one.group for one in audit_fairness(report)}
    assert groups == {"a", "b or c or other"}
    assert all(one.verdict != "hidden" for one in audit_fairness(report))


def received(report_noise: float = 4.0, counts: np.ndarray = PLANTED) -> Received:
    spec = study(noise=report_noise > 0)
    return Received(spec, make_results(spec, "alder", result(spec, counts, report_noise), SPENT))


def drawn(section: Section | None) -> Section:
    assert section is not None
    for figure in section.figures:
        assert svg(figure).startswith("<svg")
        assert figure.description
    for table in section.tables:
        assert all(len(row) == len(table.columns) for row in table.rows)
    return section


def test_the_sections_say_what_was_found_and_draw_it() -> None:
    fairness = drawn(fairness_section(received()))
    assert any("Under-represented in segment" in text for text in fairness.paragraphs)
    (table,) = fairness.tables
    assert {row[-1] for row in table.rows} >= {"under-represented", "within"}
    columns = drawn(columns_section(received()))
    assert [figure.name for figure in columns.figures] == ["column-1", "category-1", "category-2"]
    numeric, categories = columns.tables
    assert len(numeric.rows) == 4
    assert len(categories.rows) == 4 * (4 + 2)


def test_what_is_hidden_is_said_and_not_in_any_table() -> None:
    hidden = drawn(
        columns_section(received(0.0, np.array([[300, 60, 40, 0], [90, 7, 50, 0]] * 2)[:3]))
    )
    assert "told together only" in hidden.paragraphs[0]
    rows = hidden.tables[1].rows
    assert all(row[3] is None for row in rows if row[0] == "band" and row[2] == "other")


def test_a_study_without_columns_has_no_such_section() -> None:
    spec = agreed(3)
    bare = replace(result(study(), PLANTED), columns=None)
    without = Received(spec, make_results(spec, "alder", bare, SPENT))
    assert columns_section(without) is None
    assert fairness_section(without) is None
    unprotected = study(profile_columns=[COLUMNS[0]])
    assert not unprotected.categories


def test_the_report_alone_is_enough() -> None:
    """The audit needs nothing that the recipient does not have."""
    report = received().results.report
    assert isinstance(report, Report)
    assert audit_fairness(report)
