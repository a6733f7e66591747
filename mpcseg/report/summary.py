"""The report's first section: what was found, in plain words."""

from __future__ import annotations

from mpcseg.report.model import Segment
from mpcseg.report.received import Received
from mpcseg.report.sections import Column, DataTable, Section
from mpcseg.report.wording import counted, listed, noisy, number, share, signed

_MENTIONED = 4


def summary_section(received: Received) -> Section:
    """What the segments are, with a suggested name for each."""
    table, names = received.table, received.names
    return Section(
        name="summary",
        title="Summary",
        paragraphs=(
            _opening(received),
            *(
                _sentence(segment, name)
                for segment, name in zip(table.segments, names, strict=True)
            ),
        ),
        tables=(_overview(received),) if table.segments else (),
        notes=(
            "The names are suggestions, made of the features in which a segment's mean is half a "
            "standard deviation or more away from that of all customers (“very”: one and a half).",
        ),
    )


def _opening(received: Received) -> str:
    spec, table = received.spec, received.table
    n_found = len(table.segments)
    about = "about " if table.is_noised else ""
    total = "" if table.n_records is None else f" among {about}{number(table.n_records)} customers"
    people = counted(len(spec.parties), "organisation")
    text = (
        f"{counted(n_found, 'segment').capitalize()} {'is' if n_found == 1 else 'are'} shown"
        f"{total} of {people}, clustered on {listed(table.feature_names)}."
    )
    if table.hidden.n_segments:
        is_one = table.hidden.n_segments == 1
        text += (
            f" {counted(table.hidden.n_segments, 'segment').capitalize()} "
            f"{'is' if is_one else 'are'} hidden: {table.hidden.reason}."
        )
    return text


def _sentence(segment: Segment, name: str) -> str:
    size = noisy(number(segment.size), segment.noise)
    if segment.is_empty:
        return f"Segment {segment.number}: no customers."
    opening = f"Segment {segment.number}, “{name}”: {size} customers ({share(segment.share)})."
    features = [
        f"{summary.feature} is {summary.remark} ({signed(summary.deviation)})"
        for summary in segment.distinguishing[:_MENTIONED]
    ]
    if not features:
        return f"{opening} Close to the average in every feature."
    return f"{opening} What stands out: {listed(features)}."


def _overview(received: Received) -> DataTable:
    rows = tuple(
        (
            segment.number,
            name,
            segment.size,
            segment.noise,
            segment.share,
            "; ".join(f"{summary.feature} {summary.remark}" for summary in segment.distinguishing),
        )
        for segment, name in zip(received.table.segments, received.names, strict=True)
    )
    return DataTable(
        name="segments",
        title="The segments",
        columns=(
            Column("segment", "Segment"),
            Column("name", "Suggested name"),
            Column("customers", "Customers"),
            Column("customers_noise", "± noise", received.spec.release.significant_digits),
            Column("share", "Share of all", is_share=True),
            Column("stands_out", "What stands out"),
        ),
        rows=rows,
    )
