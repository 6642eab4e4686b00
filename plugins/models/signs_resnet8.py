"""The classifier of the embedded benchmark `signs`."""

from superdef_bench import hookimpl
from superdef_bench.nn import ResNet
from superdef_bench.weights import SHIPPED, load_weights, read_provenance


def signs_resnet8() -> ResNet:
    """ResNet-8 trained on `signs` at 32x32 and 64x64; its weights come with the package.

    Trained by `superdef-bench train classifier --data signs`.
    """
    path = SHIPPED / "signs_resnet8.safetensors"
    shape = read_provenance(path)["architecture"]
    model = ResNet(
        blocks=shape["blocks"],
        width=shape["width"],
        channels=shape["channels"],
        num_classes=shape["num_classes"],
    )
    model.load_state_dict(load_weights(path))
    return model.fold()


@hookimpl
def register_models() -> dict[str, object]:
    return {"signs_resnet8": signs_resnet8}
