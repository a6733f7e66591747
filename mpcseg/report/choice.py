"""How the number of segments was chosen: the curve of each index, the table and the reason."""

from __future__ import annotations

import altair as alt

from mpcseg.report.charts import chart_of
from mpcseg.report.received import Received
from mpcseg.report.sections import Column, DataTable, Figure, Section
from mpcseg.report.style import BLUE, CHART_WIDTH, ORANGE
from mpcseg.report.wording import counted
from mpcseg.study.choice_figures import CandidateFigures, ChoiceFigures

_HEIGHT = 110
_CURVES = (
    ("inertia", "Inertia left within segments (less is better)"),
    ("calinski_harabasz", "Calinski-Harabasz index (more is better)"),
    ("davies_bouldin", "Davies-Bouldin index (less is better)"),
    ("stability", "Stability over starts (1: same borders)"),
)


def choice_section(received: Received) -> Section | None:
    """The numbers of segments that were tried out; None where the number was agreed."""
    report = received.results.report
    choice = report.choice if report else None
    if choice is None:
        return None
    told = [one for one in choice.candidates if one.stability is not None]
    numbers = [one.n_segments for one in choice.candidates]
    found = (
        f"From {numbers[0]} to {numbers[-1]} segments were tried out on a sample of the customers, "
        f"and {choice.chosen} were chosen"
    )
    if choice.reason:
        found += f": {choice.reason}"
    paragraphs = [f"{found}."]
    n_untold = len(choice.candidates) - len(told)
    if n_untold == len(choice.candidates):
        paragraphs.append(
            "The indices are not told, because segments are hidden: those would follow from them."
        )
    elif n_untold:
        paragraphs.append(
            f"The indices of {counted(n_untold, 'number')} of segments are not told: a segment of "
            "theirs is smaller than may be shown, and would follow from them."
        )
    return Section(
        name="choice",
        title="Why so many segments",
        paragraphs=tuple(paragraphs),
        figures=(_figure(choice, told),) if told else (),
        tables=(_table(choice, received.spec.release.significant_digits),),
        notes=(
            "Each number was begun from several starts, and its better start counts. All indices "
            "are of few rounds on a sample, with the noise of these rounds, so that they differ a "
            "little from those of the final segments.",
            "The number with the largest ratio of Calinski-Harabasz to Davies-Bouldin is chosen.",
            "Stability is the adjusted Rand index of the borders that two starts came to, on "
            "points drawn from the joint means and correlations. It says whether the way to the "
            "segments matters, not whether other customers would give the same segments.",
        ),
    )


def _figure(choice: ChoiceFigures, told: list[CandidateFigures]) -> Figure:
    best = max(told, key=lambda one: _ratio(one) or 0.0)
    return Figure(
        name="choice",
        title="Indices of each number of segments",
        description=(
            f"Four curves over the number of segments, with the chosen number, {choice.chosen}, "
            f"marked. The ratio of Calinski-Harabasz to Davies-Bouldin is largest for "
            f"{best.n_segments} segments."
        ),
        chart=alt.vconcat(*(_curve(choice, told, *curve) for curve in _CURVES))
        .resolve_scale(x="shared")
        .to_dict(),
    )


def _curve(
    choice: ChoiceFigures, told: list[CandidateFigures], field: str, title: str
) -> alt.LayerChart | alt.FacetChart:
    rows = []
    for one in told:
        value = getattr(one, field)
        if value is None:
            continue
        noise = getattr(one, f"{field}_noise", None) or 0.0
        rows.append(
            {
                "segments": one.n_segments,
                "value": value,
                "low": value - noise,
                "high": value + noise,
                "chosen": one.n_segments == choice.chosen,
            }
        )
    base = chart_of(rows).encode(
        x=alt.X(
            "segments:Q",
            title="segments",
            scale=alt.Scale(zero=False, nice=False, padding=24),
            axis=alt.Axis(values=[one.n_segments for one in choice.candidates], format="d"),
        )
    )
    value = alt.Y("value:Q", title=None, scale=alt.Scale(zero=False))
    color = alt.when("datum.chosen").then(alt.value(ORANGE)).otherwise(alt.value(BLUE))
    return alt.layer(
        base.mark_rule(color=BLUE).encode(y=alt.Y("low:Q", title=None), y2="high:Q"),
        base.mark_line(color=BLUE).encode(y=value),
        base.mark_point(filled=True, size=70, opacity=1).encode(y=value, color=color),
    ).properties(
        width=CHART_WIDTH - 80,
        height=_HEIGHT,
        title=alt.Title(title, anchor="start", frame="bounds", fontSize=11),
    )


def _table(choice: ChoiceFigures, digits: int) -> DataTable:
    return DataTable(
        name="choice",
        title="Numbers of segments that were tried out",
        columns=(
            Column("segments", "Segments"),
            Column("chosen", "Chosen"),
            Column("inertia", "Inertia, part of the whole", digits),
            Column("inertia_noise", "± (sd)", digits),
            Column("calinski_harabasz", "Calinski-Harabasz", digits),
            Column("calinski_harabasz_noise", "± (sd)", digits),
            Column("davies_bouldin", "Davies-Bouldin", digits),
            Column("davies_bouldin_noise", "± (sd)", digits),
            Column("ratio", "Ratio of the two", digits),
            Column("stability", "Stability", digits),
        ),
        rows=tuple(
            (
                one.n_segments,
                "yes" if one.n_segments == choice.chosen else "no",
                one.inertia,
                one.inertia_noise,
                one.calinski_harabasz,
                one.calinski_harabasz_noise,
                one.davies_bouldin,
                one.davies_bouldin_noise,
                _ratio(one),
                one.stability,
            )
            for one in choice.candidates
        ),
    )


def _ratio(one: CandidateFigures) -> float | None:
    """What decides."""
    if one.calinski_harabasz is None or not one.davies_bouldin:
        return None
    return one.calinski_harabasz / one.davies_bouldin
