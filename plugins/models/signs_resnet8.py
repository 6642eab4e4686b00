"""The classifier of the embedded benchmark `signs`."""

from superdef_bench import hookimpl
from superdef_bench.nn import ResNet
from superdef_bench.weights import SHIPPED, load_weights


def signs_resnet8() -> ResNet:
    """ResNet-8 trained on `signs` at 32x32 and 64x64; its weights come with the package.

    Trained by `superdef-bench train classifier --data signs`.
    """
    return ResNet.of(load_weights(SHIPPED / "signs_resnet8.safetensors")).fold()


@hookimpl
def register_models() -> dict[str, object]:
    return {"signs_resnet8": signs_resnet8}
