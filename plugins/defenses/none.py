"""No defense: the row that every table compares with."""

from torch import nn

from superdef_bench import Task, hookimpl


class NoDefense:
    """The bare classifier."""

    differentiable = True
    stochastic = False

    def protect(self, model: nn.Module, task: Task) -> nn.Module:
        """Return the classifier as it is."""
        return model


@hookimpl
def register_defenses() -> dict[str, type[NoDefense]]:
    return {"none": NoDefense}
