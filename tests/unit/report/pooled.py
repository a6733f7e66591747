"""A study whose records are known: run in the clear, and its report, to compare with the table."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mpcseg.report.document import ReportDocument, report_document
from mpcseg.report.received import Received
from mpcseg.report.sections import Cell, DataTable, Figure
from mpcseg.study.outcome import StudyResult
from mpcseg.study.results import NO_NOISE, Results, make_results
from mpcseg.study.spec import FeatureSpec, StudySpec
from tests.organisations import no_noise, study_spec
from tests.unit.study.clear_study import clear_schedule, run_clear

FEATURES = (
    FeatureSpec(name="recency", lower=0, upper=400),
    FeatureSpec(name="money", transform="log1p", lower=0, upper=10_000),
    FeatureSpec(name="visits", transform="log1p", lower=0, upper=300),
)
DIGITS = 6


@dataclass(frozen=True)
class Pooled:
    """A noiseless study and the records it was made of.

    Attributes:
        spec: the agreement.
        records: all of them in scaled space, shape (n, 3).
        result: the schedule's.
        results: as alder receives them.
    """

    spec: StudySpec
    records: np.ndarray
    result: StudyResult
    results: Results

    @functools.cached_property
    def document(self) -> ReportDocument:
        return document_of(self.spec, self.results)


def document_of(spec: StudySpec, results: Results) -> ReportDocument:
    return report_document(Received(spec, results))


def customers(seed: int = 3) -> np.ndarray:
    """Four groups in original units, 900 customers."""
    rng = np.random.default_rng(seed)
    groups = [
        (300, 320, 3.0, 0.7),
        (250, 60, 4.5, 1.8),
        (200, 150, 6.5, 2.5),
        (150, 40, 7.8, 3.9),
    ]
    parts = [
        np.column_stack(
            [
                rng.normal(recency, 35, n),
                rng.lognormal(money, 0.5, n),
                rng.lognormal(visits, 0.35, n),
            ]
        )
        for n, recency, money, visits in groups
    ]
    return np.clip(np.concatenate(parts), 0, [400, 10_000, 300])


@functools.cache
def pooled_study() -> Pooled:
    spec = study_spec(
        name="spring", n_clusters=4, features=FEATURES, privacy=no_noise(),
        release={"report": ["alder"], "significant_digits": DIGITS},
    )  # fmt: skip
    table = customers()
    records = np.column_stack(
        [feature.scale(column) for feature, column in zip(FEATURES, table.T, strict=True)]
    )
    names = [feature.name for feature in FEATURES]
    result = run_clear(clear_schedule(n_clusters=4, features=names), [records], 4)
    return Pooled(spec, records, result, make_results(spec, "alder", result, NO_NOISE))


def table_of(document: ReportDocument, name: str) -> DataTable:
    [found] = [
        table for section in document.sections for table in section.tables if table.name == name
    ]
    return found


def column_of(table: DataTable, name: str) -> list[Any]:
    place = [column.name for column in table.columns].index(name)
    return [row[place] for row in table.rows]


def figure_of(document: ReportDocument, name: str) -> Figure:
    [found] = [
        figure for section in document.sections for figure in section.figures if figure.name == name
    ]
    return found


def data_of(figure: Figure) -> list[list[dict[str, Any]]]:
    """Every set of data in a chart, as Vega-Lite gets it."""
    chart = dict(figure.chart)
    datasets = list(chart.get("datasets", {}).values())

    def inner(part: Any) -> None:
        if isinstance(part, dict):
            values = (
                part.get("data", {}).get("values") if isinstance(part.get("data"), dict) else None
            )
            if values is not None:
                datasets.append(values)
            for child in part.values():
                inner(child)
        elif isinstance(part, list):
            for child in part:
                inner(child)

    inner({key: value for key, value in chart.items() if key != "datasets"})
    return datasets


def all_cells(document: ReportDocument) -> Sequence[Cell]:
    return [
        cell
        for section in document.sections
        for table in section.tables
        for row in table.rows
        for cell in row
    ]
