"""Every form in which a program could hold a number or a name, as bytes to look for.

Eight bytes each at least, so that random bytes, of which ciphertexts are made, match none of ten
thousand patterns in a gigabyte but once in ten million times. What has fewer is looked for together
with its neighbour in the table.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpcseg.ckks.parameters import TARGET_SCALE

Array = NDArray[np.float64]

SIGNIFICANT_DIGITS = 9
"""Of a number that is looked for as text; the same number with more digits is found, too."""

SHORTEST = 8
"""Bytes of a pattern at least."""

SHORTEST_IN_LOGS = 7
"""Characters of a rounded number, which is looked for in small text files only."""

FORMS = (
    "float64 and float32, both byte orders (so also protobuf's double, float and packed lists)",
    "fixed-point integers at the CKKS scale, 64 bits in both byte orders, and as varints",
    "decimal text: plain, with exponent, with decimal comma or thousands separators; UTF-8, UTF-16",
    "hexadecimal and base64 text of float64 and of decimal text",
    "all of these inside zlib, gzip, zip, zstd, bzip2, xz and base64, nested twice",
)
"""What is covered, for people."""

_WORDS = (("<", "little-endian"), (">", "big-endian"))
# Bytes in which a number must differ from others.
_TELLING = 4


@dataclass(frozen=True)
class Pattern:
    """One number, or two, or a name, in one form.

    Attributes:
        kind: what it is: "alder's record".
        item: which one of that kind: "[3, 0]", row and column.
        form: "double, little-endian".
        content: the bytes.
    """

    kind: str
    item: str
    form: str
    content: bytes

    @property
    def name(self) -> str:
        """What is shown of it; never the value."""
        return f"{self.kind}{self.item}, {self.form}"


def patterns_of(kind: str, table: Array, *, is_scaled: bool = False) -> list[Pattern]:
    """Every form of every number of a table.

    Args:
        kind: what the numbers are; shown with what was found.
        table: shape (n, d). Where a form is short, the neighbours are those of row and column.
        is_scaled: whether these are values as they are encoded into CKKS slots; those are also
            looked for as integers.

    Raises:
        ValueError: a number has so few significant bits that other numbers look like it.
    """
    found = []
    for row, column in np.ndindex(table.shape):
        value = float(table[row, column])
        if not is_canary(value):
            raise ValueError(f"{kind}: a number in row {row} is not a canary, it has too few bits")
        item = f"[{row}, {column}]"
        forms = [*_binary_forms(value), *_text_forms(value)]
        for other in _neighbours(table, row, column):
            forms += _pair_forms(value, other, is_scaled=is_scaled)
        found += [Pattern(kind, item, form, content) for form, content in forms]
    return found


def patterns_of_names(kind: str, names: Sequence[str]) -> list[Pattern]:
    """Every form of identifiers, of eight characters at least."""
    return [
        Pattern(kind, f"[{row}]", form, content)
        for row, name in enumerate(names)
        for form, content in _forms_of_text(name)
    ]


def rounded_patterns_of(kind: str, table: Array) -> list[Pattern]:
    """Numbers as people print them, with six digits or so; for logs, not for gigabytes."""
    found = []
    for row, column in np.ndindex(table.shape):
        value = float(table[row, column])
        texts = {format(value, form) for form in ("g", ".7g", ".8g", ".2f", ".3f", ".4f", ".6f")}
        found += [
            Pattern(kind, f"[{row}, {column}]", "rounded text", text.encode())
            for text in sorted(texts)
            if len(text.lstrip("-0.")) >= SHORTEST_IN_LOGS
        ]
    return found


def is_canary(value: float) -> bool:
    """Whether a number has so many bits that it is met nowhere by coincidence."""
    mantissa = np.float64(value).tobytes()[:6]
    return abs(value) > 1e-6 and len(set(mantissa) - {0}) >= _TELLING


def _binary_forms(value: float) -> Iterator[tuple[str, bytes]]:
    for order, word in _WORDS:
        double = np.array(value, order + "f8").tobytes()
        yield f"double, {word}", double
        yield from _as_hex(f"double, {word}", double)
        yield from _as_base64(f"double, {word}", double)


def _text_forms(value: float) -> Iterator[tuple[str, bytes]]:
    for text in sorted(_texts(value)):
        yield from _forms_of_text(text)
        if "." in text:
            yield "text with decimal comma", text.replace(".", ",").encode()
    if abs(value) >= 1000:
        grouped = f"{abs(value):,.12f}"
        # As many digits as the plain text has, and the separators.
        grouped = grouped[: SIGNIFICANT_DIGITS + 1 + grouped.count(",")]
        yield "text with thousands separators", grouped.encode()
        swapped = grouped.translate(str.maketrans(",.", ".,"))
        yield "text with thousands separators", swapped.encode()


def _forms_of_text(text: str) -> Iterator[tuple[str, bytes]]:
    content = text.encode()
    yield "text", content
    yield "text, UTF-16", text.encode("utf-16-le")[:-1]  # in both byte orders
    yield from _as_hex("text", content)
    yield from _as_base64("text", content)


def _pair_forms(value: float, other: float, *, is_scaled: bool) -> Iterator[tuple[str, bytes]]:
    for order, word in _WORDS:
        singles = np.array([value, other], order + "f4")
        yield f"single, with the next, {word}", singles.tobytes()
        if is_scaled:
            # One alone is 31 bits and zeros, as every residue of a ciphertext is.
            integers = np.rint(np.array([value, other]) * TARGET_SCALE).astype(order + "i8")
            yield f"integer at the CKKS scale, with the next, {word}", integers.tobytes()
    if is_scaled:
        numbers = [round(number * TARGET_SCALE) for number in (value, other)]
        zigzag = [2 * number if number >= 0 else -2 * number - 1 for number in numbers]
        for encoded in (zigzag, [number % 2**64 for number in numbers]):
            varints = b"".join(map(_varint, encoded))
            if len(varints) >= SHORTEST:
                yield "varint at the CKKS scale, with the next", varints


def _varint(number: int) -> bytes:
    groups = []
    while number > 0x7F:
        groups.append(0x80 | number & 0x7F)
        number >>= 7
    return bytes([*groups, number])


def _as_hex(form: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    text = content.hex()
    for spelt in sorted({text, text.upper()}):
        yield f"hexadecimal of {form}", spelt.encode()


def _as_base64(form: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    """The characters that depend on the content alone, whatever stands before and after it."""
    for before in range(3):
        n_bits = 8 * (before + len(content))
        encoded = base64.b64encode(bytes(before) + content)[-(-8 * before // 6) : n_bits // 6]
        for spelt in sorted({encoded, encoded.translate(_URL_SAFE)}):
            yield f"base64 of {form}", spelt


_URL_SAFE = bytes.maketrans(b"+/", b"-_")


def _texts(value: float) -> set[str]:
    """The leading digits of a number as programs write it: plain, and with an exponent."""
    # The last digits are cut off, not rounded: a longer text begins with the same ones.
    plain = re.match(rf"0?\.?0*(\.?\d){{{SIGNIFICANT_DIGITS}}}", f"{abs(value):.25f}")
    assert plain is not None  # noqa: S101  25 decimals of more than 1e-6
    mantissa = f"{abs(value):.{SIGNIFICANT_DIGITS + 3}e}"[: SIGNIFICANT_DIGITS + 1]
    return {plain[0], mantissa}


def _neighbours(table: Array, row: int, column: int) -> Iterator[float]:
    n, d = table.shape
    if column + 1 < d:
        yield float(table[row, column + 1])
    if row + 1 < n:
        yield float(table[row + 1, column])
