"""Blobs in chunked streams, each checked against what its header announced.

A receiver accepts a blob whole or not at all: nothing is written for a blob over its limit, and
what arrives stands in a temporary file until order, length, digest and the caller's own check of
its content have passed. Everything here is plain files and bytes; gRPC is not involved.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from mpcseg.durable import rename
from mpcseg.errors import (
    BlobTooLargeError,
    DigestMismatchError,
    MalformedBlobError,
    ReorderedStreamError,
    TruncatedStreamError,
)
from mpcseg.private import open_private
from mpcseg.wire.names import BlobHeader, BlobName, Chunk

# Under gRPC's own default limit of 4 MB per message, and large enough that calls are few.
CHUNK_BYTES = 1 << 20

DIGEST_BYTES = 32


class StreamCheck:
    """Checks one blob's chunks as they come: order, length, digest.

    Args:
        header: what was announced.
        limit: the most bytes that a blob of this kind may have.

    Raises:
        BlobTooLargeError: more is announced than allowed; raised before anything is received.
        DigestMismatchError: the announced digest is not a SHA-256.
    """

    def __init__(self, header: BlobHeader, limit: int) -> None:
        if header.length > limit:
            raise BlobTooLargeError(
                f"{header.name} is announced with {header.length} bytes; {limit} are allowed",
                "Both nodes must run the same version and the same parameter set.",
            )
        if len(header.sha256) != DIGEST_BYTES:
            raise DigestMismatchError(f"{header.name} is announced without a SHA-256 digest")
        self._header = header
        self._received = 0
        self._hash = hashlib.sha256()

    def feed(self, chunk: Chunk) -> None:
        """Check one chunk and count it.

        Raises:
            ReorderedStreamError: it does not start where the one before it ended.
            MalformedBlobError: it is empty, so that a stream of such ones would never end.
            BlobTooLargeError: it is over 1 MiB, or goes on after the announced length.
        """
        name, length = self._header.name, self._header.length
        if chunk.offset != self._received:
            raise ReorderedStreamError(
                f"{name}: a chunk starts at byte {chunk.offset} where {self._received} was due",
                "The stream was reordered on its way; run the node again.",
            )
        if not chunk.data:
            raise MalformedBlobError(f"{name}: a chunk is empty")
        if len(chunk.data) > CHUNK_BYTES:
            raise BlobTooLargeError(f"{name}: a chunk of {len(chunk.data)} bytes is over 1 MiB")
        if self._received + len(chunk.data) > length:
            raise BlobTooLargeError(f"{name} goes on after the announced {length} bytes")
        self._hash.update(chunk.data)
        self._received += len(chunk.data)

    def finish(self) -> None:
        """Check that everything has come.

        Raises:
            TruncatedStreamError: bytes are missing.
            DigestMismatchError: the bytes are not those that were announced.
        """
        if self._received < self._header.length:
            raise TruncatedStreamError(
                f"{self._header.name} ended after {self._received} of {self._header.length} bytes",
                "The sender or the connection went away; the blob is to be sent again.",
            )
        if self._hash.digest() != self._header.sha256:
            raise DigestMismatchError(
                f"{self._header.name} is not what was announced: its SHA-256 differs",
                "Something changed the bytes on their way; check the network path and run again.",
            )


class FileReceiver:
    """Receives one blob into a file that appears under its name only when all is checked.

    Used as a context manager: whatever was not kept is gone when the block is left.

    Args:
        target: the file to make; its folder exists.
        header: what was announced.
        limit: the most bytes that a blob of this kind may have.

    Raises:
        BlobTooLargeError: before a file is made.
    """

    def __init__(self, target: Path, header: BlobHeader, limit: int) -> None:
        self._check = StreamCheck(header, limit)
        self._target = target
        self.path = target.with_name(f".{target.name}.{secrets.token_hex(8)}.part")
        self._file = open_private(self.path, new=True)

    def feed(self, chunk: Chunk) -> None:
        """Check a chunk and write it; raises as ``StreamCheck.feed`` does."""
        self._check.feed(chunk)
        self._file.write(chunk.data)

    def seal(self) -> None:
        """Check that the blob is complete and put it on disk, still under ``path``.

        Raises as ``StreamCheck.finish`` does.
        """
        self._check.finish()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def keep(self) -> None:
        """Give the sealed file its name, atomically and for good."""
        rename(self.path, self._target)

    def __enter__(self) -> FileReceiver:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove the temporary file, if it was not kept."""
        self._file.close()
        self.path.unlink(missing_ok=True)


def receive(header: BlobHeader, chunks: Iterator[Chunk], limit: int) -> bytes:
    """Receive a blob into memory; raises as ``StreamCheck`` does.

    Args:
        header: what was announced.
        chunks: what follows.
        limit: the most bytes that a blob of this kind may have.
    """
    check = StreamCheck(header, limit)
    data = bytearray()
    for chunk in chunks:
        check.feed(chunk)
        data += chunk.data
    check.finish()
    return bytes(data)


def header_of(name: BlobName, blob: bytes) -> BlobHeader:
    """Announce a blob."""
    return BlobHeader(name, len(blob), hashlib.sha256(blob).digest())


def chunks_of(blob: bytes) -> Iterator[Chunk]:
    """Cut a blob into chunks of at most 1 MiB."""
    for offset in range(0, len(blob), CHUNK_BYTES):
        yield Chunk(offset, blob[offset : offset + CHUNK_BYTES])


def chunks_of_file(path: Path) -> Iterator[Chunk]:
    """Read a blob's file in chunks of at most 1 MiB."""
    offset = 0
    with path.open("rb") as file:
        while data := file.read(CHUNK_BYTES):
            yield Chunk(offset, data)
            offset += len(data)
