"""Which rows of a customer table take part: each once, with consent, and not opted out.

Runs at the party node. A row that is left out is counted, and nothing else is asked of it: an empty
cell in the row of somebody who did not consent stops nothing.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from mpcseg.customers.cells import Mask, Place, comparable, consenting, records_text, texts
from mpcseg.customers.columns import AgreedColumns
from mpcseg.customers.source import TableSource
from mpcseg.customers.table import place_of, stands_twice, verify_identified
from mpcseg.errors import ConfigError, EmptyTableError, UnreadableTableError
from mpcseg.study.spec import Consent

Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Kept:
    """The rows that stay.

    Attributes:
        cells: the agreed columns of these rows, as they were read.
        place: where they stand in the table.
    """

    cells: pa.Table = field(repr=False)
    place: Place


class Selection:
    """Decides row by row, piece of the table by piece, and counts.

    In this order: exact repetitions of an earlier row, rows without consent, rows on the opt-out
    list. Without an identifier column repetitions cannot be told from customers who are alike.

    Args:
        source: the table.
        columns: what is read of it.
        consent: what was agreed, or None where no consent is needed.
        opt_out: identifiers of customers to leave out.
        repeated: from `repeated_hashes` over the whole table; None to find them in the one piece
            that is the whole table.

    Attributes:
        n_read: rows seen.
        n_duplicates: of these, rows that repeat another one exactly.
        n_without_consent: of the others, rows without the agreed value.
        n_opted_out: of the others, rows on the opt-out list.
        not_found: identifiers of the opt-out list that no row has had.

    Raises:
        ConfigError: an opt-out list without an identifier column.
    """

    def __init__(
        self,
        source: TableSource,
        columns: AgreedColumns,
        consent: Consent | None,
        opt_out: frozenset[str],
        repeated: Hashes | None = None,
    ) -> None:
        self._source = source
        self._columns = columns
        self._consent = consent
        self._opt_out = opt_out
        self._repeated = repeated
        self._first: dict[str, tuple[tuple[object, ...], int]] = {}
        self.n_read = 0
        self.n_duplicates = 0
        self.n_without_consent = 0
        self.n_opted_out = 0
        self.not_found = set(opt_out)

    @property
    def n_kept(self) -> int:
        """Rows that stay."""
        return self.n_read - self.n_duplicates - self.n_without_consent - self.n_opted_out

    def keep(self, cells: pa.Table) -> Kept:
        """Leave out what does not take part.

        Args:
            cells: the next rows of the table, with all agreed columns.

        Raises:
            DuplicateIdError: an identifier that stands twice, with different values.
            MissingValueError: a row that stays has no identifier.
        """
        place = place_of(self._source, self.n_read, cells.num_rows)
        self.n_read += cells.num_rows
        stays = np.ones(cells.num_rows, dtype=np.bool_)
        identifiers = None
        if self._columns.identifier:
            identifiers = texts(cells.column(self._columns.identifier).combine_chunks())
            repeats = self._repeats(cells, identifiers, place)
            self.n_duplicates += int(repeats.sum())
            stays &= ~repeats
        if self._consent and self._columns.consent:
            column = self._columns.consent
            given = cells.column(column).combine_chunks()
            agrees = consenting(given, self._consent.value, place, column)
            self.n_without_consent += int((stays & ~agrees).sum())
            stays &= agrees
        if self._opt_out and identifiers is not None:
            self.not_found.difference_update(identifiers)
            is_out = np.array([name in self._opt_out for name in identifiers], dtype=np.bool_)
            self.n_opted_out += int((stays & is_out).sum())
            stays &= ~is_out
        kept = Kept(cells.filter(pa.array(stays)), place.where(stays))
        if identifiers is not None and self._columns.identifier:
            verify_identified(identifiers[stays], kept.place, self._columns.identifier)
        return kept

    def verify_not_empty(self) -> None:
        """Refuse to go on with nobody.

        Raises:
            EmptyTableError: no row stays; says how many were read and why none is left.
        """
        if self.n_kept:
            return
        raise EmptyTableError(
            f"{self._source.name}: of {records_text(self.n_read)} none is left: {self.reasons()}",
            f"Consent is the value '{self._consent.value}' in column '{self._columns.consent}'. "
            "Check how the table and the opt-out list were made."
            if self._consent
            else "Check how the opt-out list was made.",
        )

    def reasons(self) -> str:
        """Who was left out, as text: ``2 repeated, 30 without consent, 1 opted out``."""
        return (
            f"{self.n_duplicates:,} repeated, {self.n_without_consent:,} without consent, "
            f"{self.n_opted_out:,} opted out"
        )

    def warnings(self) -> list[str]:
        """What the party should know about its table, without naming anybody."""
        found = []
        if self._columns.identifier is None:
            found.append(
                f"{self._source.name}: no identifier column is named, so that customers who stand "
                "twice in the table count twice."
            )
        if self.not_found:
            found.append(
                f"{len(self.not_found):,} of {len(self._opt_out):,} identifiers on the opt-out "
                f"list are not in {self._source.name}; check that both write them alike."
            )
        return found

    def _repeats(self, cells: pa.Table, identifiers: npt.NDArray[np.object_], place: Place) -> Mask:
        """Rows that repeat an earlier one exactly; one that differs is refused."""
        hashes = identifier_hashes(identifiers)
        repeated = repeated_hashes([hashes]) if self._repeated is None else self._repeated
        mask = np.zeros(len(identifiers), dtype=np.bool_)
        # An identifier's hash is a first guess, which spares all other rows the comparison.
        candidates = np.flatnonzero(np.isin(hashes, repeated) & (identifiers != ""))
        if not len(candidates):
            return mask
        content = self._content(cells.take(pa.array(candidates)))
        differing: list[int] = []
        for row, values in zip(candidates.tolist(), content, strict=True):
            number = int(place.numbers[row])
            first, first_number = self._first.setdefault(identifiers[row], (values, number))
            mask[row] = first_number != number
            if values != first:
                differing += [first_number, number]
        if differing:
            numbers = np.unique(np.array(differing, dtype=np.int64))
            raise stands_twice(
                Place(place.table, numbers, place.counted), str(self._columns.identifier)
            )
        return mask

    def _content(self, cells: pa.Table) -> list[tuple[object, ...]]:
        """What two rows of one customer must have in common: numbers by value, consent by text."""
        columns = [
            comparable(cells.column(name).combine_chunks()) for name in self._columns.features
        ]
        if self._columns.consent:
            columns.append(texts(cells.column(self._columns.consent).combine_chunks()).tolist())
        return list(zip(*columns, strict=True))


def identifier_hashes(identifiers: npt.NDArray[np.object_]) -> Hashes:
    """64 bits for each identifier, shape (n,); two identifiers may share them.

    Args:
        identifiers: shape (n,), texts.
    """
    hashes: Hashes = pd.util.hash_array(identifiers, categorize=False)
    return hashes


def repeated_hashes(pieces: Iterable[Hashes]) -> Hashes:
    """Hashes that occur more than once in a table, sorted.

    Args:
        pieces: of `identifier_hashes`, over all pieces of the table.
    """
    hashes = np.sort(np.concatenate([np.empty(0, np.uint64), *pieces]))
    return np.unique(hashes[1:][hashes[1:] == hashes[:-1]])


def load_opt_out(path: Path | None, id_column: str | None) -> frozenset[str]:
    """Read the identifiers of customers who do not want to take part.

    One identifier to a line, in UTF-8; quotes as in CSV. The first line may be a heading, which
    must then be the name of the identifier column. Blank lines and blanks around an identifier do
    not count.

    Args:
        path: the list; None where there is none.
        id_column: the table's column of identifiers.

    Raises:
        ConfigError: there is a list and no identifier column.
        UnreadableTableError: the list is absent, not text, or has more than one column.
    """
    if path is None:
        return frozenset()
    if id_column is None:
        raise ConfigError(
            "an opt-out list is named, but no identifier column",
            "Name the table's column of identifiers: id_column.",
        )
    found: list[str] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            # Strict: a quote that is never closed would otherwise swallow the rest of the list.
            lines = csv.reader(file, strict=True)
            for line in lines:
                cells = [cell.strip() for cell in line]
                if len(cells) > 1 or len("".join(cells).splitlines()) > 1:
                    raise UnreadableTableError(
                        f"the opt-out list {path} has more than an identifier in line "
                        f"{lines.line_num}",
                        "Write one identifier to a line; one that holds a comma needs quotes.",
                    )
                found += [cell for cell in cells if cell]
    except OSError as error:
        raise UnreadableTableError(
            f"the opt-out list {path} cannot be read: {error.strerror or 'unknown reason'}",
            "Check the path and that this user may read the file.",
        ) from None
    except (UnicodeDecodeError, csv.Error):
        raise UnreadableTableError(
            f"the opt-out list {path} is not a UTF-8 text of one identifier to a line",
            "Write one identifier to a line; a quote must be closed on its line.",
        ) from None
    return frozenset(found[1:] if found[:1] == [id_column] else found)
