"""PGD beside that of other libraries: `pytest tests/benchmarks/test_peers.py -m slow -s`."""

import importlib.util
from collections.abc import Callable
from typing import Any

import foolbox
import pytest
import torch
from foolbox.models.pytorch import PyTorchModel
from torch import Tensor, nn

from superdef_bench import load_model
from superdef_bench.core.rng import Random
from superdef_bench.core.threats import Threat
from superdef_bench.core.transform import Protected
from superdef_bench.core.types import AttackContext
from superdef_bench.engine.ascent import ascend
from superdef_bench.io.allocator import keep_freed_memory
from tests.support.pace import least_seconds

_IMAGES, _STEPS, _STEP, _EPS = 64, 20, 2 / 255, 8 / 255
_MODELS = ["autoattack_example", "cifar10_jpeg_resnet20"]
_ROUNDS = 4
_BOUND = 1.1  # 1.05 is the goal; our last iterate is judged by a pass of its own

Made = Callable[[], object]


def _ours(network: nn.Module, x: Tensor, y: Tensor) -> Made:
    def made() -> Tensor:
        ids = torch.arange(len(x))
        context = AttackContext.start(ids, Random(0, "attack/pgd", ids), goal="strength")
        view, threat = Protected((), network).eval(), Threat("linf", _EPS)
        return ascend(
            view, x, y, threat, context, steps=_STEPS, step_size=_STEP, random_starts=True
        )

    return made


def _foolbox(network: nn.Module, x: Tensor, y: Tensor) -> Made:
    model = PyTorchModel(network, bounds=(0, 1), device="cpu")
    attack = foolbox.attacks.LinfPGD(abs_stepsize=_STEP, steps=_STEPS, random_start=True)
    return lambda: attack(model, x, y, epsilons=_EPS)


def _torchattacks(network: nn.Module, x: Tensor, y: Tensor) -> Made:
    import torchattacks

    attack = torchattacks.PGD(network, eps=_EPS, alpha=_STEP, steps=_STEPS, random_start=True)
    return lambda: attack(x, y)


_PEERS: dict[str, Any] = {"foolbox": _foolbox, "torchattacks": _torchattacks}


@pytest.mark.slow
@pytest.mark.parametrize("peer", _PEERS)
@pytest.mark.parametrize("model", _MODELS)
def test_pgd_in_strength_takes_what_that_of_a_peer_takes(peer: str, model: str) -> None:
    if importlib.util.find_spec(peer) is None:
        pytest.skip(f"{peer} is not installed: pip install --no-deps {peer}")
    torch.set_num_threads(1)
    keep_freed_memory()
    network = load_model(model).eval().requires_grad_(False)
    x = torch.rand(_IMAGES, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        y = network(x).argmax(dim=1)
    works = {"ours": _ours(network, x, y), peer: _PEERS[peer](network, x, y)}
    took = least_seconds(works, rounds=_ROUNDS)
    ratio = took["ours"] / took[peer]
    print(f"{model}, {_IMAGES} images, {_STEPS} steps: {ratio:.2f}x of the time of {peer}")
    assert ratio <= _BOUND
