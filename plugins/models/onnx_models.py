"""`onnx`: a classifier in an ONNX file, as a torch network where it can be one."""

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from superdef_bench import ConfigError, DataError, hookimpl
from superdef_bench.nn import check_file, check_sha256, from_file, guarded, note

_INSTALL = "pip install 'superdef-bench[onnx]'"
_PROBES, _SIDE = 4, 32
_APART = 1e-3  # of the largest logit; other kernels differ by less, other networks by more


class _Hashed(nn.Module):
    """Carries the hash of its file among its buffers: the graph is no weight."""

    def __init__(self, digest: bytes) -> None:
        super().__init__()
        self.register_buffer("file_sha256", torch.tensor(list(digest), dtype=torch.uint8))


class _Converted(_Hashed):
    """The graph as a torch network."""

    def __init__(self, network: nn.Module, digest: bytes, single: bool) -> None:
        super().__init__(digest)
        self.network, self.single = network, single

    def forward(self, x: Tensor) -> Tensor:
        if self.single:
            return torch.cat([self.network(image) for image in x.split(1)])
        return self.network(x)


class _Endpoint(_Hashed):
    """The graph as onnxruntime runs it, on the CPU and without a gradient."""

    differentiable = False

    def __init__(self, session: Any, digest: bytes, single: bool) -> None:
        super().__init__(digest)
        self.session, self.single = session, single

    def forward(self, x: Tensor) -> Tensor:
        name = self.session.get_inputs()[0].name
        images = x.detach().cpu().float()
        batches = images.split(1) if self.single else (images,)
        answers = [self.session.run(None, {name: batch.numpy()})[0] for batch in batches]
        return torch.cat([torch.from_numpy(answer) for answer in answers]).to(x.device)


def onnx_model(*, path: str, sha256: str = "", endpoint: bool = False) -> nn.Module:
    """A classifier in an ONNX file, converted to torch; where that fails, an endpoint.

    Its answers are compared with those of onnxruntime on a batch. Where they differ, or an
    operator is missing, it gives answers and no gradient, and a line on stderr says so: `transfer`
    and `black_box` alone apply then. It takes images in [0, 1] and normalises them itself.

    Args:
        path: The file, with its weights inside.
        sha256: Hash that the file must have; not checked if empty.
        endpoint: Do not convert it.

    Raises:
        ConfigError: A library of the extra `onnx` is not installed.
        DataError: The file is missing, damaged, has another hash, or is no classifier of images.
    """
    check_sha256(sha256)
    file = Path(path).expanduser()
    check_file(file, sha256)
    try:
        with guarded():
            import onnx
            import onnx2torch
            import onnxruntime
    except ImportError as error:
        raise ConfigError(f"onnx needs {error.name}", hint=_INSTALL) from error
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").digest()
    try:
        graph = onnx.load(str(file), load_external_data=False)
        if any(map(onnx.external_data_helper.uses_external_data, graph.graph.initializer)):
            raise DataError(
                f"{file} keeps weights in other files",
                hint="save it as one file: onnx.save(model, path, save_as_external_data=False)",
            )
        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    except DataError:
        raise
    except Exception as error:  # a damaged file can raise anything
        raise DataError(
            f"{file} is no ONNX that onnxruntime runs: {_reason(error)}",
            hint="export it again, with operators of ONNX alone",
        ) from error
    probe, single = _probe(session, file)
    runs = from_file(_Endpoint(session, digest, single).eval(), file)
    try:
        answers = runs(probe)
    except Exception as error:  # operators and shapes of others
        raise DataError(
            f"{file} cannot take images {tuple(probe.shape[1:])}: {_reason(error)}",
            hint="a classifier takes float32 images (N, C, H, W)",
        ) from error
    if endpoint:
        return runs
    try:
        with guarded():
            network = _Converted(onnx2torch.convert(graph), digest, single).eval()
            with torch.no_grad():
                converted = network(probe)
        why = _differ(converted, answers)
    except Exception as error:  # an operator that is not known, or converted wrongly
        why = _reason(error)
    if why:
        note(f"{file} is an endpoint, for transfer and black_box alone: as a torch network {why}")
        return runs
    return from_file(network, file)


def _probe(session: Any, file: Path) -> tuple[Tensor, bool]:
    """Return images of the size that a graph takes, and whether it takes them one by one."""
    inputs = session.get_inputs()
    shape = inputs[0].shape if len(inputs) == 1 else []
    if len(shape) != 4 or inputs[0].type != "tensor(float)":
        raise DataError(
            f"{file} takes {[(each.type, each.shape) for each in inputs]}",
            hint="a classifier takes one batch of float32 images (N, C, H, W)",
        )
    count = shape[0]
    if isinstance(count, int) and count != 1:
        raise DataError(
            f"{file} takes exactly {count} images at once",
            hint="export it with a dynamic batch: dynamic_axes or dynamic_shapes",
        )
    sides = [
        size if isinstance(size, int) else usual
        for size, usual in zip(shape[1:], (3, _SIDE, _SIDE), strict=True)
    ]
    images = torch.rand(_PROBES, *sides, generator=torch.Generator().manual_seed(0))
    return images, count == 1


def _differ(converted: Tensor, answers: Tensor) -> str:
    if converted.shape != answers.shape:
        return f"it gives {tuple(converted.shape)}, onnxruntime {tuple(answers.shape)}"
    apart = float((converted - answers).abs().max())
    most = _APART * max(1.0, float(answers.abs().max()))
    return "" if apart <= most else f"its logits differ by {apart:.2g} from those of onnxruntime"


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"


@hookimpl
def register_models() -> dict[str, object]:
    return {"onnx": onnx_model}
