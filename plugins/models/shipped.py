"""The small classifiers that come with the package; each takes 32x32 and 64x64."""

from superdef_bench import hookimpl
from superdef_bench.nn import ResNet
from superdef_bench.weights import SHIPPED, load_weights


def signs_resnet8() -> ResNet:
    """ResNet-8 for the embedded dataset `signs`.

    Trained by `superdef-bench train classifier --data signs`.
    """
    return ResNet.of(load_weights(SHIPPED / "signs_resnet8.safetensors")).fold()


def cifar10_jpeg_resnet20() -> ResNet:
    """ResNet-20 for CIFAR-10 after one lossy JPEG, classes in the order of CIFAR-10.

    docs/training.md has the command that trained it.
    """
    return ResNet.of(load_weights(SHIPPED / "cifar10_jpeg_resnet20.safetensors")).fold()


@hookimpl
def register_models() -> dict[str, object]:
    return {"signs_resnet8": signs_resnet8, "cifar10_jpeg_resnet20": cifar10_jpeg_resnet20}
