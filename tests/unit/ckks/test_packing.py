"""Packing keeps every record, hides their order and number."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpcseg.ckks.packing import SEED_BYTES, SlotRange, allot_slots, pack_blocks
from mpcseg.errors import TooManyRecordsError


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


def test_a_seed_gives_the_same_order_again_and_another_seed_another_one() -> None:
    records = np.arange(500.0)[:, None] / 500
    seeds = (b"a" * SEED_BYTES, b"a" * SEED_BYTES, b"b" * SEED_BYTES)
    first, again, other = (pack_blocks(records, 512, seed=seed)[0] for seed in seeds)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@given(st.lists(st.one_of(st.none(), st.integers(1, 150)), min_size=1, max_size=8))
def test_shared_ranges_do_not_overlap_and_hold_what_was_agreed(most: list[int | None]) -> None:
    slots = 128
    ranges = allot_slots(most, slots)
    assert [r is None for r in ranges] == [n is None or n > slots for n in most]
    taken: set[tuple[int, int]] = set()
    for n, place in zip(most, ranges, strict=True):
        if place is None:
            continue
        own = {(place.group, slot) for slot in range(place.start, place.start + place.length)}
        assert place.length == n
        assert place.start + n <= slots
        assert not own & taken
        taken |= own


def test_small_parties_fit_one_block() -> None:
    ranges = allot_slots([1300, 900, None, 800], 8192)
    assert ranges == (SlotRange(0, 0, 1300), SlotRange(0, 1300, 900), None, SlotRange(0, 2200, 800))


def test_a_shared_block_is_zero_outside_its_range() -> None:
    records = np.full((5, 2), 0.5)
    (block,) = pack_blocks(records, 64, SlotRange(0, 40, 10))
    assert block[-1].nonzero()[0].tolist() == list(range(40, 45))
    assert block[0].nonzero()[0].tolist() == list(range(40, 45))


def test_more_records_than_agreed_are_refused() -> None:
    with pytest.raises(TooManyRecordsError, match=r"\(11\).*\(10\)"):
        pack_blocks(np.zeros((11, 2)), 64, SlotRange(0, 40, 10))
