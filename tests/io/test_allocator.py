"""Freed memory stays with the process."""

import subprocess
import sys

import pytest

from superdef_bench.io.allocator import keep_freed_memory

_FAULTS = """
import resource, sys, torch
from superdef_bench.io.allocator import keep_freed_memory
from superdef_bench.nn.resnet import ResNet
if sys.argv[1] == "kept":
    assert keep_freed_memory()
torch.set_num_threads(1)
network, images = ResNet(blocks=1, num_classes=10).eval(), torch.rand(32, 3, 32, 32)
def step():
    x = images.clone().requires_grad_(True)
    torch.autograd.grad(network(x).sum(), x)
for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the allocator of glibc")
def test_memory_that_is_freed_is_not_asked_for_again() -> None:
    def faults(how: str) -> int:
        words = [sys.executable, "-c", _FAULTS, how]
        return int(subprocess.run(words, check=True, capture_output=True, text=True).stdout)

    assert faults("kept") < faults("as it comes") / 10


def test_what_the_environment_sets_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "131072")
    assert not keep_freed_memory()
