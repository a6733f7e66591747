"""Files of terms and signatures in canonical JSON (RFC 8785): ``{PART: …, "signatures": …}``.

Agreements and renewals are such files. They come from other organisations.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import rfc8785

from mpcseg.durable import write_whole
from mpcseg.errors import ConfigError
from mpcseg.study.card import NODE_NAME, to_text


def file_bytes(part: str, terms: Mapping[str, Any], signatures: Mapping[str, bytes]) -> bytes:
    """The only bytes in which these terms and signatures can be written down.

    Args:
        part: what the terms are called in the file.
        terms: plain data for JSON.
        signatures: raw, by organisation.
    """
    written = {name: to_text(raw) for name, raw in signatures.items()}
    return rfc8785.dumps({part: dict(terms), "signatures": written})


def write_signed_file(content: bytes, what: str, path: Path) -> None:
    """Write such a file, or replace one: a reader finds the whole file, old or new.

    Args:
        content: of the file.
        what: what it is called in the error ("agreement").
        path: where.

    Raises:
        ConfigError: the file cannot be written.
    """
    try:
        write_whole(path, content)
    except OSError as error:
        raise ConfigError(
            f"the {what} {path} cannot be written: {error.strerror or 'unknown reason'}",
            "Choose a place that this user may write to.",
        ) from None


def parts_of(content: bytes, part: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Terms and raw signatures; whether these are the only bytes for them is still to be checked.

    Args:
        content: of the file.
        part: what the terms are called in the file.

    Raises:
        ValueError: not such a file; of this very class where the message is for people.
        RecursionError: JSON that is nested too deep.
    """
    data = json.loads(
        content.decode("utf-8"),
        object_pairs_hook=_without_repeats,
        parse_constant=_no_such_number,
    )
    if not (isinstance(data, dict) and data.keys() == {part, "signatures"}):
        raise ValueError(f"it must hold {_article(part)} and signatures, and nothing else")
    terms, signatures = data[part], data["signatures"]
    if not (isinstance(terms, dict) and isinstance(signatures, dict)):
        raise ValueError(f"its {part} or its signatures are not an object")
    if not all(re.fullmatch(NODE_NAME.strip("^$"), name) for name in signatures):
        raise ValueError("a signature is in no possible name")
    if not all(isinstance(text, str) for text in signatures.values()):
        raise ValueError("a signature is not a text")
    try:
        raw = {name: base64.b64decode(text, validate=True) for name, text in signatures.items()}
    except ValueError:
        raise ValueError("a signature is not base64 text") from None
    return terms, raw


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key stands twice")
    return made


def _no_such_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number of JSON")
