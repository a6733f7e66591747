"""Spoiling inputs with a plan: bytes, JSON, TOML, CSV, protobuf, and edits of large blobs.

A mutator takes a source of randomness and a good input and returns a worse one. With one seed of
the randomness everything here is repeatable.
"""

from __future__ import annotations

import json
import random
import re
import struct
from collections.abc import Callable
from typing import Any

import rfc8785
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

Mutator = Callable[[random.Random, bytes], bytes]

_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1)
_TEXTS = (
    "", "a", "\0", "\n", "é", "\u202e", "\ud7ff", "🦆", "a" * 70, "x" * 5000, "-", ".", "..",
    "../a", "/", "{}", "[]", "=1+1", "NaN", "1e999", "-0", "\x1b[2J", "'", '"', "\\", "%s", "${x}",
    "2025-02-30", "9999-12-31", "0" * 64, "A==", "====", "2025-03-31T12:00:00Z", "1_000", "٣",
)  # fmt: skip
_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**53, 2**63, -(2**63), 10**30, 10**400, 0.5, -0.0, 1e308,
    5e-324, float("inf"), float("nan"), [], {}, [[]], [None], {"": None}, *_TEXTS,
)  # fmt: skip


def mutate_bytes(random_: random.Random, data: bytes) -> bytes:
    """Flip, overwrite, insert, delete, repeat, cut; a few times."""
    out = bytearray(data)
    for _ in range(random_.choice((1, 1, 1, 2, 4))):
        at = random_.randrange(len(out) + 1)
        length = random_.choice((1, 1, 2, 4, 8, 32, 200))
        match random_.randrange(7):
            case 0 if out:
                out[at % len(out)] ^= 1 << random_.randrange(8)
            case 1:
                out[at : at + length] = random_.randbytes(length)
            case 2:
                out[at:at] = random_.randbytes(length)
            case 3:
                del out[at : at + length]
            case 4:
                out[at:at] = out[at : at + length] * random_.choice((1, 2, 50))
            case 5:
                del out[at:]
            case _:
                number = random_.choice(_NUMBERS)
                size, order = random_.choice((1, 2, 4, 8)), random_.choice(("little", "big"))
                field = (number & (256**size - 1)).to_bytes(size, order)  # type: ignore[arg-type]
                out[at : at + size] = field
    return bytes(out)


# --- documents -----------------------------------------------------------------------------


def mutate_json(random_: random.Random, data: bytes) -> bytes:
    """Change values, keys and shapes of a JSON document; often written canonically again."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return mutate_bytes(random_, data)
    for _ in range(random_.choice((1, 1, 2, 5))):
        document = _changed(random_, document)
    if random_.random() < 0.05:
        depth = random_.choice((50, 2000, 100_000))
        return b'{"a":' * depth + b"1" + b"}" * depth
    try:
        return rfc8785.dumps(document)
    except (ValueError, TypeError, RecursionError):
        return json.dumps(document, separators=(",", ":")).encode("utf-8", "replace")


def _changed(random_: random.Random, document: Any) -> Any:
    """A document with one place in it changed, wherever that is."""
    if not isinstance(document, dict | list) or not document or random_.random() < 0.1:
        return _worse(random_, document)
    if isinstance(document, list):
        return _changed_list(random_, document)
    return _changed_object(random_, document)


def _changed_list(random_: random.Random, document: list[Any]) -> list[Any]:
    at = random_.randrange(len(document))
    match random_.randrange(8):
        case 0:
            return document[:at] + document[at + 1 :]
        case 1:
            return document + [document[at]] * random_.choice((1, 3, 100))
        case _:
            return [*document[:at], _changed(random_, document[at]), *document[at + 1 :]]


def _changed_object(random_: random.Random, document: dict[str, Any]) -> dict[str, Any]:
    key = random_.choice(list(document))
    match random_.randrange(10):
        case 0:
            return {name: value for name, value in document.items() if name != key}
        case 1:
            return {**document, random_.choice(_TEXTS): document[key]}
        case 2:
            return {**document, key: document[random_.choice(list(document))]}
        case _:
            return {**document, key: _changed(random_, document[key])}


def _worse(random_: random.Random, value: Any) -> Any:
    if isinstance(value, str) and value and random_.random() < 0.4:
        at = random_.randrange(len(value))
        return value[:at] + random_.choice(_TEXTS) + value[at + random_.randrange(2) :]
    if isinstance(value, int | float) and random_.random() < 0.4:
        return random_.choice((-value, value + 1, value * 10, [value], 0.5))
    return random_.choice(_VALUES)


def mutate_toml(random_: random.Random, data: bytes) -> bytes:
    """Change values and lines of a TOML document."""
    lines = data.decode("utf-8", "replace").split("\n")
    for _ in range(random_.choice((1, 1, 2, 4))):
        at = random_.randrange(len(lines))
        match random_.randrange(6):
            case 0:
                del lines[at]
            case 1:
                lines.insert(at, random_.choice(lines))
            case 2:
                lines[at] = lines[at] * 2
            case _:
                value = random_.choice(_TOML)
                lines[at] = re.sub(r"= *(.*)$", lambda _, value=value: f"= {value}", lines[at])
        lines = lines or [""]
    return "\n".join(lines).encode("utf-8", "replace")


_TOML = (
    "0", "-1", "1e308", "inf", "nan", "9223372036854775808", "1" * 5000, "true", "[]", "[1,2]",
    "{}", "{a={a=1}}", '""', '"a"', "'\\'", '"\\u0000"', '"\\n"', "2025-02-28", "2025-02-30",
    "9999-12-31T23:59:60Z", "07:32:00", '["a", "a"]', "[" * 2000, '"' + "x" * 3000 + '"',
    '"../../etc/passwd"', '"\\ud800"', '"NaN"', "0x7f", "1_0", "+1", "[[[[1]]]]", '"\\u001b[2J"',
)  # fmt: skip


def mutate_csv(random_: random.Random, data: bytes) -> bytes:
    """Change cells, rows, separators and quotes."""
    rows = [line.split(b",") for line in data.split(b"\n")]
    for _ in range(random_.choice((1, 1, 2, 4))):
        row = random_.choice(rows)
        at = random_.randrange(len(row))
        match random_.randrange(7):
            case 0:
                rows.insert(random_.randrange(len(rows)), list(row))
            case 1:
                row.append(random_.choice(row))
            case 2 if len(row) > 1:
                del row[at]
            case 3:
                row[at] = b'"' + row[at]
            case _:
                row[at] = random_.choice(_CELLS)
    return random_.choice((b"\n", b"\n", b"\n", b"\r\n", b"\r")).join(map(b",".join, rows))


_CELLS = (
    b"", b" ", b"0", b"-1", b"1e999", b"nan", b"inf", b"1,5", b'"1,5"', b"1 000", b"0x10",
    b"\xff", b"\xef\xbb\xbf1", b"true", b"2025-01-01", b"1" * 400, b"\0", b'""', b"'1'",
    b"x" * 3000, b"\xe2",
    b"1_0", b"+1", b"1.", b".5", b"--1", b"1e-400", "٣".encode(), b"=1+1", b"-inf", b"\xc2\xa01",
)  # fmt: skip


# --- messages ------------------------------------------------------------------------------


def mutator_of_messages(kinds: tuple[type[Message], ...]) -> Mutator:
    """A mutator of inputs whose first byte chooses a kind and whose rest is its message."""

    def mutate(random_: random.Random, data: bytes) -> bytes:
        first = data[0] if data and random_.random() < 0.9 else random_.randrange(256)
        message = kinds[first % len(kinds)]()
        try:
            message.ParseFromString(data[1:])
        except DecodeError:
            return mutate_bytes(random_, data)
        for _ in range(random_.choice((1, 1, 2, 4))):
            change_message(random_, message)
        return bytes([first]) + message.SerializeToString()

    return mutate


def change_message(random_: random.Random, message: Message) -> None:
    """Set one field of a message, or of one inside it, to something that nobody would send."""
    fields = list(message.DESCRIPTOR.fields)
    if not fields:
        return
    field = random_.choice(fields)
    if random_.random() < 0.1:
        message.ClearField(field.name)
    elif field.is_repeated:
        getattr(message, field.name).extend([_scalar(random_, field)] * random_.choice((1, 9, 400)))
    elif field.type == FieldDescriptor.TYPE_MESSAGE:
        inner = getattr(message, field.name)
        inner.SetInParent()
        change_message(random_, inner)
    else:
        setattr(message, field.name, _scalar(random_, field))


def _scalar(random_: random.Random, field: FieldDescriptor) -> Any:
    small = [number for number in _NUMBERS if number < 2**32]
    choices: dict[int, Any] = {
        FieldDescriptor.TYPE_STRING: _TEXTS,
        FieldDescriptor.TYPE_BYTES: [bytes(size) for size in (0, 1, 31, 32, 33, 64, 3000)],
        FieldDescriptor.TYPE_DOUBLE: (0.0, -1.0, 1e308, float("inf"), float("nan")),
        FieldDescriptor.TYPE_BOOL: (False, True),
        FieldDescriptor.TYPE_UINT64: _NUMBERS,
        FieldDescriptor.TYPE_ENUM: (*range(9), 1000, 2**31 - 1),
    }
    return random_.choice(choices.get(field.type, small))


# --- edits of large blobs --------------------------------------------------------------------

_EDIT = struct.Struct("<BIB")  # what, where, how much
_NEAR = 256  # most edits are of a header


def edited(base: bytes, script: bytes) -> bytes:
    """A blob after the edits that a short script names: any bytes are a script.

    Ciphertexts and keys have megabytes, of which a fuzzer would change nothing but residues.

    Args:
        base: a good blob.
        script: edits one after the other: what to do, where, with how many of the bytes after it.
    """
    out, at = bytearray(base), 0
    while at + _EDIT.size <= len(script):
        what, where, length = _EDIT.unpack_from(script, at)
        at += _EDIT.size
        # Near the start, near the end, or anywhere.
        span = (_NEAR, _NEAR, len(out) + 1)[what // 4 % 3]
        place = where % min(span, len(out) + 1)
        if what // 4 % 3 == 1:
            place = len(out) - place
        piece = script[at : at + length % 64]
        match what % 4:
            case 0:
                out[place : place + len(piece)] = piece
                at += len(piece)
            case 1:
                out[place:place] = piece
                at += len(piece)
            case 2:
                del out[place : place + length]
            case _:
                del out[place:]
    return bytes(out)


def mutate_script(random_: random.Random, data: bytes) -> bytes:
    """Add an edit to a script, or begin a new one."""
    head = data if random_.random() < 0.3 else b""
    length = random_.choice((1, 2, 4, 8, 16))
    edit = _EDIT.pack(
        random_.choice((0, 0, 0, 0, 4, 4, 8, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11)),
        random_.choice(
            (0, 4, 5, 6, 8, 12, 16, 24, random_.randrange(256), random_.getrandbits(32))
        ),
        length,
    )
    field = random_.choice(
        (
            random_.randbytes(length),
            b"\0" * length,
            b"\xff" * length,
            random_.choice(_NUMBERS).to_bytes(8, "little"),
            struct.pack("<d", random_.choice((0.0, 1.0, 2.0**31, 2.0**127, -1.0, float("nan")))),
        )
    )
    return head + edit + field[:length]
