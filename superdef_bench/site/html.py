"""HTML in which text is text: whatever is not HTML already is escaped. No torch."""

import html
from collections.abc import Iterable

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
