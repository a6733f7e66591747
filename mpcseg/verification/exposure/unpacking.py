"""What is packed inside other data: compressed streams and base64 text, found and unpacked."""

from __future__ import annotations

import base64
import bz2
import io
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress

import numpy as np
import zstandard
from numpy.typing import NDArray

MOST_UNPACKED = 1 << 26
"""Bytes of one stream that are unpacked at most."""

_CHUNK = 1 << 20
_PIECE = 4096
_BETWEEN = bytes(16)
# What must come out of a stream before it is taken for one: random bytes rarely go so far.
_FIRST = 24
_HIGH_BITS = np.uint64(0x8080808080808080)
_ONES = np.uint64(0x0101010101010101)
_ZIP_HEADER = 30


def streams(data: memoryview) -> Iterator[bytes]:
    """Unpack every compressed stream that begins anywhere in the data.

    Args:
        data: bytes; a stream that is damaged or cut off is unpacked as far as it goes.
    """
    for at in _places(data):
        for magic, unpack in _KINDS:
            if data[at : at + len(magic)] == magic:
                content = unpack(data[at : at + MOST_UNPACKED])
                if len(content) >= _FIRST:
                    yield content


def base64_texts(data: memoryview) -> Iterator[bytes]:
    """Decode every long run of base64 characters, at each of the four places it could begin.

    Yields:
        Many at once, with zeros between, for there are thousands of short ones in a memory.
    """
    decoded, total = [], 0
    for run in _ascii_runs(data):
        for match in _BASE64.finditer(run):
            text = match[0].translate(_STANDARD, b"\r\n")
            for skipped in range(4):
                cut = text[skipped:]
                # A last character on its own, where the run began elsewhere, is not a byte.
                cut = cut[:-1] if len(cut) % 4 == 1 else cut
                decoded.append(base64.b64decode(cut + b"=" * (-len(cut) % 4)))
            total += len(text) * 3
        if total > MOST_UNPACKED:
            yield _BETWEEN.join(decoded)
            decoded, total = [], 0
    if decoded:
        yield _BETWEEN.join(decoded)


def _places(data: memoryview) -> Iterator[int]:
    """Where two bytes stand with which a stream begins."""
    for start in range(0, len(data) - 1, _CHUNK):
        chunk = data[start : start + _CHUNK + 1]
        for shift in (0, 1):
            pairs = np.frombuffer(chunk, "<u2", (len(chunk) - shift) // 2, shift)
            for pair in np.flatnonzero(_BEGINNINGS.take(pairs, mode="clip")).tolist():
                yield start + shift + 2 * pair


def _ascii_runs(data: memoryview) -> Iterator[bytes]:
    """Stretches of text, of three aligned words at least; a few characters around may be other."""
    for start in range(0, len(data), _CHUNK):
        # A run that crosses the chunk's end is seen whole from its beginning.
        chunk = data[start : start + _CHUNK + 4096]
        words = np.frombuffer(chunk, "<u8", len(chunk) // 8)
        is_text = (words & _HIGH_BITS) == 0
        # Text has no zero bytes, unlike most of a memory; borrowing from them sets high bits.
        maybe = np.flatnonzero(is_text)
        is_text[maybe] = ((words[maybe] - _ONES) & _HIGH_BITS) == 0
        edges = np.flatnonzero(np.diff(is_text, prepend=False, append=False))
        for first, last in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            if last - first >= 3:
                yield bytes(chunk[max(8 * first - 7, 0) : 8 * last + 7])


def _inflate(wbits: int) -> Callable[[memoryview], bytes]:
    def unpack(data: memoryview) -> bytes:
        try:
            if len(zlib.decompressobj(wbits).decompress(data[:_PIECE], _FIRST)) < _FIRST:
                return b""
        except zlib.error:
            return b""
        stream, parts, total = zlib.decompressobj(wbits), list[bytes](), 0
        for at in range(0, len(data), _PIECE):
            if stream.eof or total > MOST_UNPACKED:
                break
            before = stream.copy()
            try:
                parts.append(stream.decompress(data[at : at + _PIECE]))
            except zlib.error:
                parts += _bytewise(before, data[at : at + _PIECE])
                break
            total += len(parts[-1])
        return b"".join(parts)

    return unpack


def _bytewise(stream: zlib._Decompress, data: memoryview) -> Iterator[bytes]:
    """What comes before an error, such as a checksum that is not there."""
    with suppress(zlib.error):
        for at in range(len(data)):
            yield stream.decompress(data[at : at + 1])


def _unzip(data: memoryview) -> bytes:
    """The first entry of a zip file; the others have headers of their own."""
    if len(data) < _ZIP_HEADER:
        return b""
    lengths = int.from_bytes(data[26:28], "little") + int.from_bytes(data[28:30], "little")
    return _inflate(-15)(data[_ZIP_HEADER + lengths :])


def _unzstd(data: memoryview) -> bytes:
    parts = []
    try:
        with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data)) as reader:
            for _ in range(MOST_UNPACKED >> 16):
                part = reader.read(1 << 16)
                if not part:
                    break
                parts.append(part)
    except (zstandard.ZstdError, MemoryError):
        pass
    return b"".join(parts)


def _unbzip(data: memoryview) -> bytes:
    try:
        return bz2.BZ2Decompressor().decompress(data, MOST_UNPACKED)
    except OSError:
        return b""


def _unxz(data: memoryview) -> bytes:
    try:
        limit = MOST_UNPACKED * 2
        return lzma.LZMADecompressor(memlimit=limit).decompress(data, MOST_UNPACKED)
    except lzma.LZMAError:
        return b""


_KINDS: tuple[tuple[bytes, Callable[[memoryview], bytes]], ...] = (
    *((bytes([0x78, level]), _inflate(15)) for level in (0x01, 0x5E, 0x9C, 0xDA)),
    (b"\x1f\x8b\x08", _inflate(31)),
    (b"PK\x03\x04", _unzip),
    (b"\x28\xb5\x2f\xfd", _unzstd),
    (b"BZh", _unbzip),
    (b"\xfd7zXZ\x00", _unxz),
)


def _beginnings() -> NDArray[np.bool_]:
    table = np.zeros(1 << 16, dtype=bool)
    for magic, _ in _KINDS:
        table[int.from_bytes(magic[:2], "little")] = True
    return table


_BEGINNINGS = _beginnings()
_BASE64 = re.compile(rb"[A-Za-z0-9+/_\-\r\n]{24,}")
_STANDARD = bytes.maketrans(b"-_", b"+/")
