"""What is fit for a terminal."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mpcseg.text import one_line

CONTROLS = [*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, 0x202E, 0x2066, 0xFEFF, 0xD800]


def test_control_characters_of_every_kind_are_replaced() -> None:
    for code in CONTROLS:
        assert one_line(f"a{chr(code)}b") == "a b", hex(code)


def test_words_stay_as_they_are() -> None:
    assert one_line("Größe 5 – 日本 [bold] ✓") == "Größe 5 – 日本 [bold] ✓"


@given(st.text(max_size=40), st.integers(1, 20))
def test_the_result_is_one_printable_line_within_the_limit(text: str, limit: int) -> None:
    line = one_line(text, limit)
    assert line.isprintable()
    assert len(line) == min(len(text), limit)
    assert (line[-1:] == "…") or len(text) <= limit
