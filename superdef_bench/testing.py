"""The contract of each kind of plugin as checks that plugin authors run too.

`superdef-bench check NAME` prints them; a test calls
`assert_contract(load_plugins().get("defense", "my_defense"))`.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from superdef_bench.core.calls import reason
from superdef_bench.core.checks import (
    check_attack_facts,
    check_defended,
    check_defense_facts,
    check_examples,
    check_logits,
    plain_tensor,
)
from superdef_bench.core.errors import ContractError, DataError, SuperdefError
from superdef_bench.core.handover import HandOver
from superdef_bench.core.loader import load_plugins as load_plugins
from superdef_bench.core.plugins import Plugin
from superdef_bench.core.rng import Random
from superdef_bench.core.threats import AttackKind, Goal, Threat
from superdef_bench.core.transform import InputTransform, Protected
from superdef_bench.core.types import Attack, AttackContext, Dataset, Defense, Task
from superdef_bench.engine.finite_difference import gradient_suspicion

_KNOWN = (
    (
        "numpy() on Tensor that requires grad",
        "it leaves torch: set differentiable = False, and attacks go around it",
    ),
    (
        "unexpected keyword argument 'random'",
        "it is stochastic: write transform(self, x, *, random)",
    ),
    ("required keyword-only argument: 'random'", "set stochastic = True"),
    ("required positional argument: 'random'", "set stochastic = True"),
    ("(double) and bias type (float)", "return float32, as it came"),
    ("Found dtype Double", "return float32, as it came"),
)


def remedy(error: BaseException) -> str:
    """Return what to do about an exception, or nothing where that is not known."""
    told = reason(error)
    return next((what for sign, what in _KNOWN if sign in told), "")


CLASSES = 10


def toy_model(channels: int = 3) -> nn.Module:
    """Return a fixed small classifier of ten classes that takes any size."""
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(
        nn.InstanceNorm2d(channels),
        nn.Conv2d(channels, 16, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Linear(16 * 16, CLASSES),
    )
    with torch.no_grad():
        for parameter in model.parameters():
            scale = parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.0
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))
    return model.eval().requires_grad_(False)


def toy_images(count: int = 6, channels: int = 3, size: int = 32) -> tuple[Tensor, Tensor]:
    """Return smooth random images `(count, channels, size, size)` and their ids.

    Each reaches 0 and 1, and each has a brightness of its own: a transform that leaves the range
    or mixes images shows.
    """
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(count, channels, 8, 8, generator=generator)
    images = nn.functional.interpolate(coarse, size=(size, size), mode="bilinear")
    low, high = (edge(dim=(1, 2, 3), keepdim=True) for edge in (images.amin, images.amax))
    gamma = torch.linspace(0.5, 2.0, count).view(-1, 1, 1, 1)
    return ((images - low) / (high - low)).pow(gamma), torch.arange(1, count + 1)


def toy_task(channels: int = 3, size: int = 32) -> Task:
    """Return the task of the toy classifier."""
    names = tuple(f"class {number}" for number in range(CLASSES))
    return Task("toy", "", CLASSES, names, (channels, size, size), "toy", "")


Check = tuple[str, str]  # what was checked, and what is wrong; nothing if all is well

_TOLERANCE = 1e-4


def _attempt(name: str, act: Callable[[], object]) -> Check:
    """Run one check; an exception is its problem."""
    try:
        problem = act()
    except ContractError as error:
        return name, error.message + (f" ({error.hint})" if error.hint else "")
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin may raise anything, SystemExit too
        what = remedy(error)
        return name, f"raised {reason(error)}" + (f" ({what})" if what else "")
    return name, str(problem or "")


def _apart(first: Tensor, second: Tensor) -> str:
    if first.shape != second.shape:
        return f"shapes {tuple(first.shape)} and {tuple(second.shape)}"
    gap = float((first - second).abs().max())
    return "" if gap <= _TOLERANCE else f"they differ by {gap:.3g}, the limit is {_TOLERANCE}"


class _AsItIs(InputTransform):
    """Something to wrap."""

    def transform(self, x: Tensor) -> Tensor:
        return x


def check_defense(defense: Defense) -> Iterator[Check]:
    """Yield what the contract asks of a defense, tried on a toy classifier."""
    said = _attempt("says what it is", lambda: check_defense_facts("it", defense))
    yield said
    if said[1]:
        return
    model, task = toy_model(), toy_task()
    if getattr(defense, "wraps", False):
        model = Protected([_AsItIs()], model).eval()
    x, ids = toy_images()
    guard = HandOver()
    guard.add("the classifier", model)
    built: list[nn.Module] = []
    yield _attempt(
        "protects a classifier, or says what trains it for one",
        lambda: _protect(defense, model, task, built, guard),
    )
    if not built:
        return
    inner = built[0].eval().requires_grad_(False)
    protected = inner
    if not isinstance(protected, Protected):
        protected = Protected((), inner, stochastic=defense.stochastic).eval()

    def checked(made: Tensor, count: int) -> Tensor:
        defended = plain_tensor("it", made)
        check_defended("it", defended, count, x.shape[1])
        return defended

    def trace(images: Tensor, keys: Tensor, purpose: Any = "score") -> tuple[Tensor, Tensor]:
        view = protected.view("exact", seed=0)
        with guard.to("it", ContractError), torch.no_grad(), view.draws(keys, 1, purpose):
            defended, logits = view.answer(images, checked)
            logits = plain_tensor("it", logits)
        return check_logits("it", logits, len(images), CLASSES), defended

    def shapes() -> str:
        copy = x.clone()
        trace(x, ids)
        return "" if torch.equal(copy, x) else "it changed its input images"

    yield _attempt("keeps batch, channels, classes, [0, 1] and its input", shapes)
    if defense.stochastic:
        name = "gives an image the same draw again, and another for another purpose"
        yield _attempt(name, lambda: _draws(trace, x, ids))
    else:
        name = "gives the same answer twice"
        yield _attempt(name, lambda: _apart(trace(x, ids)[0], trace(x, ids)[0]))
    single = "treats an image the same alone and in a batch"
    yield _attempt(single, lambda: _alone(trace, x, ids))
    if defense.differentiable:
        stages: list[nn.Module] = [*protected.transforms] or [protected]
        reasons = (lambda s=stage: gradient_suspicion(s, x) for stage in stages)
        for act in reasons:
            yield _attempt("has the gradient it claims", act)
    if protected.transforms:
        yield _attempt(
            "passes a gradient through its bpda_surrogate", lambda: _goes_back(protected, x, ids)
        )


def _protect(
    defense: Defense, model: nn.Module, task: Task, built: list[nn.Module], guard: HandOver
) -> None:
    try:
        with guard.to("it", ContractError, draws=True):
            built.append(defense.protect(model, task))
    except DataError as error:
        if "superdef-bench train " not in error.hint:
            raise


def _draws(trace: Callable[..., tuple[Tensor, Tensor]], x: Tensor, ids: Tensor) -> str:
    first, again = trace(x, ids)[1], trace(x, ids)[1]
    if not torch.equal(first, again):
        return "the same draw differs: it draws from elsewhere than `random`"
    same = torch.equal(first, trace(x, ids, "attack")[1])
    return "two purposes share a draw: it makes no use of `random`" if same else ""


def _alone(trace: Callable[..., tuple[Tensor, Tensor]], x: Tensor, ids: Tensor) -> str:
    rows = list(zip(x.split(1), ids.split(1), strict=True))
    together, alone = trace(x, ids), [trace(image, key) for image, key in rows]
    parts = (torch.cat([row[which] for row in alone]) for which in (0, 1))
    return next(filter(None, map(_apart, together, parts)), "")


def _goes_back(protected: Protected, x: Tensor, ids: Tensor) -> str:
    view, leaf = protected.view("bpda"), x.clone().requires_grad_()
    with view.draws(ids, 1, "attack"):
        logits = view(leaf)
    gradient = torch.autograd.grad(logits[0, :, 0].sum(), leaf)[0]
    return "" if bool(gradient.abs().flatten(1).amax(dim=1).gt(0).all()) else "it is zero"


def check_attack(attack: Attack) -> Iterator[Check]:
    """Yield what the contract asks of an attack, tried on a toy classifier."""
    said = _attempt("names its norms, kind and access", lambda: check_attack_facts("it", attack))
    yield said
    if said[1]:
        return
    for norm in sorted(attack.norms):
        # Far enough to fool the toy classifier by a gradient, too near for noise.
        eps = {"linf": 0.1, "l2": 3.0}[norm]
        threat = Threat(norm, eps if attack.kind == AttackKind.BUDGET else None)
        for goal in ("verdict", "strength"):
            trial = _Trial(attack, threat, goal)
            yield from trial.checks()
            if norm == min(attack.norms) and goal == "verdict":
                yield _attempt("says whether it follows a target", trial.aims)


class _Trial:
    """An attack on the toy classifier under one threat and goal."""

    def __init__(self, attack: Attack, threat: Threat, goal: Goal) -> None:
        self._attack, self._threat, self._goal = attack, threat, goal
        self._model = Protected((), toy_model()).eval()
        self._guard = HandOver()
        self._guard.add("the classifier", self._model)
        self._x, self._ids = toy_images()
        self._y = self._model(self._x).argmax(dim=1)
        self._found: Tensor | None = None

    @property
    def found(self) -> Tensor:
        """What the attack makes of all images; a slow one is not run for every check."""
        if self._found is None:
            self._found = self.run()
        return self._found

    def run(self, rows: slice = slice(None), *, target: Tensor | None = None) -> Tensor:
        """Return what the attack makes of some images; `target` has a label for each."""
        torch.manual_seed(0)
        ids = self._ids[rows]
        random = Random(0, "check", ids)
        context = AttackContext.start(ids, random, goal=self._goal, target=target)
        x, copy = self._x[rows].clone(), self._x[rows].clone()
        model = self._model.view("exact")
        with self._guard.to("it", ContractError, draws=True):
            returned = self._attack(model, x, self._y[rows], self._threat, context)
        return check_examples("it", x, copy, returned, self._threat)

    def checks(self) -> Iterator[Check]:
        where = f"({self._threat.norm}, {self._goal})"
        yield _attempt(f"keeps shape, range, ball and input {where}", self._kept)
        yield _attempt(f"gives the same twice {where}", lambda: _apart(self.found, self.run()))
        if self._attack.access == "gradient":
            yield _attempt(f"fools the toy classifier {where}", self._fools)
        if getattr(self._attack, "batch_dependent", None) is False:
            yield _attempt(f"treats an image the same alone {where}", self._alone)

    def aims(self) -> str:
        """Compare what the attack makes with a target, the least likely label, and without."""
        says = getattr(self._attack, "targeted", None)
        if says is False or self._attack.kind == AttackKind.CORRUPTION:
            return ""
        target = self._model(self._x).argmin(dim=1)
        before = self._nearness(self.found, target)
        try:
            after = self._nearness(self.run(target=target), target)
        except Exception:  # it takes no target, and does not say that it would
            if says:
                raise
            return ""
        follows = int((after > before).sum()) > len(target) // 2
        if follows and not says:
            return "it follows context.target: add targeted = True"
        if says and not follows and self._attack.access == "gradient":
            return "it says targeted = True, and comes no nearer to context.target"
        return ""

    def _nearness(self, images: Tensor, target: Tensor) -> Tensor:
        """Return the logarithm of the probability of each target, `(N,)`."""
        return -nn.functional.cross_entropy(self._model(images), target, reduction="none")

    def _kept(self) -> None:
        self._found = self.run()

    def _fools(self) -> str:
        left = int((self._model(self.found).argmax(dim=1) == self._y).sum())
        half = len(self._y) // 2
        return f"{left} of {len(self._y)} images are still right" if left > half else ""

    def _alone(self) -> str:
        rows = [0, len(self._x) - 1]
        singles = [self.run(slice(row, row + 1)) for row in rows]
        return _apart(self.found[rows], torch.cat(singles))


def check_model(model: nn.Module) -> Iterator[Check]:
    """Yield what the contract asks of a classifier, tried on 32x32 RGB images."""
    x, _ = toy_images()
    classifier = model.eval()
    guard = HandOver()
    guard.add("its network", classifier, lambda: (classifier(x), classifier(x[:1])))

    def logits(images: Tensor) -> Tensor:
        with guard.to("it", ContractError), torch.no_grad():
            return plain_tensor("it", classifier(images))

    def shape() -> str:
        out = logits(x)
        fits = out.ndim == 2 and len(out) == len(x) and bool(torch.isfinite(out).all())
        return "" if fits else f"it returned {tuple(out.shape)}"

    yield _attempt("maps images to finite logits (N, K)", shape)
    yield _attempt("gives the same answer twice", lambda: _apart(logits(x), logits(x)))
    rows = "treats an image the same alone and in a batch"
    yield _attempt(rows, lambda: _apart(logits(x), torch.cat([logits(i) for i in x.split(1)])))
    yield _attempt("has a gradient", lambda: gradient_suspicion(classifier, x))


def check_dataset(dataset: Dataset) -> Iterator[Check]:
    """Yield what the contract asks of a dataset."""
    count = min(4 * dataset.num_classes, len(dataset.ids))

    def first() -> str:
        with HandOver().to("it", ContractError, draws=True):
            x, y = dataset.load(range(count))
        if x.ndim != 4 or len(x) != count or x.dtype != torch.float32 or y.dtype != torch.int64:
            return f"it returned {x.dtype} {tuple(x.shape)} and {y.dtype} {tuple(y.shape)}"
        low, high = float(x.min()), float(x.max())
        return "" if low >= 0 and high <= 1 and high > low else f"pixels lie in [{low}, {high}]"

    def subset() -> str:
        x, y = dataset.load(range(count))
        again, labels = dataset.load([count - 1, 0])
        same = torch.equal(again, x[[count - 1, 0]]) and torch.equal(labels, y[[count - 1, 0]])
        return "" if same else "the same index gave another image"

    def balanced() -> str:
        labels = dataset.load(range(count))[1]
        sizes = torch.bincount(labels, minlength=dataset.num_classes)
        if int(sizes.max() - sizes.min()) <= 1:
            return ""
        if count < len(dataset.ids):
            return f"class sizes {sizes.tolist()}"
        # All of it: classes may have run out, so no image may come before one of an earlier round.
        seen: Counter[int] = Counter()
        rounds = []
        for label in labels.tolist():
            seen[label] += 1
            rounds.append(seen[label])
        return "" if rounds == sorted(rounds) else "classes do not come in turn"

    yield _attempt("loads float32 images in [0, 1] and int64 labels", first)
    yield _attempt("loads the same image for the same index", subset)
    yield _attempt("has a balanced prefix", balanced)
    unique = len(set(dataset.ids)) == len(dataset.ids)
    yield "has unique ids", "" if unique else "an id stands twice"
    named = len(dataset.class_names) == dataset.num_classes
    yield "names its classes", "" if named else f"{len(dataset.class_names)} names"
    yield _attempt("has a sha256", lambda: "" if len(dataset.sha256) == 64 else dataset.sha256)


def check_plugin(plugin: Plugin, *, download: bool = True) -> Iterator[Check]:
    """Yield the checks of a plugin, built with its defaults.

    Args:
        plugin: What is checked.
        download: Whether it may download; if not, its argument `download` is false.

    Raises:
        DataError: The plugin's data is not there, or damaged.
    """
    offline = not download and "download" in plugin.defaults
    try:
        with HandOver().to("it", ContractError, draws=True):
            built = plugin.build(**({"download": False} if offline else {}))
    except SuperdefError as error:
        if isinstance(error, DataError):
            raise
        yield "builds with its defaults", error.message
        return
    yield "builds with its defaults", ""
    if plugin.kind == "recipe":
        yield "can train", "" if callable(getattr(built, "train", None)) else "it has no train()"
        return
    checks: dict[str, Callable[[Any], Iterator[Check]]] = {
        "attack": check_attack,
        "defense": check_defense,
        "model": check_model,
        "dataset": check_dataset,
    }
    try:
        yield from checks[plugin.kind](built)
    except (SuperdefError, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:  # a property, say, that raises
        yield "can be looked at", f"raised {reason(error)}"


def findings(checks: Sequence[Check]) -> list[str]:
    """Return what is wrong, a line each: the checks that found it, and it.

    What several checks found is said once, with the first of them and how many more.
    """
    by_problem: dict[str, list[str]] = {}
    for name, problem in checks:
        if problem:
            by_problem.setdefault(problem, []).append(name)
    return [
        f"{names[0]}{_more(len(names) - 1)}: {problem}" for problem, names in by_problem.items()
    ]


def _more(count: int) -> str:
    return f", and {count} more check{'s' * (count > 1)}" if count else ""


def assert_contract(plugin: Plugin, *, download: bool = True) -> None:
    """Raise ContractError with every check that a plugin fails; `download` as in `check_plugin`."""
    checks = check_plugin(plugin, download=download)
    found = findings(list(checks))
    if found:
        raise ContractError(
            f"{plugin.kind} {plugin.name!r} breaks its contract: {'; '.join(found)}"
        )
