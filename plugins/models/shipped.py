"""Small classifiers that come with the package; each takes 32x32 and 64x64.

`signs_resnet8` and `cifar10_jpeg_resnet20` are attacked; `signs_resnet8_at` and
`cifar10_jpeg_resnet20_at` are their adversarially trained twins; `signs_resnet14` is what
transferred examples are made on.
"""

from superdef_bench import hookimpl
from superdef_bench.nn import SHIPPED, ResNet, from_file, load_weights


def _shipped(name: str) -> ResNet:
    file = SHIPPED / f"{name}.safetensors"
    return from_file(ResNet.of(load_weights(file)).fold(), file)


def signs_resnet8() -> ResNet:
    """ResNet-8 for the embedded dataset `signs`.

    Trained by `superdef-bench train classifier --data signs`.
    """
    return _shipped("signs_resnet8")


def cifar10_jpeg_resnet20() -> ResNet:
    """ResNet-20 for CIFAR-10 after one lossy JPEG, classes in the order of CIFAR-10.

    docs/training.md has the command that trained it.
    """
    return _shipped("cifar10_jpeg_resnet20")


def signs_resnet14() -> ResNet:
    """ResNet-14 for the embedded dataset `signs`, deeper than `signs_resnet8`, another seed.

    docs/training.md has the command that trained it.
    """
    return _shipped("signs_resnet14")


def signs_resnet8_at() -> ResNet:
    """ResNet-8 for the embedded dataset `signs`, trained on adversarial examples.

    The network of the defense `adversarial_training`; docs/training.md has the command.
    """
    return _shipped("signs_resnet8_at")


def cifar10_jpeg_resnet20_at() -> ResNet:
    """ResNet-20 for CIFAR-10 after one lossy JPEG, trained on adversarial examples.

    The network of the defense `adversarial_training`; docs/training.md has the command.
    """
    return _shipped("cifar10_jpeg_resnet20_at")


@hookimpl
def register_models() -> dict[str, object]:
    return {
        "signs_resnet8": signs_resnet8,
        "cifar10_jpeg_resnet20": cifar10_jpeg_resnet20,
        "signs_resnet14": signs_resnet14,
        "signs_resnet8_at": signs_resnet8_at,
        "cifar10_jpeg_resnet20_at": cifar10_jpeg_resnet20_at,
    }
