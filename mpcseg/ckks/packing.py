"""Feature-major packing of records into blocks (docs/protocol.md section 2). Party node only."""

from __future__ import annotations

import secrets

import numpy as np
from numpy.typing import NDArray

Block = NDArray[np.float64]
"""Shape (d + 1, slots): one row per feature, then presence (1 for a record, 0 for padding)."""


def pack_blocks(records: NDArray[np.float64], slots: int) -> list[Block]:
    """Shuffle records and pack them into as few blocks as hold them.

    Args:
        records: shape (n, d), scaled to [-1, 1].
        slots: records per block.

    Returns:
        ceil(n / slots) blocks; where presence is 0, so are the features.
    """
    records = records[_random_order(len(records))]
    blocks = []
    for start in range(0, len(records), slots):
        part = records[start : start + slots]
        block = np.zeros((records.shape[1] + 1, slots))
        block[:-1, : len(part)] = part.T
        block[-1, : len(part)] = 1.0
        blocks.append(block)
    return blocks


def _random_order(n: int) -> NDArray[np.intp]:
    # The order links a slot to a customer, so it comes from the system's CSPRNG. Sorting 64-bit
    # random keys is a uniform permutation but for collisions (n²/2⁶⁵, which the stable sort
    # resolves in input order).
    keys = np.frombuffer(secrets.token_bytes(8 * n), np.uint64)
    return np.argsort(keys, kind="stable")
