"""How every page is rendered: its templates, and a policy that lets it ask nobody. No torch."""

import base64
import hashlib
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from superdef_bench.core.visible import visible
from superdef_bench.leaderboard.changes import moves_table, settings_lines

HOME = "index.html"
_BESIDE = Path(__file__).parent


def render(template: str, **content: object) -> bytes:
    """Return a whole page.

    Args:
        template: Name of its template.
        content: What the template names; text in it is escaped.
    """
    return environment().get_template(template).render(content).encode()


@cache
def environment() -> Environment:
    """Return the templates beside this module, and what each of them may name."""
    style, script = (
        (_BESIDE / name).read_text(encoding="utf-8") for name in ("site.css", "site.js")
    )
    made = Environment(
        loader=FileSystemLoader(_BESIDE),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.globals.update(
        home=HOME,
        moves_table=moves_table,
        policy=_policy(style, script),
        script=Markup(script),  # noqa: S704  # a file of this package, and no text of results
        settings_lines=settings_lines,
        style=Markup(style),  # noqa: S704  # likewise
    )
    return made


def _shown(value: object) -> object:
    """Return what a template prints of a value: of text no hidden part, of markup all."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _policy(style: str, script: str) -> str:
    """Return a policy under which nothing but this style and this script takes effect."""
    return (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
