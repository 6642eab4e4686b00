"""Whether AutoAttack's two engines break the same images."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from superdef_bench.benchmark.built import Benchmark, BuiltDefense
from superdef_bench.core.checks import check_examples
from superdef_bench.core.errors import ConfigError
from superdef_bench.core.fingerprint import fingerprint, tensors
from superdef_bench.core.plugins import Registry
from superdef_bench.core.rng import Random
from superdef_bench.core.threats import Rung, Threat, is_called, parse_eps
from superdef_bench.core.transform import Protected
from superdef_bench.core.types import AttackContext
from superdef_bench.engine import margin
from superdef_bench.io.machine import fix_numerics, machine, versions
from superdef_bench.io.progress import Bar, progress_bar
from superdef_bench.results.facts import Machine
from superdef_bench.results.parity import (
    OWN,
    REFERENCE,
    EngineRun,
    Parity,
    Part,
    load_parity,
    save_parity,
)
from superdef_bench.results.statistics import pack_bits, pack_floats
from superdef_bench.run.cells import SHARD
from superdef_bench.run.images import Images
from superdef_bench.run.shard import Shard

ATTACK = "autoattack"


class _Sequence(Protocol):
    """What the plugin `autoattack` offers beside the contract of an attack."""

    def sequence(
        self,
        model: nn.Module,
        x: Tensor,
        y: Tensor,
        threat: Threat,
        context: AttackContext,
        parts: Sequence[str] = (),
    ) -> Iterator[tuple[str, Tensor]]: ...

    parts: Sequence[str]


@dataclass(frozen=True)
class Wish:
    """What to run.

    Attributes:
        seeds: Of the reference: 1, or 2 for the noise floor.
        alone: Images on which each part runs by itself, too; 0 for none.
    """

    seeds: int = 1
    alone: int = 0


def verify_autoattack(
    benchmark: Benchmark, defense: str, registry: Registry, folder: Path, wish: Wish
) -> tuple[Parity, Path]:
    """Run both engines on the same images, and keep what they broke.

    What the reference broke is taken from the file of the case where it holds it already.

    Args:
        benchmark: Dataset, classifier, ball (its last eps) and defenses.
        defense: Name of a row.
        registry: Plugins.
        folder: Gets the file of the case.
        wish: What to run.

    Raises:
        ConfigError: The benchmark has no such defense, or no gradient leads through it.
        ContractError: An engine left the ball.
    """
    fix_numerics()
    row = next((d for d in benchmark.defenses if is_called(d.name, defense)), None)
    if row is None:
        raise ConfigError(f"there is no defense {defense!r}", hint="name one of the config")
    if row.stochastic:
        raise ConfigError(
            f"{row.name!r} draws random numbers: the engines take their draws in other ways",
            hint="take a defense that answers the same each time",
        )
    if row.gradient is None:
        raise ConfigError(f"no gradient leads through {defense!r}", hint="take another defense")
    config = benchmark.config
    threat = Threat(config.norm, parse_eps(config.eps[-1]))
    images = _images(benchmark)
    case = _Case(row, threat, images, config.batch_size, config.seed, benchmark.device)
    margins = _margins(case)
    attacked = fingerprint(
        benchmark.task.sha256,
        tensors(row.protected.state_dict()),
        row.arguments,
        row.gradient,
        [threat.norm, config.eps[-1]],
        images.ids.tolist(),
    )
    parity = Parity(
        config=benchmark.config.name,
        dataset=benchmark.dataset.name,
        model=benchmark.task.model,
        model_plugin="" if config.model.arguments else config.model.plugin,
        dataset_plugin="" if config.dataset.arguments else config.dataset.plugin,
        defense=row.name,
        rung=Rung.WHITE_BOX if row.gradient == "exact" else Rung.BPDA,
        norm=config.norm,
        eps=config.eps[-1],
        n=len(images),
        attacked=attacked,
        clean=pack_bits(margins > 0),
        margins=pack_floats(margins),
        runs=(),
    )
    file = folder / f"{_file_name(parity)}.json"
    known = _known(file, parity)
    engines = {
        name: cast(_Sequence, registry.get("attack", ATTACK).build(engine=name))
        for name in (REFERENCE, OWN)
    }
    todo = list(_todo(case, engines[REFERENCE].parts, wish))
    kept = {place: found for place, run in enumerate(todo) if (found := _kept(known, run))}
    with progress_bar(sum(run.n for place, run in enumerate(todo) if place not in kept)) as bar:
        for place, run in enumerate(todo):
            done = kept.get(place) or _run(case, engines[run.engine], run, bar)
            parity = parity.model_copy(update={"runs": (*parity.runs, done)})
            # What took minutes is on disk before the next begins; what was not asked for stays,
            # and what another process wrote meanwhile.
            others = _known(file, parity)
            rest = [r for r in others if not any(_same(r, other) for other in parity.runs)]
            save_parity(parity.model_copy(update={"runs": (*parity.runs, *rest)}), file)
    return load_parity(file), file


@dataclass(frozen=True)
class _Case:
    row: BuiltDefense
    threat: Threat
    images: Images
    batch_size: int
    seed: int
    device: torch.device

    def view(self) -> Protected:
        assert self.row.gradient is not None
        return self.row.protected.view(self.row.gradient)


def _images(benchmark: Benchmark) -> Images:
    count = -(-benchmark.limit // SHARD)
    shards = [Shard.load(benchmark, number).images for number in range(count)]
    return Images(*(torch.cat([getattr(s, name) for s in shards]) for name in ("x", "y", "ids")))


def _todo(case: _Case, parts: Sequence[str], wish: Wish) -> Iterator[EngineRun]:
    """Yield what is to run, without results."""
    bare = EngineRun(
        engine=REFERENCE,
        seed=case.seed,
        alone=False,
        n=len(case.images),
        batch_size=case.batch_size,
        parts=tuple(map(_named, parts)),
        versions=versions(),
        machine=Machine.model_validate(machine(str(case.device))),
    )
    for seed in range(case.seed, case.seed + wish.seeds):
        yield bare.model_copy(update={"seed": seed})
    few = min(wish.alone, len(case.images))
    lone = [{"alone": True, "n": few, "parts": (_named(p),)} for p in parts] if few else []
    for each in lone:
        yield bare.model_copy(update=each)
    for each in [{}, *lone]:
        yield bare.model_copy(update={"engine": OWN, **each})


def _named(name: str) -> Part:
    return Part(name=name, broken="", forwards=0.0, backwards=0.0, seconds=0.0)


def _same(first: EngineRun, second: EngineRun) -> bool:
    return first.seed == second.seed and first.like(second)


def _kept(known: Sequence[EngineRun], run: EngineRun) -> EngineRun | None:
    """Return what the reference broke, if it is known: it does not change, our code does."""
    if run.engine != REFERENCE:
        return None
    return next((found for found in known if _same(found, run)), None)


def _known(file: Path, parity: Parity) -> tuple[EngineRun, ...]:
    if not file.exists():
        return ()
    found = load_parity(file)
    return found.runs if found.same(parity) else ()


def _run(case: _Case, engine: _Sequence, run: EngineRun, bar: Bar) -> EngineRun:
    """Run an engine, batch by batch, and score every part by a fresh forward pass."""
    names = [part.name for part in run.parts]
    # Other work on the machine adds nothing to a processor's seconds.
    clock = time.process_time if case.device.type == "cpu" else time.perf_counter
    sums = {name: [0.0, 0.0, 0.0] for name in names}  # forwards, backwards, seconds
    broken: dict[str, list[Tensor]] = {name: [] for name in names}
    for batch in case.images.take(torch.arange(run.n)).split(run.batch_size):
        model, x = case.view(), batch.x
        context = AttackContext.start(batch.ids, Random(run.seed, f"attack/{ATTACK}", batch.ids))
        wrong = torch.zeros(len(batch), dtype=torch.bool)
        steps = engine.sequence(model, x, batch.y, case.threat, context, parts=names)
        for name in names:
            bar.show(f"{run.engine}: {name}", f"{len(batch)} of {run.n} images")
            before = replace(model.passes)
            start = clock()
            _, found = next(steps)
            spent = sums[name]
            spent[2] += clock() - start
            spent[0] += model.passes.forwards - before.forwards
            spent[1] += model.passes.backwards - before.backwards
            found = check_examples(f"the {run.engine} engine", x, x.clone(), found, case.threat)
            wrong = wrong | _fooled(case, batch, found)
            broken[name].append(wrong)
        bar.advance(len(batch))
    parts = tuple(
        Part(
            name=name,
            broken=pack_bits(torch.cat(broken[name]).numpy()),
            forwards=sums[name][0],
            backwards=sums[name][1],
            seconds=sums[name][2],
        )
        for name in names
    )
    return run.model_copy(update={"parts": parts})


@torch.no_grad()
def _fooled(case: _Case, batch: Images, images: Tensor) -> Tensor:
    logits = case.view()(images)
    return (logits.argmax(dim=1) != batch.y).cpu()


@torch.no_grad()
def _margins(case: _Case) -> NDArray[np.float64]:
    found = [
        margin(case.view()(batch.x)[None], batch.y, None)[0]
        for batch in case.images.split(case.batch_size)
    ]
    return torch.cat(found).double().cpu().numpy()


def _file_name(parity: Parity) -> str:
    words = [parity.dataset, parity.title, parity.norm, parity.eps, str(parity.n)]
    text = "-".join(words).replace("/", "_").replace(" ", "-")
    return "".join(letter for letter in text if letter.isalnum() or letter in "-_.")
