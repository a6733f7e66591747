"""Packing keeps every record, hides their order and number."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mpcseg.ckks.packing import pack_blocks


@given(st.integers(1, 200), st.integers(1, 5), st.sampled_from([8, 64]), st.integers(0, 99))
def test_blocks_hold_exactly_the_records(n: int, d: int, slots: int, seed: int) -> None:
    records = np.random.default_rng(seed).uniform(-1, 1, (n, d))
    blocks = pack_blocks(records, slots)
    assert len(blocks) == -(-n // slots)
    assert all(block.shape == (d + 1, slots) for block in blocks)
    rows = np.hstack(blocks)
    present = rows[-1] == 1.0
    assert present.sum() == n
    assert not rows[:, ~present].any(), "padding must be zero"
    unpacked = rows[:-1, present].T
    assert np.array_equal(unpacked[np.lexsort(unpacked.T)], records[np.lexsort(records.T)]), (
        "the same records, in another order"
    )


def test_the_order_is_new_each_time() -> None:
    records = np.arange(500.0)[:, None] / 500
    first, second = (pack_blocks(records, 512)[0][0, :500] for _ in range(2))
    assert not np.array_equal(first, second)
    assert abs(np.corrcoef(first, records[:, 0])[0, 1]) < 0.3
