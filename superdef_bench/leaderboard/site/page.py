"""The frame of every page, HTML in which text is text, and pictures inside it. No torch."""

import base64
import hashlib
import html
import re
from collections.abc import Iterable, Iterator
from importlib import resources
from xml.etree import ElementTree as Tree

_VOID = ("input", "link", "meta")


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def element(name: str, /, *content: str, **attributes: str | bool | None) -> Html:
    """Return an element.

    Args:
        name: Of the element.
        content: What it holds; escaped where it is no `Html`.
        attributes: `class_` means class and `data_value` data-value; True stands for an attribute
            without a value, None and False leave it out.
    """
    given = "".join(
        _attribute(key.rstrip("_").replace("_", "-"), value)
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    end = "" if name in _VOID else f"</{name}>"
    return Html(f"<{name}{given}>{join(content)}{end}")


def _attribute(key: str, value: str | bool) -> str:
    return f" {key}" if value is True else f' {key}="{html.escape(str(value))}"'


def join(content: Iterable[str], between: str = "") -> Html:
    """Return HTML after HTML; what is no `Html` is escaped."""
    parts = (part if isinstance(part, Html) else html.escape(part) for part in content)
    return Html(html.escape(between).join(parts))


def listed(lines: Iterable[str]) -> Html:
    """Return a list, or nothing where it were empty."""
    items = [element("li", line) for line in lines]
    return element("ul", *items) if items else Html("")


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


def inline(svg: bytes, key: str, title: str) -> Html:
    """Return a picture as part of a page.

    A strict policy allows no style in attributes, so each becomes an attribute of its own.

    Args:
        svg: The file.
        key: Begins each id, which is unique to the page so.
        title: What it shows.
    """
    root = Tree.fromstring(svg)  # noqa: S314  # what is not drawing is left out below; expat bounds entities
    used = set(re.findall(r"(?:url\(|href=\")#([\w.-]+)", svg.decode()))
    drawn = _part(root, key, used)
    return element(
        "figure",
        element("div", drawn, class_="scroll", role="img", aria_label=title, tabindex="0"),
        element("figcaption", title),
    )


def _part(part: Tree.Element, key: str, used: set[str]) -> Html:
    name = part.tag.removeprefix(_SVG)
    inner = [_part(child, key, used) for child in part if child.tag.removeprefix(_SVG) in _ELEMENTS]
    text = (part.text or "").strip()
    given = dict(_attributes(part, key, used))
    if name == "svg":
        box = part.get("viewBox", "0 0 1 1")
        given = {"viewBox": box, "width": f"{_SCALE * float(box.split()[2]):.0f}"}
    return element(name, *([text] if text else []), *inner, **given)


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


HOME = "index.html"
_LONG = 60  # characters, of a fact that gets a line of its own
_SITE = "superdef-bench leaderboards"


def page(title: str, *content: str) -> bytes:
    """Return a whole page; it holds all that it needs and may ask nobody for anything."""
    style, script = _beside("site.css"), _beside("site.js")
    policy = (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        element("link", rel="icon", href="data:,"),
        element("title", title if title == _SITE else f"{title} · {_SITE}"),
        Html(f"<style>{style}</style>"),
    )
    body = element(
        "body",
        element("a", "Skip to the content", class_="skip", href="#content"),
        element("header", element("a", _SITE, href=HOME)),
        element("main", *content, id="content"),
        element(
            "footer",
            "Every robust accuracy is an upper bound that a fixed suite of attacks found (≤). "
            "Written by superdef-bench leaderboard --html from the results files linked here.",
        ),
        Html(f"<script>{script}</script>"),
    )
    whole = Html(f'<!doctype html>\n<html lang="en">{head}{body}</html>\n')
    return whole.encode()


def section(key: str, title: str, *content: str) -> Html:
    """Return a part of a page with a heading that links can reach."""
    heading = element("h2", title, id=f"{key}-title")
    return element("section", heading, *content, id=key, aria_labelledby=f"{key}-title")


def code(lines: list[str]) -> Html:
    """Return commands as they are typed."""
    return element("pre", element("code", "\n".join(lines)))


def facts(pairs: dict[str, str]) -> Html:
    """Return names and what they are."""
    entries = (
        element(
            "div",
            element("dt", name),
            element("dd", value),
            class_="wide" if len(value) > _LONG else None,
        )
        for name, value in pairs.items()
    )
    return element("dl", join(entries))


def _beside(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
