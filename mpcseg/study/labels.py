"""Labelling an organisation's own customers with the released centroids, on its own machine.

Each customer who takes part gets the segment whose released centroid is nearest in the standardised
metric. Rows are selected, checked, scaled and clipped exactly as for the cohort. Who did not
consent, or opted out, gets no label. Segments that were not released have no centroid: their
customers get the nearest segment that was.

Identifiers are written as they stand in the table, in Parquet also with their type. In CSV an
identifier that begins with =, +, - or @ is run as a formula by spreadsheets; it is left as it is,
for a changed identifier would belong to nobody.
"""

from __future__ import annotations

import csv
import io
import os
import secrets
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet

from mpcseg.errors import ConfigError, OutputError
from mpcseg.private import open_private
from mpcseg.study.cells import texts
from mpcseg.study.cohort import agreed_values, scale_records
from mpcseg.study.columns import AgreedColumns, agreed_columns
from mpcseg.study.database import as_type, one_type
from mpcseg.study.selection import (
    Hashes,
    Selection,
    identifier_hashes,
    load_opt_out,
    repeated_hashes,
)
from mpcseg.study.spec import StudySpec
from mpcseg.study.table import TableSource, no_records, open_chunks

Array = npt.NDArray[np.float64]

_SEGMENT = "segment"
_DISTANCE = "distance"


@dataclass(frozen=True)
class ReleasedCentroids:
    """What a recipient of centroids got.

    Attributes:
        segments: the segments' numbers, as in the report.
        centers: shape (k, d), scaled space.
        weights: shape (d,), 1 / variance of each feature.
    """

    segments: npt.NDArray[np.int64]
    centers: Array
    weights: Array

    @classmethod
    def of_document(cls, document: Mapping[str, Any], features: Sequence[str]) -> ReleasedCentroids:
        """Read the centroids' part of opened results.

        Args:
            document: ``segments`` (k numbers), ``centers_scaled`` (k rows of d),
                ``feature_weights`` (d) and ``features`` (d names); anything else in it is not
                looked at.
            features: the agreed features' names.

        Raises:
            ConfigError: it is not of this form or of these features, or no segment was released.
        """
        try:
            if not len(document["segments"]):
                raise ConfigError(
                    "no segment was large enough to be released: there is nothing to label by",
                    "A study with fewer segments, or with less noise, may have some.",
                )
            released = cls(
                np.array(document["segments"], dtype=np.int64),
                np.array(document["centers_scaled"], dtype=np.float64),
                np.array(document["feature_weights"], dtype=np.float64),
            )
            k, d = len(released.segments), len(features)
            fits = (
                list(document["features"]) == list(features)
                and released.segments.shape == (k,)
                and released.centers.shape == (k, d)
                and released.weights.shape == (d,)
                and bool(np.isfinite(released.centers).all())
                and bool((np.isfinite(released.weights) & (released.weights > 0)).all())
            )
        except (KeyError, TypeError, ValueError, OverflowError):
            fits = False
        if not fits:
            raise ConfigError(
                "the results hold no centroids of this study's features",
                "Take the results and the agreement of one study.",
            )
        return released

    def nearest(self, records: Array) -> tuple[npt.NDArray[np.int64], Array]:
        """The nearest released segment of each record, and how far its centroid is.

        Args:
            records: shape (n, d), scaled and clipped as agreed.

        Returns:
            Segment numbers, shape (n,), and distances in standard deviations, shape (n,). Of
            equally near segments the first counts.
        """
        squares = np.empty((len(self.centers), len(records)))
        for index, center in enumerate(self.centers):
            squares[index] = (records - center) ** 2 @ self.weights
        nearest = squares.argmin(axis=0)
        return self.segments[nearest], np.sqrt(squares[nearest, np.arange(len(records))])


@dataclass(frozen=True)
class LabelSummary:
    """What was labelled, for the organisation's own screen.

    Attributes:
        path: the file.
        n_labelled: customers who got a label.
        n_read: rows in the table.
        n_duplicates: of these, rows that repeat another one exactly.
        n_without_consent: of the others, rows without the agreed consent.
        n_opted_out: of the others, rows on the opt-out list.
        sizes: own customers by segment number.
        warnings: plain sentences; they hold no values.
    """

    path: Path
    n_labelled: int
    n_read: int
    n_duplicates: int
    n_without_consent: int
    n_opted_out: int
    sizes: Mapping[int, int] = field(repr=False)
    warnings: tuple[str, ...]


def label_customers(
    source: TableSource,
    spec: StudySpec,
    centroids: Mapping[str, Any],
    output: Path,
    *,
    columns: Mapping[str, str] | None = None,
    opt_out: Path | None = None,
    overwrite: bool = False,
) -> LabelSummary:
    """Write a file with identifier, segment and distance of every customer who takes part.

    The table is read twice, piece by piece: once for the identifiers alone, of which 8 bytes each
    are kept, to find those that stand twice. The file appears whole or not at all, and only this
    user may read it.

    Args:
        source: where the table is; it must have an identifier column.
        spec: the agreement: features, consent and radius.
        centroids: the centroids' part of opened results (`ReleasedCentroids.of_document`).
        output: a ``.csv`` or ``.parquet`` file to be made.
        columns: agreed name to the party's own column name, where the two differ.
        opt_out: a list of identifiers to leave out.
        overwrite: replace the file if there is one.

    Raises:
        ConfigError: no identifier column, impossible columns, or no usable centroids.
        OutputError: the file exists, is of another kind or cannot be written.
        DataError: what `mpcseg.study.cohort.load_cohort` raises.
    """
    # Profile columns have no part in labels: they are not read, whatever the table calls them.
    beside = {column.name for column in spec.profile_columns}
    names = {agreed: own for agreed, own in (columns or {}).items() if agreed not in beside}
    used = agreed_columns(spec.features, spec.consent, source.id_column, names)
    if used.identifier is None:
        raise ConfigError(
            "labels need the customers' identifiers", "Name the table's column: id_column."
        )
    if used.identifier in (_SEGMENT, _DISTANCE):
        raise ConfigError(
            f"the identifier column '{used.identifier}' has the name of a column of the labels",
            "Give it another name, for instance by a view.",
        )
    released = ReleasedCentroids.of_document(centroids, spec.feature_names)
    left_out = load_opt_out(opt_out, source.id_column)
    make = _writer(output, overwrite=overwrite)
    repeated, id_type = _identifiers(source, used.identifier)
    selection = Selection(source, used, spec.consent, left_out, repeated)
    sizes: Counter[int] = Counter()
    with (
        _whole_file(output, overwrite=overwrite) as file,
        closing(make(file, used.identifier, id_type)) as writer,
    ):
        for identifiers, records in _records(source, used, spec, selection):
            segments, distances = released.nearest(records)
            writer.write(identifiers, segments, distances)
            sizes.update(dict(zip(*np.unique(segments, return_counts=True), strict=True)))
        selection.verify_not_empty()
    return LabelSummary(
        path=output,
        n_labelled=selection.n_kept,
        n_read=selection.n_read,
        n_duplicates=selection.n_duplicates,
        n_without_consent=selection.n_without_consent,
        n_opted_out=selection.n_opted_out,
        sizes={int(segment): int(sizes[segment]) for segment in released.segments},
        warnings=(*selection.warnings(), *_hidden(centroids)),
    )


def _hidden(centroids: Mapping[str, Any]) -> list[str]:
    """What the labels cannot say, where segments are hidden."""
    n_hidden = centroids.get("suppressed", 0)
    if not isinstance(n_hidden, int) or n_hidden < 1:
        return []
    segments = "1 segment is" if n_hidden == 1 else f"{n_hidden:,} segments are"
    return [
        f"{segments} too small to be shown; customers who are closest to such a one have the "
        "label of the nearest segment that is shown."
    ]


def _identifiers(source: TableSource, column: str) -> tuple[Hashes, pa.DataType]:
    """Hashes of identifiers that may stand twice, and the column's type over all pieces."""
    hashes: list[Hashes] = []
    kinds: set[pa.DataType] = set()
    for chunk in open_chunks(source, [column]):
        cells = chunk.column(column).combine_chunks()
        named = texts(cells)
        hashes.append(identifier_hashes(named[named != ""]))
        kinds.add(cells.type)
    if not kinds:
        raise no_records(source)
    return repeated_hashes(hashes), one_type(list(kinds))


def _records(
    source: TableSource, used: AgreedColumns, spec: StudySpec, selection: Selection
) -> Iterator[tuple[Any, Array]]:
    """Identifiers and scaled records of who takes part, piece by piece."""
    for chunk in open_chunks(source, used.wanted):
        kept = selection.keep(chunk)
        if kept.cells.num_rows:
            values = agreed_values(kept, used.features, spec.features)
            scaled = scale_records(values, spec.features, spec.l2_radius)
            yield kept.cells.column(used.identifier), scaled.records
    if not selection.n_read:
        raise no_records(source)


# --- the file ------------------------------------------------------------------------------


class _CsvLabels:
    """Labels as CSV, a heading and a line each."""

    def __init__(self, file: BinaryIO, id_column: str, id_type: pa.DataType) -> None:
        self._type = id_type
        self._text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
        self._lines = csv.writer(self._text, lineterminator="\n")
        self._lines.writerow([id_column, _SEGMENT, _DISTANCE])

    def write(self, identifiers: Any, segments: npt.NDArray[np.int64], distances: Array) -> None:
        """Append labels; all three of length n."""
        cells = as_type(identifiers, self._type).to_pylist()
        shown = [f"{distance:.6g}" for distance in distances]
        self._lines.writerows(zip(cells, segments.tolist(), shown, strict=True))

    def close(self) -> None:
        """Finish; the file stays open."""
        self._text.detach()


class _ParquetLabels:
    """Labels as Parquet, identifiers in their own type."""

    def __init__(self, file: BinaryIO, id_column: str, id_type: pa.DataType) -> None:
        self._schema = pa.schema(
            [(id_column, id_type), (_SEGMENT, pa.int64()), (_DISTANCE, pa.float64())]
        )
        self._file = pyarrow.parquet.ParquetWriter(file, self._schema)

    def write(self, identifiers: Any, segments: npt.NDArray[np.int64], distances: Array) -> None:
        """Append labels; all three of length n."""
        cells = as_type(identifiers, self._schema.types[0])
        self._file.write_table(pa.table([cells, segments, distances], schema=self._schema))

    def close(self) -> None:
        """Finish; the file stays open."""
        self._file.close()


_KINDS: dict[str, type[_CsvLabels] | type[_ParquetLabels]] = {
    ".csv": _CsvLabels,
    ".parquet": _ParquetLabels,
}


def verify_label_file(output: Path, *, overwrite: bool) -> None:
    """Refuse a file that labels could not be written to, before anything is fetched or read.

    Raises:
        OutputError: of another kind than CSV or Parquet, there already, or in no folder.
    """
    _writer(output, overwrite=overwrite)


def _writer(output: Path, *, overwrite: bool) -> type[_CsvLabels] | type[_ParquetLabels]:
    """The writer of the file's kind; refuses the file before the table is read."""
    try:
        writer = _KINDS[output.suffix.lower()]
    except KeyError:
        raise OutputError(
            f"{output} is neither .csv nor .parquet", "Labels are written as CSV or Parquet."
        ) from None
    if output.exists() and not (overwrite and output.is_file()):
        raise _exists(output)
    if not output.parent.is_dir():
        raise OutputError(
            f"{output} cannot be written: there is no folder {output.parent}",
            f"Run: mkdir -p {output.parent}",
        )
    return writer


def _exists(output: Path) -> OutputError:
    return OutputError(f"{output} exists already", "Name another file, or say --overwrite.")


@contextmanager
def _whole_file(output: Path, *, overwrite: bool) -> Iterator[BinaryIO]:
    """A file that takes its name when it is complete, and is gone if it never is."""
    temporary = output.with_name(f".{output.name}.{secrets.token_hex(8)}")
    try:
        try:
            with open_private(temporary, new=True) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            if output.exists() and not overwrite:  # it came while the labels were made
                raise _exists(output)
            temporary.replace(output)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"{output} cannot be written: {error.strerror or 'unknown reason'}",
            "Choose a place that this user may write to.",
        ) from None
