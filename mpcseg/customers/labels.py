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

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mpcseg.customers.cells import texts
from mpcseg.customers.cohort import agreed_values, scale_records
from mpcseg.customers.columns import AgreedColumns, agreed_columns
from mpcseg.customers.database import one_type
from mpcseg.customers.label_files import label_writer, whole_file
from mpcseg.customers.selection import (
    Hashes,
    Selection,
    identifier_hashes,
    load_opt_out,
    repeated_hashes,
)
from mpcseg.customers.source import TableSource
from mpcseg.customers.table import no_records, open_chunks
from mpcseg.errors import ConfigError
from mpcseg.study.nearest import Assigned, ReleasedCentroids
from mpcseg.study.spec import StudySpec

Array = npt.NDArray[np.float64]

_COLUMNS = {
    "segment": pa.int64(),
    "distance": pa.float64(),
    "confidence": pa.float64(),
    "far": pa.bool_(),
}
_PART = {"part": pa.int64()}
"""Only where segments were merged: the released segment."""


@dataclass(frozen=True)
class LabelSummary:
    """What was labelled, for the organisation's own screen.

    Attributes:
        n_labelled: customers who got a label.
        n_read: rows in the table.
        n_duplicates: of these, rows that repeat another one exactly.
        n_without_consent: of the others, rows without the agreed consent.
        n_opted_out: of the others, rows on the opt-out list.
        n_far: customers unlike anybody in the study, among those who got a label.
        sizes: own customers by segment number.
        warnings: plain sentences; they hold no values.
    """

    n_labelled: int
    n_read: int
    n_duplicates: int
    n_without_consent: int
    n_opted_out: int
    n_far: int
    sizes: Mapping[int, int] = field(repr=False)
    warnings: tuple[str, ...]


def label_customers(  # noqa: PLR0913  each is a choice of the caller
    source: TableSource,
    spec: StudySpec,
    released: ReleasedCentroids,
    output: Path,
    *,
    columns: Mapping[str, str] | None = None,
    opt_out: Path | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> LabelSummary:
    """Write a file with a label of every customer who takes part.

    Its columns: the identifier; ``segment``; ``part``, the released segment, where segments were
    merged; ``distance``, ``confidence`` and ``far`` as in `mpcseg.study.nearest.Assigned`.

    The table is read twice, piece by piece: once for the identifiers alone, of which 8 bytes each
    are kept, to find those that stand twice. The file appears whole or not at all, and only this
    user may read it.

    Args:
        source: where the table is; it must have an identifier column.
        spec: the agreement: features, consent and radius.
        released: the centroids.
        output: a ``.csv`` or ``.parquet`` file to be made.
        columns: agreed name to the party's own column name, where the two differ.
        opt_out: a list of identifiers to leave out.
        overwrite: replace the file if there is one.
        progress: told of rows read and rows in all, after each piece.

    Raises:
        ConfigError: no identifier column, or impossible columns.
        OutputError: the file exists, is of another kind or cannot be written.
        DataError: what `mpcseg.customers.cohort.load_cohort` raises.
    """
    # Profile columns have no part in labels: they are not read, whatever the table calls them.
    beside = {column.name for column in spec.profile_columns}
    names = {agreed: own for agreed, own in (columns or {}).items() if agreed not in beside}
    used = agreed_columns(spec.features, spec.consent, source.id_column, names)
    if used.identifier is None:
        raise ConfigError(
            "labels need the customers' identifiers", "Name the table's column: id_column."
        )
    if used.identifier in _COLUMNS | _PART:
        raise ConfigError(
            f"the identifier column '{used.identifier}' has the name of a column of the labels",
            "Give it another name, for instance by a view.",
        )
    left_out = load_opt_out(opt_out, source.id_column)
    make = label_writer(output, overwrite=overwrite)
    n_rows, repeated, id_type = _identifiers(source, used.identifier)
    selection = Selection(source, used, spec.consent, left_out, repeated)
    sizes: Counter[int] = Counter()
    n_far = 0
    schema = _schema(used.identifier, id_type, released)
    with (
        whole_file(output, overwrite=overwrite) as file,
        closing(make(file, schema)) as writer,
    ):
        for identifiers, records, unclipped in _records(source, used, spec, selection):
            assigned = released.assign(records, unclipped)
            writer.write(identifiers, _columns(assigned, schema))
            sizes.update(dict(zip(*np.unique(assigned.segments, return_counts=True), strict=True)))
            n_far += int(assigned.is_far.sum())
            if progress is not None:
                progress(selection.n_read, n_rows)
        if progress is not None:  # the last pieces may have had nobody to label
            progress(n_rows, n_rows)
        selection.verify_not_empty()
    numbers = released.segments if released.merged is None else released.merged
    return LabelSummary(
        n_labelled=selection.n_kept,
        n_read=selection.n_read,
        n_duplicates=selection.n_duplicates,
        n_without_consent=selection.n_without_consent,
        n_opted_out=selection.n_opted_out,
        n_far=n_far,
        sizes={number: int(sizes[number]) for number in np.unique(numbers).tolist()},
        warnings=(*selection.warnings(), *_hidden(released), *_far(n_far, selection.n_kept)),
    )


def _schema(id_column: str, id_type: pa.DataType, released: ReleasedCentroids) -> pa.Schema:
    fields = {id_column: id_type, "segment": _COLUMNS["segment"]}
    if released.merged is not None:
        fields |= _PART
    return pa.schema(list((fields | _COLUMNS).items()))


def _columns(assigned: Assigned, schema: pa.Schema) -> list[Any]:
    """The labels' columns in the schema's order, but for the identifiers."""
    found = {
        "segment": assigned.segments,
        "part": assigned.parts,
        "distance": assigned.distances,
        "confidence": assigned.confidences,
        "far": assigned.is_far,
    }
    return [found[name] for name in schema.names[1:]]


def _hidden(released: ReleasedCentroids) -> list[str]:
    """What the labels cannot say, where segments are hidden."""
    if released.n_hidden < 1:
        return []
    n_hidden = released.n_hidden
    segments = "1 segment is" if n_hidden == 1 else f"{n_hidden:,} segments are"
    return [
        f"{segments} too small to be shown; customers who are closest to such a one have the "
        "label of the nearest segment that is shown."
    ]


def _far(n_far: int, n_labelled: int) -> list[str]:
    if not n_far:
        return []
    return [
        f"{n_far:,} of {n_labelled:,} customers are far from anybody in the study (column 'far'): "
        "their segment is the nearest one, and says little about them."
    ]


def _identifiers(source: TableSource, column: str) -> tuple[int, Hashes, pa.DataType]:
    """Rows, hashes of identifiers that may stand twice, and the column's type over all pieces."""
    hashes: list[Hashes] = []
    kinds: set[pa.DataType] = set()
    n_rows = 0
    for chunk in open_chunks(source, [column]):
        cells = chunk.column(column).combine_chunks()
        named = texts(cells)
        hashes.append(identifier_hashes(named[named != ""]))
        kinds.add(cells.type)
        n_rows += chunk.num_rows
    if not kinds:
        raise no_records(source)
    return n_rows, repeated_hashes(hashes), one_type(list(kinds))


def _records(
    source: TableSource, used: AgreedColumns, spec: StudySpec, selection: Selection
) -> Iterator[tuple[Any, Array, Array]]:
    """Identifiers, records in the agreed domain and before clipping, piece by piece."""
    for chunk in open_chunks(source, used.wanted):
        kept = selection.keep(chunk)
        if kept.cells.num_rows:
            values = agreed_values(kept, used.features, spec.features)
            scaled = scale_records(values, spec.features, spec.l2_radius)
            unclipped = np.column_stack(
                [
                    feature.scale(column)
                    for feature, column in zip(spec.features, values.T, strict=True)
                ]
            )
            yield kept.cells.column(used.identifier), scaled.records, unclipped
    if not selection.n_read:
        raise no_records(source)
