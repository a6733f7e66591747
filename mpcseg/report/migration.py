"""An organisation's own customers before and now: who went from which segment to which.

Computed where the customers are, from two files of labels that the organisation has made itself
(`mpcseg party results --labels`), and shown there alone. Nothing of it is ever sent: it is not
protected by any noise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from mpcseg.errors import UnreadableTableError

_SEGMENT = "segment"


@dataclass(frozen=True)
class Migration:
    """How many own customers went from which segment to which.

    Attributes:
        counts: by former and new segment number.
        joined: customers who are labelled now and were not before, by new segment.
        left: customers who were labelled before and are not now, by former segment.
    """

    counts: Mapping[tuple[int, int], int]
    joined: Mapping[int, int]
    left: Mapping[int, int]

    @property
    def n_both(self) -> int:
        """Customers who are labelled in both."""
        return sum(self.counts.values())

    @property
    def former_segments(self) -> tuple[int, ...]:
        """Numbers of the former segments that own customers were in."""
        return tuple(sorted({former for former, _ in self.counts} | set(self.left)))

    @property
    def segments(self) -> tuple[int, ...]:
        """Numbers of the new segments that own customers are in."""
        return tuple(sorted({number for _, number in self.counts} | set(self.joined)))


def migration(former: Path, new: Path) -> Migration:
    """Count own customers by where they were and where they are.

    Args:
        former: labels made with the former study's centroids (.csv or .parquet).
        new: labels made with the new study's.

    Raises:
        UnreadableTableError: a file cannot be read, is no file of labels, or names a customer
            twice; or the two have identifiers under different names.
    """
    before, now = _labels(former), _labels(new)
    if before.column_names[0] != now.column_names[0]:
        raise UnreadableTableError(
            f"the labels {former} and {new} name customers by different columns",
            "Make both from tables with the same identifier column.",
        )
    identifier = before.column_names[0]
    joined = before.join(now, identifier, join_type="full outer", right_suffix=" now")
    grouped = joined.group_by([_SEGMENT, f"{_SEGMENT} now"]).aggregate([(identifier, "count")])
    counts: dict[tuple[int, int], int] = {}
    came: dict[int, int] = {}
    went: dict[int, int] = {}
    for row in grouped.to_pylist():
        was, is_, n = row[_SEGMENT], row[f"{_SEGMENT} now"], row[f"{identifier}_count"]
        if was is None:
            came[is_] = n
        elif is_ is None:
            went[was] = n
        else:
            counts[was, is_] = n
    return Migration(counts, came, went)


def _labels(path: Path) -> pa.Table:
    """Identifier as text and segment, from a file that `mpcseg.customers.labels` has written."""
    try:
        if path.suffix.lower() == ".parquet":
            table = pyarrow.parquet.read_table(path)
        else:
            with pyarrow.csv.open_csv(path) as reader:
                name = reader.schema.names[0]
            kinds = pyarrow.csv.ConvertOptions(
                column_types={name: pa.string(), _SEGMENT: pa.int64()}, strings_can_be_null=False
            )
            table = pyarrow.csv.read_csv(path, convert_options=kinds)
        identifier = table.column_names[0]
        columns = [table.column(identifier).cast(pa.string()), table.column(_SEGMENT)]
        labels = pa.table(columns, names=[identifier, _SEGMENT])
        if labels.column(_SEGMENT).cast(pa.int64()).null_count:
            raise ValueError("a customer without a segment")
    except (OSError, ValueError, KeyError, IndexError, pa.ArrowException):
        raise UnreadableTableError(
            f"{path} is not a file of labels",
            "Take what `mpcseg party results --labels` wrote, .csv or .parquet.",
        ) from None
    if len(labels.column(identifier).unique()) != len(labels):
        raise UnreadableTableError(
            f"the labels {path} name a customer twice", "Make them again from one table."
        )
    return labels
