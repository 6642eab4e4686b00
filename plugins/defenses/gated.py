"""Let images that look clean pass a defense by."""

from pathlib import Path

from torch import nn

from superdef_bench import ConfigError, Protected, Task, hookimpl
from superdef_bench.nn import Detector, GatedClassifier


class Gated:
    """A detector before a defense: images that it takes for clean go to the classifier as they are.

    It stands first in a chain, before what it saves the cost of:
    `{ chain = ["gated", "mustafa"] }`. Answers are those of a hard switch. Attacks that know the
    defense go back through p times the defended plus (1 - p) times the bare logits, so that they
    can make the detector say clean and fool the classifier behind it (Carlini and Wagner, AISec
    2017).

    Args:
        path: Weights (safetensors) that the recipe `detector` wrote; by default those that come
            with the package, for the tasks that have some.
    """

    differentiable = True
    stochastic = False
    wraps = True

    def __init__(self, *, path: str = "") -> None:
        self._path = Path(path).expanduser() if path else None

    def protect(self, model: nn.Module, task: Task) -> nn.Module:
        """Put the detector of the task before a protected classifier.

        Raises:
            DataError: No detector was trained for its dataset, classes and input shape.
            ConfigError: Nothing protects the classifier.
        """
        detector = Detector.of(task.load("detector", self._path))
        if not isinstance(model, Protected) or not model.stages:
            raise ConfigError(
                "defense 'gated' has nothing behind it",
                hint='write gated_mustafa = { chain = ["gated", "mustafa"] }',
            )
        return GatedClassifier(detector, list(model.stages), model.classifier)


@hookimpl
def register_defenses() -> dict[str, type[Gated]]:
    return {"gated": Gated}
