"""Feature-major packing of records into blocks (docs/protocol.md section 2).

Parties that agree on how many records they bring at most can share a block: each fills a slot
range of its own, zero elsewhere, and the compute node adds their ciphertexts.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpcseg.errors import TooManyRecordsError

Block = NDArray[np.float64]
"""Shape (d + 1 + v, slots): one row per feature, then presence (1 for a record, 0 for padding),
then the v vectors of profile columns (:class:`mpcseg.reference.columns.ColumnLayout`)."""


SEED_BYTES = 32
"""Of the secret that an order of records is made of."""


@dataclass(frozen=True)
class SlotRange:
    """A party's place in a block that several parties fill.

    Attributes:
        group: parties of one group share a block.
        start: its first slot.
        length: records it may bring.
    """

    group: int
    start: int
    length: int


def allot_slots(most_records: Sequence[int | None], slots: int) -> tuple[SlotRange | None, ...]:
    """Let small parties share blocks; every node derives the same ranges from the study.

    Args:
        most_records: agreed for each party; None for a party that does not say.
        slots: records per block.

    Returns:
        For each party its range, or None where it fills blocks of its own. First-fit decreasing.
    """
    filled: list[int] = []
    ranges: dict[int, SlotRange] = {}
    small = [(n, party) for party, n in enumerate(most_records) if n is not None and n <= slots]
    for n, party in sorted(small, key=lambda item: (-item[0], item[1])):
        group = next((g for g, used in enumerate(filled) if used + n <= slots), len(filled))
        if group == len(filled):
            filled.append(0)
        ranges[party] = SlotRange(group, filled[group], n)
        filled[group] += n
    return tuple(ranges.get(party) for party in range(len(most_records)))


def pack_blocks(
    records: NDArray[np.float64],
    slots: int,
    place: SlotRange | None = None,
    *,
    seed: bytes | None = None,
    columns: NDArray[np.float64] | None = None,
) -> list[Block]:
    """Shuffle records and pack them into as few blocks as hold them. Party node.

    Args:
        records: shape (n, d), scaled to [-1, 1].
        slots: records per block.
        place: the party's range of one shared block; None for blocks of its own.
        seed: `SEED_BYTES` from the system's CSPRNG, for the same order a second time; None for an
            order that nobody can make again.
        columns: vectors of the profile columns, shape (n, v); None where there are none.

    Returns:
        ceil(n / slots) blocks, or the one shared block; where presence is 0, so is all else.

    Raises:
        TooManyRecordsError: more records than the range holds.
    """
    place = place or SlotRange(0, 0, slots * max(1, -(-len(records) // slots)))
    if len(records) > place.length:
        raise TooManyRecordsError(
            f"The table has more records ({len(records)}) than the study allows "
            f"this party ({place.length}).",
            "Agree on a larger most_records in the agreement.",
        )
    present = np.ones((len(records), 1))
    columns = present[:, :0] if columns is None else columns
    values = np.hstack([records, present, columns])
    rows = np.zeros((values.shape[1], -(-(place.start + place.length) // slots) * slots))
    stop = place.start + len(records)
    rows[:, place.start : stop] = values[_random_order(len(records), seed)].T
    return [rows[:, i : i + slots] for i in range(0, rows.shape[1], slots)]


def _random_order(n: int, seed: bytes | None) -> NDArray[np.intp]:
    # The order links a slot to a customer, so it comes from the system's CSPRNG, stretched by an
    # extendable-output function. Sorting 64-bit random keys is a uniform permutation but for
    # collisions (n²/2⁶⁵, which the stable sort resolves in input order).
    stretched = hashlib.shake_256(seed or secrets.token_bytes(SEED_BYTES)).digest(8 * n)
    return np.argsort(np.frombuffer(stretched, np.uint64), kind="stable")
