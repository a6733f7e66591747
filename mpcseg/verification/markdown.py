"""Markdown in which text from elsewhere is text: it makes no markup, link, HTML or table cell.

No library of the lock file writes Markdown; markdown-it-py, which reads it, is what the tests check
this module with.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

# As character references: renderers split a table's row at | and take \ and & for an escape in
# ways that differ, but all of them read these alike.
_REFERENCES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;", "\\": "&#92;"}
# After a backslash: emphasis, code, links, images, strike-through, headings, formulas; the colon
# and the at sign so that renderers make no links of bare addresses.
_PUNCTUATION = re.compile(r"([`*_\[\]~#$:@^{}])")
_BARE_HOST = re.compile(r"(?i)\b(www)\.")
# What begins a list, a rule or a heading where it stands first on a line.
_LINE_START = re.compile(r"^(\d{0,9})([-+=.)])")


def escaped(text: str) -> str:
    """Text as Markdown that shows it, on one line: in a cell, a paragraph or a heading.

    Args:
        text: anything; a line break or control character becomes a space.
    """
    line = "".join(character if character.isprintable() else " " for character in text).strip()
    line = "".join(_REFERENCES.get(character, character) for character in line)
    # The references just made hold a # that must stay.
    parts = re.split(r"(&#?\w+;)", line)
    line = "".join(
        part if part.startswith("&") else _PUNCTUATION.sub(r"\\\1", part) for part in parts
    )
    return _LINE_START.sub(r"\1\\\2", _BARE_HOST.sub(r"\1\\.", line))


def code(text: str) -> str:
    """Text as a code span: shown, and copied from the raw file, letter for letter.

    Not for a table's cell, where a | would end it.

    Args:
        text: anything; a line break or control character becomes a space.
    """
    line = "".join(character if character.isprintable() else " " for character in text)
    fence = "`" * (max((len(run) for run in re.findall("`+", line)), default=0) + 1)
    blank = " " if len(fence) > 1 else ""  # which keeps a backtick at either end apart
    return f"{fence}{blank}{line}{blank}{fence}"


def names(of: Iterable[str]) -> str:
    """Names as Markdown, with commas between them."""
    return ", ".join(map(escaped, of))


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table.

    Args:
        headings: of the columns, Markdown.
        rows: Markdown of the cells, as many as headings; text from elsewhere goes through
            `escaped`.

    Raises:
        ValueError: a row of another length, or a cell that would break the table.
    """
    lines = [_row(headings), _row(["---"] * len(headings))]
    for row in rows:
        if len(row) != len(headings):
            raise ValueError(f"a row of {len(row)} cells in a table of {len(headings)}")
        lines.append(_row(row))
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    for cell in cells:
        if "|" in cell or "\n" in cell:
            raise ValueError("a cell holds a line break or an unescaped |")
    return f"| {' | '.join(cells)} |"
