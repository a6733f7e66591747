"""How well the segments are told apart, and what was spent of the privacy budget."""

from __future__ import annotations

import altair as alt

from mpcseg.report.charts import chart_of
from mpcseg.report.received import Received
from mpcseg.report.sections import Cell, Column, DataTable, Figure, Section
from mpcseg.report.style import BLUE, CHART_WIDTH
from mpcseg.report.wording import number, share
from mpcseg.study.figures import Quality

_BAR = 34
_ROUNDS = {
    "admission": "checking the parties' bounds",
    "moments": "joint means and correlations",
    "scout": "trying numbers of segments out",
    "appraisal": "how good each number of segments is",
    "lloyd": "moving the centroids",
    "profile": "sizes, means and spreads",
}


def quality_section(received: Received) -> Section:
    """The quality indices, how the rounds ended, and what was out of the ordinary."""
    quality = received.table.quality
    assert quality is not None  # noqa: S101  a report always has it
    rows = tuple(row for row in _indices(quality) if row[1] is not None)
    digits = received.spec.release.significant_digits
    table = DataTable(
        name="quality",
        title="Quality indices",
        columns=(
            Column("index", "Index"),
            Column("value", "Value", digits),
            Column("meaning", "How to read it"),
        ),
        rows=rows,
    )
    return Section(
        name="quality",
        title="How good the segments are",
        paragraphs=(*_findings(received, quality), *_remarks(quality)),
        tables=(table,) if rows else (),
        notes=(
            "All indices are in the standardised metric, in which every feature has variance 1, "
            "and are made of sizes, means and spreads (formulas: docs/report.md). They compare "
            "clusterings of the same customers; none says whether segments are of use.",
        ),
    )


def _remarks(quality: Quality) -> list[str]:
    """What was out of the ordinary; how the rounds ended is said already."""
    said = ("converged: ", "stopped: ")
    return [f"Note: {note}." for note in quality.notes if not note.startswith(said)]


def _indices(quality: Quality) -> tuple[tuple[str, float | None, str], ...]:
    return (
        ("share of variance explained", quality.explained, "between 0 and 1; more is better"),
        (
            "Calinski-Harabasz",
            quality.calinski_harabasz,
            "variance between segments over that within; more is better",
        ),
        (
            "Davies-Bouldin",
            quality.davies_bouldin,
            "width of segments over their distance, at the worst neighbour; less is better",
        ),
        ("inertia", quality.inertia, "sum of squared distances to the centroids; less is better"),
    )


def _findings(received: Received, quality: Quality) -> list[str]:
    if received.table.hidden.n_segments:
        return [
            "Quality indices are not told, because segments are hidden: they would tell "
            "exactly how wide the hidden ones are."
        ]
    found = []
    if quality.explained is None:
        found.append(
            "No quality indices can be told: a segment is empty, or what the segments explain "
            "cannot be told from noise."
        )
    else:
        found.append(
            f"The segments explain {share(quality.explained)} of the differences between customers."
        )
    if quality.n_rounds is not None:
        rested = (
            "the centroids came to rest"
            if quality.converged
            else "the centroids were still moving; more rounds could improve the segments a little"
        )
        found.append(f"After {quality.n_rounds} rounds {rested}.")
    return found


def budget_section(received: Received) -> Section:
    """What was spent of the agreed privacy budget, by kind of round."""
    spent, agreed = received.results.privacy, received.spec.privacy
    if spent.epsilon is None:
        return Section(
            name="budget",
            title="Privacy budget",
            paragraphs=(
                "No noise was added: the organisations agreed on exact sums. The numbers are those "
                "of the customers, rounded, and no budget limits what they tell about one of them.",
            ),
        )
    kinds = list(spent.shares.items())
    named = [(_ROUNDS.get(kind, kind), part) for kind, part in kinds]
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (kind, words, part) for (kind, part), (words, _) in zip(kinds, named, strict=True)
    )
    most = max(named, key=lambda entry: entry[1])
    budget = "" if isinstance(agreed.epsilon, str) else f" of the agreed {number(agreed.epsilon)}"
    return Section(
        name="budget",
        title="Privacy budget",
        paragraphs=(
            f"Epsilon {number(spent.epsilon)}{budget} is spent, at delta {spent.delta!r}. This "
            "report was made of what the rounds had released, and cost nothing more.",
        ),
        figures=(
            Figure(
                name="budget",
                title="What the budget was spent on",
                description=(
                    f"Bars of the share of each kind of round. Most went into {most[0]}: "
                    f"{share(most[1], 3)}."
                ),
                chart=_budget_chart(kinds),
            ),
        ),
        tables=(
            DataTable(
                name="budget",
                title="Shares of what was spent",
                columns=(
                    Column("round", "Kind of round"),
                    Column("purpose", "For"),
                    Column("share", "Share", 3, is_share=True),
                ),
                rows=rows,
            ),
        ),
        notes=(
            "Epsilon and delta bound how much better anybody can tell from everything released "
            "whether one customer's record took part. Shares are of zero-concentrated differential "
            "privacy (zCDP), which adds up over rounds as epsilon does not.",
        ),
    )


def _budget_chart(kinds: list[tuple[str, float]]) -> dict[str, object]:
    rows = [{"round": kind, "share": part, "label": share(part, 3)} for kind, part in kinds]
    base = chart_of(rows).encode(
        y=alt.Y(
            "round:N",
            sort=None,
            title=None,
            axis=alt.Axis(ticks=False, domain=False, labelLimit=200),
        ),
        x=alt.X(
            "share:Q",
            title="share",
            scale=alt.Scale(domain=[0, 1.25]),
            axis=alt.Axis(format=".0%", values=[0, 0.25, 0.5, 0.75, 1]),
        ),
    )
    chart = alt.layer(
        base.mark_bar(color=BLUE), base.mark_text(align="left", dx=6).encode(text="label:N")
    ).properties(width=CHART_WIDTH - 80, height=_BAR * len(rows))
    return chart.to_dict()
