"""`sr`: any super-resolution network that spandrel recognises, as a defense."""

import inspect
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from superdef_bench import ConfigError, DataError, hookimpl
from superdef_bench.nn import Denoise, Dtype, Output, SuperResolution, guarded, read_checkpoint


class _Recognised(nn.Module):
    """A network behind what spandrel knows of it: padding, value range, call."""

    def __init__(self, descriptor: Any) -> None:
        super().__init__()
        self.model: nn.Module = descriptor.model
        self.descriptor = descriptor
        # spandrel runs it in inference mode, which cuts gradients off; what is inside does not.
        self.call = inspect.unwrap(type(descriptor).__call__)

    def forward(self, x: Tensor) -> Tensor:
        """Map images `(N, 3, H, W)` in [0, 1] to larger ones in [0, 1]."""
        out: Tensor = self.call(self.descriptor, x.to(next(self.model.parameters()).dtype))
        return out


class AnySuperResolution(SuperResolution):
    """Any restoration network that spandrel recognises: SwinIR, HAT, SPAN, ESRGAN and others.

    Architecture, sizes and scale are read from the file, as data only: code in it is refused.
    Networks that restore at the size of the input (scale 1) are taken too. `SuperResolution` has
    the other options.

    Args:
        path: safetensors, or a file of `torch.save` with a state dict.

    Raises:
        ConfigError: spandrel is not installed, or the network does not compute in `dtype`.
        DataError: The file is missing, damaged, code, or holds no such network.
    """

    def __init__(
        self,
        *,
        path: str,
        output: Output = "native",
        denoise: Denoise = "none",
        sigma: float = 0.04,
        tile: int = 0,
        self_ensemble: bool = False,
        dtype: Dtype = "float32",
    ) -> None:
        descriptor = _recognise(Path(path).expanduser())
        computes = {"bfloat16": descriptor.supports_bfloat16, "float16": descriptor.supports_half}
        if not computes.get(dtype, True):
            raise ConfigError(
                f"{descriptor.architecture.name} does not compute in {dtype}",
                hint='leave dtype = "float32"',
            )
        super().__init__(
            _Recognised(descriptor.eval()).requires_grad_(False),
            output=output,
            denoise=denoise,
            sigma=sigma,
            tile=tile,
            self_ensemble=self_ensemble,
            dtype=dtype,
        )


def _recognise(path: Path) -> Any:
    try:
        import spandrel
    except ImportError as error:
        raise ConfigError("sr needs spandrel", hint="pip install spandrel") from error
    content = read_checkpoint(path)
    tensors = spandrel.canonicalize_state_dict(content) if isinstance(content, dict) else {}
    if not tensors or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise DataError(
            f"checkpoint {path} holds no state dict", hint="save its state_dict() alone"
        )
    try:
        with guarded():
            model = spandrel.ModelLoader().load_from_state_dict(tensors)
    except spandrel.UnsupportedModelError as error:
        raise DataError(
            f"checkpoint {path} is of no architecture that spandrel recognises",
            hint="spandrel names those it does in its README",
        ) from error
    except Exception as error:  # sizes are read from the tensors, wrong ones can raise anything
        raise DataError(
            f"checkpoint {path} cannot be loaded: {' '.join(str(error).split())[:80]}",
            hint="it is damaged, half a file, or of another architecture",
        ) from error
    if not isinstance(model, spandrel.ImageModelDescriptor) or model.purpose == "FaceSR":
        raise DataError(
            f"checkpoint {path} is {model.architecture.name}, a network for {model.purpose}",
            hint="take one that restores any image",
        )
    if (model.input_channels, model.output_channels) != (3, 3):
        raise DataError(
            f"checkpoint {path} maps {model.input_channels} channels to {model.output_channels}",
            hint="take a network for RGB images",
        )
    return model


@hookimpl
def register_defenses() -> dict[str, type[AnySuperResolution]]:
    return {"sr": AnySuperResolution}
