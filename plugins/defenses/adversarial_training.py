"""The classifier trained on adversarial examples: what every transform competes with."""

from pathlib import Path

from torch import nn

from superdef_bench import DataError, Task, hookimpl
from superdef_bench.nn import ResNet


class AdversarialTraining:
    """Another classifier, trained on adversarial examples (Madry et al., ICLR 2018).

    It stands in the place of the classifier that it is given, of which it uses nothing. Gray-box
    examples are then made on another network than the one they are shown to: transfer.

    Args:
        path: Weights (safetensors) that the recipe `classifier` wrote with `--adversarial`; by
            default those that come with the package, for the tasks that have some.
    """

    differentiable = True
    stochastic = False
    replaces = True

    def __init__(self, *, path: str = "") -> None:
        self._path = Path(path).expanduser() if path else None

    def protect(self, model: nn.Module, task: Task) -> nn.Module:
        """Return the adversarially trained network of the task.

        Raises:
            DataError: None was trained for its dataset, classes and input shape.
        """
        try:
            network = ResNet.of(task.load("adversarial_training", self._path))
            if network.head.out_features != task.num_classes:
                raise DataError(
                    f"the adversarially trained network for {task.dataset} has "
                    f"{network.head.out_features} classes, the task has {task.num_classes}"
                )
        except DataError as error:
            raise DataError(
                error.message,
                hint=f"superdef-bench train classifier --adversarial n_fgsm --data {task.dataset}; "
                'then path = "runs/train-classifier/..._at.safetensors"',
            ) from error
        return network.fold()


@hookimpl
def register_defenses() -> dict[str, type[AdversarialTraining]]:
    return {"adversarial_training": AdversarialTraining}
