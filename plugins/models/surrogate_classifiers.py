"""Small classifiers that come with the package to make transferred examples on."""

from superdef_bench import hookimpl
from superdef_bench.nn import ResNet
from superdef_bench.weights import SHIPPED, load_weights


def signs_resnet14() -> ResNet:
    """ResNet-14 for the embedded dataset `signs`, deeper than `signs_resnet8`, another seed.

    docs/training.md has the command that trained it.
    """
    return ResNet.of(load_weights(SHIPPED / "signs_resnet14.safetensors")).fold()


@hookimpl
def register_models() -> dict[str, object]:
    return {"signs_resnet14": signs_resnet14}
