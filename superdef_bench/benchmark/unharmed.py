"""Networks of a caller that come back as they were: mode, device, and what asks for a gradient."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from superdef_bench.benchmark.identity import networks_in


@contextmanager
def unharmed(objects: Iterable[object]) -> Iterator[None]:
    """Run a block that works with live objects; networks in them come back, whatever happens.

    Nothing is copied: what a network is made of is remembered, and put where it was.
    """
    kept = {id(module): _Kept(module) for each in objects for module in networks_in(each)}
    try:
        yield
    finally:
        for module in kept.values():
            module.restore()


class _Kept:
    """One module as it was."""

    def __init__(self, module: nn.Module) -> None:
        self._module, self._training = module, module.training
        self._parameters = [_Parameter(p) for p in module.parameters(recurse=False)]
        self._buffers = dict(module.named_buffers(recurse=False))

    def restore(self) -> None:
        self._module.training = self._training
        for parameter in self._parameters:
            parameter.restore()
        now = dict(self._module.named_buffers(recurse=False))
        for name, buffer in self._buffers.items():
            if now.get(name) is not buffer:
                setattr(self._module, name, buffer)


class _Parameter:
    """One parameter as it was: moving it to a device gives it, and its gradient, other memory."""

    def __init__(self, parameter: nn.Parameter) -> None:
        self._parameter, self._needs = parameter, parameter.requires_grad
        self._data, self._gradient = parameter.data, parameter.grad
        self._of_gradient: Tensor | None = None if parameter.grad is None else parameter.grad.data

    def restore(self) -> None:
        parameter, gradient = self._parameter, self._gradient
        parameter.grad = None  # it may lie on another device than what comes back
        parameter.data = self._data
        parameter.requires_grad_(self._needs)
        if gradient is not None and self._of_gradient is not None:
            gradient.data = self._of_gradient
        parameter.grad = gradient
