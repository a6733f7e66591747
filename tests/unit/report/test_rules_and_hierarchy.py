"""Rules and joined segments as sections of the report: what they show is what was computed."""

from __future__ import annotations

import dataclasses

import pytest

from mpcseg.report.hierarchy import hierarchy_section
from mpcseg.report.received import Received
from mpcseg.report.rules import rules_section
from mpcseg.report.sections import Section
from mpcseg.shapes.merging import merged_by
from mpcseg.shapes.rules import learn_rules
from mpcseg.study.statistics import released_statistics
from tests.unit.shapes.studies import ManyClusters, moons, noised_moons


def received(study: ManyClusters) -> Received:
    return Received(study.spec, study.results)


def made(section: Section | None) -> Section:
    assert section is not None
    return section


def cells(section: Section, table: str) -> list[dict[str, object]]:
    found = next(one for one in section.tables if one.name == table)
    names = [column.name for column in found.columns]
    return [dict(zip(names, row, strict=True)) for row in found.rows]


def test_the_rules_shown_are_those_that_were_learnt_and_are_marked_as_drawn() -> None:
    study = moons()
    section = made(rules_section(received(study)))
    book = learn_rules(released_statistics(study.spec, study.results))
    shown = [(row["segment"], row["rule"], row["precision"]) for row in cells(section, "rules")]
    assert shown == [
        (part.segment, str(rule), rule.precision) for part in book.segments for rule in part.rules
    ]
    assert section.notes[0].startswith("Drawn, not real")
    assert "drawn customers" in section.tables[0].title


def test_without_centroids_the_rules_say_so() -> None:
    study = moons()
    results = dataclasses.replace(study.results, centroids=None)
    section = made(rules_section(Received(study.spec, results)))
    assert "the segments' means stand for them" in section.notes[-1]


@pytest.mark.parametrize("study", [moons, noised_moons])
def test_merged_segments_shown_are_those_of_both_methods(study: object) -> None:
    found: ManyClusters = study()  # type: ignore[operator]
    rows = cells(made(hierarchy_section(received(found))), "merged_segments")
    for method in ("ward", "density"):
        merged = merged_by(found.spec, found.results, method)
        own = [row for row in rows if row["method"] == method]
        assert [row["size"] for row in own] == [one.size for one in merged.segments]
        assert ("together" in own[0]) == (study is noised_moons)


def test_the_tree_has_all_segments_and_its_costs_are_shares_of_all_spread() -> None:
    section = made(hierarchy_section(received(moons())))
    rows = cells(section, "joinings")
    assert [row["segments_left"] for row in rows] == list(range(15, 0, -1))
    added = [float(str(row["added_spread"])) for row in rows]
    assert added == sorted(added)
    assert 0.8 < sum(added) < 1
    assert "A tree of 16 segments" in section.figures[0].description


def test_few_segments_have_no_tree_and_one_has_no_rules() -> None:
    study = moons()
    assert study.results.report is not None

    def of(n: int) -> Received:
        report = dataclasses.replace(
            study.results.report, segments=study.results.report.segments[:n]
        )
        return Received(study.spec, dataclasses.replace(study.results, report=report))

    assert hierarchy_section(of(7)) is None
    assert rules_section(of(1)) is None
