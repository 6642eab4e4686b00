"""Train a detector of adversarial images, choose its threshold, and say what it finds."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from superdef_bench.core.errors import ConfigError
from superdef_bench.core.rng import Random
from superdef_bench.core.threats import Threat
from superdef_bench.core.types import AttackContext, Dataset
from superdef_bench.engine import Loss, ascend, cross_entropy, margin
from superdef_bench.nn import Detector, roc_area
from superdef_bench.training.adversarial import read_radius
from superdef_bench.training.classifier import flip_crop
from superdef_bench.training.data import at_once, check_batch, read_all
from superdef_bench.training.loop import Fit, check_seed, fit_network, rate_of

_AT_ONCE = 250
_MEASURED = 500  # images that are attacked to measure
_SPREAD = 2.0  # the mean distance of a score from the threshold, in the weights that are written
_POINTS = 50  # of a ROC curve
_LEVELS = 255


@dataclass(frozen=True)
class Probe:
    """An attack on the bare classifier whose examples the detector sees.

    Attributes:
        part: Its radius, as a part of the largest.
    """

    name: str
    steps: int
    part: float
    loss: Loss = cross_entropy

    def examples(self, model: nn.Module, x: Tensor, y: Tensor, eps: float, seed: int) -> Tensor:
        """Return adversarial images for `x` `(N, C, H, W)`; the same seed draws the same."""
        ids, radius = torch.arange(len(x), device=x.device), self.part * eps
        return ascend(
            model,
            x,
            y,
            Threat("linf", radius),
            AttackContext.start(ids, Random(seed, f"detector/{self.name}", ids)),
            steps=self.steps,
            step_size=radius if self.steps == 1 else 2.5 * radius / self.steps,
            random_starts=self.steps > 1,
            loss=self.loss,
        )


# From one step at the whole radius to many at a quarter of it: the weakest are the hardest to see.
PROBES = (
    Probe("fgsm", 1, 1.0),
    Probe("pgd", 7, 1.0),
    Probe("pgd_half", 7, 0.5),
    Probe("pgd_quarter", 7, 0.25),
    Probe("margin_quarter", 7, 0.25, margin),
)


@dataclass(frozen=True)
class DetectorSettings:
    """Hyper-parameters of the detector recipe.

    Args:
        epochs: Passes over the training images.
        batch_size: Clean images per step; as many attacked ones stand beside them.
        lr: Peak learning rate of the one-cycle schedule.
        weight_decay: L2 penalty.
        eps: Largest Linf radius of the attacks, such as `8/255`.
        false_alarms: Share of the clean validation images that may be stopped.
        seed: Seed of order and noise.

    Raises:
        ConfigError: One is out of its range.
    """

    epochs: int
    batch_size: int
    lr: float
    weight_decay: float
    eps: str
    false_alarms: float
    seed: int

    def __post_init__(self) -> None:
        for name, least in {"epochs": 1, "batch_size": 2, "weight_decay": 0}.items():
            if not getattr(self, name) >= least:
                raise ConfigError(f"{name} is {getattr(self, name)}", hint=f"take {least} or more")
        if not self.lr > 0:
            raise ConfigError(f"lr is {self.lr}", hint="take a number above 0")
        if not 0 < self.false_alarms < 1:
            hint = "take a share between 0 and 1, such as 0.05"
            raise ConfigError(f"false_alarms is {self.false_alarms}", hint=hint)
        read_radius(self.eps)
        check_seed(self.seed)


def on_levels(x: Tensor, which: Tensor) -> Tensor:
    """Return images `(N, C, H, W)` of which those that `which` `(N,)` names are in 8 bits.

    Clean images are: a detector that sees other attacked images alone learns the fractions.
    """
    return torch.where(which.view(-1, 1, 1, 1), (x * _LEVELS).round() / _LEVELS, x)


def train_detector(
    detector: Detector,
    classifier: nn.Module,
    train: Dataset,
    validation: Dataset,
    settings: DetectorSettings,
    *,
    extra: Mapping[str, Any],
    checkpoint: Path,
    resume: bool,
) -> Mapping[str, Any]:
    """Train `detector` in place on clean images and on attacks of the bare classifier.

    Its head is then shifted so that 0 is the threshold, and scaled so that scores are 2 away from
    it on average: whoever goes back through their sigmoid finds a gradient.

    Args:
        detector: Untrained.
        classifier: What the attacks are made on.
        train: Images to train on.
        validation: Images to choose the threshold on.
        settings: Hyper-parameters.
        extra: What else a checkpoint must agree on.
        checkpoint: File that holds the state.
        resume: Go on from it.

    Returns:
        What it finds among the validation images, see `measure_detector`.

    Raises:
        DataError: The data is smaller than a batch; see also `fit_network`.
    """
    size, eps = settings.batch_size, read_radius(settings.eps)
    check_batch(train, size)
    (images, labels), held_out = read_all(train), read_all(validation)
    device = next(detector.parameters()).device
    batches = len(labels) // size

    def loss_of(step: int) -> Tensor:
        epoch, number = divmod(step, batches)
        generator = torch.Generator().manual_seed(settings.seed * 100_003 + epoch)
        order = torch.randperm(len(labels), generator=generator)
        batch = order[number * size : (number + 1) * size]
        seed = settings.seed * 1_000_003 + step
        x = flip_crop(images[batch], seed, mirror=False).to(device).float() / _LEVELS
        probe = PROBES[step % len(PROBES)]
        attacked = probe.examples(classifier, x, labels[batch].to(device), eps, seed)
        rounded = torch.arange(size, device=device) % 2 == 0
        scores = detector(torch.cat([x, on_levels(attacked, rounded)])).float()
        truth = torch.cat([torch.zeros(size), torch.ones(size)]).to(device)
        return functional.binary_cross_entropy_with_logits(scores, truth)

    fit = Fit(
        steps=settings.epochs * batches,
        rate=rate_of("one_cycle", settings.epochs * batches, settings.lr),
        every=batches,
        average=0.0,
        settings={**asdict(settings), **extra, "train": train.sha256},
        checkpoint=checkpoint,
        resume=resume,
    )
    optimizer = torch.optim.SGD(
        detector.parameters(),
        lr=settings.lr,
        momentum=0.9,
        weight_decay=settings.weight_decay,
        nesterov=True,
    )
    measured = partial(_areas, classifier=classifier, data=held_out, eps=eps)
    _, history = fit_network(fit, detector, optimizer, loss_of, measured)
    clean, attacked = _scores(detector.eval(), classifier, held_out, eps)
    _settle(detector, clean, torch.cat([*attacked.values()]), settings.false_alarms)
    return {"history": history, **measure_detector(detector, classifier, held_out, eps)}


@torch.no_grad()
def _settle(detector: Detector, clean: Tensor, attacked: Tensor, false_alarms: float) -> None:
    """Put the threshold at 0, where at most so many clean images are above it."""
    threshold = clean.quantile(1 - false_alarms, interpolation="higher")
    spread = (torch.cat([clean, attacked]) - threshold).abs().mean().clamp_min(1e-6)
    scale = _SPREAD / spread
    head = detector.network.head
    head.bias.sub_(threshold).mul_(scale)
    head.weight.mul_(scale)


def _scores(
    detector: nn.Module, classifier: nn.Module, data: tuple[Tensor, Tensor], eps: float
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return scores of clean images `(M,)`, and by attack of their examples in 8 bits."""
    images, labels = (part[:_MEASURED] for part in data)
    device, size = next(detector.parameters()).device, at_once(images[0], _AT_ONCE)
    clean, attacked = [], {probe.name: list[Tensor]() for probe in PROBES}
    for part, truth in zip(images.split(size), labels.split(size), strict=True):
        x, y = part.to(device).float() / _LEVELS, truth.to(device)
        all_of_them = torch.ones(len(y), dtype=torch.bool, device=device)
        with torch.no_grad():
            clean.append(detector(x))
        for probe in PROBES:
            found = on_levels(probe.examples(classifier, x, y, eps, 0), all_of_them)
            with torch.no_grad():
                attacked[probe.name].append(detector(found))
    return torch.cat(clean), {name: torch.cat(scores) for name, scores in attacked.items()}


def _areas(
    detector: nn.Module, classifier: nn.Module, data: tuple[Tensor, Tensor], eps: float
) -> dict[str, float]:
    clean, attacked = _scores(detector, classifier, data, eps)
    return {f"auc_{name}": roc_area(clean, scores) for name, scores in attacked.items()}


def measure_detector(
    detector: nn.Module, classifier: nn.Module, data: tuple[Tensor, Tensor], eps: float
) -> dict[str, Any]:
    """Return what a detector stops of up to 500 clean images and of attacks on the classifier.

    Args:
        detector: With its threshold at 0.
        classifier: What is attacked; it knows of no detector.
        data: uint8 images `(N, C, H, W)` and labels `(N,)`.
        eps: Largest radius of the attacks.

    Returns:
        `stopped`, the share of clean images; `attacks`, by name the share that is stopped and the
        area under the ROC curve; `roc`, points of the curve of all attacks: the share of clean
        and of attacked images above a threshold.
    """
    clean, attacked = _scores(detector.eval(), classifier, data, eps)
    every = torch.cat([*attacked.values()])
    thresholds = torch.cat([clean, every]).quantile(torch.linspace(0, 1, _POINTS).to(clean))
    return {
        "images": len(clean),
        "stopped": float((clean > 0).float().mean()),
        "attacks": {
            name: {"stopped": float((scores > 0).float().mean()), "auc": roc_area(clean, scores)}
            for name, scores in attacked.items()
        },
        "roc": [
            [float((scores > threshold).float().mean()) for scores in (clean, every)]
            for threshold in thresholds
        ],
    }
