"""Pictures as parts of a page: only what draws, in the colours of the page. No torch."""

import re
from collections.abc import Iterator
from xml.etree import ElementTree as Tree

from markupsafe import Markup

_SVG, _LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"
_ELEMENTS = ("svg", "g", "defs", "path", "use", "rect", "text", "tspan", "clipPath")
_ATTRIBUTES = ("d", "transform", "x", "y", "width", "height", "viewBox", "id", "clip-path")
_STYLES = (
    *("fill", "fill-opacity", "fill-rule", "stroke", "stroke-width", "stroke-opacity", "opacity"),
    *("stroke-dasharray", "stroke-dashoffset", "stroke-linejoin", "stroke-linecap"),
    *("text-anchor", "font-size", "font-weight"),
)
_COLOURS = ("fill", "stroke")
_SCALE = 1.4  # of a picture on a page
_INK = ("#000000", "#111111", "#333333", "black")
_PAPER = ("#ffffff", "white")


def inline(svg: bytes, key: str) -> Markup:
    """Return a picture as part of a page.

    A strict policy allows no style in attributes, so each becomes an attribute of its own.

    Args:
        svg: The file.
        key: Begins each id, which is unique to the page so.
    """
    root = Tree.fromstring(svg)  # noqa: S314  # what is not drawing is left out below; expat bounds entities
    used = set(re.findall(r"(?:url\(|href=\")#([\w.-]+)", svg.decode()))
    drawn = _drawing(root, key, used)
    # HTML knows no <path/>: to it that is a beginning.
    text = Tree.tostring(drawn, encoding="unicode", short_empty_elements=False)
    return Markup(text)  # noqa: S704  # the serialiser escapes text and attributes


def _drawing(part: Tree.Element, key: str, used: set[str]) -> Tree.Element:
    """Return what draws of a part, in no namespace."""
    name = part.tag.removeprefix(_SVG)
    attributes = dict(_attributes(part, key, used))
    if name == "svg":
        box = part.get("viewBox", "0 0 1 1")
        attributes = {"viewBox": box, "width": f"{_SCALE * float(box.split()[2]):.0f}"}
    kept = Tree.Element(name, attributes)
    kept.text = (part.text or "").strip()
    kept.extend(
        _drawing(child, key, used) for child in part if child.tag.removeprefix(_SVG) in _ELEMENTS
    )
    return kept


def _attributes(part: Tree.Element, key: str, used: set[str]) -> Iterator[tuple[str, str]]:
    for name, value in part.attrib.items():
        if name == "style":
            yield from _styles(value)
        elif name == _LINK and value.startswith("#"):
            yield "href", f"#{key}-{value[1:]}"
        elif name == "clip-path":
            yield name, value.replace("url(#", f"url(#{key}-")
        elif name == "id":
            yield from [(name, f"{key}-{value}")] if value in used else []
        elif name in _ATTRIBUTES or name in _STYLES:
            yield name, _shade(name, value)


def _styles(text: str) -> Iterator[tuple[str, str]]:
    for name, _, value in (entry.partition(":") for entry in text.split(";")):
        name, value = name.strip(), value.strip()
        if name in _STYLES:
            yield name, _shade(name, value)
        elif name == "font":
            yield from (("font-size", size) for size in re.findall(r"[\d.]+px", value)[:1])


def _shade(name: str, colour: str) -> str:
    """Return a colour that can be seen on a light and on a dark page."""
    if name in _COLOURS and colour in _INK:
        return "currentColor"
    if name in _COLOURS and colour in _PAPER:
        return "none"
    return colour
