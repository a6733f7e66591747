"""Text from elsewhere, made fit for a terminal or a log."""

from __future__ import annotations

LINE_CHARACTERS = 2000
"""Longest line that is shown to a person."""


def one_line(text: str, limit: int = LINE_CHARACTERS) -> str:
    """What can be printed on one line; every control character becomes a space.

    Args:
        text: anything, such as what another node wrote.
        limit: where the line is cut.
    """
    kept = "".join(character if character.isprintable() else " " for character in text[:limit])
    return kept if len(text) <= limit else kept[:-1] + "…"
