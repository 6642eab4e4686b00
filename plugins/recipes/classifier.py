"""Train the small residual classifier of a dataset, on clean or on adversarial images."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch

from superdef_bench import ConfigError, Task, hookimpl
from superdef_bench.nn import ResNet, check_file, fill, load_weights, read_provenance, save_weights
from superdef_bench.training import (
    Adversary,
    Augment,
    Settings,
    measure,
    read_all,
    splits_of,
    train_classifier,
)


class ClassifierRecipe:
    """A ResNet (He et al., 2016) with global pooling, trained at the native size and at twice it.

    A part of each batch is enlarged by nearest, bilinear or bicubic at random, so that the
    classifier can stand behind a x2 defense without a resize. Trained on adversarial images it is
    what the defense `adversarial_training` hands out.
    """

    def train(
        self,
        task: Task | None,
        *,
        data: str,
        out: Path,
        device: str,
        resume: bool,
        epochs: int = 60,
        batch_size: int = 128,
        lr: float = 0.2,
        momentum: float = 0.9,
        weight_decay: float = 5e-4,
        label_smoothing: float = 0.05,
        blocks: int = 1,
        width: int = 16,
        adversarial: Literal["none", "pgd", "n_fgsm"] = "none",
        eps: str = "8/255",
        attack_steps: int = 7,
        augment: Augment = "none",
        enlarged: float = 0.5,
        frozen: float = 0.0,
        init: str = "",
        precision: Literal["float32", "bfloat16"] = "float32",
        seed: int = 0,
    ) -> Sequence[Path]:
        """Train on a dataset; without a split `validation`, a tenth of `train` is held out for it.

        Args:
            task: None; the classifier makes the task.
            data: Name of a dataset plugin, or a folder: `train/<class>/` and `test/<class>/`.
            out: Folder for the checkpoint and the weights.
            device: Where to train.
            resume: Go on from the checkpoint in `out`.
            epochs: Passes over the training images.
            batch_size: Images per step.
            lr: Peak learning rate of the one-cycle schedule.
            momentum: Nesterov momentum.
            weight_decay: L2 penalty.
            label_smoothing: Share of the label spread over all classes.
            blocks: Residual blocks per stage; 1 gives ResNet-8.
            width: Channels of the first stage.
            adversarial: Train on examples of PGD (Madry et al., ICLR 2018) or of N-FGSM (de Jorge
                et al., NeurIPS 2022; a single gradient step), at both sizes.
            eps: Their Linf radius.
            attack_steps: Gradient steps of pgd.
            augment: crop shifts each image at random; flip_crop mirrors it, too, not for what a
                mirror turns into another class, such as traffic signs.
            enlarged: Share of a batch that is seen at twice its size; in the loss the mean of both
                sizes counts half, whatever the share.
            frozen: Share of the steps, the last ones, in which batch norm keeps its statistics,
                a mixture of both sizes.
            init: Weights (safetensors) of the same size to begin with; empty for random ones.
            precision: bfloat16 runs convolutions in it, which some hardware is made for.
            seed: Seed of weights, order and noise.

        Returns:
            The weights (safetensors) and their provenance (JSON).
        """
        if task is not None:
            raise ConfigError("recipe 'classifier' makes its own", hint="leave --model out")
        if blocks < 1 or width < 1:
            raise ConfigError(f"blocks is {blocks}, width is {width}", hint="take 1 or more")
        adversary = None if adversarial == "none" else Adversary(adversarial, eps, attack_steps)
        settings = Settings(
            epochs=epochs,
            batch_size=batch_size,
            lr=lr,
            momentum=momentum,
            weight_decay=weight_decay,
            label_smoothing=label_smoothing,
            seed=seed,
            precision=precision,
            adversary=adversary,
            augment=augment,
            enlarged=enlarged,
            frozen=frozen,
        )
        train, validation, test = splits_of(data)
        first, _ = train.load([0])
        torch.manual_seed(seed)
        shape = {"blocks": blocks, "width": width, "channels": first.shape[1]}
        model = ResNet(num_classes=train.num_classes, **shape)
        origin = _begin(model, Path(init), shape) if init else {}
        # Twice as fast on a CPU, but torch 2.11 crashes in weight gradients of under 16 channels.
        layout = torch.channels_last if width >= 16 else torch.contiguous_format
        model = model.to(device, memory_format=layout)  # type: ignore[call-overload]  # torch lists no (device, memory_format)
        stem = re.sub(r"\W+", "_", train.name).strip("_")  # gtsrb-32 (5 classes)
        name = f"{stem}_resnet{6 * blocks + 2}" + ("_at" if adversary else "")
        metrics = train_classifier(
            model,
            train,
            validation,
            settings,
            extra={**shape, **origin},
            checkpoint=out / f"{name}.checkpoint.safetensors",
            resume=resume,
        )
        provenance = {
            "kind": "adversarial_training" if adversary else "classifier",
            "recipe": "classifier",
            "settings": {**settings.flags, **origin},
            "architecture": {"network": "ResNet", "num_classes": train.num_classes, **shape},
            "task": {
                "dataset": train.name,
                "class_names": list(train.class_names),
                "input_shape": list(first.shape[1:]),
                "train_sha256": train.sha256,
            },
            "images": len(train.ids),
            "steps": epochs * (len(train.ids) // batch_size),
            "validation": metrics,
            "test": measure(model, read_all(test), adversary),
            "versions": {"torch": torch.__version__},
        }
        path = out / f"{name}.safetensors"
        save_weights(path, model.state_dict(), provenance)
        return [path, path.with_suffix(".json")]


def _begin(model: ResNet, path: Path, shape: dict[str, int]) -> dict[str, str]:
    """Fill in the weights to begin with; return what is to be said of them."""
    check_file(path)
    record = read_provenance(path)
    sizes = record.get("architecture", {})
    other = {name: sizes.get(name) for name, value in shape.items() if sizes.get(name) != value}
    if other:
        known = " ".join(f"--{n} {v}" for n, v in other.items() if v and n != "channels")
        raise ConfigError(
            f"weights {path} are of {record.get('kind')!r} with {other}",
            hint=known or "take what superdef-bench train classifier wrote for this data",
        )
    fill(model, load_weights(path), path, "the network of --init")
    return {"init": record["sha256"]}


@hookimpl
def register_recipes() -> dict[str, type[ClassifierRecipe]]:
    return {"classifier": ClassifierRecipe}
