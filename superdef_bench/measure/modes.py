"""The ways to run a network that a cost row names: memory format, precision, compiler."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from superdef_bench.core.errors import ConfigError, did_you_mean
from superdef_bench.core.transform import Protected
from superdef_bench.measure.work import held
from superdef_bench.nn import SuperResolution
from superdef_bench.nn.precision import lower

PARTS = ("channels_last", "bf16", "compiled", "cuda_graphs")
_NATIVE = {"avx512_bf16", "amx_bf16", "bf16"}  # as Linux calls it on x86 and ARM


@dataclass(frozen=True)
class Mode:
    """A way to run a network.

    Attributes:
        parts: Of `channels_last`, `bf16`, `compiled`, `cuda_graphs`, in that order; none is eager.
    """

    parts: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "+".join(self.parts) or "eager"

    @property
    def dtype(self) -> str:
        """What convolutions and matrix products compute in."""
        return "bfloat16" if "bf16" in self.parts else "float32"

    @property
    def fuses(self) -> bool:
        """Whether fewer operations are started than the eager pass dispatches."""
        return bool({"compiled", "cuda_graphs"} & set(self.parts))

    @classmethod
    def of(cls, text: str) -> "Mode":
        """Return the mode that a text such as `channels_last+bf16` means.

        Raises:
            ConfigError: There is no such mode.
        """
        words = [word for word in text.split("+") if word != "eager"]
        for word in words:
            if word not in PARTS:
                known = ["eager", *PARTS]
                more = f"{', '.join(known)}; several are joined by +"
                raise ConfigError(f"no mode {word!r}", hint=did_you_mean(word, known, more=more))
        return cls(tuple(part for part in PARTS if part in words))

    def missing(self, device: torch.device) -> str:
        """Return what the machine lacks for it, or nothing."""
        if "cuda_graphs" in self.parts and device.type != "cuda":
            return "CUDA graphs need a GPU"
        if "bf16" in self.parts and device.type == "cpu" and not _computes_bf16():
            return "this processor has no native bfloat16"
        return ""


def _computes_bf16() -> bool:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return bool(_NATIVE & set(text.split()))


class Pipeline:
    """A protected classifier, run in one mode; the classifier starts where the defense ends.

    Args:
        protected: Stages and classifier; a copy is changed where the mode asks for it.
        mode: How to run it.

    Attributes:
        held: Bytes of its weights.
    """

    def __init__(self, protected: Protected, mode: Mode) -> None:
        self.mode = mode
        view = protected.view("exact")
        if mode.parts:
            view = copy.deepcopy(view)
        if "channels_last" in mode.parts:
            view.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch lists no memory_format alone
        if "bf16" in mode.parts:
            for stage in view.modules():
                if isinstance(stage, SuperResolution) and stage.dtype == "float32":
                    stage.network, stage.dtype = lower(stage.network, torch.bfloat16), "bfloat16"
        if "compiled" in mode.parts:
            # All stages share the code of one `forward`; past the limit torch runs it eagerly.
            torch._dynamo.config.recompile_limit = 256
            for part in (*view.transforms, view.classifier):
                part.compile(dynamic=False, options={"freezing": True})
        self.held = held(view)
        self.defend: Callable[[Tensor], Tensor] = view.defend
        self.classify: Callable[[Tensor], Tensor] = lambda x: view.classify(x, len(x))
        if "cuda_graphs" in mode.parts:
            self.defend, self.classify = _Graphed(self.defend), _Graphed(self.classify)

    def prepare(self, images: Tensor) -> Tensor:
        """Return images as this mode takes them."""
        last = "channels_last" in self.mode.parts
        return images.to(memory_format=torch.channels_last) if last else images

    @contextmanager
    def running(self, device: torch.device) -> Iterator[None]:
        """Compute in the precision of the mode, without gradients."""
        bf16 = "bf16" in self.mode.parts
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            yield


class _Graphed:
    """A function whose kernels a GPU replays from one graph per shape (CUDA graphs)."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        self.function = function
        self._graphs: dict[tuple[int, ...], tuple[torch.cuda.CUDAGraph, Tensor, Tensor]] = {}

    def __call__(self, x: Tensor) -> Tensor:
        key = tuple(x.shape)
        if key not in self._graphs:
            self._graphs[key] = self._capture(x)
        graph, taken, given = self._graphs[key]
        taken.copy_(x)
        graph.replay()
        return given

    def _capture(self, x: Tensor) -> tuple[torch.cuda.CUDAGraph, Tensor, Tensor]:
        taken = x.clone(memory_format=torch.preserve_format)
        beside = torch.cuda.Stream()
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(3):  # libraries choose kernels and take memory in the first calls
                self.function(taken)
        torch.cuda.current_stream().wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            given = self.function(taken)
        return graph, taken, given
