"""The frame of every page: its head, a policy that lets nothing out, style and script. No torch."""

import base64
import hashlib
from importlib import resources

from superdef_bench.site.html import Html, element, join

HOME = "index.html"
_LONG = 60  # characters, of a fact that gets a line of its own
_SITE = "superdef-bench leaderboards"


def page(title: str, *content: str) -> bytes:
    """Return a whole page; it holds all that it needs and may ask nobody for anything."""
    style, script = _part("site.css"), _part("site.js")
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


def _part(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
