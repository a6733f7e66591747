"""Colours and sizes of all figures, chosen so that nothing depends on seeing colour.

Blue and orange are told apart with any of the common kinds of colour blindness; what they say also
stands there as a number, a label or a place.
"""

from __future__ import annotations

from typing import Any

INK = "#1a1a1a"
MUTED = "#595959"
"""Text of minor weight; 7:1 on white."""
FAINT = "#a0a0a0"
"""Lines that are there for comparison."""
BLUE = "#0b5394"
ORANGE = "#b04a00"
PAPER = "#ffffff"

CHART_WIDTH = 310
"""Pixels of a figure's plotting area; with its labels it stays readable on a phone."""

CONFIG: dict[str, Any] = {
    "background": PAPER,
    # Of equal widths, so that labels fit wherever one of them is there; the padding is for others.
    "font": "Liberation Sans, Arial, Helvetica, sans-serif",
    "padding": {"left": 26, "right": 14, "top": 4, "bottom": 4},
    "axis": {
        "labelFontSize": 14, "titleFontSize": 14, "labelColor": INK, "titleColor": INK,
        "titleFontWeight": "normal", "gridColor": "#e3e3e3", "domainColor": MUTED,
        "tickColor": MUTED, "labelLimit": 125,
    },
    "header": {"labelFontSize": 14, "labelColor": INK, "labelLimit": 165},
    "legend": {"labelFontSize": 14, "titleFontSize": 14, "labelColor": INK, "titleColor": INK},
    "text": {"fontSize": 14, "color": INK},
    "view": {"stroke": None},
}  # fmt: skip
"""Given to the renderer, so that all figures look alike."""

_BELOW, _MIDDLE, _ABOVE = (33, 102, 172), (247, 247, 247), (179, 88, 6)
_STRONGEST = 2.0  # standard deviations from which on the colour no longer changes


def diverging(deviation: float) -> str:
    """Colour of a deviation in standard deviations: blue below 0, orange above, white between."""
    strength = min(abs(deviation) / _STRONGEST, 1.0)
    end = _ABOVE if deviation > 0 else _BELOW
    mixed = (round(m + (e - m) * strength) for m, e in zip(_MIDDLE, end, strict=True))
    return "#" + "".join(f"{part:02x}" for part in mixed)


def contrast(one: str, other: str) -> float:
    """Contrast of two colours by WCAG 2, from 1 to 21; AA asks for 4.5 of text."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def ink_on(colour: str) -> str:
    """Black or white, whichever is read better on a colour; never below a contrast of 4.5."""
    return max(("#000000", PAPER), key=lambda ink: contrast(ink, colour))


def _luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
