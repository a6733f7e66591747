"""Sealing: one organisation opens, nobody else, and not as something else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpcseg.errors import SealError
from mpcseg.study.sealing import seal
from tests.organisations import identity

INFO = b"mpcseg results, study, alder"


@settings(max_examples=25)
@given(st.binary(max_size=300), st.binary(max_size=40))
def test_what_is_sealed_is_opened(data: bytes, info: bytes) -> None:
    assert identity("alder").open_sealed(seal(identity("alder").card, data, info), info) == data


def test_nobody_else_opens_it_nor_as_something_else() -> None:
    sealed = seal(identity("alder").card, b"centroids", INFO)
    assert identity("alder").open_sealed(sealed, INFO) == b"centroids"
    for opener, info in [
        (identity("birch"), INFO),
        (identity("alder", 1), INFO),
        (identity("alder"), b"mpcseg results, another study, alder"),
        (identity("alder"), b""),
    ]:
        with pytest.raises(SealError, match="cannot be opened") as caught:
            opener.open_sealed(sealed, info)
        assert caught.value.hint


def test_any_changed_missing_or_added_byte_is_noticed() -> None:
    sealed = seal(identity("alder").card, b"centroids", INFO)
    for position in range(len(sealed)):
        changed = bytearray(sealed)
        changed[position] ^= 1 << (position % 8)
        with pytest.raises(SealError):
            identity("alder").open_sealed(bytes(changed), INFO)
    for cut in (b"", sealed[:1], sealed[:1120], sealed[:-1], sealed + b"\0"):
        with pytest.raises(SealError):
            identity("alder").open_sealed(cut, INFO)


def test_the_same_data_looks_different_each_time_and_grows_little() -> None:
    first, second = (seal(identity("alder").card, bytes(1000), INFO) for _ in range(2))
    assert first[:1120] != second[:1120]
    assert first[1120:] != second[1120:]
    assert bytes(32) not in first
    assert len(first) == 1000 + 1088 + 32 + 16  # ML-KEM ciphertext, X25519 share, tag
