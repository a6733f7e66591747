"""All customers together, and a map of the segments: principal components of joint moments.

Nobody has the customers' points. The map's axes are the two directions in which customers differ
most, from the joint correlations; segments are drawn by their means and spreads alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np
from numpy.typing import NDArray

from mpcseg.report.charts import chart_of
from mpcseg.report.model import Segment
from mpcseg.report.profiles import kinds_of_mean
from mpcseg.report.received import Received
from mpcseg.report.sections import Column, DataTable, Figure, Section
from mpcseg.report.style import BLUE, CHART_WIDTH, INK, ORANGE, PAPER
from mpcseg.report.wording import listed, share
from mpcseg.study.joint import JointMoments

_DIGITS = 3
_CORNERS = 72
_MENTIONED = 2
_NOTABLE = 0.25
"""Weight in an axis from which on a feature is named in its description."""
_ARROWS = 8
"""Features up to which their directions are drawn; more would hide the segments."""


# In parts of half the map: how far features' lines reach, and what their names take up.
_REACH, _NAME_WIDTH, _NAME_HEIGHT = 0.7, 0.5, 0.11


@dataclass(frozen=True)
class Axes:
    """The map's axes.

    Attributes:
        loadings: of the features, in standard deviations, shape (d, 2); columns of length 1.
        shares: of the variance of all customers along each axis, shape (2,).
    """

    loadings: NDArray[np.float64]
    shares: NDArray[np.float64]


def axes_of(moments: JointMoments) -> Axes:
    """The first two principal components of the joint correlations; two features at least.

    Each points to where its largest loading is positive, so that the same study always gives the
    same map.
    """
    matrix = correlation_matrix(moments)
    values, vectors = np.linalg.eigh(matrix)
    loadings = vectors[:, [-1, -2]]
    largest = np.abs(loadings).argmax(axis=0)
    loadings = loadings * np.where(loadings[largest, [0, 1]] < 0, -1.0, 1.0)
    return Axes(loadings, np.maximum(values[[-1, -2]], 0.0) / len(matrix))


def correlation_matrix(moments: JointMoments) -> NDArray[np.float64]:
    """The joint correlations, shape (d, d)."""
    d = len(moments.centres)
    matrix = np.eye(d)
    rows, columns = np.triu_indices(d, 1)
    matrix[rows, columns] = matrix[columns, rows] = moments.correlations
    return matrix


def place_of(axes: Axes, segment: Segment) -> NDArray[np.float64]:
    """A segment's mean on the map, shape (2,)."""
    deviations = np.array([summary.deviation for summary in segment.features])
    return np.asarray(deviations @ axes.loadings, dtype=np.float64)


def covariance_of(axes: Axes, segment: Segment) -> NDArray[np.float64]:
    """A segment's spread on the map as a covariance, shape (2, 2).

    Of its standard deviations feature by feature, as if the features did not vary together within
    the segment: how they do is not released.
    """
    spreads = np.array([summary.spread or 0.0 for summary in segment.features])
    return np.asarray((axes.loadings.T * spreads**2) @ axes.loadings, dtype=np.float64)


def map_section(received: Received) -> Section | None:
    """Joint means, spreads and correlations; the map where there are two features or more."""
    moments, table = received.table.moments, received.table
    if moments is None:
        return None
    shown = [segment for segment in table.segments if not segment.is_empty]
    tables = [_moments_table(received, moments)]
    figures: tuple[Figure, ...] = ()
    notes: tuple[str, ...] = ()
    if len(moments.centres) > 1 and shown:
        axes = axes_of(moments)
        tables += [_correlations_table(received, moments), *_map_tables(received, axes, shown)]
        figures = (_map(received, axes, shown),)
        notes = (
            "There are no points on the map, for nobody has the customers' records. Its axes are "
            "the two principal components of the joint correlations: the directions in which "
            "customers differ most. Where both explain about as much, other axes would do as well.",
            "A segment's ellipse is one standard deviation around its mean, made of its spreads "
            "feature by feature. It leaves out how features vary together within the segment, so "
            "that a true ellipse can be narrower and tilted; and segments are cells with straight "
            "borders, which no ellipse is.",
            "Ellipses that overlap on the map can lie apart in the directions that it leaves out.",
        )
    return Section(
        name="map",
        title="All customers together, and a map of the segments",
        figures=figures,
        tables=tuple(tables),
        notes=notes,
    )


def _map(received: Received, axes: Axes, segments: list[Segment]) -> Figure:
    places = [
        {"segment": str(segment.number), "x": float(x), "y": float(y)}
        for segment in segments
        for x, y in [place_of(axes, segment)]
    ]
    corners = [corner for segment in segments for corner in _ellipse(axes, segment)]
    span = 1.08 * max(abs(point[side]) for point in corners for side in ("x", "y"))
    arrows = _arrows(received, axes, span) if len(axes.loadings) <= _ARROWS else []
    scale = alt.Scale(domain=[-span, span], nice=False)
    names = [
        f"{name} component ({share(float(part), 2)} of variance)"
        for name, part in zip(("first", "second"), axes.shares, strict=True)
    ]
    x = alt.X("x:Q", scale=scale, title=names[0], axis=alt.Axis(tickCount=5))
    y = alt.Y("y:Q", scale=scale, title=names[1], axis=alt.Axis(tickCount=5))
    layers: list[alt.Chart] = [
        chart_of(corners)
        .mark_line(color=BLUE, strokeWidth=1.5, fill=BLUE, fillOpacity=0.1, clip=True)
        .encode(x=x, y=y, detail="segment:N", order="place:Q"),
    ]
    if arrows:
        base = chart_of(arrows)
        layers += [
            base.mark_rule(color=ORANGE, strokeDash=[4, 3]).encode(
                x="zero:Q", y="zero:Q", x2="x:Q", y2="y:Q"
            ),
            base.mark_text(color=ORANGE, fontStyle="italic", limit=110).encode(
                x="text_x:Q", y="text_y:Q", text="feature:N"
            ),
        ]
    layers += [
        chart_of(places).mark_circle(size=330, color=PAPER, stroke=INK, opacity=1).encode(x=x, y=y),
        chart_of(places).mark_text(color=INK, fontWeight="bold").encode(x=x, y=y, text="segment:N"),
    ]
    chart = alt.layer(*layers).properties(width=CHART_WIDTH, height=CHART_WIDTH)
    pointing = " Dashed lines show where each feature grows." if arrows else ""
    return Figure(
        name="segment-map",
        title="Map of the segments, drawn from joint moments",
        description=(
            f"{_reading(received, axes)} Numbered circles are the segments' means, each with an "
            f"ellipse of one standard deviation around it.{pointing}"
        ),
        chart=chart.to_dict(),
    )


def _reading(received: Received, axes: Axes) -> str:
    """What the axes stand for, in words."""
    parts = []
    for axis, name in enumerate(("To the right", "Upwards")):
        strengths = np.abs(axes.loadings[:, axis])
        order = [j for j in strengths.argsort()[::-1][:_MENTIONED] if strengths[j] >= _NOTABLE]
        grows = [
            f"{received.table.feature_names[j]} "
            f"{'grows' if axes.loadings[j, axis] > 0 else 'falls'}"
            for j in order
        ]
        parts.append(f"{name}, {listed(grows)}.")
    return " ".join(parts)


def _ellipse(axes: Axes, segment: Segment) -> list[dict[str, Any]]:
    values, vectors = np.linalg.eigh(covariance_of(axes, segment))
    angles = np.linspace(0, 2 * math.pi, _CORNERS + 1)
    circle = np.column_stack([np.cos(angles), np.sin(angles)])
    points = circle * np.sqrt(np.maximum(values, 0)) @ vectors.T + place_of(axes, segment)
    return [
        {"segment": str(segment.number), "place": place, "x": x, "y": y}
        for place, (x, y) in enumerate(points.tolist())
    ]


def _arrows(received: Received, axes: Axes, span: float) -> list[dict[str, Any]]:
    """Where each feature grows: its loadings, as long as the map allows, with its name beyond.

    Names that would stand on each other are moved apart, upwards.
    """
    longest = float(np.linalg.norm(axes.loadings, axis=1).max())
    ends = axes.loadings * (_REACH * span / longest)
    arrows: list[dict[str, Any]] = []
    named = zip(received.table.feature_names, ends.tolist(), strict=True)
    for name, (x, y) in sorted(named, key=lambda arrow: arrow[1][1]):
        text_x, text_y = 1.12 * x, 1.12 * y
        while any(
            abs(other["text_x"] - text_x) < _NAME_WIDTH * span
            and abs(other["text_y"] - text_y) < _NAME_HEIGHT * span
            for other in arrows
        ):
            text_y += _NAME_HEIGHT * span / 4
        arrows.append(
            {"feature": name, "zero": 0, "x": x, "y": y, "text_x": text_x, "text_y": text_y}
        )
    return arrows


def _moments_table(received: Received, moments: JointMoments) -> DataTable:
    digits = received.spec.release.significant_digits
    names = received.table.feature_names
    kinds = [kinds_of_mean(received)[name] for name in names]
    rows = zip(names, kinds, moments.centres, moments.lows, moments.highs, strict=True)
    return DataTable(
        name="all_customers",
        title="All customers together, original units",
        columns=(
            Column("feature", "Feature"),
            Column("mean_of", "Mean of"),
            Column("mean", "Mean", digits),
            Column("low", "Low, mean − sd", digits),
            Column("high", "High, mean + sd", digits),
        ),
        rows=tuple(rows),
    )


def _correlations_table(received: Received, moments: JointMoments) -> DataTable:
    names = received.table.feature_names
    rows, columns = np.triu_indices(len(names), 1)
    return DataTable(
        name="correlations",
        title="Correlations between features, over all customers",
        columns=(
            Column("feature", "Feature"),
            Column("other_feature", "And"),
            Column("correlation", "Correlation", received.spec.release.significant_digits),
        ),
        rows=tuple(
            (names[a], names[b], value)
            for a, b, value in zip(rows, columns, moments.correlations, strict=True)
        ),
    )


def _map_tables(
    received: Received, axes: Axes, segments: list[Segment]
) -> tuple[DataTable, DataTable]:
    both = (
        Column("first", "First component", _DIGITS),
        Column("second", "Second component", _DIGITS),
    )
    places = tuple(
        (segment.number, *place_of(axes, segment).tolist(), *_noise(axes, segment))
        for segment in segments
    )
    directions = tuple(
        (name, *row)
        for name, row in zip(received.table.feature_names, axes.loadings.tolist(), strict=True)
    )
    return (
        DataTable(
            name="map",
            title="Where the segments are on the map, in standard deviations",
            columns=(
                Column("segment", "Segment"),
                *both,
                Column("first_noise", "± noise, first", _DIGITS),
                Column("second_noise", "± noise, second", _DIGITS),
            ),
            rows=places,
        ),
        DataTable(
            name="map_axes",
            title="What the map's axes are made of: the weight of each feature",
            columns=(Column("feature", "Feature"), *both),
            rows=directions,
        ),
    )


def _noise(axes: Axes, segment: Segment) -> tuple[float | None, float | None]:
    """Standard deviations of the noise in a place; that in the axes is not counted."""
    noise = [summary.deviation_noise for summary in segment.features]
    told = [value for value in noise if value is not None]
    if len(told) < len(noise):
        return None, None
    first, second = np.sqrt(np.square(told) @ axes.loadings**2).tolist()
    return first, second
