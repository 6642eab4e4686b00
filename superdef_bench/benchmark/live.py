"""Rows of a benchmark that a caller made: names, arguments, and live objects offered as plugins."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from superdef_bench.benchmark.choices import (
    AttackChoice,
    Choice,
    DefenseChoice,
    SourceChoice,
    attack_of,
    choice_of,
    defense_of,
    sources_of,
    with_none,
    written,
)
from superdef_bench.benchmark.config import attacks_named
from superdef_bench.benchmark.identity import class_file, class_name, identity, state_hash
from superdef_bench.benchmark.task import classify
from superdef_bench.benchmark.tensors import TensorDataset, is_pair
from superdef_bench.core.calls import calling
from superdef_bench.core.errors import ConfigError, PluginError
from superdef_bench.core.plugins import LIVE, Kind, Plugin, Registry

_NEEDS: Mapping[Kind, tuple[str, ...]] = {
    "dataset": ("name", "split", "ids", "num_classes", "class_names", "load"),
    "attack": ("norms", "kind", "access"),
    "defense": ("protect",),
}
_TAKES: Mapping[Kind, str] = {
    "model": "a torch.nn.Module",
    "dataset": "a pair of tensors (images, labels) or an object with the contract of a dataset",
    "attack": "an object with the contract of an attack",
    "defense": "an InputTransform or another object that has protect",
}


@dataclass(frozen=True)
class LivePlugin(Plugin):
    """An object that a caller has in hand, as a plugin: its factory returns it.

    Attributes:
        parts: What keys say of it.
    """

    parts: Mapping[str, str] = field(default_factory=dict)

    @property
    def key_parts(self) -> Mapping[str, str]:
        return self.parts


class LiveRows:
    """What a caller gives `evaluate_model`, as the choices of a config.

    A row is a name, `(name, arguments)`, a live object, or `(name, live object)`.

    Args:
        registry: Plugins; it stays as it is.
        device: Where classifiers are asked how many classes they have.

    Attributes:
        registry: The same plugins, and the live objects.
        objects: The live objects that may be, or hold, networks of the benchmark.
    """

    def __init__(self, registry: Registry, device: torch.device) -> None:
        self.registry, self._device = registry.copy(), device
        self.objects: list[object] = []

    def model(self, value: object) -> Choice:
        """Return the classifier to attack.

        Raises:
            ConfigError: It is nothing that could be one; so do all methods.
        """
        name, given = self._read("model", value)
        return given if isinstance(given, Choice) else _called(name, choice_of(name, given))

    def dataset(self, value: object, model: Choice) -> Choice:
        """Return the dataset, of the classes that the classifier has where it does not say."""
        name, pair = _named(value) if not is_pair(value) else ("tensors", value)
        if is_pair(pair):
            images, labels = pair
            made = TensorDataset(name, images, labels, partial(self._classes, model, name))
            return self._offer("dataset", name, made, made.sha256)
        name, given = self._read("dataset", value)
        return given if isinstance(given, Choice) else _called(name, choice_of(name, given))

    def attacks(self, values: object) -> tuple[AttackChoice, ...]:
        """Return the attacks of a list; a name may be that of a preset."""
        found: dict[str, AttackChoice] = {}
        for value in _listed("attacks", values):
            if isinstance(value, str):
                rows = attacks_named(value)
            else:
                name, given = self._read("attack", value)
                live = isinstance(given, Choice)
                row = AttackChoice(**dict(given)) if live else attack_of(name, given)
                rows = {row.name: row}
            twice = next((name for name in rows if name in found), None)
            if twice is not None:
                raise ConfigError(
                    f"two attacks are named {twice!r}", hint="name one of them: (NAME, ...)"
                )
            found |= rows
        return tuple(found.values())

    def defenses(self, values: object) -> tuple[DefenseChoice, ...]:
        """Return the defenses of a list, behind the undefended classifier."""
        found = []
        for value in _listed("defenses", values):
            name, given = self._read("defense", value)
            live = isinstance(given, Choice)
            found.append(DefenseChoice(**dict(given)) if live else defense_of(name, given))
        return with_none(found)

    def surrogates(
        self, values: object, defenses: Sequence[DefenseChoice]
    ) -> tuple[SourceChoice, ...]:
        """Return what else is attacked: `model:NAME`, `defense:NAME`, or a classifier."""
        models: dict[str, Choice] = {}
        words = []
        for value in _listed("surrogates", values):
            if isinstance(value, str):
                words.append(value)
                continue
            name, given = self._read("model", value)
            models[name] = given if isinstance(given, Choice) else choice_of(name, given)
            words.append(f"model:{name}")
        return sources_of(words, models, defenses)

    def _read(self, kind: Kind, value: object) -> tuple[str, Choice | dict[str, Any]]:
        """Return the name of a row, and the arguments of its plugin or the live object's choice."""
        name, given = _named(value)
        if isinstance(value, str):
            return value, {"plugin": value}
        if isinstance(given, Mapping):
            return name, self._arguments(kind, name, given)
        _check_live(kind, given)
        name = name or type(given).__name__
        with calling(f"{kind} {name!r}", PluginError):
            sha256 = state_hash(given)
        return name, self._offer(kind, name, given, sha256)

    def _arguments(self, kind: Kind, name: str, given: Mapping[Any, Any]) -> dict[str, Any]:
        """Return arguments as a config has them; transforms of a chain may be live."""
        others, links = dict(given), {}
        if kind == "defense" and "chain" in others:
            chain = _listed("chain", others.pop("chain"))
            links = {"chain": [self._link(f"{name}.{n}", link) for n, link in enumerate(chain, 1)]}
        found: dict[str, Any] = {**plain(f"{kind} {name!r}", others), **links}
        if kind == "attack" and "eps" in found:
            found["eps"] = radii(found["eps"])
        return found

    def _link(self, place: str, link: object) -> dict[str, Any]:
        """Return a link of a chain; an object without a name is called after its place."""
        if isinstance(link, Mapping):
            return self._arguments("defense", place, link)
        unnamed = not isinstance(link, str) and not _named(link)[0]
        name, given = self._read("defense", (place, link) if unnamed else link)
        if isinstance(given, Choice):
            return {"plugin": given.plugin, **given.arguments}
        return {"plugin": name, **given}

    def _offer(self, kind: Kind, name: str, value: object, sha256: str) -> Choice:
        """Offer an object as a plugin; return the choice of it, which says what it is."""
        plugin = f"{LIVE}{name}"
        other = self.registry.plugins[kind].get(plugin)
        if other is not None and other.factory() is not value:
            raise ConfigError(
                f"two live {kind}s are named {name!r}", hint='name them: ("mine", object)'
            )
        if other is None:
            # The key of a record has the image itself, whatever dataset it is from.
            parts = {} if kind == "dataset" else identity(value)
            self.objects += [] if kind == "dataset" else [value]
            file = class_file(value) or Path(LIVE)
            made = LivePlugin(kind, plugin, lambda **_: value, "a live object", file, parts)
            self.registry.add(made)
        arguments = {"class": class_name(value), "sha256": sha256}
        return Choice(name=name, plugin=plugin, arguments={k: v for k, v in arguments.items() if v})

    def _classes(self, choice: Choice, dataset: str, image: Tensor) -> int:
        model: nn.Module = self.registry.get("model", choice.plugin).build(**choice.arguments)
        model = model.eval().to(self._device)
        return classify(model, image.to(self._device), choice.name, dataset).shape[1]


def plain(what: str, value: object) -> Any:
    """Return a value as a config could have it, paths as text.

    Raises:
        ConfigError: It is something else, of which only the type is told.
    """
    if isinstance(value, Path):
        return str(value)
    if value is None or isinstance(value, bool):
        return value
    for kind in (int, float, str):  # numbers of NumPy are some, and would not be JSON
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, list | tuple):
        return [plain(what, part) for part in value]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: plain(f"{key!r} of {what}", part) for key, part in value.items()}
    raise ConfigError(
        f"{what} is {kind_of(value)}",
        hint="take text, a number, True or False, or a list of such",
    )


def text(what: str, value: object) -> str:
    """Return a text, or the path that a text could name.

    Raises:
        ConfigError: It is something else.
    """
    if isinstance(value, str | Path):
        return str(value)
    raise ConfigError(f"{what} is {kind_of(value)}", hint="take text")


def radii(value: object) -> list[str]:
    """Return a radius, or a list of them, as a config writes it: numbers as text."""
    values = plain("eps", value)
    listed = values if isinstance(values, list) else [values]
    return [written(each) if isinstance(each, float) else str(each) for each in listed]


def kind_of(value: object) -> str:
    """Return what a value is, with an article; never what it holds."""
    return _with_article(type(value).__name__)


def _with_article(word: str) -> str:
    return f"{'an' if word[:1].lower() in tuple('aeiou') else 'a'} {word}"


def _named(value: object) -> tuple[str, object]:
    """Return the name that a caller gives something, or none, and what he gives it to."""
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str):
        if not value[0]:
            raise ConfigError("a row has no name", hint='write ("mine", ...)')
        return value
    return "", value


def _called(name: str, choice: Choice) -> Choice:
    own = choice.arguments.get("name", name)
    return choice.model_copy(update={"name": str(own)})


def _listed(key: str, values: object) -> Iterable[object]:
    """Return what a list holds; one row alone is no list."""
    if isinstance(values, list | tuple) and not isinstance(_named(values)[1], Mapping):
        return values
    raise ConfigError(f"{key} is {kind_of(values)}, not a list", hint=f"write {key}=[...]")


def _check_live(kind: Kind, value: object) -> None:
    """Raise ConfigError for what cannot be a live object of a kind; only its type is told."""
    what = f"{_with_article(kind)} cannot be {kind_of(value)}"
    hint = f"give a name, (name, arguments) or {_TAKES[kind]}"
    if isinstance(value, type):
        raise ConfigError(
            f"{kind} {value.__name__} is a class, and not built", hint=f"write {value.__name__}()"
        )
    fits = isinstance(value, nn.Module) if kind == "model" else kind != "attack" or callable(value)
    if not fits:
        raise ConfigError(what, hint=hint)
    lacks = [name for name in _NEEDS.get(kind, ()) if not _has(value, name)]
    if lacks:
        raise ConfigError(f"{what}, which has no {lacks[0]!r}", hint=hint)


def _has(value: object, name: str) -> bool:
    with suppress(Exception):  # what raises is there; whoever uses it says what is wrong
        return hasattr(value, name)
    return True
