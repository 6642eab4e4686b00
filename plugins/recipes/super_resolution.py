"""Train super-resolution on photographs alone: `edsr`, `rcan`, and `superdef_no_kd`.

The last is the SuperDef student without its teacher, as a control.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from superdef_bench import ConfigError, Task, hookimpl
from superdef_bench.nn import architecture
from superdef_bench.training import Precision, Restoration, RestorationSettings, Schedule


class _PixelRecipe:
    """What the three share: mean absolute error on pairs of patches, Adam, flips and turns."""

    data = "bsds500"
    network: str
    kind: str
    size: str

    def train(
        self,
        task: Task | None,
        *,
        data: str,
        out: Path,
        device: str,
        resume: bool,
        size: str = "",
        scale: int = 2,
        init: str = "",
        steps: int = 8000,
        batch_size: int = 16,
        patch: int = 32,
        lr: float = 1e-3,
        schedule: Schedule = "one_cycle",
        average: float = 0.999,
        holdout: int = 10,
        every: int = 1000,
        precision: Precision = "auto",
        seed: int = 0,
    ) -> Sequence[Path]:
        """Train on a folder or a zip of photographs, or on the images of a dataset plugin.

        The small patches are bicubic (a = -0.5, antialiased), rounded to 8 bits.

        Args:
            task: None; the recipe uses no classifier.
            data: Folder, zip, or name of a dataset plugin.
            out: Folder for the checkpoint and the weights.
            device: Where to train.
            resume: Go on from the checkpoint in `out`.
            size: Numbers with an x between them; empty for the size named above.
            scale: 2, 3 or 4.
            init: Weights (safetensors) of the same size to begin with; empty for random ones.
            steps: Optimiser steps.
            batch_size: Pairs of patches per step.
            patch: Side of a small patch in pixels.
            lr: Peak learning rate of Adam.
            schedule: Shape of the learning rate over the steps.
            average: Decay of the average of the weights that is kept; 0 keeps the last ones.
            holdout: Photographs kept for validation, the last ones by name.
            every: Steps between validations.
            precision: auto takes bfloat16 where the hardware is made for it.
            seed: Seed of weights and patches.

        Returns:
            The weights (safetensors) and their provenance (JSON).
        """
        settings = RestorationSettings(
            steps, batch_size, patch, lr, schedule, average, holdout, every, precision, seed
        )
        if task is not None:
            raise ConfigError(f"recipe {self.kind!r} uses no classifier", hint="leave --model out")
        return Restoration(
            kind=self.kind,
            architecture=architecture(self.network, size or self.size, scale),
            settings=settings,
            data=data,
            out=out,
            device=device,
            resume=resume,
            init=init,
        ).train()


class EdsrRecipe(_PixelRecipe):
    """EDSR (Lim et al., CVPRW 2017).

    Its size is blocks x features: 16x64, the published baseline; 32x256 is the large network.
    """

    network, kind, size = "EDSR", "edsr", "16x64"


class RcanRecipe(_PixelRecipe):
    """RCAN (Zhang et al., ECCV 2018), the teacher of SuperDef.

    Its size is groups x blocks x features: 4x4x32, for a CPU; 10x20x64 is the published network.
    """

    network, kind, size = "RCAN", "rcan", "4x4x32"


class SuperDefNoKdRecipe(_PixelRecipe):
    """The SuperDef student without its teacher, the control of every table.

    Network, patches and steps are those of the recipe superdef. Its size is layers x features,
    8x48; three numbers mean an RCAN of groups x blocks x features, such as 10x6x64.
    """

    network, kind, size = "SuperDef", "superdef_no_kd", "8x48"


@hookimpl
def register_recipes() -> dict[str, Callable[[], Any]]:
    return {"edsr": EdsrRecipe, "rcan": RcanRecipe, "superdef_no_kd": SuperDefNoKdRecipe}
