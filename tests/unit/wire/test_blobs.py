"""Blob streams: whole and unchanged, or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpcseg.errors import (
    BlobError,
    BlobTooLargeError,
    DigestMismatchError,
    MalformedBlobError,
    ReorderedStreamError,
    TruncatedStreamError,
)
from mpcseg.wire import blobs
from mpcseg.wire.blobs import CHUNK_BYTES, FileReceiver, chunks_of, header_of, receive
from mpcseg.wire.names import BlobKind, BlobName, Chunk

NAME = BlobName(BlobKind.FEATURE, item=3, part=1)
BLOB = bytes(range(256)) * 10


def pieces(blob: bytes, size: int = 100) -> list[Chunk]:
    return [Chunk(at, blob[at : at + size]) for at in range(0, len(blob), size)]


def store(target: Path, chunks: list[Chunk], limit: int = 10_000, **announced: object) -> None:
    header = replace(header_of(NAME, BLOB), **announced)
    with FileReceiver(target, header, limit) as receiver:
        for chunk in chunks:
            receiver.feed(chunk)
        receiver.seal()
        receiver.keep()


def test_a_blob_arrives_whole(tmp_path: Path) -> None:
    store(tmp_path / "blob", pieces(BLOB))
    assert (tmp_path / "blob").read_bytes() == BLOB
    assert [path.name for path in tmp_path.iterdir()] == ["blob"]


@pytest.mark.parametrize(
    ("chunks", "announced", "error"),
    [
        pytest.param(pieces(BLOB)[:-1], {}, TruncatedStreamError, id="last chunk missing"),
        pytest.param([], {}, TruncatedStreamError, id="nothing but a header"),
        pytest.param(pieces(BLOB)[1:], {}, ReorderedStreamError, id="first chunk missing"),
        pytest.param(pieces(BLOB)[::-1], {}, ReorderedStreamError, id="backwards"),
        pytest.param(
            [pieces(BLOB)[0], *pieces(BLOB)], {}, ReorderedStreamError, id="first chunk twice"
        ),
        pytest.param(
            [*pieces(BLOB), Chunk(len(BLOB), b"more")], {}, BlobTooLargeError, id="goes on"
        ),
        pytest.param(
            [pieces(BLOB)[0], Chunk(100, b"")], {}, MalformedBlobError, id="an empty chunk"
        ),
        pytest.param(pieces(BLOB), {"length": 10_001}, BlobTooLargeError, id="over the limit"),
        pytest.param(pieces(BLOB), {"length": 2**63}, BlobTooLargeError, id="absurd length"),
        pytest.param(
            pieces(BLOB), {"sha256": hashlib.sha256(b"other").digest()}, DigestMismatchError,
            id="other digest",
        ),
        pytest.param(pieces(BLOB), {"sha256": b""}, DigestMismatchError, id="no digest"),
        pytest.param(
            [Chunk(0, BLOB[:-1] + b"?")], {}, DigestMismatchError, id="a byte was changed"
        ),
    ],
)  # fmt: skip
def test_anything_else_is_refused_and_leaves_nothing(
    tmp_path: Path, chunks: list[Chunk], announced: dict[str, object], error: type[BlobError]
) -> None:
    with pytest.raises(error):
        store(tmp_path / "blob", chunks, **announced)
    assert list(tmp_path.iterdir()) == []


def test_a_refused_blob_does_not_touch_the_one_that_is_there(tmp_path: Path) -> None:
    store(tmp_path / "blob", pieces(BLOB))
    with pytest.raises(TruncatedStreamError):
        store(tmp_path / "blob", pieces(BLOB)[:3])
    assert (tmp_path / "blob").read_bytes() == BLOB


def test_the_limit_is_checked_before_a_file_is_made(tmp_path: Path) -> None:
    folder = tmp_path / "absent"
    with pytest.raises(BlobTooLargeError):
        FileReceiver(folder / "blob", header_of(NAME, BLOB), limit=len(BLOB) - 1)


def test_a_sealed_blob_that_is_not_kept_is_gone(tmp_path: Path) -> None:
    with FileReceiver(tmp_path / "blob", header_of(NAME, BLOB), 10_000) as receiver:
        for chunk in pieces(BLOB):
            receiver.feed(chunk)
        receiver.seal()
        assert receiver.path.read_bytes() == BLOB
    assert list(tmp_path.iterdir()) == []


def test_a_chunk_over_a_mebibyte_is_refused() -> None:
    blob = bytes(CHUNK_BYTES + 1)
    with pytest.raises(BlobTooLargeError, match="1 MiB"):
        receive(header_of(NAME, blob), iter([Chunk(0, blob)]), len(blob))


@given(st.binary(max_size=300), st.integers(1, 64))
def test_any_blob_in_any_chunks_arrives(blob: bytes, size: int) -> None:
    assert receive(header_of(NAME, blob), iter(pieces(blob, size)), 300) == blob


@given(st.binary(min_size=2, max_size=200), st.integers(1, 32), st.data())
def test_no_other_sequence_of_the_same_chunks_arrives(
    blob: bytes, size: int, data: st.DataObject
) -> None:
    right = pieces(blob, size)
    chosen = data.draw(st.lists(st.sampled_from(right), max_size=len(right) + 1))
    if chosen != right:
        with pytest.raises(BlobError):
            receive(header_of(NAME, blob), iter(chosen), 200)


def test_chunks_are_at_most_a_mebibyte_and_cover_the_blob(tmp_path: Path) -> None:
    blob = bytes(range(256)) * (CHUNK_BYTES // 100)
    path = tmp_path / "blob"
    path.write_bytes(blob)
    for chunks in (chunks_of(blob), blobs.chunks_of_file(path)):
        got = list(chunks)
        assert [chunk.offset for chunk in got] == [0, CHUNK_BYTES, 2 * CHUNK_BYTES]
        assert b"".join(chunk.data for chunk in got) == blob


def test_two_uploads_of_one_blob_do_not_disturb_each_other(tmp_path: Path) -> None:
    def upload() -> Iterator[None]:
        with FileReceiver(tmp_path / "blob", header_of(NAME, BLOB), 10_000) as receiver:
            for chunk in pieces(BLOB):
                receiver.feed(chunk)
                yield
            receiver.seal()
            receiver.keep()

    first, second = upload(), upload()
    for _ in zip(first, second, strict=False):
        pass
    for rest in (first, second):
        for _ in rest:
            pass
    assert (tmp_path / "blob").read_bytes() == BLOB
    assert len(list(tmp_path.iterdir())) == 1
