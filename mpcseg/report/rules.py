"""Rules in words for each segment, as a section of the report."""

from __future__ import annotations

from mpcseg.report.received import Received
from mpcseg.report.sections import Column, DataTable, Section
from mpcseg.report.wording import share
from mpcseg.shapes.rules import RuleBook, SegmentRules, learn_rules
from mpcseg.study.statistics import released_statistics

_DIGITS = 3


def rules_section(received: Received) -> Section | None:
    """Short rules that say who is in which segment; None for fewer than two segments."""
    report = received.results.report
    if report is None or len(report.segments) < 2:
        return None
    statistics = released_statistics(received.spec, received.results)
    if statistics.filled.sum() < 2:
        return None
    book = learn_rules(statistics)
    notes = [
        "Drawn, not real: these rules were learnt from customers drawn by chance from the released "
        "sizes, means and spreads of the segments, as if features did not vary together within a "
        "segment. No record of anybody was used, and real customers can keep to the rules less "
        "than drawn ones.",
        "A customer is in a segment because its centroid is nearest, not because a rule holds. To "
        "label customers, use mpcseg party results --labels.",
        "A rule covers so many of its segment's drawn customers; it is right for so many of those "
        "who meet it.",
        "Numbers in rules are rounded, by at most 1% of a feature's agreed width.",
    ]
    if not statistics.has_centroids:
        notes.append(
            "This organisation does not receive the centroids: the segments' means stand for them."
        )
    return Section(
        name="rules",
        title="Who is in which segment, as rules",
        paragraphs=(
            *(_sentence(segment) for segment in book.segments),
            f"Of drawn customers, {share(book.fidelity)} meet a rule of their own segment and none "
            "of another.",
        ),
        tables=(_table(book),),
        notes=tuple(notes),
    )


def _sentence(segment: SegmentRules) -> str:
    rules = "; or ".join(
        f"{str(rule) or 'everybody'} (right for {share(rule.precision, 2)} of those who meet it)"
        for rule in segment.rules
    )
    return f"Segment {segment.segment}: {rules or 'no customers'}."


def _table(book: RuleBook) -> DataTable:
    return DataTable(
        name="rules",
        title="Rules, learnt from drawn customers",
        columns=(
            Column("segment", "Segment"),
            Column("rule", "Rule"),
            Column("coverage", "Covers", _DIGITS, is_share=True),
            Column("precision", "Right", _DIGITS, is_share=True),
        ),
        rows=tuple(
            (segment.segment, str(rule) or "everybody", rule.coverage, rule.precision)
            for segment in book.segments
            for rule in segment.rules
        ),
    )
