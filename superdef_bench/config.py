"""TOML into a frozen, checked config. Unknown keys are errors; nothing is built here."""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from superdef_bench.errors import ConfigError
from superdef_bench.fields import (
    check_keys,
    norm_of,
    parse_eps,
    radii_of,
    required,
    rungs_of,
    table_of,
    whole_number,
)
from superdef_bench.suggest import did_you_mean
from superdef_bench.types import Norm, Rung

_RUN_KEYS = ("dataset", "model", "limit", "batch_size", "seed", "rungs")
_THREAT_KEYS = ("norm", "eps")


@dataclass(frozen=True)
class Choice:
    """A plugin with its arguments, under the name of its row.

    Attributes:
        name: Name in tables.
        plugin: Name of the plugin.
        arguments: What its factory gets.
    """

    name: str
    plugin: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class AttackChoice(Choice):
    """An attack, with what it has of its own beside the benchmark's threat."""

    norm: Norm | None = None
    eps: tuple[str, ...] | None = None
    limit: int | None = None
    rungs: tuple[Rung, ...] | None = None


@dataclass(frozen=True)
class DefenseChoice(Choice):
    """A defense: one transform, or a chain of them, with a limit of its own where it is slow."""

    limit: int | None = None
    chain: tuple[Choice, ...] = ()


@dataclass(frozen=True)
class Config:
    """One benchmark."""

    name: str
    dataset: Choice
    model: Choice
    limit: int
    batch_size: int
    seed: int
    rungs: tuple[Rung, ...]
    norm: Norm
    eps: tuple[str, ...]
    attacks: tuple[AttackChoice, ...]
    defenses: tuple[DefenseChoice, ...]

    def select(
        self,
        *,
        defenses: Sequence[str] = (),
        attacks: Sequence[str] = (),
        rungs: Sequence[str] = (),
        **numbers: int | None,
    ) -> "Config":
        """Keep the named parts; add a name that the config lacks with its plugin's defaults.

        Args:
            defenses: Names to keep; all where empty. `none` always stays.
            attacks: Names to keep; all where empty.
            rungs: Rungs to keep; all where empty.
            numbers: `limit`, `batch_size` and `seed` to use instead.
        """
        changed: dict[str, Any] = {k: v for k, v in numbers.items() if v is not None}
        if defenses:
            ours = {choice.name: choice for choice in self.defenses}
            named = dict.fromkeys(["none", *defenses])
            changed["defenses"] = tuple(ours.get(n) or DefenseChoice(n, n) for n in named)
        if attacks:
            own = {choice.name: choice for choice in self.attacks}
            changed["attacks"] = tuple(
                own.get(n) or AttackChoice(n, n) for n in dict.fromkeys(attacks)
            )
        if rungs:
            changed["rungs"] = rungs_of(list(rungs), "--rung")
        return _checked(replace(self, **changed))


def _shipped() -> dict[str, Path]:
    package = Path(__file__).parent
    folder = package / "_configs"
    folder = folder if folder.is_dir() else package.parent / "configs"
    return {file.stem: file for file in sorted(folder.glob("*.toml"))}


def find_config(name: str) -> Path:
    """Return the file that a path, or the name of a shipped config, means."""
    path = Path(name)
    return path if path.exists() else _shipped().get(name, path)


def load_config(path: Path) -> Config:
    """Read a benchmark from a TOML file.

    Raises:
        ConfigError: The file is missing, is no TOML, or says something unknown or wrong.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        hint = did_you_mean(path.stem, _shipped(), more="shipped configs")
        raise ConfigError(f"config {path} cannot be read: {error.strerror}", hint=hint) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"config {path} is no TOML: {error}", hint="see docs/config.md"
        ) from error
    try:
        return parse(document, path.stem)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error.message}", hint=error.hint) from error


def parse(document: Mapping[str, Any], name: str) -> Config:
    """Check a parsed TOML document and return the benchmark it describes."""
    check_keys(document, ("run", "threat", "attacks", "defenses", "models"), "the config")
    run, threat = table_of(document, "run"), table_of(document, "threat")
    check_keys(run, _RUN_KEYS, "[run]")
    check_keys(threat, _THREAT_KEYS, "[threat]")
    models = {key: _choice(key, value) for key, value in table_of(document, "models").items()}
    model = required(run, "model", "[run]")
    chosen = models.get(model) if isinstance(model, str) else None
    eps = threat.get("eps", ["2/255", "8/255"])
    attacks = table_of(document, "attacks")
    defenses = table_of(document, "defenses")
    return _checked(
        Config(
            name=name,
            dataset=_choice("dataset", required(run, "dataset", "[run]")),
            model=chosen or _choice("model", model),
            limit=whole_number(run, "limit", 128),
            batch_size=whole_number(run, "batch_size", 64),
            seed=whole_number(run, "seed", 0, least=0),
            rungs=rungs_of(run.get("rungs", [str(rung) for rung in Rung]), "[run] rungs"),
            norm=norm_of(threat.get("norm", "linf"), "[threat]"),
            eps=radii_of(eps),
            attacks=tuple(_attack(key, value) for key, value in attacks.items()),
            defenses=_with_none(_defense(key, value) for key, value in defenses.items()),
        )
    )


def _checked(config: Config) -> Config:
    for choice in config.attacks:
        if choice.norm and choice.norm != config.norm and not choice.eps:
            raise ConfigError(
                f"attack {choice.name!r} has norm {choice.norm} but no eps",
                hint=f'write {{ norm = "{choice.norm}", eps = "0.5" }}',
            )
        norm, eps = choice.norm or config.norm, (choice.eps or config.eps)[-1]
        if norm == "linf" and parse_eps(eps) > 1:
            raise ConfigError(
                f"eps {eps!r} is above 1, the whole range of a pixel",
                hint=f'did you mean "{eps}/255"?',
            )
    for number, least in (("limit", 1), ("batch_size", 1), ("seed", 0)):
        if getattr(config, number) < least:
            raise ConfigError(
                f"{number} is {getattr(config, number)}", hint=f"take a whole number from {least}"
            )
    return config


def _choice(name: str, value: object) -> Choice:
    if isinstance(value, str):
        return Choice(value, value)
    if not isinstance(value, dict):
        raise ConfigError(f"{name!r} is {value!r}", hint='write a name or { plugin = "name" }')
    arguments = dict(value)
    plugin = arguments.pop("plugin", name)
    return Choice(str(arguments.get("name", plugin)), str(plugin), arguments)


def _keywords(name: str, value: object, kind: str) -> dict[str, Any]:
    """Return the table of a row; a string is short for its plugin."""
    if isinstance(value, dict):
        return dict(value)
    if isinstance(value, str):
        return {"plugin": value}
    raise ConfigError(
        f"{kind} {name!r} is {value!r}", hint=f"write {name} = {{ argument = {value!r} }}"
    )


def _attack(name: str, value: object) -> AttackChoice:
    table, where = _keywords(name, value, "attack"), f"attack {name!r}"
    norm, eps, rungs = (table.pop(key, None) for key in ("norm", "eps", "rungs"))
    limit = whole_number(table, "limit", 1) if "limit" in table else None
    table.pop("limit", None)
    choice = _choice(name, table)
    return AttackChoice(
        name,
        choice.plugin,
        choice.arguments,
        norm=None if norm is None else norm_of(norm, where),
        eps=None if eps is None else radii_of(eps),
        limit=limit,
        rungs=None if rungs is None else rungs_of(rungs, where),
    )


def _defense(name: str, value: object) -> DefenseChoice:
    table = _keywords(name, value, "defense")
    limit = whole_number(table, "limit", 1) if "limit" in table else None
    table.pop("limit", None)
    row = str(table.pop("name", name))
    links = table.pop("chain", None)
    if links is None:
        choice = _choice(name, table)
        return DefenseChoice(row, choice.plugin, choice.arguments, limit)
    if table:
        raise ConfigError(
            f"defense {name!r} has {', '.join(map(repr, table))} beside its chain",
            hint="beside a chain stand name and limit only; arguments belong into its links",
        )
    if not isinstance(links, list) or not links:
        raise ConfigError(
            f"the chain of defense {name!r} is {links!r}",
            hint='write { chain = ["jpeg", { plugin = "bicubic_x2" }] }',
        )
    stages = tuple(_choice(str(link), link) for link in links)
    return DefenseChoice(row, " + ".join(s.plugin for s in stages), limit=limit, chain=stages)


def _with_none(defenses: Iterable[DefenseChoice]) -> tuple[DefenseChoice, ...]:
    """Put `none` first: every table compares with the undefended classifier."""
    named: dict[str, DefenseChoice] = {}
    for choice in defenses:
        if choice.name in named:
            raise ConfigError(
                f"two defenses are named {choice.name!r}", hint="the name of a row is its own"
            )
        named[choice.name] = choice
    bare = DefenseChoice("none", "none")
    none = named.pop("none", bare)
    if (none.plugin, none.arguments, none.chain) != (bare.plugin, bare.arguments, bare.chain):
        raise ConfigError(
            "the row 'none' is the undefended classifier", hint="give this defense another name"
        )
    return (none, *named.values())
