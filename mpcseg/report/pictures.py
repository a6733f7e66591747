"""Figures as SVG without any script: Vega-Lite drawn here, checked and made fit for a page.

What vl-convert draws is taken apart again: only elements and attributes that a still picture needs
may be in it, identifiers get the figure's name, and title and description stand first, where screen
readers look for them.
"""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import vl_convert

from mpcseg.errors import ProtocolError
from mpcseg.report.sections import Figure
from mpcseg.report.style import CONFIG

_SVG = "http://www.w3.org/2000/svg"
_ELEMENTS = frozenset(
    {
        *("svg", "g", "path", "rect", "line", "circle", "text", "tspan", "defs"),
        *("clipPath", "linearGradient", "radialGradient", "stop"),
    }
)
_REFERENCE = re.compile(r"url\(#([A-Za-z0-9_-]+)\)")

ElementTree.register_namespace("", _SVG)


def svg(figure: Figure, config: dict[str, Any] | None = None) -> str:
    """Draw a figure.

    Args:
        figure: its chart has its data inside; nothing is fetched.
        config: of the renderer, beyond that of all figures.

    Returns:
        An ``<svg>`` element with title and description, to be put into a page as it is.

    Raises:
        ProtocolError: the picture has something in it that a still picture does not need.
    """
    drawn = vl_convert.vegalite_to_svg(
        dict(figure.chart), config={**CONFIG, **(config or {})}, allowed_base_urls=[]
    )
    root = ElementTree.fromstring(drawn)  # noqa: S314  made here, of a chart made here
    for element in root.iter():
        _clean(element, figure.name)
    title, description = f"{figure.name}-title", f"{figure.name}-description"
    root.set("role", "img")
    root.set("aria-labelledby", title)
    root.set("aria-describedby", description)
    for place, (tag, name, text) in enumerate(
        (("title", title, figure.title), ("desc", description, figure.description))
    ):
        child = ElementTree.Element(f"{{{_SVG}}}{tag}", {"id": name})
        child.text = text
        root.insert(place, child)
    return ElementTree.tostring(root, encoding="unicode")


def _clean(element: ElementTree.Element, name: str) -> None:
    """Check one element; give its identifiers the figure's name, and drop what screen readers skip.

    The picture is one image with a description, and its numbers are in tables: labels of single
    marks would be read out without an end.
    """
    tag = element.tag.removeprefix(f"{{{_SVG}}}")
    if tag not in _ELEMENTS:
        raise ProtocolError(f"the figure '{name}' cannot be drawn: it would have a <{tag}> in it")
    for key in list(element.attrib):
        value = element.attrib[key]
        if key.lower().startswith("on") or "href" in key or key == "style":
            raise ProtocolError(f"the figure '{name}' cannot be drawn: it would have '{key}' in it")
        if key.startswith("aria-") or key in {"role", "class", "pointer-events"}:
            del element.attrib[key]
        elif key == "id":
            element.set(key, f"{name}-{value}")
        elif "url(" in value:
            element.set(key, _REFERENCE.sub(rf"url(#{name}-\1)", value))
