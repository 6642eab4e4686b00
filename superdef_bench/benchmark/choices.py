"""What a config says, checked: numbers, radii, rungs, and the plugins that it chooses."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, time
from decimal import Decimal
from math import isfinite
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo

from superdef_bench.core.errors import ConfigError, did_you_mean
from superdef_bench.core.source_files import OWN
from superdef_bench.core.threats import (
    DEFENSE_KINDS,
    LARGEST_INTEGER,
    NORMS,
    UNDEFENDED,
    WORST,
    Norm,
    Only,
    Rung,
    parse_eps,
)
from superdef_bench.io.documents import shown, toml_key

# Far above what a benchmark needs, far below what fills a machine before its first image.
MOST_IMAGES = 2_000_000  # ImageNet has 1.3 million to train on
MOST_AT_ONCE = 65_536  # images of a batch
MOST_DRAWS = 10_000  # of a gradient; published EOT takes up to a few hundred
MOST_CLASSES = 100_000  # ImageNet-21k has 21,841
MOST_RADII = 256  # of one threat; each is a whole attack
MOST_SECONDS = 10**9  # of a cell: thirty years
_LEVELS = 255  # from black to white
_NEAR = 1e-9  # how far 8 / 255 may be from 8/255


def check_key(key: str, keys: Iterable[str], where: str) -> None:
    if key not in keys:
        raise ConfigError(f"unknown key {key!r} in {where}", hint=did_you_mean(key, keys))


def table_of(document: Mapping[str, Any], key: str) -> dict[str, Any]:
    table = document.get(key, {})
    if not isinstance(table, dict):
        raise ConfigError(f"{key!r} is a {type(table).__name__}", hint=f"write a table [{key}]")
    return dict(table)


def word_of(value: object, words: Sequence[str], kind: str | None, where: str) -> object:
    if value not in words:
        raise ConfigError(
            f"unknown {kind} {shown(value)} in {where}", hint=did_you_mean(str(value), words)
        )
    return value


def rungs_of(values: object, where: str) -> tuple[Rung, ...]:
    names = [str(rung) for rung in Rung]
    if not isinstance(values, list | tuple) or not values:
        raise ConfigError(f"{where} is {shown(values)}", hint=f"take from {names}")
    for value in values:
        word_of(value, names, "rung", where)
    return tuple(rung for rung in Rung if rung in values)


def _whole_number(value: object, key: str | None, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ConfigError(
            f"{key} is {shown(value)}", hint=f"take a whole number from {least} to {most}"
        )
    return value


def _truth(value: object, info: ValidationInfo) -> bool:
    if not isinstance(value, bool):
        raise ConfigError(f"{info.field_name} is {shown(value)}", hint="take true or false")
    return value


def _radii(value: object) -> tuple[str, ...]:
    values = value if isinstance(value, list | tuple) else [value]
    if not values:
        raise ConfigError("eps is an empty list", hint='write eps = ["2/255", "8/255"]')
    if len(values) > MOST_RADII:
        raise ConfigError(f"eps has {len(values):,} radii", hint=f"take at most {MOST_RADII}")
    radii = [parse_eps(v) for v in values]
    texts = [str(v).replace(" ", "") for v in values]
    if radii != sorted(set(radii)):
        raise ConfigError(f"eps {texts} do not rise", hint="the last and largest one ranks")
    return tuple(texts)


def written(eps: float) -> str:
    """Return a radius as a config writes it: in levels of 8 bits where it is such, or a decimal."""
    if not isfinite(eps):
        return str(eps)  # which is refused where it is read
    levels = round(eps * _LEVELS)
    if abs(eps - round(eps)) > _NEAR and abs(eps - levels / _LEVELS) <= _NEAR:
        return f"{levels}/{_LEVELS}"
    return f"{Decimal(repr(eps)):f}"


def _limits(value: object) -> dict[str, int]:
    if not isinstance(value, dict):
        raise ConfigError(f"limits is {shown(value)}", hint="write limits = { white_box = 256 }")
    rungs = rungs_of(list(value), "[run] limits") if value else ()
    return {str(rung): _whole_number(value[rung], rung, 1, MOST_IMAGES) for rung in rungs}


def whole(least: int, most: int) -> BeforeValidator:
    """Return the check of a whole number."""
    return BeforeValidator(lambda v, info: _whole_number(v, info.field_name, least, most))


def word(words: Sequence[str], where: str) -> BeforeValidator:
    """Return the check of a word that is one of some; its field is called after what it is."""
    return BeforeValidator(lambda v, info: word_of(v, words, info.field_name, where))


Images = Annotated[int, whole(1, MOST_IMAGES)]
Seed = Annotated[int, whole(0, LARGEST_INTEGER)]
Truth = Annotated[bool, BeforeValidator(_truth)]
Radii = Annotated[tuple[str, ...], BeforeValidator(_radii)]
Rungs = Annotated[tuple[Rung, ...], BeforeValidator(lambda v: rungs_of(v, "[run] rungs"))]
Limits = Annotated[Mapping[str, int], BeforeValidator(_limits)]


class Frozen(BaseModel):
    """What nothing changes, and has no other keys. ConfigError where a value cannot be used."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Choice(Frozen):
    """A plugin with its arguments, under the name of its row.

    Attributes:
        name: Name in tables.
        plugin: Name of the plugin.
        arguments: What its factory gets.
    """

    name: str
    plugin: str
    arguments: Mapping[str, Any] = Field(default_factory=dict)


class AttackChoice(Choice):
    """An attack, with what it has of its own beside the benchmark's threat.

    Attributes:
        defenses: The only ones it runs against, where that is not all.
    """

    norm: Norm | None = None
    eps: Radii | None = None
    limit: Images | None = None
    rungs: tuple[Rung, ...] | None = None
    defenses: Only = None


class DefenseChoice(Choice):
    """A defense: one transform, or a chain of them, with a limit of its own where it is slow."""

    limit: Images | None = None
    chain: tuple[Choice, ...] = ()


class SourceChoice(Frozen):
    """What the examples of a replay rung are made on: another classifier, or another defense."""

    kind: Literal["model", "defense"]
    choice: DefenseChoice


def choice_of(name: str, value: object, kind: str = "") -> Choice:
    """Return the plugin that a name or a table means; its kind is for messages."""
    if isinstance(value, str):
        return Choice(name=_called(value), plugin=value)
    if not isinstance(value, dict):
        raise ConfigError(f"{name!r} is {shown(value)}", hint='write a name or { plugin = "name" }')
    arguments = dict(value)
    plugin = arguments.pop("plugin", name)
    for key, argument in arguments.items():
        _check_argument(f"{key!r} of {kind} {name!r}".replace("  ", " "), argument)
    row = str(arguments.get("name", _called(str(plugin))))
    return Choice(name=row, plugin=str(plugin), arguments=arguments)


def _called(plugin: str) -> str:
    """Return what a plugin is called in tables: a class of the user by its own name."""
    return plugin.rpartition(":")[2] or plugin if plugin.startswith(OWN) else plugin


def _check_argument(what: str, value: object) -> None:
    """Raise ConfigError for what results could not hold: their JSON has text, numbers and lists."""
    if isinstance(value, Mapping):
        for inner in value.values():
            _check_argument(what, inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            _check_argument(what, inner)
    elif isinstance(value, float) and not isfinite(value):
        raise ConfigError(f"{what} is {value}", hint="take a finite number")
    elif isinstance(value, date | time):
        raise ConfigError(f"{what} is {value}", hint="write a date as text, in quotes")


def _row(
    name: str, value: object, kind: str, model: type[Choice]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what a row has of its own, and the rest; a string is short for its plugin."""
    if not name:
        raise ConfigError(f"a row of [{kind}s] has no name", hint=f"write [{kind}s.NAME]")
    table = {"plugin": value} if isinstance(value, str) else value
    if not isinstance(table, dict):
        raise ConfigError(
            f"{kind} {name!r} is {shown(value)}",
            hint=f"write {toml_key(name)} = {{ argument = {shown(value)} }}",
        )
    rest = dict(table)
    keys = [key for key in model.model_fields if key not in Choice.model_fields]
    return {key: rest.pop(key) for key in keys if key in table}, rest


def _only(value: object, where: str) -> object:
    """Return the defenses that an attack runs against: a kind, or names of rows."""
    if isinstance(value, str):
        return word_of(value, DEFENSE_KINDS, "defenses", where)
    named = value if isinstance(value, list | tuple) else ()
    if not named or not all(isinstance(name, str) for name in named):
        raise ConfigError(
            f"defenses of {where} is {shown(value)}",
            hint=f'take from {list(DEFENSE_KINDS)}, or name rows: defenses = ["superdef"]',
        )
    return tuple(dict.fromkeys(named))


def attack_of(name: str, value: object) -> AttackChoice:
    """Return the attack that a row of `[attacks]` means."""
    own, rest = _row(name, value, "attack", AttackChoice)
    where = f"attack {name!r}"
    if name == WORST:
        raise ConfigError(
            "attack 'worst' has the name of a worst case", hint='write mine = { plugin = "worst" }'
        )
    if "norm" in own:
        word_of(own["norm"], NORMS, "norm", where)
    if "defenses" in own:
        own["defenses"] = _only(own["defenses"], where)
    if "rungs" in own:
        own["rungs"] = rungs_of(own["rungs"], f"rungs of {where}")
    return AttackChoice(**{**dict(choice_of(name, rest, "attack")), **own, "name": name})


def defense_of(name: str, value: object) -> DefenseChoice:
    """Return the defense that a row of `[defenses]` means."""
    own, rest = _row(name, value, "defense", DefenseChoice)
    row = str(rest.pop("name", name))
    if "chain" not in own:
        return DefenseChoice(**{**dict(choice_of(name, rest, "defense")), **own, "name": row})
    if rest:
        raise ConfigError(
            f"defense {name!r} has {', '.join(map(repr, rest))} beside its chain",
            hint="beside a chain stand name and limit only; arguments belong into its links",
        )
    links = own["chain"]
    if not isinstance(links, list) or not links:
        raise ConfigError(
            f"the chain of defense {name!r} is {shown(links)}",
            hint='write { chain = ["jpeg", { plugin = "bicubic_x2" }] }',
        )
    own["chain"] = [choice_of(str(link), link) for link in links]
    plugins = " + ".join(link.plugin for link in own["chain"])
    return DefenseChoice(name=row, plugin=plugins, **own)


def sources_of(
    values: object, models: Mapping[str, Choice], defenses: Sequence[DefenseChoice]
) -> tuple[SourceChoice, ...]:
    """Return what `[transfer] surrogates` names, in `[models]`, in `[defenses]` or as a plugin."""
    hint = 'write surrogates = ["model:other_classifier", "defense:rcan"]'
    if not isinstance(values, list):
        raise ConfigError(f"surrogates is {shown(values)}", hint=hint)
    rows = {choice.name: choice for choice in defenses}
    found: dict[tuple[str, str], SourceChoice] = {}
    for value in values:
        kind, _, name = value.partition(":") if isinstance(value, str) else ("", "", "")
        if kind not in ("model", "defense") or not name:
            named = ("model", list(models)), ("defense", list(rows))
            known = [k for k, names in named if value in names]
            if known:
                hint = f'write surrogates = ["{known[0]}:{value}"]'
            raise ConfigError(f"surrogate {shown(value)} is no model: or defense:", hint=hint)
        called = name if name in models or kind == "defense" else _called(name)
        if (kind, called) in found:
            raise ConfigError(f"surrogate {shown(value)} is named twice", hint="name each once")
        if (kind, name) == ("defense", UNDEFENDED):
            raise ConfigError(
                "surrogate 'defense:none' is the undefended classifier",
                hint="the rung gray_box attacks that",
            )
        if kind == "model":
            model = models.get(name) or choice_of("model", name)
            choice = DefenseChoice(**{**dict(model), "name": called})
        else:
            choice = rows.get(name) or DefenseChoice(name=name, plugin=name)
        found[kind, called] = SourceChoice.model_validate({"kind": kind, "choice": choice})
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
    bare = DefenseChoice(name=UNDEFENDED, plugin=UNDEFENDED)
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
