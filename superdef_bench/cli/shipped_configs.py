"""The configs that come with the package: listed, and copied to start from."""

import re
import shlex
from pathlib import Path

from superdef_bench.benchmark.config import check_name, shipped_configs
from superdef_bench.cli.tables import print_table
from superdef_bench.core.errors import ConfigError, did_you_mean
from superdef_bench.io.files import write_atomically
from superdef_bench.results.table import Table, plain_lines

_COMMENT = re.compile(r"(?:#[^\n]*\n)+")
_END = re.compile(r"; |(?<! al)\.(?: |$)|: superdef-bench ")  # of what is said first


def print_configs() -> None:
    """Print the name of every shipped config, and the first sentence of the comment on its top."""
    rows = [[name, _about(file)] for name, file in shipped_configs().items()]
    note = "superdef-bench init NAME copies one; superdef-bench run NAME runs it as it is"
    table = Table("configs", "shipped configs", ["name", "what it measures"], plain_lines(rows))
    print_table(table, note, unbroken=["name"], words=True)


def _about(file: Path) -> str:
    """Return the first sentence of the comment on top of a config."""
    comment = _COMMENT.match(file.read_text(encoding="utf-8"))
    text = " ".join(comment[0].replace("#", " ").split()) if comment else ""
    return _END.split(text, maxsplit=1)[0]


def copy_config(name: str, out: Path | None, *, force: bool) -> tuple[Path, str]:
    """Copy a shipped config; it means the same wherever it stands.

    Args:
        name: Its name.
        out: File to write; `name`.toml in the current folder by default.
        force: Whether to replace a file that is there.

    Returns:
        The file, and the command that runs it.

    Raises:
        ConfigError: There is no such config, a run cannot be called so, or the file exists.
        DataError: The file cannot be written.
    """
    known = shipped_configs()
    if name not in known:
        raise ConfigError(f"unknown config {name!r}", hint=did_you_mean(name, known))
    path = out or Path(f"{name}.toml")
    check_name(path.stem)
    if (path.exists() or path.is_symlink()) and not force:
        raise ConfigError(f"{path} exists already", hint="choose another file, or add --force")
    write_atomically(path, known[name].read_bytes())
    return path, f"superdef-bench run {shlex.quote(str(path))} --plan"
