"""How a page is made again: its commands, and the config behind it. No torch."""

import shlex
from collections.abc import Iterator
from pathlib import PurePosixPath

from superdef_bench.results.config_text import config_toml
from superdef_bench.results.schema import Published, Results
from superdef_bench.results.text import escape, fenced


def commands(results: Published) -> list[str]:
    """Return what is typed to make the page again, where it stands."""
    provenance, folder = results.provenance, results.published_in
    if isinstance(results, Results):
        source = home = results.provenance.folder
    else:
        source = results.provenance.file
        home = PurePosixPath(source).parent.as_posix()
    if folder is None or folder == home:
        return [provenance.command]  # writes the page, too
    return [
        provenance.command,
        shlex.join(["superdef-bench", "leaderboard", source, "-o", folder]),
    ]


def config_section(results: Results) -> Iterator[str]:
    """Show the resolved config, folded."""
    text = config_toml(results)
    if text:
        yield "<details>"
        yield f"<summary>Resolved config, {escape(results.name)}.toml</summary>"
        yield ""
        yield from fenced(text.rstrip("\n").split("\n"), "toml")
        yield "</details>"
        yield ""
