"""The resolved config of results, as a TOML file that runs the same again. No torch."""

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import Field, ValidationError

from superdef_bench.core.threats import UNDEFENDED
from superdef_bench.core.visible import one_line
from superdef_bench.io.documents import to_toml
from superdef_bench.results.facts import Model
from superdef_bench.results.schema import Results

_THREAT = ("norm", "eps", "topk", "target")


class _Choice(Model):
    """A plugin under the name of its row; what a row has beside it is extra."""

    name: str
    plugin: str
    arguments: dict[str, Any]


class _Row(_Choice):
    """An attack, or a defense, which may be a chain."""

    chain: list[_Choice] = Field(default_factory=list)


class _Source(Model):
    """What examples to replay are made on."""

    kind: str
    choice: _Row


class _Config(Model):
    """The config of results; its other keys are those of `[run]` and `[threat]`."""

    name: str
    dataset: _Choice
    model: _Choice
    attacks: list[_Row]
    defenses: list[_Row]
    sources: list[_Source] = Field(default_factory=list)


def config_toml(results: Results) -> str:
    """Return the resolved config as TOML; nothing where the results carry none that has a form."""
    try:
        config = _Config.model_validate(results.config)
        tables = dict(_tables(config))
        text = to_toml(tables)
    except (ValidationError, ValueError):
        return ""
    return _lending(config) + text


def _tables(config: _Config) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the tables of the config in the order of its page."""
    models = {
        source.choice.name: _table(source.choice)
        for source in config.sources
        if source.kind == "model" and not _plain(source.choice)
    }
    model = config.model
    rest = _said(config)
    yield (
        "run",
        {
            "dataset": _chosen(config.dataset),
            "model": _table(model) if model.plugin in models else _chosen(model),
            **{key: value for key, value in rest.items() if key not in _THREAT},
        },
    )
    yield "threat", {key: rest[key] for key in _THREAT if key in rest}
    if config.sources:
        names = [f"{source.kind}:{source.choice.name}" for source in config.sources]
        yield "transfer", {"surrogates": names}
    if models:
        yield "models", models
    yield "attacks", dict(_attacks(config))
    defenses = {row.name: _row(row) for row in config.defenses if row.name != UNDEFENDED}
    yield "defenses", {**defenses, **{row.name: _row(row) for row in _lenders(config)}}


def _attacks(config: _Config) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the attacks; of defenses that one names, those that are rows: others are refused."""
    rows = {row.name for row in config.defenses}
    for attack in config.attacks:
        table = _row(attack)
        if isinstance(only := table.get("defenses"), list):
            table["defenses"] = [name for name in only if name in rows]
        if table.get("defenses") != []:
            yield attack.name, table


def _said(model: Model) -> dict[str, Any]:
    """Return what a part says beside what every one has; null is what it does not say."""
    extra = model.model_extra or {}
    return {key: value for key, value in extra.items() if value is not None and value != {}}


def _plain(row: _Row) -> bool:
    """Return whether the name of a row says all of it."""
    return row.plugin == row.name and not (row.arguments or row.chain or _said(row))


def _table(choice: _Choice) -> dict[str, Any]:
    return {"plugin": choice.plugin, **choice.arguments}


def _chosen(choice: _Choice) -> object:
    """Return a plugin by its name alone where it has no arguments."""
    return _table(choice) if choice.arguments else choice.plugin


def _row(row: _Row) -> dict[str, Any]:
    if row.chain:
        return {"chain": [_chosen(link) for link in row.chain], **_said(row)}
    plugin = {} if row.plugin == row.name else {"plugin": row.plugin}
    return {**plugin, **row.arguments, **_said(row)}


def _lenders(config: _Config) -> list[_Row]:
    """Return the defenses that only lend their examples, under arguments of their own."""
    rows = {row.name for row in config.defenses}
    lent = (source.choice for source in config.sources if source.kind == "defense")
    return [row for row in lent if row.name not in rows and not _plain(row)]


def _lending(config: _Config) -> str:
    """Return a comment on defenses that stand in the file and are no rows."""
    lenders = ", ".join(row.name for row in _lenders(config))
    if not lenders:
        return ""
    words = shlex.join(word for row in config.defenses for word in ("-d", row.name))
    return f"# {one_line(lenders)}: no row, lends its examples only; run with {one_line(words)}\n\n"
