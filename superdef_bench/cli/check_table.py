"""What `check` prints: broken contracts, and what a defense does to real images."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from rich.table import Table

from superdef_bench.analysis.defense_facts import CONFIG, Fact, facts
from superdef_bench.cli.output import write
from superdef_bench.cli.screen import cell as markup
from superdef_bench.cli.screen import console
from superdef_bench.core.calls import reason
from superdef_bench.core.errors import ConfigError, DataError, SuperdefError, did_you_mean
from superdef_bench.core.plugins import KINDS, Plugin, Registry
from superdef_bench.core.visible import one_line, shortened, visible
from superdef_bench.io.progress import progress_bar
from superdef_bench.testing import Check, check_plugin, findings


@dataclass(frozen=True)
class Checked:
    """A plugin, checked.

    Attributes:
        skipped: Why it was not.
        facts: What it does, where that was asked for and its contract holds.
        silent: Why there are no facts.
    """

    plugin: str
    checks: Sequence[Check]
    skipped: str = ""
    facts: Sequence[Fact] = ()
    silent: str = ""

    @property
    def problems(self) -> list[str]:
        return findings(self.checks)


def print_checks(
    registry: Registry,
    names: Sequence[str],
    *,
    every: bool = False,
    brief: bool = False,
    as_json: bool = False,
) -> bool:
    """Print the contract checks of plugins, and facts of named defenses; return whether all hold.

    Args:
        registry: The plugins.
        names: Those to check.
        every: Check all instead, without facts; what lacks arguments or data is skipped.
        brief: No facts.
        as_json: Print JSON.
    """
    if not names and not every:
        raise ConfigError("nothing to check", hint="name plugins, or give --all")
    plugins = list(registry) if every else [p for name in names for p in _named(registry, name)]
    found: list[Checked] = []
    with progress_bar(len(plugins)) as bar:
        for number, plugin in enumerate(plugins):
            bar.show(f"checking {plugin.name}", f"{number}/{len(plugins)} plugins")
            found.append(_checked(plugin, registry, every=every, brief=brief))
            if not as_json:
                _print(found[-1])
            bar.advance(1)
    if as_json:
        write(json.dumps([_told(each) for each in found], indent=1) + "\n")
    return not any(each.problems for each in found)


def _checked(plugin: Plugin, registry: Registry, *, every: bool, brief: bool) -> Checked:
    name = f"{plugin.kind}:{plugin.name}"
    if plugin.needs_arguments:
        if not every:
            plugin.check_arguments({})
        return Checked(name, (), skipped="needs arguments")
    try:
        checks = list(check_plugin(plugin, download=not every))
    except DataError as error:
        if not every:
            raise
        return Checked(name, (), skipped=error.message.splitlines()[0])
    broken = any(problem for _, problem in checks)
    if every or brief or broken or plugin.kind != "defense":
        return Checked(name, checks)
    try:
        return Checked(name, checks, facts=list(facts(plugin, registry)))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a defense raises on real images
        silent = reason(error, kind=not isinstance(error, SuperdefError))
        return Checked(name, checks, silent=silent)


def _print(checked: Checked) -> None:
    screen, name = console(), visible(checked.plugin)
    if checked.skipped:
        screen.print(f"skipped  {name}  {visible(checked.skipped)}", markup=False, soft_wrap=True)
        return
    word = "broken " if checked.problems else "ok     "
    screen.print(f"{word}  {name}  {len(checked.checks)} checks", markup=False)
    for problem in checked.problems:
        screen.print(f"         {shortened(one_line(problem))}", markup=False)
    if checked.silent:
        why = shortened(one_line(checked.silent))
        screen.print(f"         not tried on signs: {why}", markup=False)
    if checked.facts:
        table = Table(title=markup(f"{name} on the images and classifier of {CONFIG}"))
        table.add_column("what", overflow="fold")
        table.add_column("measured", overflow="fold")
        table.add_column("look at", overflow="fold")
        for fact in checked.facts:
            table.add_row(*(markup(word) for word in (fact.name, fact.value, fact.hint)))
        screen.print(table)


def _told(checked: Checked) -> dict[str, object]:
    checks = [{"check": name, "problem": problem} for name, problem in checked.checks]
    return {**asdict(checked), "checks": checks}


def _named(registry: Registry, name: str) -> Iterator[Plugin]:
    kind, colon, rest = name.partition(":")
    families = [p.kind for p in registry if p.is_family and p.name == f"{kind}:"]
    if rest and families:
        yield from (registry.get(each, name) for each in families)
        return
    if colon:
        if kind not in KINDS:
            raise ConfigError(f"unknown kind {kind!r}", hint=did_you_mean(kind, KINDS))
        yield registry.get(kind, rest)
        return
    found = [plugin for plugin in registry if plugin.name == name]
    if not found:
        known = [plugin.name for plugin in registry]
        raise ConfigError(f"unknown plugin {name!r}", hint=did_you_mean(name, known))
    yield from found
