"""How a page is made again: its commands, and the config behind it. No torch."""

import html
import shlex
from collections.abc import Iterator
from pathlib import PurePosixPath

from superdef_bench.core.visible import one_line
from superdef_bench.results.config_text import config_toml
from superdef_bench.results.schema import Published, Results
from superdef_bench.results.text import fenced


def commands(results: Published) -> list[str]:
    """Return what is typed to make the page again, where it stands."""
    provenance, folder = results.provenance, results.published_in
    if isinstance(results, Results):
        source = home = results.provenance.folder
    else:
        source = results.provenance.file
        home = PurePosixPath(source).parent.as_posix()
    typed = [provenance.command]
    if folder is not None and folder != home:  # else that writes the page, too
        typed.append(shlex.join(["superdef-bench", "leaderboard", source, "-o", folder]))
    return typed + (_additions(results) if isinstance(results, Results) else [])


def _additions(results: Results) -> list[str]:
    """Return what is typed to add the rows that other runs made, run by run."""
    place = PurePosixPath(results.published_in or results.provenance.folder)
    table = (place / f"{results.name}.json").as_posix()
    rows: dict[tuple[str, str], list[str]] = {}
    for name in filter(results.is_added, results.defenses):
        made = results.provenance_of(name)
        rows.setdefault((made.command, made.folder), []).append(name)
    typed = []
    for (command, folder), names in rows.items():
        chosen = [word for name in names for word in ("--row", name)]
        words = ["superdef-bench", "leaderboard", folder, "--into", table, *chosen]
        typed += [command, shlex.join(words)]
    return typed


def config_section(results: Results) -> Iterator[str]:
    """Show the resolved config, folded."""
    text = config_toml(results)
    if text:
        yield "<details>"
        # Inside of HTML a backslash escapes nothing.
        yield f"<summary>Resolved config, {html.escape(one_line(results.name))}.toml</summary>"
        yield ""
        yield from fenced(text.rstrip("\n").split("\n"), "toml")
        yield "</details>"
        yield ""
