"""Input transformations and the protected classifiers that they make."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from superdef_bench.core.layout import laid_out
from superdef_bench.core.rng import Random
from superdef_bench.core.threats import CONTIGUOUS, Layout
from superdef_bench.core.types import Task

Gradient = Literal["exact", "bpda"]
Purpose = Literal["attack", "check", "score"]
Output = Literal["native", "resize_back"]


def resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize images `(N, C, H, W)` by bicubic (a = -0.5, antialiased when shrinking).

    That is the convention of PIL and MATLAB. The result may leave [0, 1].
    """
    if x.shape[-2:] == size:
        return x
    return functional.interpolate(x, size=size, mode="bicubic", antialias=True)


_SURROGATES = {"bpda_surrogate", "surrogate"}


class InputTransform(nn.Module):
    """Base of defenses that change the image before the classifier sees it.

    Write `transform(x)`, or `transform(x, *, random)` where `stochastic = True`, for images
    `(N, C, H, W)` in [0, 1]; it returns images in [0, 1], of another size if it likes.

    Where the gradient is missing or useless set `differentiable = False`; attacks that know
    the defense then go back through `bpda_surrogate(x)` (BPDA; Athalye et al., ICML 2018), by
    default the identity. What it returns is resized (bicubic) where its size is not that of the
    transform. That of a stochastic transform gets `random` with the draw of the forward pass.
    Where the transform takes too long for that, `attack_view` may return a cheaper one.

    Attributes:
        differentiable: Whether autograd through `transform` gives its true gradient.
        stochastic: Whether `transform` draws random numbers.
        output: `native` hands on the size that `transform` returns, `resize_back` brings it
            back to the size of the input.
        reach: How far, in pixels, a pixel of the input can be from the place in `transform`'s
            output that it decides on; None where nobody knows, or every pixel has a say. `apply`
            takes large images apart where it is known: `transform` then returns a whole multiple
            of the size that it is given.
        align: A tile of an image may begin at multiples of so many pixels: the side of the
            blocks that `transform` works on.
    """

    differentiable: bool = True
    stochastic: bool = False
    output: Output = "native"
    reach: int | None = None
    align: int = 1

    transform: Callable[..., Tensor]

    def bpda_surrogate(self, x: Tensor, *args: Any, **arguments: Any) -> Tensor:
        """Stand in for `transform` in the backward pass."""
        return x

    surrogate = bpda_surrogate  # its older name, which plugins may override

    def attack_view(self) -> "InputTransform":
        """Return what attacks that go around the transform (BPDA) run forward, by default itself.

        A cheaper transform, with images of the same size and no more random than this one; what
        weights it has are this one's, or in a submodule of it. Whether examples fool is asked of
        the transform itself; rows say so, and count as no full suite.
        """
        return self

    def __init_subclass__(cls, **arguments: Any) -> None:
        """Make one method of the two names, whichever the class or a base of it defines."""
        super().__init_subclass__(**arguments)
        own = next(vars(kind) for kind in cls.__mro__ if _SURROGATES & vars(kind).keys())
        found = own.get("bpda_surrogate", own.get("surrogate"))
        cls.bpda_surrogate = cls.surrogate = found  # type: ignore[method-assign]  # two names of one

    def forward(self, x: Tensor, random: Random | None = None) -> Tensor:
        """Return the transformed images, brought to the size that `output` asks for."""
        out = self.transform(x, random=random) if self.stochastic else self.transform(x)
        if self.output == "resize_back":
            out = resize(out, (x.shape[-2], x.shape[-1])).clamp(0.0, 1.0)
        return out

    def straight_through(self, x: Tensor, random: Random | None, again: Random | None) -> Tensor:
        """Return `forward(x)` whose backward pass runs through `bpda_surrogate`."""
        with torch.no_grad():
            exact = self(x.detach(), random)
        draw = {"random": again} if self.stochastic else {}
        goes_back = vars(self).get("surrogate", self.bpda_surrogate)  # set on the instance alone
        stand_in = goes_back(x, **draw)
        size = (exact.shape[-2], exact.shape[-1])
        return straight_through(exact, resize(stand_in, size))

    def protect(self, model: nn.Module, task: Task) -> "Protected":
        """Put the transform before `model`, or before the stages that already protect it."""
        return model.behind(self) if isinstance(model, Protected) else Protected([self], model)


class _StraightThrough(torch.autograd.Function):
    """Forward the first tensor, send the gradient to the second."""

    @staticmethod
    def forward(ctx: Any, exact: Tensor, stand_in: Tensor) -> Tensor:
        return exact.view_as(exact)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
        return None, gradient


def straight_through(exact: Tensor, stand_in: Tensor) -> Tensor:
    """Return `exact`, with the gradient of `stand_in`, a tensor of the same shape."""
    result: Tensor = _StraightThrough.apply(exact, stand_in)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return result


@dataclass
class Passes:
    """Image passes through a classifier; a draw of a stochastic defense counts as one."""

    forwards: int = 0
    backwards: int = 0


class _Count(torch.autograd.Function):
    """The identity; counts the images that go back through it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, passes: Passes) -> Tensor:
        ctx.passes = passes
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        ctx.passes.backwards += len(gradient)
        # Reference attacks call `view` on it, which stops on channels_last gradients.
        return gradient.contiguous(), None


@dataclass(frozen=True)
class _Draws:
    ids: Tensor
    n: int
    purpose: Purpose
    first: int | None


Checked = Callable[[Tensor, int], Tensor]


def as_it_is(made: Tensor, count: int) -> Tensor:
    """Check nothing of what stages made of `count` images."""
    return made


Drawn = tuple[str, Tensor, Tensor]  # the purpose, and image id and draw of each row


class Protected(nn.Module):
    """A classifier behind stages that transform its input.

    Without stages it is the bare classifier, or a defense that comes as a plain module.
    Outside `draws` it maps images `(N, C, H, W)` to logits `(N, K)` and a stochastic stage
    draws by row and call; inside, logits are `(n, N, K)` and draws belong to image ids.

    Args:
        stages: Transforms, the first one sees the image.
        classifier: What the last stage feeds.
        gradient: `exact`, or `bpda`: backward through each stage's `bpda_surrogate`.
        stochastic: Whether the classifier itself draws random numbers.
        layout: How the images of the classifier lie in memory.
    """

    def __init__(
        self,
        stages: Sequence[nn.Module],
        classifier: nn.Module,
        *,
        gradient: Gradient = "exact",
        stochastic: bool = False,
        seed: int = 0,
        stream: str = "defense",
        layout: Layout = CONTIGUOUS,
    ) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.classifier = classifier
        self.gradient, self.seed, self.stream = gradient, seed, stream
        self.layout = layout
        self.transforms = [stage for stage in stages if isinstance(stage, InputTransform)]
        if gradient == "bpda":
            # No submodules: what they hold belongs to the stages.
            views = [stage.attack_view() for stage in self.transforms]
            self.transforms = [
                stage if view is stage else view.eval()
                for stage, view in zip(self.transforms, views, strict=True)
            ]
        self.stochastic = stochastic or any(stage.stochastic for stage in self.transforms)
        self.passes = Passes()
        self._active: _Draws | None = None
        self._taken = {"attack": 0, "check": 0, "score": 0}
        self._calls = 0

    def view(
        self,
        gradient: Gradient,
        *,
        seed: int | None = None,
        stream: str = "",
        layout: Layout | None = None,
    ) -> "Protected":
        """Return the same classifier with a gradient view, draws and pass counts of its own."""
        view = self._like(
            gradient=gradient,
            stochastic=self.stochastic,
            seed=self.seed if seed is None else seed,
            stream=stream or self.stream,
            layout=layout or self.layout,
        )
        return view.train(self.training)

    def _like(self, **settings: Any) -> "Protected":
        """Return the same stages and classifier with other settings."""
        return Protected(list(self.stages), self.classifier, **settings)

    def behind(self, stage: InputTransform) -> "Protected":
        """Return the same classifier with a stage more, which sees the image first."""
        return Protected([stage, *self.stages], self.classifier)

    @property
    def defense(self) -> nn.Module:
        """What the defense adds to the classifier."""
        return self.stages

    @contextmanager
    def draws(
        self, ids: Tensor, n: int, purpose: Purpose, first: int | None = None
    ) -> Iterator[None]:
        """Give row i of every batch the next `n` draws of image `ids[i]`.

        Args:
            ids: Image ids, int64 `(N,)`.
            n: Draws per call.
            purpose: `attack`, `check` and `score` never share a draw.
            first: Number of the first draw; by default the one after the last call's.
        """
        before, self._active = self._active, _Draws(ids, n, purpose, first)
        try:
            yield
        finally:
            self._active = before

    def forward(self, x: Tensor) -> Tensor:
        """Return logits: `(N, K)`, inside `draws` `(n, N, K)`."""
        defended = self.defend(x)
        logits = self.classify(defended, len(x))
        if x.requires_grad and not (defended.requires_grad and logits.requires_grad):
            # A stage hides its gradient. Attacks see zeros and go on; checks make it suspect.
            logits = logits + 0.0 * x.flatten(1).sum(dim=1, keepdim=True)
        return logits

    def answer(self, x: Tensor, checked: Checked = as_it_is) -> tuple[Tensor, Tensor]:
        """Return what the classifier gets to see of images `(N, C, H, W)`, and the logits.

        Args:
            x: Images.
            checked: Returns what the stages made of so many images, before the classifier gets
                it, or raises.
        """
        defended = checked(self.defend(x), len(x) * self._draws_of_a_call())
        return defended, self.classify(defended, len(x))

    @property
    def has_attack_view(self) -> bool:
        """Whether attacks that go around a stage run another one in its place."""
        seen = self.view("bpda").transforms
        return any(shown is not stage for shown, stage in zip(seen, self.transforms, strict=True))

    @property
    def drew_by_row(self) -> bool:
        """Whether draws went by row and call, so that an answer depends on its batch."""
        return self._calls > 0

    def classify(self, defended: Tensor, count: int) -> Tensor:
        """Return the logits of what `defend` returned for `count` images."""
        logits: Tensor = self.classifier(laid_out(defended, self.layout))  # (n * N, K)
        if self._active is None:
            return logits
        stacked = logits.unflatten(0, (-1, count))  # (n, N, K)
        return stacked.expand(self._active.n, -1, -1)

    def defend(self, x: Tensor) -> Tensor:
        """Return what the classifier gets to see, `(n * N, C, H', W')`; counts as a pass."""
        n = self._draws_of_a_call()
        images = x.repeat(n, 1, 1, 1) if n > 1 else x
        self.passes.forwards += len(images)
        return self._through(images, self._next_draws(x, n))

    def _draws_of_a_call(self) -> int:
        return self._active.n if self._active and self.stochastic else 1

    def _through(self, images: Tensor, draws: Drawn | None) -> Tensor:
        """Return images `(M, C, H, W)` behind all stages; row i of each has the draw i."""
        if images.requires_grad:
            images = _Count.apply(images, self.passes)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        for number, stage in enumerate(self.transforms):
            images = self._run_stage(stage, images, f"{self.stream}/{number}", draws)
        return images

    def _next_draws(self, x: Tensor, n: int) -> Drawn | None:
        """Return the purpose, and image id and draw of each row, where something is random."""
        if not self.stochastic:
            return None
        if self._active is None:
            ids = torch.arange(len(x), device=x.device)
            self._calls += 1
            return "row", ids, torch.full_like(ids, self._calls - 1)
        purpose, first = self._active.purpose, self._active.first
        if first is None:
            first = self._taken[purpose]
            self._taken[purpose] += n
        numbers = torch.arange(first, first + n, device=x.device)
        return purpose, self._active.ids.repeat(n), numbers.repeat_interleave(len(x))

    def _run_stage(
        self,
        stage: InputTransform,
        x: Tensor,
        stream: str,
        draws: Drawn | None,
    ) -> Tensor:
        def random() -> Random | None:
            if draws is None or not stage.stochastic:
                return None
            purpose, ids, numbers = draws
            return Random(self.seed, f"{stream}/{purpose}", ids, draws=numbers)

        if self.gradient == "bpda" and torch.is_grad_enabled():
            return stage.straight_through(x, random(), random())
        out: Tensor = stage(x, random())
        return out


def shows_a_view(protected: Protected, gradient: Gradient) -> bool:
    """Return whether an attack in a gradient view sees an attack view in a stage's place."""
    return gradient == "bpda" and protected.has_attack_view


class ScoresOnly(nn.Module):
    """A protected classifier that answers with logits and shows nothing else.

    Inputs are detached, answers have no graph, and the classifier is no submodule: neither
    autograd nor a hook reaches into it.
    """

    draws: Callable[..., AbstractContextManager[None]]

    def __init__(self, protected: Protected) -> None:
        super().__init__()
        self.stochastic = protected.stochastic

        def answer(x: Tensor) -> Tensor:
            with torch.no_grad():
                logits: Tensor = protected(x.detach().clone())
            return logits.clone()

        @contextmanager
        def draws(
            ids: Tensor, n: int, purpose: Purpose, first: int | None = None
        ) -> Iterator[None]:
            with protected.draws(ids, n, purpose, first):
                yield

        self._answer, self.draws = answer, draws

    def forward(self, x: Tensor) -> Tensor:
        """Return logits as `Protected` does, without a graph."""
        return self._answer(x)
