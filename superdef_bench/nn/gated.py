"""A detector of adversarial images, and a classifier whose defense only those go through."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from superdef_bench.core.errors import ConfigError, DataError
from superdef_bench.core.layout import laid_out
from superdef_bench.core.transform import (
    Checked,
    InputTransform,
    Protected,
    as_it_is,
    resize,
    straight_through,
)
from superdef_bench.nn.resnet import ResNet

_GAIN = 4.0  # brings what is left to the range of an image


class Detector(nn.Module):
    """A small residual network that scores what a smooth picture leaves; over 0 means attacked.

    It sees each pixel less the mean of the nine around it, as detectors of hidden messages do
    (Fridrich and Kodovsky, IEEE TIFS 2012): perturbations stand out there, and pictures do not.

    Args:
        network: With a single logit.
    """

    def __init__(self, network: ResNet) -> None:
        super().__init__()
        self.network = network

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> "Detector":
        """Return the detector whose state dict the recipe `detector` wrote, for use only.

        Raises:
            DataError: It is no state dict of one.
        """
        network = ResNet.of(tensors)
        if network.head.out_features != 1:
            raise DataError(
                f"these weights have {network.head.out_features} outputs, a detector has 1",
                hint="superdef-bench train detector writes some",
            )
        return cls(network.fold())

    def forward(self, x: Tensor) -> Tensor:
        """Map images `(N, C, H, W)` in [0, 1] to scores `(N,)`."""
        around = functional.avg_pool2d(functional.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
        scores: Tensor = self.network(0.5 + _GAIN * (x - around))[:, 0]
        return scores


def roc_area(clean: Tensor, attacked: Tensor) -> float:
    """Return the area under the ROC curve: how often an attacked image scores above a clean one.

    Args:
        clean: Scores of clean images `(M,)`.
        attacked: Scores of attacked ones `(N,)`; what is level with a clean one counts half.
    """
    ranked = clean.sort().values
    above = torch.searchsorted(ranked, attacked)
    level = torch.searchsorted(ranked, attacked, right=True)
    return float((above + level).double().mean() / 2 / len(clean))


class GatedClassifier(Protected):
    """A protected classifier behind a detector: only what it stops goes through the stages.

    What is answered is that of a hard switch: the image itself where the detector's score is 0 or
    less, what the stages make of it where it is more. The gradient of a switch says nothing of
    the detector; attacks go back through the mixture p * defended + (1 - p) * bare logits with p
    the sigmoid of the score, so that they can learn to pass as clean (Carlini and Wagner, AISec
    2017, on detectors).

    Args:
        detector: Maps images `(N, C, H, W)` in [0, 1] to scores `(N,)`; more than 0 means
            attacked. Scores of a few units keep p off 0 and 1, where its gradient is lost.
        stages: As in `Protected`.
        classifier: As in `Protected`.
        settings: The others of `Protected`.
    """

    def __init__(
        self,
        detector: nn.Module,
        stages: Sequence[nn.Module],
        classifier: nn.Module,
        **settings: Any,
    ) -> None:
        super().__init__(stages, classifier, **settings)
        self.detector = detector

    def _like(self, **settings: Any) -> "GatedClassifier":
        return GatedClassifier(self.detector, list(self.stages), self.classifier, **settings)

    def behind(self, stage: InputTransform) -> Protected:
        """Refuse a stage before the detector.

        Raises:
            ConfigError: Always.
        """
        raise ConfigError(
            "what wraps others stands first in its chain",
            hint='write { chain = ["gated", "jpeg", "mustafa"] }: the detector sees the image',
        )

    @property
    def defense(self) -> nn.Module:
        """What the defense adds to the classifier."""
        return nn.ModuleList([self.detector, *self.stages])

    def defend(self, x: Tensor) -> Tensor:
        """Return what the classifier sees of images that are stopped, detector and all."""
        self.detector(x)
        return super().defend(x)

    def stops(self, x: Tensor) -> Tensor:
        """Return which images `(N, C, H, W)` go through the stages, bool `(N,)`."""
        found: Tensor = self.detector(x) > 0
        return found

    def forward(self, x: Tensor) -> Tensor:
        """Return logits as `Protected` does: `(N, K)`, inside `draws` `(n, N, K)`."""
        score: Tensor = self.detector(x)
        if not (torch.is_grad_enabled() and x.requires_grad):
            return self._switched(x, score > 0)[1]
        defended = self.classify(super().defend(x), len(x))
        bare = self.classify(x, len(x))
        stopped, share = (score > 0)[:, None], score.sigmoid()[:, None]
        mixed = share * defended + (1 - share) * bare
        return straight_through(torch.where(stopped, defended, bare), mixed)

    def answer(self, x: Tensor, checked: Checked = as_it_is) -> tuple[Tensor, Tensor]:
        """Return what the classifier gets to see of images `(N, C, H, W)`, and the logits.

        What the stages return is brought to the size of the images, as those that pass have it.
        """
        return self._switched(x, self.stops(x), checked)

    def _switched(
        self,
        x: Tensor,
        stopped: Tensor,
        checked: Checked = as_it_is,
    ) -> tuple[Tensor, Tensor]:
        """Send each image its own way: passing the defense by is what a detector saves."""
        n = self._draws_of_a_call()
        draws = self._next_draws(x, n)  # of all images: those of one depend on no other
        self.passes.forwards += n * len(x)
        places, answers, seen = [], [], x.repeat(n, 1, 1, 1)
        past = (~stopped).nonzero()[:, 0]
        if len(past):
            bare: Tensor = self.classifier(laid_out(x[past], self.layout))
            places.append(past)
            answers.append(bare.expand(n, -1, -1))
        through = stopped.nonzero()[:, 0]
        if len(through):
            rows = (torch.arange(n, device=x.device)[:, None] * len(x) + through).flatten()
            own = None if draws is None else (draws[0], draws[1][rows], draws[2][rows])
            made = self._through(x[through].repeat(n, 1, 1, 1), own)
            images = checked(made, n * len(through))
            seen[rows] = resize(images, (x.shape[-2], x.shape[-1])).clamp(0.0, 1.0)
            logits: Tensor = self.classifier(laid_out(images, self.layout))
            places.append(through)
            answers.append(logits.unflatten(0, (n, -1)))
        found = torch.cat(answers, dim=1)[:, torch.cat(places).argsort()]
        answered = found[0] if self._active is None else found.expand(self._active.n, -1, -1)
        return seen, answered
