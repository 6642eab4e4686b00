"""Train the detector of adversarial images that the defense `gated` asks."""

from collections.abc import Sequence
from pathlib import Path

import torch

from superdef_bench import ConfigError, Task, hookimpl, load_model
from superdef_bench.nn import Detector, ResNet, save_weights
from superdef_bench.training import (
    DetectorSettings,
    measure_detector,
    read_all,
    read_radius,
    splits_of,
    train_detector,
)


class DetectorRecipe:
    """A ResNet-8 with one output, trained on clean images and on attacks of the bare classifier.

    Half of the attacked images are in 8 bits, as clean ones are, so that it cannot tell them by
    their fractions. It knows attackers who do not know it; `gated` shows what is left of it when
    they do.
    """

    def train(
        self,
        task: Task | None,
        *,
        data: str,
        out: Path,
        device: str,
        resume: bool,
        epochs: int = 8,
        batch_size: int = 64,
        lr: float = 0.1,
        weight_decay: float = 5e-4,
        eps: str = "8/255",
        false_alarms: float = 0.05,
        width: int = 16,
        seed: int = 0,
    ) -> Sequence[Path]:
        """Train on a dataset and a classifier; a tenth of `train` is held out.

        Args:
            task: Of the classifier whose attacks are to be detected.
            data: Name of a dataset plugin, or a folder: `train/<class>/` and `test/<class>/`.
            out: Folder for the checkpoint and the weights.
            device: Where to train.
            resume: Go on from the checkpoint in `out`.
            epochs: Passes over the training images.
            batch_size: Clean images per step; as many attacked ones stand beside them.
            lr: Peak learning rate of the one-cycle schedule.
            weight_decay: L2 penalty.
            eps: Largest Linf radius of the attacks; the others have a half and a quarter of it.
            false_alarms: Share of the clean validation images that may be stopped.
            width: Channels of the first stage.
            seed: Seed of weights, order and noise.

        Returns:
            The weights (safetensors) and their provenance (JSON), with the ROC curve.
        """
        if task is None:
            raise ConfigError("recipe 'detector' needs a classifier", hint="--model signs_resnet8")
        if width < 1:
            raise ConfigError(f"width is {width}", hint="take 1 or more")
        settings = DetectorSettings(
            epochs=epochs,
            batch_size=batch_size,
            lr=lr,
            weight_decay=weight_decay,
            eps=eps,
            false_alarms=false_alarms,
            seed=seed,
        )
        train, validation, test = splits_of(data)
        classifier = load_model(task.model).requires_grad_(False).to(device)
        channels = task.input_shape[0]
        torch.manual_seed(seed)
        network = ResNet(blocks=1, num_classes=1, width=width, channels=channels)
        detector = Detector(network).to(device)
        name = f"{task.model}_detector"
        metrics = train_detector(
            detector,
            classifier,
            train,
            validation,
            settings,
            extra={"model": task.model_fingerprint, "width": width},
            checkpoint=out / f"{name}.checkpoint.safetensors",
            resume=resume,
        )
        radius = read_radius(eps)
        provenance = {
            "kind": "detector",
            "recipe": "detector",
            "settings": {**vars(settings), "width": width},
            "architecture": {"network": "ResNet", "blocks": 1, "width": width},
            "task": {
                "dataset": train.name,
                "class_names": list(train.class_names),
                "input_shape": list(task.input_shape),
                "train_sha256": train.sha256,
            },
            "model": task.model,
            "images": len(train.ids),
            "steps": epochs * (len(train.ids) // batch_size),
            "validation": metrics,
            "test": measure_detector(detector, classifier, read_all(test), radius),
            "versions": {"torch": torch.__version__},
        }
        path = out / f"{name}.safetensors"
        save_weights(path, network.state_dict(), provenance)
        return [path, path.with_suffix(".json")]


@hookimpl
def register_recipes() -> dict[str, type[DetectorRecipe]]:
    return {"detector": DetectorRecipe}
