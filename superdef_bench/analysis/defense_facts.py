"""What a defense does to real images and their classifier, measured in seconds on a CPU."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from superdef_bench.benchmark.build import build
from superdef_bench.benchmark.built import Benchmark, BuiltDefense
from superdef_bench.benchmark.config import find_config, load_config
from superdef_bench.core.plugins import Plugin, Registry
from superdef_bench.core.rng import image_id
from superdef_bench.core.transform import Protected
from superdef_bench.engine.finite_difference import gradient_errors
from superdef_bench.run.images import Images
from superdef_bench.run.plan import make_plan
from superdef_bench.run.probes import ask

CONFIG = "signs-linf"  # whose images, classifier and attacks are taken
_IMAGES, _FEW = 48, 8
_SECONDS = 5.0  # for a forward pass over all images; a slow defense gets fewer
_FALL = 10  # points of clean accuracy that deserve a look
_SHIFT, _NARROW, _WIDE = 0.1, 0.5, 2.0  # of brightness and of contrast
_BORDER = 0.1  # of the pixels, beyond those that the input has there
_ALIKE = 1e-4
_STEP, _WRONG = 1e-3, 0.3  # of a finite difference; error that is no rounding
_LONG = 3600.0  # seconds


@dataclass(frozen=True)
class Fact:
    """One property.

    Attributes:
        hint: What may be wrong, and where to look; empty where nothing seems so.
    """

    name: str
    value: str
    hint: str = ""


def facts(plugin: Plugin, registry: Registry) -> Iterator[Fact]:
    """Yield what a defense, with its defaults, does on the embedded signs and their classifier.

    Raises:
        SuperdefError: It cannot protect that classifier; the message says why.
    """
    config = load_config(find_config(CONFIG)).select(defenses=[plugin.name])
    benchmark = build(config, registry, torch.device("cpu"))
    defense = benchmark.defenses[-1]
    count = max(2, min(_IMAGES, int(_SECONDS / max(defense.seconds, 1e-6))))
    x, y = benchmark.dataset.load(range(count))
    names = benchmark.dataset.ids[:count]
    images = Images(x, y, torch.tensor([image_id(name) for name in names]))
    first, seen = _look(defense.protected, benchmark.bare, images)
    again, _ = _look(defense.protected, benchmark.bare, images)
    yield _same("the same again", first, again, "draw from `random` only, keep no state")
    few = range(min(_FEW, count))
    alone = [images.take(torch.tensor([row])) for row in few]
    single = torch.cat([_look(defense.protected, benchmark.bare, one)[0] for one in alone])
    yield _same("alone and in a batch", first[: len(single)], single, "no statistics of a batch")
    yield from _gradient(defense, images.take(torch.arange(len(few))))
    yield from _left_behind(defense)
    if seen is not None:
        yield from _pixels(x, seen)
    yield _clean(_look(benchmark.bare, benchmark.bare, images)[0], first, images)
    yield from _expense(benchmark, defense, images.take(torch.arange(len(few))))


def _look(protected: Protected, bare: Protected, images: Images) -> tuple[Tensor, Tensor | None]:
    """Return logits `(N, K)`, and the images that the classifier got, if it is still there."""
    got: list[Tensor] = []
    hook = bare.classifier.register_forward_pre_hook(lambda _, given: got.append(given[0]))
    view = protected.view("exact")
    try:
        with torch.no_grad(), view.draws(images.ids, 1, "check", 0):
            logits: Tensor = view(images.x)[0]
    finally:
        hook.remove()
    return logits, torch.cat(got) if got else None


def _same(name: str, first: Tensor, second: Tensor, remedy: str) -> Fact:
    gap = float((first - second).abs().max())
    value = "bit for bit" if gap == 0 else f"logits differ by up to {gap:.1g}"
    return Fact(name, value, remedy if gap > _ALIKE * max(1.0, float(first.abs().max())) else "")


def _gradient(defense: BuiltDefense, images: Images) -> Iterator[Fact]:
    view = defense.gradient
    if view is None:
        yield Fact("gradient", "none, and no stages to go around", "no row: nothing can rank it")
        return
    bad, error = ask("ce_gradient", defense.protected, view, images)
    how = "exact" if view == "exact" else "BPDA, through bpda_surrogate(x)"
    there = f"{how}; not zero on {len(images) - sum(bad)} of {len(images)} images"
    yield Fact("gradient", error or there, "attacks find nothing to climb" if any(bad) else "")
    if view != "exact":
        return
    stages: list[nn.Module] = [*defense.protected.transforms] or [defense.protected]
    found = [float(gradient_errors(s, images.x, images.ids, _STEP).median()) for s in stages]
    value = f"error {max(found):.2g} against finite differences along random directions"
    hidden = "a detach, no_grad or rounding is hidden in it, or say differentiable = False"
    yield Fact("its slope", value, hidden if max(found) > _WRONG else "")


def _left_behind(defense: BuiltDefense) -> Iterator[Fact]:
    """Yield tensors that are plain attributes: neither a GPU nor a key gets them."""
    own = [
        name
        for module in defense.protected.modules()
        for name, value in vars(module).items()
        if isinstance(value, Tensor)
    ]
    if own:
        yield Fact("plain tensors", ", ".join(own), "register_buffer: they stay behind on a GPU")


def _pixels(x: Tensor, seen: Tensor) -> Iterator[Fact]:
    """Yield range, brightness and contrast of what the classifier saw: has it been scaled?"""
    low, high = float(seen.min()), float(seen.max())
    size = f", {seen.shape[-1]}x{seen.shape[-2]}" if seen.shape != x.shape else ""
    outside = "the classifier takes [0, 1] and normalises itself"
    wrong = low < -_ALIKE or high > 1 + _ALIKE
    yield Fact("classifier gets", f"[{low:.3g}, {high:.3g}]{size}", outside if wrong else "")
    shift = float(seen.mean() - x.mean())
    ratio = float(seen.std() / x.std().clamp_min(1e-6))
    scaled = abs(shift) > _SHIFT or not _NARROW < ratio < _WIDE
    value = f"brightness {shift:+.3f}, contrast x{ratio:.2f}"
    yield Fact("against the input", value, f"scaled? {outside}" if scaled else "")
    ends = [float(((image <= 0) | (image >= 1)).float().mean()) for image in (x, seen)]
    cut = "clamped, or padded: no gradient there" if ends[1] > ends[0] + _BORDER else ""
    yield Fact("pixels at 0 or 1", f"{100 * ends[1]:.1f} %, input {100 * ends[0]:.1f} %", cut)


def _clean(bare: Tensor, logits: Tensor, images: Images) -> Fact:
    before, after = (
        100 * float((found.argmax(dim=1) == images.y).float().mean()) for found in (bare, logits)
    )
    fall = before - after
    value = f"{after:.1f} %, undefended {before:.1f} %, on {len(images)} images"
    much = "an attacker needs to do little: is it what the classifier was trained on?"
    return Fact("clean accuracy", value, much if fall > _FALL else "")


def _expense(benchmark: Benchmark, defense: BuiltDefense, images: Images) -> Iterator[Fact]:
    """Yield memory and time of a gradient per image, and of all cells of the row."""
    saved: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    start = time.perf_counter()
    if defense.gradient is not None:
        view, x = defense.protected.view(defense.gradient), images.x.clone().requires_grad_()
        with saved_tensors_hooks(pack, lambda it: it), view.draws(images.ids, 1, "check", 0):
            logits = view(x)[0]
        logits.sum().backward()
    spent = (time.perf_counter() - start) / len(images)
    fixed = {p.untyped_storage().data_ptr() for p in defense.protected.state_dict().values()}
    held = sum(size for place, size in saved.items() if place not in fixed) / len(images)
    yield Fact("memory per image", f"{held / 2**20:.2f} MiB held for a gradient")
    forward = f"{1000 * defense.seconds:.2f} ms forward"
    yield Fact("time per image", f"{forward}, {1000 * spent:.2f} ms with a gradient")
    groups = [group for group in make_plan(benchmark).groups if group.defense is defense]
    known = sum(group.seconds or 0.0 for group in groups)
    slow = "limit = 64 in its row takes fewer images" if known > _LONG else ""
    yield Fact(f"its row of {CONFIG}", f"{known / 60:.0f} min at most, here on a CPU", slow)
