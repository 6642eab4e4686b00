"""How tables write text, radii and accuracies. No torch."""

import re
from collections.abc import Iterable, Sequence
from urllib.parse import quote

from superdef_bench.core.visible import one_line, visible

NOT_RECORDED = "not recorded"  # of a fact that older results lack
# What begins a quote, a heading, an item or a fence where a line begins.
_BLOCK = re.compile(r"(?:>|#{1,6}|[-+=]+|\d+[.)])(?= \S)|~{3,}")


def escape(text: object, *, begins: bool = True) -> str:
    """Return text that Markdown shows as it is.

    Args:
        text: Any.
        begins: Whether a line may begin with it; nothing in a table begins one.
    """
    safe = one_line(text).replace("&", "&amp;").replace("<", "&lt;")
    # Where each < is escaped, a > with a space behind it is no more than a sign.
    safe = re.sub(">(?! )", "&gt;", safe)
    safe = re.sub(r"([\\`*\[\]|]|(?<!\w)_|_(?!\w))", r"\\\1", safe)
    block = _BLOCK.match(safe) if begins else None
    if block is None:
        return safe
    mark = block[0]
    return mark[:-1] + ("&gt;" if mark == ">" else rf"\{mark[-1]}") + safe[block.end() :]


def link(text: str, file: str) -> str:
    """Return a Markdown link to a file beside the page, whatever its name holds."""
    return f"[{text}](<{quote(file)}>)"


def fenced(lines: Iterable[str], language: str = "sh") -> list[str]:
    """Return a code block that no text in it can end."""
    text = "\n".join(map(visible, lines))
    ticks = "`" * max([3, *(len(run) + 1 for run in re.findall("`+", text))])
    return [ticks + language, text, ticks, ""]


def eps_text(eps: float | None) -> str:
    """Return a radius as the field writes it: 8/255, small ones to a tenth of it, or 0.5."""
    if eps is None:
        return "no ball"
    levels = eps * 255
    if levels >= 64 or (levels > 16 and abs(levels - round(levels)) > 1e-6):
        return f"{eps:.3g}"
    return f"{levels:.1f}".removesuffix(".0") + "/255"


def percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a Markdown table, the first column left and the others right."""
    align = [":--", *["--:"] * (len(head) - 1)]
    lines = [head, align, *rows]
    return ["| " + " | ".join(line) + " |" for line in lines] + [""]


def three_digits(value: float) -> str:
    """Return a positive number to three digits, or two decimals."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}" if value >= 1 else f"{value:.2f}"
