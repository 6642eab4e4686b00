"""What a config says, checked: numbers, radii, rungs, and the plugins that it chooses."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from superdef_bench.core.errors import ConfigError, did_you_mean
from superdef_bench.core.threats import (
    NORMS,
    TARGETS,
    UNDEFENDED,
    WORST,
    Norm,
    Rung,
    Target,
    parse_eps,
)


def check_keys(table: Mapping[str, Any], keys: Iterable[str], where: str) -> None:
    for key in table:
        if key not in keys:
            raise ConfigError(f"unknown key {key!r} in {where}", hint=did_you_mean(key, keys))


def table_of(document: Mapping[str, Any], key: str) -> dict[str, Any]:
    table = document.get(key, {})
    if not isinstance(table, dict):
        raise ConfigError(f"{key!r} is a {type(table).__name__}", hint=f"write a table [{key}]")
    return table


def required(table: Mapping[str, Any], key: str, where: str) -> Any:
    if key not in table:
        raise ConfigError(f"{where} has no {key!r}", hint=f'add {key} = "signs"')
    return table[key]


def whole_number(table: Mapping[str, Any], key: str, default: int, *, least: int = 1) -> int:
    value = table.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigError(f"{key} is {value!r}", hint=f"take a whole number from {least}")
    return value


def norm_of(value: object, where: str) -> Norm:
    if value not in NORMS:
        raise ConfigError(
            f"unknown norm {value!r} in {where}", hint=did_you_mean(str(value), NORMS)
        )
    return value


def target_of(value: object) -> Target:
    if value not in TARGETS:
        raise ConfigError(
            f"unknown target {value!r} in [threat]", hint=did_you_mean(str(value), TARGETS)
        )
    return value


def truth_of(table: Mapping[str, Any], key: str) -> bool:
    value = table.get(key, False)
    if not isinstance(value, bool):
        raise ConfigError(f"{key} is {value!r}", hint="take true or false")
    return value


def radii_of(value: object) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    if not values:
        raise ConfigError("eps is an empty list", hint='write eps = ["2/255", "8/255"]')
    texts = [str(v).replace(" ", "") for v in values]
    radii = [parse_eps(v) for v in texts]
    if radii != sorted(set(radii)):
        raise ConfigError(f"eps {texts} do not rise", hint="the last and largest one ranks")
    return tuple(texts)


def rungs_of(values: object, where: str) -> tuple[Rung, ...]:
    names = [str(rung) for rung in Rung]
    if not isinstance(values, list) or not values:
        raise ConfigError(f"{where} is {values!r}", hint=f"take from {names}")
    for value in values:
        if value not in names:
            raise ConfigError(
                f"unknown rung {value!r} in {where}", hint=did_you_mean(str(value), names)
            )
    return tuple(rung for rung in Rung if str(rung) in values)


def limits_of(value: object) -> dict[str, int]:
    """Return the images of each rung that has a limit of its own."""
    if not isinstance(value, dict):
        raise ConfigError(f"limits is {value!r}", hint="write limits = { white_box = 256 }")
    rungs = rungs_of(list(value), "[run] limits") if value else ()
    return {str(rung): whole_number(value, str(rung), 1) for rung in rungs}


def draws_of(run: Mapping[str, Any]) -> int:
    """Return how many draws score a random defense; a byte per image counts them."""
    draws = whole_number(run, "draws", 20, least=20)
    if draws > 255:
        raise ConfigError(f"draws is {draws}", hint="take 20 to 255")
    return draws


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


def choice_of(name: str, value: object) -> Choice:
    """Return the plugin that a name or a table means."""
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


def attack_of(name: str, value: object) -> AttackChoice:
    """Return the attack that a row of `[attacks]` means."""
    table, where = _keywords(name, value, "attack"), f"attack {name!r}"
    if name == WORST:
        raise ConfigError(
            "attack 'worst' has the name of a worst case", hint='write mine = { plugin = "worst" }'
        )
    norm, eps, rungs = (table.pop(key, None) for key in ("norm", "eps", "rungs"))
    limit = whole_number(table, "limit", 1) if "limit" in table else None
    table.pop("limit", None)
    choice = choice_of(name, table)
    return AttackChoice(
        name,
        choice.plugin,
        choice.arguments,
        norm=None if norm is None else norm_of(norm, where),
        eps=None if eps is None else radii_of(eps),
        limit=limit,
        rungs=None if rungs is None else rungs_of(rungs, f"rungs of {where}"),
    )


def defense_of(name: str, value: object) -> DefenseChoice:
    """Return the defense that a row of `[defenses]` means."""
    table = _keywords(name, value, "defense")
    limit = whole_number(table, "limit", 1) if "limit" in table else None
    table.pop("limit", None)
    row = str(table.pop("name", name))
    links = table.pop("chain", None)
    if links is None:
        choice = choice_of(name, table)
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
    stages = tuple(choice_of(str(link), link) for link in links)
    return DefenseChoice(row, " + ".join(s.plugin for s in stages), limit=limit, chain=stages)


@dataclass(frozen=True)
class SourceChoice:
    """What the examples of a replay rung are made on: another classifier, or another defense."""

    kind: Literal["model", "defense"]
    choice: DefenseChoice


def sources_of(
    values: object, models: Mapping[str, Choice], defenses: Sequence[DefenseChoice]
) -> tuple[SourceChoice, ...]:
    """Return what `[transfer] surrogates` names, in `[models]`, in `[defenses]` or as a plugin."""
    hint = 'write surrogates = ["model:other_classifier", "defense:rcan"]'
    if not isinstance(values, list):
        raise ConfigError(f"surrogates is {values!r}", hint=hint)
    rows = {choice.name: choice for choice in defenses}
    found: dict[tuple[str, str], SourceChoice] = {}
    for value in values:
        kind, _, name = value.partition(":") if isinstance(value, str) else ("", "", "")
        if kind not in ("model", "defense") or not name:
            known = [k for k, named in (("model", models), ("defense", rows)) if value in named]
            if known:
                hint = f'write surrogates = ["{known[0]}:{value}"]'
            raise ConfigError(f"surrogate {value!r} is no model: or defense:", hint=hint)
        if (kind, name) in found:
            raise ConfigError(f"surrogate {value!r} is named twice", hint="name each once")
        if (kind, name) == ("defense", UNDEFENDED):
            raise ConfigError(
                "surrogate 'defense:none' is the undefended classifier",
                hint="the rung gray_box attacks that",
            )
        if kind == "model":
            model = models.get(name) or choice_of("model", name)
            choice = DefenseChoice(name, model.plugin, model.arguments)
        else:
            choice = rows.get(name) or DefenseChoice(name, name)
        found[kind, name] = SourceChoice(kind, choice)  # type: ignore[arg-type]  # one of the two, as checked
    return tuple(found.values())


def with_none(defenses: Iterable[DefenseChoice]) -> tuple[DefenseChoice, ...]:
    """Put `none` first: every table compares with the undefended classifier."""
    named: dict[str, DefenseChoice] = {}
    for choice in defenses:
        if choice.name in named:
            raise ConfigError(
                f"two defenses are named {choice.name!r}", hint="the name of a row is its own"
            )
        named[choice.name] = choice
    bare = DefenseChoice(UNDEFENDED, UNDEFENDED)
    none = named.pop(UNDEFENDED, bare)
    if (none.plugin, none.arguments, none.chain) != (bare.plugin, bare.arguments, bare.chain):
        raise ConfigError(
            "the row 'none' is the undefended classifier", hint="give this defense another name"
        )
    if none.limit is not None:
        raise ConfigError(
            "the row 'none' has a limit", hint="every row is compared with it: limit the others"
        )
    return (none, *named.values())
