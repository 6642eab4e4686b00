"""Fits of Deep Image Prior to the images of a run, each watched by every rule, and by the label."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from pydantic import ValidationError
from torch import Tensor

from superdef_bench.analysis.run_folder import RunFolder, open_run
from superdef_bench.core.errors import ConfigError, DataError
from superdef_bench.core.fingerprint import fingerprint, sources, tensors
from superdef_bench.core.plugins import Registry
from superdef_bench.core.rng import Random
from superdef_bench.core.threats import CLEAN, UNDEFENDED, Rung
from superdef_bench.core.types import fooled
from superdef_bench.io.documents import parse_json
from superdef_bench.io.files import read_file, write_atomically
from superdef_bench.io.machine import fix_numerics
from superdef_bench.io.progress import progress_bar
from superdef_bench.nn.quality import psnr
from superdef_bench.prior import MOST, RULES, STEPS, PriorFit, SkipShape, follow, rule_of, shape_for
from superdef_bench.prior.restore import AT_ONCE
from superdef_bench.prior.stopping import StopRule, at_least_one
from superdef_bench.results.facts import Model
from superdef_bench.run.images import eight_bits

ORACLE, BEST = "oracle", "any look"
TOP = 5  # labels that count beside the first one
_FOLDER = "fits"
_MOST_BYTES = 2**26


@dataclass(frozen=True)
class Watch:
    """How fits are watched.

    Attributes:
        steps: Of every fit; 0 for the most that rules of the network's size take.
        every: Steps between two looks at what the classifier says.
        images: Of each kind, at most.
        draws: Fits of each image.
        static: Steps of the rule `static`; 0 for the default of the network.
        seed: Of the networks' weights and noise.
    """

    steps: int = 0
    every: int = 20
    images: int = 64
    draws: int = 2
    static: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("every", "images", "draws"):
            at_least_one(getattr(self, name), name)
        for name in ("steps", "static"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} is {getattr(self, name)}", hint="take 0 or more")

    def settled(self, shape: SkipShape) -> "Watch":
        """Return the same with the steps of a network.

        Raises:
            ConfigError: Looks, or the stop of `static`, come after the last step.
        """
        steps, static = self.steps or MOST[shape], self.static or STEPS[shape]
        for name, value in (("every", self.every), ("static", static)):
            if value > steps:
                raise ConfigError(
                    f"{name} is {value}, but a fit has {steps} steps",
                    hint="give more --steps, or a smaller --" + name,
                )
        return replace(self, steps=steps, static=static)


class Stopped(Model):
    """Where a rule stopped a fit, and whether the label is the first then, or among the first."""

    step: int
    first: bool
    among: bool


class Fit(Model):
    """What was seen of one fit.

    Attributes:
        image: Id of the image.
        draw: Number of the fit.
        label: Class of the image.
        seen_as: Class that the bare classifier gives the image that is fitted.
        first: Whether the label is the first one, at each look.
        among: Whether it is among the first ones.
        rid: Whether the class of `seen_as` is not among them.
        psnr_clean: Of what was drawn to the clean image, in dB, at each look.
        psnr_fitted: To the image that is fitted.
        stops: By rule.
    """

    image: str
    draw: int
    label: int
    seen_as: int
    first: list[bool]
    among: list[bool]
    rid: list[bool]
    psnr_clean: list[float]
    psnr_fitted: list[float]
    stops: dict[str, Stopped]


class Kind(Model):
    """Fits of images of one kind.

    Attributes:
        name: `clean`, or the attack that made them on the bare classifier.
        looks: Steps at which the classifier was asked.
        num_classes: That it knows.
        fits: One for each image and draw; images that the classifier gets right when they are
            clean, and wrong when they are attacked.
    """

    name: str
    looks: list[int]
    num_classes: int
    fits: list[Fit]


def watch_fits(
    folder: Path, out: Path, watch: Watch, *, registry: Registry, device: torch.device
) -> tuple[Watch, list[Kind]]:
    """Fit networks to the clean images of a run, and to those attacked in gray box.

    Every batch is kept in `out` once it is done, and found there again.

    Args:
        folder: Run folder, with its bank.
        out: Where what is done is kept.
        watch: How fits are watched.
        registry: Plugins.
        device: Where to compute.

    Returns:
        How they were watched, with all steps settled, and what was seen.

    Raises:
        ConfigError: The run has no gray box, or steps do not fit together.
        DataError: The folder has no results or examples, or what is kept is damaged.
    """
    fix_numerics()
    run = open_run(folder, registry, device)
    watch = watch.settled(shape_for(*run.benchmark.task.input_shape[1:]))
    batches = [batch for kind in _kinds(run, watch.images) for batch in kind.batches(watch)]
    found: dict[str, Kind] = {}
    with progress_bar(sum(len(batch) for batch in batches)) as bar:
        for batch in batches:
            bar.show(f"fitting {batch.kind}", f"{len(batch)} networks at once")
            kind = _kept(run, batch, out, watch)
            if batch.kind in found:
                kind = kind.model_copy(update={"fits": [*found[batch.kind].fits, *kind.fits]})
            found[batch.kind] = kind
            bar.advance(len(batch))
    return watch, list(found.values())


@dataclass(frozen=True)
class _Batch:
    """Images to be fitted at once, each with its clean one, label and id, and its draw."""

    kind: str
    images: Tensor
    clean: Tensor
    labels: Tensor
    ids: Tensor
    names: Sequence[str]
    draws: Tensor

    def __len__(self) -> int:
        return len(self.images)

    def batches(self, watch: Watch) -> Iterator["_Batch"]:
        """Yield parts to fit at once, of every draw."""
        rows = torch.arange(len(self))
        for draw in range(watch.draws):
            for part in rows.split(AT_ONCE):
                yield _Batch(
                    self.kind,
                    self.images[part],
                    self.clean[part],
                    self.labels[part],
                    self.ids[part],
                    [self.names[row] for row in part.tolist()],
                    torch.full_like(self.ids[part], draw),
                )


def _kinds(run: RunFolder, most: int) -> Iterator[_Batch]:
    """Yield the clean images of a run that are right, and those of each attack that fool.

    Of several radii an image has the smallest that fools.
    """
    bare = run.benchmark.bare
    groups = [
        group
        for group in run.plan.groups
        if group.defense.name == UNDEFENDED and group.rung is Rung.GRAY_BOX and group.attack
    ]
    if not groups:
        raise ConfigError(
            f"{run.benchmark.config.name} attacks nothing in gray box",
            hint='give it rungs = ["gray_box"]',
        )
    for group in [None, *groups]:
        parts: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        names: list[str] = []
        for shard in run.shards():
            if len(names) >= most:
                break
            count = len(shard.images.x) if group is None else shard.attacked(group)
            if not count:
                break
            clean = shard.images.take(torch.arange(count, device=run.device))
            seen, chosen = clean.x, ~_fooled(bare, clean.x, clean.y)
            if group is not None:
                right, chosen = chosen, torch.zeros_like(chosen)
                for cell in group.cells:
                    attacked = run.kept_examples(group, cell, shard).images
                    if run.benchmark.config.eightbit:
                        attacked = eight_bits(attacked, clean.x)
                    new = right & ~chosen & _fooled(bare, attacked, clean.y)
                    seen = torch.where(new[:, None, None, None], attacked, seen)
                    chosen |= new
            rows = chosen.nonzero().flatten()
            names += [shard.names[row] for row in rows.tolist()]
            parts.append((seen[rows], clean.x[rows], clean.y[rows], clean.ids[rows]))
        kind = CLEAN
        if group is not None and group.attack is not None:
            kind = group.attack.name if group.attack.name != CLEAN else f"{CLEAN} (attack)"
        images, cleans, labels, ids = (
            torch.cat([part[place] for part in parts])[:most] for place in range(4)
        )
        yield _Batch(kind, images, cleans, labels, ids, names[:most], torch.zeros_like(ids))


def key_of(model: str, batch: _Batch, watch: Watch) -> str:
    """Return the key under which a batch is kept: all that could change what is seen of it.

    Args:
        model: Fingerprint of the classifier.
        batch: What is fitted.
        watch: How they are watched, settled.
    """
    return fingerprint(
        [watch.steps, watch.every, watch.static, watch.seed],
        model,
        batch.kind,
        [list(batch.names), batch.draws.tolist(), batch.labels.tolist()],
        tensors({"images": batch.images, "clean": batch.clean}),
        sources(Path(__file__)),
    )


def _kept(run: RunFolder, batch: _Batch, out: Path, watch: Watch) -> Kind:
    key = key_of(run.benchmark.task.model_fingerprint, batch, watch)
    file = out / _FOLDER / f"{key}.json"
    try:
        return Kind.model_validate(parse_json(read_file(file, most=_MOST_BYTES)))
    except FileNotFoundError:
        kind = _watched(run, batch, watch)
    except (OSError, ValueError, ValidationError) as error:
        raise DataError(
            f"{file} cannot be read: {' '.join(str(error).split())[:200]}",
            hint="delete it; it is computed again",
        ) from error
    write_atomically(file, f"{kind.model_dump_json()}\n".encode())
    return kind


def _watched(run: RunFolder, batch: _Batch, watch: Watch) -> Kind:
    bare, shape = run.benchmark.bare, shape_for(*batch.images.shape[-2:])
    num_classes = run.benchmark.task.num_classes
    if not len(batch):
        return Kind(name=batch.kind, looks=[], num_classes=num_classes, fits=[])
    random = Random(watch.seed, "fits", batch.ids, draws=batch.draws)
    rules: dict[str, StopRule] = {name: rule_of(name, shape, watch.static)() for name in RULES}
    seen_as = _classes(bare, batch.images)[:, 0]
    looks: list[int] = []
    seen: list[tuple[Tensor, ...]] = []

    def look(step: int, drawn: Tensor, errors: Tensor) -> None:
        if step % watch.every:
            return
        looks.append(step)
        classes = _classes(bare, drawn)
        first, among = _right(classes, batch.labels)
        rid = ~_right(classes, seen_as)[1]
        seen.append((first, among, rid, psnr(drawn, batch.clean), psnr(drawn, batch.images)))

    fit = PriorFit(batch.images, random, shape=shape)
    found = follow(fit, batch.images, rules, most=watch.steps, watch=look)
    stops = {
        name: (at, *_right(_classes(bare, images), batch.labels))
        for name, (images, at) in found.items()
    }
    columns = [torch.stack(column, dim=1).tolist() for column in zip(*seen, strict=True)]
    fits = []
    for row, name in enumerate(batch.names):
        first, among, rid, to_clean, to_fitted = (column[row] for column in columns)
        fits.append(
            Fit(
                image=name,
                draw=int(batch.draws[row]),
                label=int(batch.labels[row]),
                seen_as=int(seen_as[row]),
                first=first,
                among=among,
                rid=rid,
                psnr_clean=[round(value, 3) for value in to_clean],
                psnr_fitted=[round(value, 3) for value in to_fitted],
                stops={
                    rule: Stopped(step=int(at[row]), first=bool(one[row]), among=bool(some[row]))
                    for rule, (at, one, some) in stops.items()
                },
            )
        )
    return Kind(name=batch.kind, looks=looks, num_classes=num_classes, fits=fits)


@torch.no_grad()
def _fooled(bare: torch.nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    return fooled(bare(images), labels)


@torch.no_grad()
def _classes(bare: torch.nn.Module, images: Tensor) -> Tensor:
    """Return the classes of the highest logits, the highest first, `(N, top_of(K))`."""
    logits: Tensor = bare(images)
    return logits.topk(top_of(logits.shape[1]), dim=1).indices


def top_of(num_classes: int) -> int:
    """Return how many classes count as the first ones: five of many, of a few the first alone."""
    return TOP if num_classes > 2 * TOP else 1


def _right(classes: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return whether labels are the first class, and among the first ones, bool `(N,)` each."""
    same = classes == labels[:, None]
    return same[:, 0], same.any(dim=1)


@dataclass(frozen=True)
class Outcome:
    """What a rule makes of fits of one kind.

    Attributes:
        first: Share of fits whose label is the first one where it stopped.
        among: Share whose label is among the first ones.
        median: Step at which it stopped, the median.
    """

    first: float
    among: float
    median: float | None


def outcomes(kind: Kind) -> Mapping[str, Outcome]:
    """Return what each rule makes of fits, and beside them two that look at the label.

    `oracle` is that of Deep Protection: it stops at the first look at which the label is among the
    first classes and that of the attack is not; a fit that has no such look is lost. `any look`
    counts a fit as right that is right at a look or a stop.
    """
    found: dict[str, Outcome] = {}
    for rule in RULES:
        stops = [fit.stops[rule] for fit in kind.fits]
        found[rule] = Outcome(
            _share([stop.first for stop in stops]),
            _share([stop.among for stop in stops]),
            _median([float(stop.step) for stop in stops]),
        )
    chosen = [_oracle(fit) for fit in kind.fits]
    found[ORACLE] = Outcome(
        _share(
            [at is not None and fit.first[at] for fit, at in zip(kind.fits, chosen, strict=True)]
        ),
        _share([at is not None for at in chosen]),
        _median([float(kind.looks[at]) for at in chosen if at is not None]),
    )
    found[BEST] = Outcome(
        _share([any([*fit.first, *(s.first for s in fit.stops.values())]) for fit in kind.fits]),
        _share([any([*fit.among, *(s.among for s in fit.stops.values())]) for fit in kind.fits]),
        None,
    )
    return found


def _oracle(fit: Fit) -> int | None:
    """Return the look at which the oracle stops."""
    attacked = fit.seen_as != fit.label
    for place, (among, rid) in enumerate(zip(fit.among, fit.rid, strict=True)):
        if among and (rid or not attacked):
            return place
    return None


def misfits(kind: Kind) -> tuple[float, float]:
    """Return the shares of fits that `static` lost: overfitted, and underfitted.

    Overfitted is a fit whose label was first at a look before that step, and is not at it;
    underfitted one whose label never was.
    """
    over, under = [], []
    for fit in kind.fits:
        stop = fit.stops["static"]
        looked = zip(fit.first, kind.looks, strict=True)
        was_right = any(right for right, step in looked if step < stop.step)
        over.append(not stop.first and was_right)
        under.append(not stop.first and not was_right)
    return _share(over), _share(under)


def _share(values: Sequence[bool]) -> float:
    return sum(values) / len(values) if values else 0.0


def _median(values: Sequence[float]) -> float | None:
    return float(torch.tensor(values).median()) if values else None
