"""The report's sections: every number is a released one, or follows from the pooled table."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import calinski_harabasz_score, davies_bouldin_score

from mpcseg.reference.hyperplanes import hyperplanes
from mpcseg.reference.lloyd import profile_sums, soft_weights
from mpcseg.reference.metrics import nearest
from mpcseg.reference.sign import sign_for
from mpcseg.report.map import axes_of, covariance_of
from mpcseg.report.model import segment_table
from mpcseg.report.naming import suggested_names
from mpcseg.report.style import CONFIG, contrast, diverging, ink_on
from mpcseg.report.wording import number, share, shown
from mpcseg.study.results import Results, make_results
from mpcseg.study.spec import StudySpec
from tests.made_up import SPENT, agreed, finished
from tests.unit.report.pooled import (
    FEATURES,
    Pooled,
    all_cells,
    column_of,
    data_of,
    document_of,
    figure_of,
    pooled_study,
    table_of,
)
from tests.unit.study.clear_study import SHARP

ROUNDED = 2e-5
"""Relative error of a number with six significant digits, and of a few of them together."""


@pytest.fixture(scope="module")
def pooled() -> Pooled:
    return pooled_study()


class InTheClear:
    """The profile of the pooled records by the study's own centroids, by decreasing size."""

    def __init__(self, pooled: Pooled) -> None:
        records, centers = pooled.records, pooled.result.cluster_centers
        self.mean, self.std = records.mean(axis=0), records.std(axis=0)
        planes = hyperplanes(centers, 1 / self.std**2, pooled.spec.l2_radius)
        sums = profile_sums(records, soft_weights(records, planes, sign_for(SHARP), 4))
        order = sums[:, 3].argsort()[::-1]
        self.sizes = sums[order, 3]
        self.means = sums[order, :3] / self.sizes[:, None]
        self.spreads = np.sqrt(sums[order, 4:] / self.sizes[:, None] - self.means**2)
        self.deviations = (self.means - self.mean) / self.std
        self.standardised = (records - self.mean) / self.std
        self.labels = nearest(records, centers[order], 1 / self.std**2)


@pytest.fixture(scope="module")
def clear(pooled: Pooled) -> InTheClear:
    return InTheClear(pooled)


def original(values: np.ndarray) -> list[float]:
    """Rows of scaled values in original units, kept in the bounds, one after the other."""
    columns = [
        np.clip(feature.unscale(np.clip(column, -1, 1)), feature.lower, feature.upper)
        for feature, column in zip(FEATURES, values.T, strict=True)
    ]
    return [float(value) for value in np.column_stack(columns).ravel()]


# --- recomputed from the pooled table ------------------------------------------------------------


def test_sizes_and_shares_are_those_of_the_pooled_table(pooled: Pooled, clear: InTheClear) -> None:
    table = table_of(pooled.document, "segments")
    sizes = column_of(table, "customers")
    assert sizes == [round(size) for size in clear.sizes]
    assert sizes == pytest.approx(np.bincount(clear.labels), rel=0.02)
    assert column_of(table, "share") == pytest.approx(np.array(sizes) / 900, rel=ROUNDED)
    [bars] = [rows for rows in data_of(figure_of(pooled.document, "sizes")) if "size" in rows[0]]
    assert [bar["size"] for bar in bars] == sizes


def test_profiles_are_those_of_the_pooled_table(pooled: Pooled, clear: InTheClear) -> None:
    table = table_of(pooled.document, "profiles")
    for name, expected in (
        ("mean", original(clear.means)),
        ("low", original(clear.means - clear.spreads)),
        ("high", original(clear.means + clear.spreads)),
        ("deviation", clear.deviations.ravel()),
        ("spread", (clear.spreads / clear.std).ravel()),
    ):
        assert column_of(table, name) == pytest.approx(expected, rel=ROUNDED, abs=1e-9), name
    assert set(column_of(table, "mean_noise")) == {None}


def test_the_profile_figures_show_the_deviations_of_the_pooled_table(
    pooled: Pooled, clear: InTheClear
) -> None:
    [cells] = data_of(figure_of(pooled.document, "profile-heat-map"))
    told = [float(cell["value"].replace("−", "-")) for cell in cells]
    assert told == pytest.approx(clear.deviations.ravel(), rel=ROUNDED, abs=1e-9)
    assert [cell["colour"] for cell in cells] == [diverging(value) for value in told]
    [rows] = [
        rows
        for rows in data_of(figure_of(pooled.document, "profile-lines"))
        if "deviation" in rows[0]
    ]
    for panel in range(4):
        mine = [row for row in rows if row["panel"] == f"segment {panel + 1}"]
        assert len(mine) == 12
        own = [row["deviation"] for row in mine if row["own"]]
        assert own == pytest.approx(clear.deviations[panel], rel=ROUNDED, abs=1e-9)


def test_joint_moments_are_those_of_the_pooled_table(pooled: Pooled, clear: InTheClear) -> None:
    table = table_of(pooled.document, "all_customers")
    for name, place in (("mean", 0), ("low", -1), ("high", 1)):
        expected = original((clear.mean + place * clear.std)[None])
        assert column_of(table, name) == pytest.approx(expected, rel=ROUNDED), name
    got = column_of(table_of(pooled.document, "correlations"), "correlation")
    expected = np.corrcoef(pooled.records.T)[np.triu_indices(3, 1)]
    assert got == pytest.approx(expected, rel=ROUNDED)


def test_the_map_is_the_principal_components_of_the_pooled_table(
    pooled: Pooled, clear: InTheClear
) -> None:
    _, singular, axes = np.linalg.svd(clear.standardised, full_matrices=False)
    axes = axes[:2] * np.sign(axes[[0, 1], np.abs(axes[:2]).argmax(axis=1)])[:, None]
    places = clear.deviations @ axes.T
    table = table_of(pooled.document, "map")
    got = np.column_stack([column_of(table, "first"), column_of(table, "second")])
    assert got == pytest.approx(places, abs=1e-4)
    directions = table_of(pooled.document, "map_axes")
    assert column_of(directions, "first") == pytest.approx(axes[0], abs=1e-4)
    assert column_of(directions, "second") == pytest.approx(axes[1], abs=1e-4)
    moments = segment_table(pooled.results).moments
    assert moments is not None
    assert axes_of(moments).shares == pytest.approx((singular[:2] ** 2) / 900 / 3, abs=1e-5)
    data = data_of(figure_of(pooled.document, "segment-map"))
    [circles] = [rows for rows in data if len(rows) == 4]
    assert [[row["x"], row["y"]] for row in circles] == pytest.approx(places, abs=1e-4)


def test_ellipses_are_one_standard_deviation_of_the_pooled_tables_spreads(
    pooled: Pooled, clear: InTheClear
) -> None:
    moments = segment_table(pooled.results).moments
    assert moments is not None
    axes = axes_of(moments)
    data = data_of(figure_of(pooled.document, "segment-map"))
    [corners] = [rows for rows in data if "place" in rows[0]]
    for number_of, segment in enumerate(segment_table(pooled.results).segments):
        spreads = clear.spreads[number_of] / clear.std
        expected = axes.loadings.T @ np.diag(spreads**2) @ axes.loadings
        assert covariance_of(axes, segment) == pytest.approx(expected, abs=1e-4)
        mine = np.array(
            [[row["x"], row["y"]] for row in corners if row["segment"] == str(number_of + 1)]
        )
        offsets = mine - clear.deviations[number_of] @ axes.loadings
        distances = np.einsum("ni,ij,nj->n", offsets, np.linalg.inv(expected), offsets)
        assert distances == pytest.approx(1, abs=1e-2)


def test_quality_indices_are_near_scikit_learns_on_the_pooled_table(
    pooled: Pooled, clear: InTheClear
) -> None:
    """Near, for assignments are soft close to borders."""
    table = table_of(pooled.document, "quality")
    got = dict(zip(column_of(table, "index"), column_of(table, "value"), strict=True))
    exact = calinski_harabasz_score(clear.standardised, clear.labels)
    assert got["Calinski-Harabasz"] == pytest.approx(exact, rel=0.03)
    lower = davies_bouldin_score(clear.standardised, clear.labels)
    assert 0.97 * lower < got["Davies-Bouldin"] < 1.25 * lower
    means = np.array([clear.standardised[clear.labels == a].mean(axis=0) for a in range(4)])
    within = float(((clear.standardised - means[clear.labels]) ** 2).sum())
    assert got["share of variance explained"] == pytest.approx(1 - within / 2700, abs=0.01)
    assert got["inertia"] == pytest.approx(within, rel=0.03)


# --- what is released, and nothing else ----------------------------------------------------------


@pytest.fixture(scope="module")
def noised() -> tuple[StudySpec, Results]:
    spec = agreed(4)
    return spec, make_results(spec, "alder", finished([1200, 650, 303, 90]), SPENT)


def test_every_number_of_the_tables_is_a_released_value(
    noised: tuple[StudySpec, Results],
) -> None:
    """But for what is computed of them: the map, rules and hierarchies, each tested elsewhere."""
    spec, results = noised
    document = document_of(spec, results)
    released = {0.5, spec.features[0].lower, spec.features[0].upper, spec.features[1].upper}

    def collect(value: object) -> None:
        if isinstance(value, dict):
            value = list(value.values())
        if isinstance(value, list | tuple):
            for entry in value:
                collect(entry)
        elif isinstance(value, int | float):
            released.add(value)

    collect(results.document)
    derived = {"map", "map_axes", "rules", "joinings", "merged_segments"}
    kept = [
        replace(section, tables=tuple(t for t in section.tables if t.name not in derived))
        for section in document.sections
    ]
    cells = all_cells(replace(document, sections=tuple(kept)))
    numbers = [cell for cell in cells if isinstance(cell, int | float)]
    assert len(numbers) > 80
    assert set(numbers) <= released


def test_noise_stands_beside_every_size_and_mean(noised: tuple[StudySpec, Results]) -> None:
    document = document_of(*noised)
    assert None not in column_of(table_of(document, "segments"), "customers_noise")
    table = table_of(document, "profiles")
    assert None not in column_of(table, "mean_noise") + column_of(table, "deviation_noise")
    [cells] = data_of(figure_of(document, "profile-heat-map"))
    assert all(cell["noise"].startswith("± ") for cell in cells)


def test_nothing_depends_on_what_hidden_segments_are_like() -> None:
    spec = agreed(5)
    result = finished([1200, 650, 303, 8, 40])
    [small] = [number for number, size in enumerate(result.segment_sizes) if size == 8]
    means, spreads = result.segment_means.copy(), result.segment_spreads.copy()
    means[small] += 0.01
    spreads[small] *= 2
    other = replace(
        result,
        segment_means=means,
        segment_spreads=spreads,
        inertia=result.inertia + 5,
    )
    one, two = (
        document_of(
            spec, replace(make_results(spec, "alder", r, SPENT), made_at="2026-01-01T00:00:00Z")
        )
        for r in (result, other)
    )
    assert segment_table(make_results(spec, "alder", result, SPENT)).hidden.n_segments >= 2
    assert one == two
    names = [section.name for section in one.sections]
    assert "map" not in names
    text = repr(one)
    assert "withheld" in text
    assert "correlations" not in [t.name for s in one.sections for t in s.tables]


def test_where_everything_is_hidden_there_is_still_a_report() -> None:
    spec = agreed(3)
    results = make_results(spec, "alder", finished([9, 8, 2]), SPENT)
    document = document_of(spec, results)
    assert {figure.name for section in document.sections for figure in section.figures} == {
        "budget"
    }
    assert "0 segments are shown" in document.sections[0].paragraphs[0]


def test_suggested_names_tell_segments_apart() -> None:
    for seed, k in itertools.product(range(8), (2, 5, 9)):
        result = finished([100 + 10 * a for a in range(k)], seed=seed)
        table = segment_table(make_results(agreed(k), "alder", result, SPENT))
        names = suggested_names(table.segments)
        assert len(set(names)) == k, names


def test_many_segments_have_a_row_each_in_the_heat_map() -> None:
    spec = agreed(12)
    results = make_results(spec, "alder", finished([100 + a for a in range(12)]), SPENT)
    chart = figure_of(document_of(spec, results), "profile-heat-map").chart
    assert chart["layer"][0]["encoding"]["y"]["field"] == "segment"
    assert chart["height"] == 12 * 44


# --- how it looks, without seeing it --------------------------------------------------------------


def test_text_on_every_colour_of_the_heat_map_has_the_contrast_that_aa_asks_for() -> None:
    for deviation in np.linspace(-3, 3, 301).tolist():
        colour = diverging(deviation)
        assert contrast(ink_on(colour), colour) >= 4.5


def test_text_of_charts_has_the_contrast_that_aa_asks_for() -> None:
    for part in ("axis", "header", "legend", "text"):
        for name, colour in CONFIG[part].items():
            if name in {"labelColor", "titleColor", "color"}:
                assert contrast(colour, "#ffffff") >= 4.5, (part, name)


@pytest.mark.parametrize(
    ("value", "text"),
    [(1234567.0, "1,234,567"), (-0.25, "−0.25"), (1e-7, "0.0000001"), (3, "3"), (0.0, "0"),
     (2.5e9, "2,500,000,000")],
)  # fmt: skip
def test_numbers_are_written_without_exponent_and_with_every_digit(value: float, text: str) -> None:
    assert number(value) == text


def test_shares_are_written_as_percentages() -> None:
    assert [share(value) for value in (0.0402, 0.29, 1.0, 0.0)] == ["4.02%", "29%", "100%", "0%"]


def test_a_missing_value_is_a_dash() -> None:
    table = table_of(pooled_study().document, "profiles")
    assert shown(None, table.columns[3]) == "–"
