"""Examples that were made before, in a file."""

from torch import Tensor, nn

from superdef_bench import AttackContext, DataError, Norm, Threat, hookimpl, read_examples


class Replay:
    """Adversarial images from a file, whatever the classifier is now.

    Norms: linf, l2. Kind: budget. Nothing is attacked: the harness checks that each image lies in
    the ball of the original, and the file that it has the image and its label. Meant for a
    regression gate, where the same examples meet each version of the code.

    Args:
        file: What `superdef-bench examples` wrote; from the current folder, else beside the
            shipped configs.
        sha256: Of that file.
    """

    norms: frozenset[Norm] = frozenset({"linf", "l2"})
    kind = "budget"
    access = "none"
    batch_dependent = False

    def __init__(self, *, file: str, sha256: str) -> None:
        # Here already, so that what is missing or damaged is told before anything runs.
        self._examples = read_examples(file, sha256)

    def passes(self, threat: Threat) -> tuple[int, int]:
        return 0, 0

    def __call__(
        self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, context: AttackContext
    ) -> Tensor:
        found = self._examples.of(context.ids, y)
        if found.shape != x.shape:
            raise DataError(
                f"the examples are {tuple(found.shape[1:])}, the images {tuple(x.shape[1:])}",
                hint="the file belongs to another dataset",
            )
        return found


@hookimpl
def register_attacks() -> dict[str, type[Replay]]:
    return {"replay": Replay}
