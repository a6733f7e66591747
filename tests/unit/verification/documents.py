"""Reads Markdown back by markdown-it-py, so that tests see what a reader sees."""

from __future__ import annotations

from collections.abc import Iterator

from markdown_it import MarkdownIt
from markdown_it.token import Token

PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])

# What the documents themselves use, outside and inside of paragraphs and cells.
BLOCKS = {
    "heading_open", "heading_close", "paragraph_open", "paragraph_close", "inline", "table_open",
    "table_close", "thead_open", "thead_close", "tbody_open", "tbody_close", "tr_open", "tr_close",
    "th_open", "th_close", "td_open", "td_close",
}  # fmt: skip
INLINE = {"text", "code_inline", "strong_open", "strong_close"}


def shown(inline: Token) -> str:
    """The text of a paragraph, heading or cell."""
    return "".join(child.content for child in inline.children or ())


def tables(document: str) -> list[list[list[str]]]:
    """The text of every cell: of each table its rows, the headings first."""
    found: list[list[list[str]]] = []
    in_cell = False
    for token in PARSER.parse(document):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type in ("th_open", "td_open"):
            in_cell = True
        elif token.type in ("th_close", "td_close"):
            in_cell = False
        elif token.type == "inline" and in_cell:
            found[-1][-1].append(shown(token))
    return found


def facts(document: str) -> dict[str, str]:
    """The second cell of every row by its first one."""
    return {row[0]: row[1] for table in tables(document) for row in table[1:]}


def inline_tokens(document: str) -> Iterator[Token]:
    """Everything inside of paragraphs, headings and cells."""
    for token in PARSER.parse(document):
        yield from token.children or ()


def verify_plain(document: str) -> None:
    """Check that a document has headings, paragraphs and tables, and no link, image or HTML.

    Raises:
        AssertionError: it has.
    """
    assert {token.type for token in PARSER.parse(document)} <= BLOCKS
    assert {token.type for token in inline_tokens(document)} <= INLINE
