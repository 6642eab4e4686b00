"""TOML into a frozen, checked config. Unknown keys are errors; nothing is built here."""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from superdef_bench.errors import ConfigError
from superdef_bench.suggest import did_you_mean
from superdef_bench.types import NORMS, Norm, Rung

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
            changed["attacks"] = tuple(own.get(n) or AttackChoice(n, n) for n in attacks)
        if rungs:
            changed["rungs"] = _rungs(list(rungs), "--rung")
        return _checked(replace(self, **changed))


def parse_eps(text: object) -> float:
    """Return the radius that `"8/255"` or `0.5` means.

    Raises:
        ConfigError: It is no positive number.
    """
    try:
        value = float(Fraction(str(text).replace(" ", "")))
    except (ValueError, ZeroDivisionError) as error:
        raise ConfigError(f"eps {text!r} is no number", hint='write "8/255" or "0.5"') from error
    if not 0 < value < 1e6:
        raise ConfigError(f"eps {text!r} is not above 0", hint='write "8/255" or "0.5"')
    return value


def find_config(name: str) -> Path:
    """Return the file that a path, or the name of a shipped config, means."""
    path, package = Path(name), Path(__file__).parent
    shipped = package / "_configs"
    folder = shipped if shipped.is_dir() else package.parent / "configs"
    known = [file.stem for file in folder.glob("*.toml")]
    if not path.exists() and path.name == name and path.stem in known:
        return folder / f"{path.stem}.toml"
    return path


def load_config(path: Path) -> Config:
    """Read a benchmark from a TOML file.

    Raises:
        ConfigError: The file is missing, is no TOML, or says something unknown or wrong.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"config {path} cannot be read: {error.strerror}", hint="see the folder configs/"
        ) from error
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
    _known(document, ("run", "threat", "attacks", "defenses", "models"), "the config")
    run, threat = _table(document, "run"), _table(document, "threat")
    _known(run, _RUN_KEYS, "[run]")
    _known(threat, _THREAT_KEYS, "[threat]")
    models = {key: _choice(key, value) for key, value in _table(document, "models").items()}
    model = _required(run, "model", "[run]")
    chosen = models.get(model) if isinstance(model, str) else None
    eps = threat.get("eps", ["2/255", "8/255"])
    attacks = _table(document, "attacks")
    defenses = _table(document, "defenses")
    return _checked(
        Config(
            name=name,
            dataset=_choice("dataset", _required(run, "dataset", "[run]")),
            model=chosen or _choice("model", model),
            limit=_count(run, "limit", 128),
            batch_size=_count(run, "batch_size", 64),
            seed=_count(run, "seed", 0, least=0),
            rungs=_rungs(run.get("rungs", [str(rung) for rung in Rung]), "[run] rungs"),
            norm=_norm(threat.get("norm", "linf"), "[threat]"),
            eps=_eps(eps),
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
    for number in ("limit", "batch_size"):
        if getattr(config, number) < 1:
            raise ConfigError(f"{number} is {getattr(config, number)}", hint="take 1 or more")
    return config


def _known(table: Mapping[str, Any], keys: Iterable[str], where: str) -> None:
    for key in table:
        if key not in keys:
            raise ConfigError(f"unknown key {key!r} in {where}", hint=did_you_mean(key, keys))


def _table(document: Mapping[str, Any], key: str) -> dict[str, Any]:
    table = document.get(key, {})
    if not isinstance(table, dict):
        raise ConfigError(f"{key!r} is a {type(table).__name__}", hint=f"write a table [{key}]")
    return table


def _required(table: Mapping[str, Any], key: str, where: str) -> Any:
    if key not in table:
        raise ConfigError(f"{where} has no {key!r}", hint=f'add {key} = "signs"')
    return table[key]


def _count(table: Mapping[str, Any], key: str, default: int, *, least: int = 1) -> int:
    value = table.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigError(f"{key} is {value!r}", hint=f"take a whole number from {least}")
    return value


def _norm(value: object, where: str) -> Norm:
    if value not in NORMS:
        raise ConfigError(
            f"unknown norm {value!r} in {where}", hint=did_you_mean(str(value), NORMS)
        )
    return value


def _eps(value: object) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    if not values:
        raise ConfigError("eps is an empty list", hint='write eps = ["2/255", "8/255"]')
    texts = [str(v).replace(" ", "") for v in values]
    radii = [parse_eps(v) for v in texts]
    if radii != sorted(set(radii)):
        raise ConfigError(f"eps {texts} do not rise", hint="the last and largest one ranks")
    return tuple(texts)


def _rungs(values: object, where: str) -> tuple[Rung, ...]:
    names = [str(rung) for rung in Rung]
    if not isinstance(values, list) or not values:
        raise ConfigError(f"{where} is {values!r}", hint=f"take from {names}")
    for value in values:
        if value not in names:
            raise ConfigError(
                f"unknown rung {value!r} in {where}", hint=did_you_mean(str(value), names)
            )
    return tuple(rung for rung in Rung if str(rung) in values)


def _choice(name: str, value: object) -> Choice:
    if isinstance(value, str):
        return Choice(value, value)
    if not isinstance(value, dict):
        raise ConfigError(f"{name!r} is {value!r}", hint='write a name or { plugin = "name" }')
    arguments = dict(value)
    plugin = arguments.pop("plugin", name)
    return Choice(str(arguments.get("name", plugin)), str(plugin), arguments)


def _attack(name: str, value: object) -> AttackChoice:
    choice = _choice(name, value if isinstance(value, dict) else {"plugin": value})
    arguments = dict(choice.arguments)
    norm, eps = arguments.pop("norm", None), arguments.pop("eps", None)
    rungs, limit = arguments.pop("rungs", None), arguments.get("limit")
    where = f"attack {name!r}"
    own = AttackChoice(
        name,
        choice.plugin,
        norm=None if norm is None else _norm(norm, where),
        eps=None if eps is None else _eps(eps),
        limit=None if limit is None else _count(arguments, "limit", 1),
        rungs=None if rungs is None else _rungs(rungs, where),
    )
    arguments.pop("limit", None)
    return replace(own, arguments=arguments)


def _defense(name: str, value: object) -> DefenseChoice:
    table = dict(value) if isinstance(value, dict) else {"plugin": value}
    limit = None if "limit" not in table else _count(table, "limit", 1)
    table.pop("limit", None)
    row = str(table.pop("name", name))
    links = table.pop("chain", None)
    if links is None:
        choice = _choice(name, table)
        return DefenseChoice(row, choice.plugin, choice.arguments, limit)
    if not isinstance(links, list) or not links or table:
        raise ConfigError(
            f"the chain of defense {name!r} is {links!r}",
            hint='write { chain = ["jpeg", { plugin = "bicubic_x2" }] } and nothing beside it',
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
    none = named.pop("none", DefenseChoice("none", "none"))
    return (none, *named.values())
