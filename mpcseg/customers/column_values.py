"""Profile columns of a party's records as vectors, ready to be packed. Runs at the party node.

As everywhere, no cell is quoted: what is wrong is said with the column and the records' numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mpcseg.customers.cells import Mask, Place, finite_numbers, texts, verify_domain
from mpcseg.customers.selection import Kept
from mpcseg.errors import MissingValueError, UnlistedValueError
from mpcseg.study.profile_columns import CategoryColumn, NumericColumn, ProfileColumn

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ColumnVectors:
    """The profile columns of one party's records.

    Attributes:
        vectors: shape (n, v), as `mpcseg.reference.columns.ColumnLayout` has them: numeric columns
            in [-1, 1], then 1 and 0 for the labels of each category.
        warnings: plain sentences for the party's own screen; they hold no values.
    """

    vectors: Array
    warnings: tuple[str, ...]


def column_vectors(
    kept: Kept, own_names: Sequence[str], columns: Sequence[ProfileColumn]
) -> ColumnVectors:
    """Read the profile columns of the rows that take part, every cell checked.

    Args:
        kept: the rows.
        own_names: the party's column for each agreed one.
        columns: the agreed columns.

    Raises:
        MissingValueError: an empty cell where the agreement does not say what it counts as.
        UnlistedValueError: a value that is not agreed, likewise; or other values alone, none of
            which is agreed.
        NotANumberError: text, a yes-or-no value or a date where a number must stand.
        TransformDomainError: a value where log1p is not defined.
    """
    numeric: list[Array] = []
    labels: list[Array] = []
    warnings: list[str] = []
    for column, name in zip(columns, own_names, strict=True):
        cells = kept.cells.column(name).combine_chunks()
        if isinstance(column, NumericColumn):
            values = finite_numbers(cells, kept.place, name)
            verify_domain(values, column.transform, kept.place, name)
            numeric.append(np.clip(column.scale(values), -1.0, 1.0)[:, None])
            is_out = (values < column.lower) | (values > column.upper)
            bounds = f"outside the agreed bounds {column.lower:g} to {column.upper:g}"
            warnings += _warning(is_out, kept.place, name, f"lie {bounds} and are clipped")
        else:
            one_hot, n_other, n_unknown = _one_hot(texts(cells), column, kept.place, name)
            labels.append(one_hot)
            absent = _absent_values(one_hot, column)
            counted = f"count as '{column.other}'"
            if absent:
                counted += f", while no record here has the agreed {_quoted(absent)}"
            warnings += _warning(n_other, kept.place, name, counted)
            warnings += _warning(n_unknown, kept.place, name, f"count as '{column.unknown}'")
    vectors = np.hstack([np.empty((kept.cells.num_rows, 0)), *numeric, *labels])
    return ColumnVectors(vectors, tuple(warnings))


def _one_hot(
    cells: npt.NDArray[np.object_], column: CategoryColumn, place: Place, name: str
) -> tuple[Array, Mask, Mask]:
    """1 in the label that a cell counts as; and which cells are not agreed, and which empty."""
    is_empty = np.asarray(cells == "", dtype=np.bool_)
    is_listed = np.isin(cells.astype(str), column.values)
    is_other = ~is_listed & ~is_empty
    if is_empty.any() and not column.unknown:
        raise MissingValueError(
            f"{place.table}: column '{name}' has an empty cell in {place.where(is_empty).text()}",
            f"Fill these cells in, or agree what they count as (unknown of '{column.name}').",
        )
    if is_other.any() and not column.other:
        raise UnlistedValueError(
            f"{place.table}: column '{name}' has a value that is not agreed, in "
            f"{place.where(is_other).text()}",
            f"Agreed are: {', '.join(column.values)}. Correct these cells, or agree what they "
            f"count as (other of '{column.name}').",
        )
    # A label that is written in another way (30 - 49 for 30-49) would be lost without a word. Whose
    # records really are all other can say so, in the agreed word for it.
    if not is_listed.any() and np.any(is_other & (cells != column.other)):
        raise UnlistedValueError(
            f"{place.table}: column '{name}' has none of the agreed values in any record; agreed "
            f"are {_quoted(column.values)}",
            "Write the values letter for letter as agreed; cells of records that really have "
            f"none of them may say '{column.other}'.",
        )
    counted = np.where(is_other, column.other, np.where(is_empty, column.unknown, cells))
    one_hot = counted[:, None] == np.array(column.labels, dtype=np.object_)
    return one_hot.astype(np.float64), is_other, is_empty


def _absent_values(one_hot: Array, column: CategoryColumn) -> list[str]:
    """Agreed values that no record has; labels begin with the agreed values."""
    n_records = one_hot.sum(axis=0)[: len(column.values)]
    return [value for value, n in zip(column.values, n_records, strict=True) if n == 0]


def _quoted(values: Sequence[str]) -> str:
    return ", ".join(f"'{value}'" for value in values)


def _warning(which: Mask, place: Place, name: str, what: str) -> list[str]:
    if not which.any():
        return []
    return [f"{place.table}: {which.sum()} of {len(which)} values in column '{name}' {what}."]
