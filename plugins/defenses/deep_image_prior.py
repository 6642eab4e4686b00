"""Deep Image Prior: the image as an untrained network draws it before it draws the noise."""

from typing import Literal

from torch import Tensor

from superdef_bench import InputTransform, Random, hookimpl
from superdef_bench.prior import (
    MOST,
    PUBLISHED,
    SMALL,
    STEPS,
    SkipShape,
    Stop,
    restore,
    rule_of,
    shape_for,
)

Net = Literal["auto", "published", "small"]

_SHAPES: dict[str, SkipShape] = {"published": PUBLISHED, "small": SMALL}


class DeepImagePrior(InputTransform):
    """Fit an untrained network to each image, and stop early (Ulyanov et al., CVPR 2018).

    Each image gets a network of its own with random weights, which is fitted to it from noise, as
    Deep Protection does with the Swish network of five scales; images up to 32 pixels get one of
    three scales. Many are fitted side by side; none sees another image, and nothing carries over.

    There is no useful gradient through a fit: attacks that know the defense go around it (BPDA).

    Args:
        stop: `static` after `steps`; `eswmv` where the variance of the last draws was least (Wang
            et al., TMLR 2023); `subsample` where two sub-images of the draw were closest;
            `plateau` where the error falls no more. None of them sees a label.
        steps: Of `static`: 1,750 of the five-scale network (that of Deep Protection), 120 of the
            small one. Of the others the most, 3,000 and 800.
        net: `auto` takes what fits the size of the image.
        attack_steps: Steps of the fit that attacks go around: fewer of them cost less, and rows say
            so. 0 for the defense's own fit.
    """

    differentiable = False
    stochastic = True

    def __init__(
        self,
        *,
        stop: Stop = "static",
        steps: int | None = None,
        net: Net = "auto",
        attack_steps: int = 0,
    ) -> None:
        super().__init__()
        if steps is not None and steps < 1:
            raise ValueError(f"steps is {steps}, take 1 or more")
        if attack_steps < 0:
            raise ValueError(f"attack_steps is {attack_steps}, take 0 or more")
        self.stop, self.steps, self.net, self.attack_steps = stop, steps, net, attack_steps

    def attack_view(self) -> InputTransform:
        if not self.attack_steps:
            return self
        return DeepImagePrior(steps=self.attack_steps, net=self.net)

    def transform(self, x: Tensor, *, random: Random) -> Tensor:
        shape = _SHAPES.get(self.net) or shape_for(*x.shape[-2:])
        most = self.steps or (STEPS if self.stop == "static" else MOST)[shape]
        rule = rule_of(self.stop, shape, most)
        return restore(x, random, rule, most=most, shape=shape).clamp(0.0, 1.0)


@hookimpl
def register_defenses() -> dict[str, type[DeepImagePrior]]:
    return {"deep_image_prior": DeepImagePrior}
