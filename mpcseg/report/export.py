"""The segment table as files, and a trial's whole result as plain data, every value rounded."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from mpcseg.errors import ConfigError
from mpcseg.report.files import jsonable, rounded, rounded_rows, write_json, write_text
from mpcseg.report.model import FeatureSummary, HiddenSegments, Segment, SegmentTable
from mpcseg.study.documents import read_bytes
from mpcseg.study.figures import Quality
from mpcseg.study.joint import JointMoments
from mpcseg.study.outcome import StudyResult
from mpcseg.study.results import PrivacySpent
from mpcseg.study.spec import StudySpec


def segments_document(table: SegmentTable) -> dict[str, Any]:
    """The segment table as plain data for JSON.

    Args:
        table: the segment table.
    """
    return {
        "study": table.study,
        "n_records": table.n_records,
        "feature_names": list(table.feature_names),
        "segments": [
            {
                "segment": segment.number,
                "cluster": segment.cluster,
                "size": segment.size,
                "size_noise": segment.noise,
                "share": segment.share,
                "features": {
                    summary.feature: {
                        "centre": summary.centre,
                        "low": summary.ends[0],
                        "high": summary.ends[1],
                        "deviation": summary.deviation,
                        "noise": summary.noise,
                        "spread": summary.spread,
                        "deviation_noise": summary.deviation_noise,
                    }
                    for summary in segment.features
                },
                "distinguishing": _remarks(segment),
                "is_empty": segment.is_empty,
            }
            for segment in table.segments
        ],
        "hidden": {"n_segments": table.hidden.n_segments, "reason": table.hidden.reason},
        "privacy": jsonable(table.privacy),
        "quality": jsonable(table.quality),
        "moments": jsonable(table.moments),
    }


def write_segments_json(table: SegmentTable, path: Path) -> None:
    """Write the segment table as JSON.

    Raises:
        OutputError: the file cannot be written.
    """
    write_json(path, segments_document(table))


def read_segments_json(path: Path) -> SegmentTable:
    """Read back what `write_segments_json` wrote.

    Raises:
        ConfigError: the file cannot be read, or is not a segment table.
    """
    try:
        document = json.loads(read_bytes(path, "the segment table"))
        privacy, quality = document["privacy"], document["quality"]
        moments = document["moments"]
        if quality is not None:
            quality = Quality(**{**quality, "notes": tuple(quality["notes"])})
        return SegmentTable(
            document["study"],
            document["n_records"],
            tuple(document["feature_names"]),
            tuple(_segment(entry) for entry in document["segments"]),
            HiddenSegments(**document["hidden"]),
            None if privacy is None else PrivacySpent(**privacy),
            quality,
            moments and JointMoments(**{name: tuple(moments[name]) for name in moments}),
        )
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        raise ConfigError(f"{path} is not a segment table", "Take one that mpcseg wrote.") from None


def _segment(entry: dict[str, Any]) -> Segment:
    def number(value: float | None) -> float:
        return math.nan if value is None else float(value)

    summaries = tuple(
        FeatureSummary(
            feature=name,
            centre=number(values["centre"]),
            low=number(values["low"]),
            high=number(values["high"]),
            deviation=number(values["deviation"]),
            noise=values["noise"],
            spread=values["spread"],
            deviation_noise=values["deviation_noise"],
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
        entry["size_noise"],
    )


def write_segments_csv(table: SegmentTable, path: Path) -> None:
    """Write the segment table as CSV, a row per segment; empty cells where there is no value.

    Segments that are hidden share a last row, which has a text in its first cell only. With noise
    there are more columns at the end, for its standard deviations.

    Raises:
        OutputError: the file cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = table.feature_names
    columns = [column for name in names for column in (name, f"{name} low", f"{name} high")]
    noise = ["size noise", *(f"{name} noise" for name in names)] if table.is_noised else []
    heading = ["segment", "size", "share", *columns, "distinguishing", *noise]
    writer.writerow(heading)
    for segment in table.segments:
        values = [
            value
            for summary in segment.features
            for value in (summary.centre, summary.low, summary.high)
        ]
        stds = [segment.noise, *(summary.noise for summary in segment.features)]
        writer.writerow(
            [
                segment.number,
                *(_number(value) for value in (segment.size, segment.share, *values)),
                "; ".join(_remarks(segment)),
                *(_number(std) for std in stds[: len(noise)]),
            ]
        )
    if table.hidden.n_segments:
        writer.writerow([str(table.hidden), *[""] * (len(heading) - 1)])
    write_text(path, text.getvalue())


def result_document(spec: StudySpec, result: StudyResult) -> dict[str, Any]:
    """Everything that the key node knows of a study, small segments too, as plain data.

    For trials on one's own data, such as the demo; never for what an organisation is sent.

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
        "n_clusters": len(result.cluster_centers),
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


def _number(value: float | None) -> str:
    return "" if value is None or not math.isfinite(value) else f"{value:.15g}"
