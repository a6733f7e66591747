"""The segment table and the key node's result as files, every value rounded."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from mpcseg.errors import ConfigError
from mpcseg.report.files import rounded, rounded_rows, write_json, write_text
from mpcseg.report.model import FeatureSummary, Segment, SegmentTable
from mpcseg.study.documents import read_bytes
from mpcseg.study.schedule import StudyResult
from mpcseg.study.spec import StudySpec


def segments_document(table: SegmentTable) -> dict[str, Any]:
    """The segment table as plain data for JSON.

    Args:
        table: the segment table.
    """
    return {
        "study": table.study,
        "n_records": table.n_records,
        "segments": [
            {
                "segment": segment.number,
                "cluster": segment.cluster,
                "size": rounded(segment.size),
                "share": rounded(segment.share),
                "features": {
                    summary.feature: {
                        "centre": rounded(summary.centre),
                        "low": rounded(summary.low),
                        "high": rounded(summary.high),
                        "deviation": rounded(summary.deviation),
                    }
                    for summary in segment.features
                },
                "distinguishing": _remarks(segment),
                "is_empty": segment.is_empty,
            }
            for segment in table.segments
        ],
    }


def write_segments_json(table: SegmentTable, path: Path) -> None:
    """Write the segment table as JSON.

    Raises:
        OutputError: the file cannot be written.
    """
    write_json(path, segments_document(table))


def read_segments_json(path: Path) -> SegmentTable:
    """Read back what `write_segments_json` wrote, with its rounded values.

    Raises:
        ConfigError: the file cannot be read, or is not a segment table.
    """
    try:
        document = json.loads(read_bytes(path, "the segment table"))
        segments = tuple(_segment(entry) for entry in document["segments"])
        names = tuple(summary.feature for summary in segments[0].features)
        return SegmentTable(document["study"], document["n_records"], names, segments)
    except (ValueError, KeyError, IndexError, TypeError):
        raise ConfigError(f"{path} is not a segment table", "Take one that mpcseg wrote.") from None


def _segment(entry: dict[str, Any]) -> Segment:
    summaries = tuple(
        FeatureSummary(
            name,
            *(
                math.nan if values[key] is None else float(values[key])
                for key in ("centre", "low", "high", "deviation")
            ),
        )
        for name, values in entry["features"].items()
    )
    return Segment(
        entry["segment"],
        entry["cluster"],
        entry["size"],
        entry["share"],
        entry["is_empty"],
        summaries,
    )


def write_segments_csv(table: SegmentTable, path: Path) -> None:
    """Write the segment table as CSV, a row per segment; empty cells where there is no value.

    Raises:
        OutputError: the file cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = [
        column for name in table.feature_names for column in (name, f"{name} low", f"{name} high")
    ]
    writer.writerow(["segment", "size", "share", *columns, "distinguishing"])
    for segment in table.segments:
        values = [
            rounded(value)
            for summary in segment.features
            for value in (summary.centre, summary.low, summary.high)
        ]
        cells = ["" if value is None else f"{value:.15g}" for value in values]
        size, share = rounded(segment.size), rounded(segment.share)
        writer.writerow(
            [segment.number, f"{size:.15g}", f"{share:.15g}", *cells, "; ".join(_remarks(segment))]
        )
    write_text(path, text.getvalue())


def result_document(spec: StudySpec, result: StudyResult) -> dict[str, Any]:
    """Everything that a study released, as plain data; stays at the key node unless it is sent on.

    Centres are in scaled space (each feature in [-1, 1]) but for ``cluster_centers``, which are in
    original units.

    Args:
        spec: the study.
        result: what the schedule made of the released sums.
    """
    centers = np.column_stack(
        [
            feature.unscale(column)
            for feature, column in zip(spec.features, result.cluster_centers.T, strict=True)
        ]
    )
    return {
        "study": spec.name,
        "study_digest": spec.digest,
        "feature_names": list(spec.feature_names),
        "n_records": result.n_records,
        "n_clusters": spec.n_clusters,
        "n_rounds": result.n_iter,
        "converged": result.converged,
        "inertia": rounded(result.inertia),
        "cluster_centers": rounded_rows(centers),
        "cluster_centers_scaled": rounded_rows(result.cluster_centers),
        "starting_centers_scaled": rounded_rows(result.starting_centers),
        "segment_sizes": rounded_rows(result.segment_sizes),
        "segment_means_scaled": rounded_rows(result.segment_means),
        "segment_spreads_scaled": rounded_rows(result.segment_spreads),
        "feature_means_scaled": rounded_rows(result.feature_means),
        "feature_weights": rounded_rows(result.feature_weights),
        "rounds": [
            {
                "index": record.index,
                "kind": record.kind,
                "sign_degrees": list(record.sign),
                "shift": None if record.shift is None else rounded(record.shift),
                "sizes": None if record.sizes is None else rounded_rows(record.sizes),
                "notes": list(record.notes),
            }
            for record in result.history
        ],
    }


def _remarks(segment: Segment) -> list[str]:
    return [f"{summary.feature} {summary.remark}" for summary in segment.distinguishing]
