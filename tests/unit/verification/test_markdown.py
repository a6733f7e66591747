"""Text from elsewhere stays text, by the judgement of a Markdown parser."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mpcseg.verification.markdown import escaped, table
from tests.unit.verification.documents import PARSER, inline_tokens, shown, tables

# Mostly what means something to Markdown.
TEXT = st.text(st.one_of(st.sampled_from("\\`*_[]()<>|~#!&;:@$^{}+-=.19 \n\tax"), st.characters()))

HOSTILE = (
    "| a | b |",
    "\\| x \\\\| y",
    "`code` ``|``",
    "<script>alert(1)</script>",
    "<!-- hidden",
    "![x](http://example.com/pixel.png) [y](javascript:alert(1))",
    "**bold** _it_ ~~gone~~",
    "# heading",
    "1. list",
    "- item",
    "---",
    "> quote",
    "&lt;b&gt; &#124; &amp;",
    "line\nnext | line\r\n\r\n# new paragraph",
    "    indented",
    "[ref]: http://example.com",
    "$$x$$ ~~~ ```",
    "trailing \\",
)


def as_seen(text: str) -> str:
    """The text with its control characters as spaces, as it is meant to be shown."""
    return "".join(c if c.isprintable() else " " for c in text).strip()


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_is_shown_as_it_is(text: str) -> None:
    cells = tables(table(("name", "text"), [("before", escaped(text)), ("after", "x")]))
    assert cells == [[["name", "text"], ["before", as_seen(text)], ["after", "x"]]]
    assert {token.type for token in inline_tokens(escaped(text))} == {"text"}


@given(TEXT)
@example("\\")
@example("&#124;")
def test_any_text_is_shown_as_it_is_in_a_cell(text: str) -> None:
    document = table(("a", "b", "c"), [("1", escaped(text), escaped(text)), ("2", "x", "y")])
    seen = as_seen(text)
    assert tables(document) == [[["a", "b", "c"], ["1", seen, seen], ["2", "x", "y"]]]
    assert {token.type for token in inline_tokens(document)} <= {"text"}


@given(TEXT)
@example("<!-- hidden")
@example("<script src=x")
@example("---")
def test_any_text_is_shown_as_it_is_in_a_heading_and_a_paragraph(text: str) -> None:
    if not as_seen(text):
        return
    heading, paragraph = (
        [token for token in PARSER.parse(prefix + escaped(text)) if token.type == "inline"]
        for prefix in ("# of ", "")
    )
    assert [shown(token) for token in heading] == [f"of {as_seen(text)}"]
    assert [shown(token) for token in paragraph] == [as_seen(text)]


@pytest.mark.parametrize(
    "text", ["https://example.com", "www.example.com", "a@example.com", ":+1:"]
)
def test_bare_addresses_make_no_links_in_renderers_that_look_for_them(text: str) -> None:
    assert not re.search(r"(?<!\\):|(?<!\\)@|www\.", escaped(text))


def test_a_cell_that_was_not_escaped_is_refused() -> None:
    for cell in ("a | b", "a\nb"):
        with pytest.raises(ValueError, match="cell"):
            table(("one",), [(cell,)])
    with pytest.raises(ValueError, match="2 cells in a table of 1"):
        table(("one",), [("a", "b")])
