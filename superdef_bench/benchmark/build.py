"""Build everything that a config names, check that it fits together, and key it."""

import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from superdef_bench.benchmark.built import Benchmark, BuiltAttack, BuiltDefense, Source
from superdef_bench.benchmark.choices import AttackChoice, Choice, DefenseChoice
from superdef_bench.benchmark.config import ABSENT, Config
from superdef_bench.benchmark.downloads import downloads_of
from superdef_bench.benchmark.mistakes import Document, Mistakes, Place
from superdef_bench.benchmark.resized import resized_images
from superdef_bench.benchmark.sources import (
    bare_classifier,
    check_other,
    other_classifier,
    other_defense,
)
from superdef_bench.benchmark.task import check_classes, classify, make_task
from superdef_bench.core.calls import calling, reason
from superdef_bench.core.checks import check_attack_facts, check_defense_facts
from superdef_bench.core.errors import ConfigError, ContractError, PluginError, SuperdefError
from superdef_bench.core.fingerprint import fingerprint, tensors
from superdef_bench.core.handover import HandOver
from superdef_bench.core.layout import Layouts, key_parts
from superdef_bench.core.plugins import BUILT_IN, Kind, Plugin, Registry
from superdef_bench.core.threats import NO_TARGET, Access, AttackKind, Layout, Rung
from superdef_bench.core.transform import InputTransform, Protected
from superdef_bench.core.types import Attack, Dataset, Defense, Task
from superdef_bench.io.documents import toml_key
from superdef_bench.io.downloads import announce
from superdef_bench.io.progress import progress_bar

_PROBE = 8
_LATE: tuple[Kind, ...] = ("dataset", "model")  # may be downloaded


def build(
    config: Config,
    registry: Registry,
    device: torch.device,
    document: Document | None = None,
    *,
    layouts: Mapping[str, Layout] | None = None,
) -> Benchmark:
    """Build dataset, model, attacks and defenses; nothing is attacked.

    Args:
        config: What to build.
        registry: Plugins.
        device: Where to compute.
        document: Where the config stands, for messages.
        layouts: Those of an earlier run, which this one is to go on with or to repeat.

    Raises:
        ConfigError: A name, argument or size does not fit; several as `MistakesError`.
        PluginError: A plugin cannot be built.
        DataError: Data or weights are missing or damaged.
    """
    mistakes = Mistakes(document or Document(config.name))
    # All names and arguments first: what can fail at once should not wait for a download.
    plugins, built = check_rows(config, registry, mistakes)
    mistakes.settle()
    late = late_choices(config)
    announce(downloads_of((plugins[id(choice)], choice) for choice, _ in late))
    for choice, place in late:
        with mistakes.at(*place):
            built[id(choice)] = _built(plugins[id(choice)], choice)
        mistakes.settle()
    dataset: Dataset = built[id(config.dataset)]
    with _facts_of(plugins[id(config.dataset)]):
        _check_topk(config, dataset.num_classes)
    model: nn.Module = built[id(config.model)]
    attacks = []
    for row in config.attacks:
        with mistakes.at("attacks", row.name), _facts_of(plugins[id(row)]):
            attacks.append(_attack(config, row, plugins[id(row)], built[id(row)], dataset))
    mistakes.settle()
    plugin = plugins[id(config.model)]
    with _facts_of(plugin):
        model = model.eval().requires_grad_(False).to(device)  # no attack needs their gradient
    resolved = _resolved(plugin, config.model)
    with _facts_of(plugins[id(config.dataset)]):
        task = make_task(dataset, model, config.model.name, plugin, resolved)
        first = dataset.load([0, 1])[0].to(device)
    laid = Layouts(first, layouts)
    layout = laid.of(f"classifier:{task.model}", model)
    bare = Protected((), model, seed=config.seed, layout=layout).eval()
    check_classes(classify(bare, first, task.model, task.dataset), task.model, dataset)
    of_images = plugins[id(config.dataset)]
    resized = resized_images(config, of_images, dataset, bare, device, mistakes)
    watch = HandOver()
    watch.add("classifier", model, partial(_two_passes, model, first))
    made: dict[str, BuiltDefense] = {}
    choices = _defenses(config)
    with progress_bar(len(choices)) as bar:
        for choice in choices:
            bar.show(f"building {choice.name}", f"{len(made)}/{len(choices)} plugins")
            parts = [(plugins[id(c)], c, built[id(c)]) for c in choice.chain or (choice,)]
            owner = f"defense {choice.name!r}"
            with watch.to(owner, ContractError, draws=True), calling(owner, PluginError):
                defense = _defense(choice, parts, bare, task, dataset, device, laid)
            network = defense.protected
            watch.add(defense.name, network, partial(_two_passes, network, first))
            made[choice.name] = defense
            bar.advance(1)
    defenses = tuple(made[choice.name] for choice in config.defenses)
    lenders: list[Source] = [bare_classifier(bare, task, defenses[0])]
    for source in config.sources:
        name = source.choice.name
        if source.kind == "model":
            other, network = plugins[id(source.choice)], built[id(source.choice)]
            told = _resolved(other, source.choice)
            lender = other_classifier(name, other, told, network, dataset, bare, device, laid)
            check_other(lender, task)
            watch.add(name, network, partial(_two_passes, network, first))
            lenders.append(lender)
        else:
            lenders.append(other_defense(name, made[name], defenses, task))
    answers_only = not getattr(model, "differentiable", True)
    return Benchmark(
        config,
        dataset,
        task,
        bare,
        tuple(attacks),
        defenses,
        device,
        tuple(lenders),
        watch,
        answers_only,
        resolved,
        laid.chosen,
        resized,
    )


def _two_passes(network: nn.Module, images: Tensor) -> None:
    network(images)
    network(images[:1])


def _built(plugin: Plugin, choice: Choice) -> Any:
    with HandOver().to(plugin.title, PluginError, draws=True):
        return plugin.build(**choice.arguments)


def _facts_of(plugin: Plugin) -> calling:
    """Run a block that reads what a plugin says of itself."""
    return calling(plugin.title, PluginError, hint=f"it comes from {plugin.source}")


def check_rows(
    config: Config, registry: Registry, mistakes: Mistakes
) -> tuple[dict[int, Plugin], dict[int, Any]]:
    """Find the plugin of every row and see that it takes its arguments; keep what does not fit.

    Args:
        config: What to check; `ABSENT` choices are passed over.
        registry: Plugins.
        mistakes: Gets all that is wrong.

    Returns:
        Plugins by the id of their choice, and the attacks and defenses built of them.

    Raises:
        PluginError: A plugin cannot be built.
        DataError: Weights are missing or damaged.
    """
    plugins: dict[int, Plugin] = {}
    built: dict[int, Any] = {}
    choices = [row for row in _choices(config) if row[1] is not ABSENT]
    for kind, choice, place in choices:
        with mistakes.at(*place):
            plugin = registry.get(kind, choice.plugin)
            plugin.check_arguments(choice.arguments)
            check = getattr(plugin.factory, "check_values", None)
            if check is not None:  # what a download would be too late to find
                with calling(plugin.title, PluginError, hint=f"it comes from {plugin.source}"):
                    check(**choice.arguments)
            plugins[id(choice)] = plugin
    for kind, choice, place in choices:
        if kind in _LATE or id(choice) not in plugins:
            continue
        try:
            with mistakes.at(*place):
                built[id(choice)] = _built(plugins[id(choice)], choice)
        except SuperdefError:
            mistakes.settle()  # what the config says comes before what is not there
            raise
    return plugins, built


def _defenses(config: Config) -> list[DefenseChoice]:
    """Return the defenses to build: rows, and those that only lend their examples."""
    lent = [source.choice for source in config.sources if source.kind == "defense"]
    rows = {choice.name for choice in config.defenses}
    return [*config.defenses, *(choice for choice in lent if choice.name not in rows)]


def _choices(config: Config) -> list[tuple[Kind, Choice, Place]]:
    """Return what is built, with its kind and place, what can be refused at once first."""
    rows = {choice.name for choice in config.defenses}
    lenders: Place = ("transfer", "surrogates")
    named = [key for key, choice in config.models.items() if choice == config.model]
    return [
        *(("attack", row, ("attacks", row.name)) for row in config.attacks),
        *(
            ("defense", stage, ("defenses", row.name) if row.name in rows else lenders)
            for row in _defenses(config)
            for stage in (row.chain or (row,))
        ),
        ("dataset", config.dataset, ("run", "dataset")),
        ("model", config.model, ("models", named[0]) if named else ("run", "model")),
        *(("model", s.choice, lenders) for s in config.sources if s.kind == "model"),
    ]


def late_choices(config: Config) -> list[tuple[Choice, Place]]:
    """Return what is built last, because it may be downloaded, in the order of building."""
    return [(choice, place) for kind, choice, place in _choices(config) if kind in _LATE]


def _resolved(plugin: Plugin, choice: Choice) -> dict[str, Any]:
    return {"plugin": plugin.name, **plugin.defaults, **choice.arguments}


def _attack(
    config: Config, choice: AttackChoice, plugin: Plugin, attack: Attack, dataset: Dataset
) -> BuiltAttack:
    check_attack_facts(plugin.title, attack)
    norm = choice.norm or config.norm
    if norm not in attack.norms:
        other = sorted(attack.norms)[0]
        raise ConfigError(
            f"attack {choice.name!r} has no norm {norm!r}",
            hint=f"give it a ball of its own: {toml_key(choice.name)} = "
            f'{{ norm = "{other}", eps = "0.5" }}',
        )
    _check_goal(config, choice.name, plugin, attack, dataset.num_classes)
    if choice.rungs and not any(rung.takes(attack.access) for rung in choice.rungs):
        raise ConfigError(
            f"attack {choice.name!r} would never run: it asks for {attack.access}, and "
            f"{', '.join(choice.rungs)} takes no such attack",
            hint=f"take from {[str(rung) for rung in Rung if rung.takes(attack.access)]}",
        )
    own = choice.norm not in (None, config.norm)
    rungs = tuple(r for r in config.rungs if r in (choice.rungs or config.rungs))
    takes = [rung for rung in rungs if rung.takes(attack.access)]
    most = max((config.limits.get(rung, config.limit) for rung in takes), default=config.limit)
    short = choice.limit is not None and choice.limit < min(most, config.limit, len(dataset.ids))
    resolved = _resolved(plugin, choice)
    qualifier = getattr(attack, "qualifier", lambda num_classes: "")(dataset.num_classes)
    return BuiltAttack(
        name=f"{choice.name} ({qualifier})" if qualifier else choice.name,
        attack=attack,
        arguments=resolved,
        # The name is in the key because the attack's random numbers are drawn by it.
        fingerprint=fingerprint("attack", choice.name, resolved, plugin.key_parts),
        norm=norm,
        eps=choice.eps or config.eps,
        rungs=rungs,
        limit=choice.limit,
        defenses=choice.defenses,
        # Rounded to 8 bits, every attack gets the whole budget of its strength form.
        apart=not config.eightbit
        and (
            not any(rung.replays for rung in rungs)
            or (getattr(attack, "less_in_strength", False) and attack.access == Access.GRADIENT)
        ),
        counted=not own and not short and attack.kind != AttackKind.CORRUPTION,
    )


def _check_goal(
    config: Config, name: str, plugin: Plugin, attack: Attack, num_classes: int
) -> None:
    least = getattr(attack, "least_classes", 2)
    if num_classes < least:
        raise ConfigError(
            f"attack {name!r} needs {least} classes or more, the dataset has {num_classes}",
            hint="take another loss, or pgd",
        )
    wanted = (
        ("target", config.target != NO_TARGET, "targeted"),
        ("topk", config.topk > 1, "top_k"),
    )
    for key, asked, attribute in wanted:
        if asked and attack.kind != AttackKind.CORRUPTION and not getattr(attack, attribute, False):
            known = plugin.source == BUILT_IN  # to have none; another author may have forgotten
            say_so = f"add {attribute} = True to the attack if it follows context.{key}"
            instead = "take an attack that has one, such as pgd" if known else say_so
            raise ConfigError(
                f"attack {name!r} has no form for [threat] {key} = {getattr(config, key)!r}",
                hint=f"{instead}; or take {key} out of [threat]",
            )


def _check_topk(config: Config, num_classes: int) -> None:
    if config.topk >= num_classes:
        raise ConfigError(
            f"topk is {config.topk}, the dataset has {num_classes} classes",
            hint=f"take 1 to {num_classes - 1}",
        )


def _defense(
    choice: DefenseChoice,
    parts: list[tuple[Plugin, Choice, Defense]],
    bare: Protected,
    task: Task,
    dataset: Dataset,
    device: torch.device,
    laid: Layouts,
) -> BuiltDefense:
    module: nn.Module = bare.classifier
    for place, (plugin, _, defense) in reversed([*enumerate(parts)]):
        check_defense_facts(plugin.title, defense)
        wraps = getattr(defense, "wraps", False) and not place  # all that comes after it
        if choice.chain and not isinstance(defense, InputTransform) and not wraps:
            raise ConfigError(
                f"defense {choice.name!r} chains {type(defense).__name__}, which is no transform",
                hint="a chain takes input transforms, and first what wraps them, such as gated",
            )
        told, hint = f"cannot protect {task.model!r}:", f"it comes from {plugin.source}"
        with calling(plugin.title, PluginError, verb=told, hint=hint):
            module = defense.protect(module, task)
    stochastic = any(defense.stochastic for _, _, defense in parts)
    if not isinstance(module, Protected):
        module = Protected((), module, stochastic=stochastic)
    protected = module.eval().requires_grad_(False).to(device)
    layout = bare.layout
    if protected.classifier is not bare.classifier:
        layout = laid.of(f"defense:{choice.name}", protected.classifier)
    protected = protected.view(
        "exact", seed=bare.seed, stream=f"defense/{choice.name}", layout=layout
    )
    size, seconds = _try(choice, protected, dataset, device)
    qualifiers = [getattr(defense, "qualifier", "") for _, _, defense in parts]
    said = ", ".join(filter(None, dict.fromkeys([*qualifiers, size])))
    resolved = [_resolved(plugin, stage) for plugin, stage, _ in parts]
    return BuiltDefense(
        name=f"{choice.name} ({said})" if said else choice.name,
        protected=protected,
        arguments={"chain": resolved} if choice.chain else resolved[0],
        fingerprint=fingerprint(
            "defense",
            resolved,
            [plugin.key_parts for plugin, _, _ in parts],
            tensors(protected.state_dict()),
            choice.name,
            *key_parts(layout),
        ),
        differentiable=all(defense.differentiable for _, _, defense in parts),
        replaces=any(getattr(defense, "replaces", False) for _, _, defense in parts),
        limit=choice.limit,
        seconds=seconds,
    )


def _try(
    choice: DefenseChoice, protected: Protected, dataset: Dataset, device: torch.device
) -> tuple[str, float]:
    """Return what the row's name says about size, and the seconds of a forward per image.

    A defense that fails on these images is no config error unless its size is the reason: its
    cells will fail one by one, with the error.
    """
    count = min(_PROBE, len(dataset.ids))
    images = dataset.load(range(count))[0].to(device)
    size = ""
    if any(stage.output == "resize_back" for stage in protected.transforms):
        size = "resize_back"
    with torch.no_grad():
        try:
            defended, again = protected.defend(images), protected.defend(images)
        except KeyboardInterrupt:
            raise
        except BaseException:  # a plugin may raise anything, SystemExit too
            return size, 0.0
        resized = defended.shape[-2:] != images.shape[-2:]
        if not protected.stochastic and not _same(defended, again):
            raise ContractError(
                f"defense {choice.name!r} gives another answer each time",
                hint="set stochastic = True and draw from `random`",
            )
        try:
            protected.classifier(defended)
            start = time.perf_counter()
            protected(images)
            if device.type == "cuda":
                torch.cuda.synchronize()
            seconds = (time.perf_counter() - start) / count
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # as above
            if not resized:
                return size, 0.0
            raise ConfigError(
                f"defense {choice.name!r} gives {defended.shape[-1]}x{defended.shape[-2]} images, "
                f"which the classifier refuses: {reason(error, kind=False)}",
                hint='set output = "resize_back"',
            ) from error
    return "native" if resized else size, seconds


def _same(first: Tensor, second: Tensor) -> bool:
    return first.shape == second.shape and torch.allclose(first, second, atol=1e-4, equal_nan=True)
