"""Train the SuperDef student on the answers of its teacher."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from superdef_bench import ConfigError, DataError, Task, hookimpl, load_model
from superdef_bench.nn import architecture, load_network, network_facts
from superdef_bench.training import (
    DistilledRestoration,
    Precision,
    Queries,
    RestorationSettings,
    Schedule,
    read_radius,
)


class SuperDefRecipe:
    """SuperDef: a student distilled from RCAN, (1 - alpha) L1(S, HR) + alpha L1(S, T).

    A reconstruction: loss and alpha follow FAKD (Gao et al., ICIP 2020) without its feature
    term. The size is ours: layers x features, 8x48; three numbers mean an RCAN of groups x
    blocks x features, such as 10x6x64, the student of FAKD.
    """

    data = "bsds500"

    def train(
        self,
        task: Task | None,
        *,
        data: str,
        out: Path,
        device: str,
        resume: bool,
        size: str = "8x48",
        scale: int = 2,
        teacher: str = "",
        alpha: float = 0.5,
        queries: str = "clean",
        noise: float = 0.03,
        eps: str = "8/255",
        attack_steps: int = 3,
        affinity: float = 0.0,
        remember: int = 0,
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
            task: Names the classifier that adversarial queries are made against.
            data: Folder, zip, or name of a dataset plugin.
            out: Folder for the checkpoint and the weights.
            device: Where to train.
            resume: Go on from the checkpoint in `out`.
            size: Numbers with an x between them, see above.
            scale: 2, 3 or 4.
            teacher: Weights of the RCAN teacher; empty for the shipped ones.
            alpha: Weight of the teacher's answer against the photograph, 0 to 1.
            queries: What the teacher is asked about, in turn within a batch, with commas
                between: clean, noise, jpeg, adversarial (against --model). On all but clean
                patches its answer alone counts.
            noise: Standard deviation of noisy queries, on images in [0, 1].
            eps: Linf radius of adversarial queries.
            attack_steps: Steps of PGD for them.
            affinity: Weight of FAKD's feature term, 10 there; 0 leaves it out.
            remember: Patches of a fixed set whose answers are computed once and kept in a file;
                0 draws fresh ones and asks in every step.
            steps: Optimiser steps.
            batch_size: Pairs of patches per step.
            patch: Side of a small patch in pixels.
            lr: Peak learning rate of Adam.
            schedule: Shape of the learning rate over the steps.
            average: Decay of the average of the weights that is kept; 0 keeps the last ones.
            holdout: Photographs kept for validation, the last ones by name.
            every: Steps between validations.
            precision: auto takes bfloat16 where the hardware is made for it.
            seed: Seed of weights, patches and queries.

        Returns:
            The weights (safetensors) and their provenance (JSON).
        """
        settings = RestorationSettings(
            steps, batch_size, patch, lr, schedule, average, holdout, every, precision, seed
        )
        kinds = tuple(word.strip() for word in queries.split(",") if word.strip())
        adversarial = "adversarial" in kinds
        if adversarial != (task is not None):
            what = "need a classifier" if adversarial else "alone use a classifier"
            hint = "name one: --model signs_resnet8" if adversarial else "leave --model out"
            raise ConfigError(f"adversarial queries {what}", hint=hint)
        try:
            expert = load_network("rcan", scale=scale, weights=teacher).to(device)
        except DataError as error:
            hint = error.hint if teacher else f"train rcan --scale {scale}, then --teacher FILE"
            raise DataError(f"teacher: {error.message}", hint=hint) from error
        classifier = None
        if adversarial and task:
            classifier = load_model(task.model).to(device).requires_grad_(False)
        return DistilledRestoration(
            kind="superdef",
            architecture=architecture("SuperDef", size, scale),
            settings=settings,
            data=data,
            out=out,
            device=device,
            resume=resume,
            teacher=expert,
            teacher_facts=network_facts("rcan", scale=scale, weights=teacher),
            alpha=alpha,
            affinity=affinity,
            remember=remember,
            queries=Queries(
                kinds=kinds,
                noise=noise,
                eps=read_radius(eps),
                attack_steps=attack_steps,
                classifier=classifier,
                seed=seed,
            ),
        ).train()


@hookimpl
def register_recipes() -> dict[str, Callable[[], Any]]:
    return {"superdef": SuperDefRecipe}
