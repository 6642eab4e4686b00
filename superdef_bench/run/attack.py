"""Call an attack on the images of a shard and check what it returns."""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from superdef_bench.benchmark.built import BuiltAttack
from superdef_bench.core.checks import check_examples
from superdef_bench.core.errors import CellError, SuperdefError
from superdef_bench.core.fingerprint import fingerprint
from superdef_bench.core.rng import Random
from superdef_bench.core.threats import Goal, Threat
from superdef_bench.core.transform import Protected, ScoresOnly
from superdef_bench.core.types import AttackContext
from superdef_bench.run.images import Images


@dataclass
class Examples:
    """Adversarial images and what it took to make them.

    Attributes:
        images: `(N, C, H, W)`.
        first_step: Gradient steps until the attack saw each fooled, -1 for never, `(N,)`.
        forwards: Mean per image of its batch, `(N,)` float64.
        backwards: Likewise.
        seconds: Likewise.
        batch_dependent: Whether an image's example may depend on the others.
    """

    images: Tensor
    first_step: Tensor
    forwards: Tensor
    backwards: Tensor
    seconds: Tensor
    batch_dependent: bool

    def pack(self) -> dict[str, Tensor]:
        """Return named tensors for the bank."""
        return {**vars(self), "batch_dependent": torch.tensor(self.batch_dependent)}

    @classmethod
    def unpack(cls, tensors: dict[str, Tensor], device: torch.device) -> "Examples":
        flag = bool(tensors.pop("batch_dependent"))
        images = tensors.pop("images").to(device)
        return cls(images, **tensors, batch_dependent=flag)


def make_examples(
    attack: BuiltAttack,
    model: Protected,
    images: Images,
    threat: Threat,
    goal: Goal,
    *,
    topk: int,
    seed: int,
    batch_size: int,
    eot: int = 1,
    scores_only: bool = False,
) -> Examples:
    """Attack images, `batch_size` at once.

    Args:
        attack: The attack.
        model: What is attacked, in the gradient view that the attack gets.
        images: Clean images.
        threat: Ball to stay in.
        goal: What the attack is to reach.
        topk: Highest logits that count.
        seed: Seed of all random numbers.
        batch_size: Images at once.
        eot: Draws per gradient through a random defense.
        scores_only: Whether the attack sees logits and nothing else.

    Raises:
        CellError: The attack raised or broke its contract.
    """
    size = len(images) if attack.batch_dependent else batch_size
    parts = [
        _attack(attack, model, batch, threat, seed, scores_only, goal=goal, topk=topk, eot=eot)
        for batch in images.split(size)
    ]
    return Examples(
        images=torch.cat([part.images for part in parts]),
        first_step=torch.cat([part.first_step for part in parts]),
        forwards=torch.cat([part.forwards for part in parts]),
        backwards=torch.cat([part.backwards for part in parts]),
        seconds=torch.cat([part.seconds for part in parts]),
        batch_dependent=any(part.batch_dependent for part in parts),
    )


def _attack(
    attack: BuiltAttack,
    model: Protected,
    images: Images,
    threat: Threat,
    seed: int,
    scores_only: bool,
    **settings: Any,
) -> Examples:
    owner, x, ids = f"attack {attack.name!r}", images.x, images.ids
    model = model.view(model.gradient)  # its draws start afresh for every batch
    shown = ScoresOnly(model) if scores_only else model
    before = x.clone()
    random_numbers = Random(seed, f"attack/{attack.name}", ids)
    context = AttackContext.start(ids, random_numbers, target=images.target, **settings)
    start = time.perf_counter()
    with _seeded(fingerprint(seed, attack.name, ids.tolist())) as generators:
        try:
            returned = attack.attack(shown, x, images.y, threat, context)
            adversarial = check_examples(owner, x, before, returned, threat)
        except SuperdefError as error:
            raise CellError(error.message, hint=error.hint) from error
        except Exception as error:
            raise CellError(f"{owner} raised {type(error).__name__}: {error}") from error
        drew = generators.used() or model.drew_by_row
    count = len(x)
    forwards, backwards = model.passes.forwards, model.passes.backwards
    return Examples(
        images=adversarial,
        first_step=context.first_step.cpu(),
        forwards=torch.full((count,), forwards / count, dtype=torch.float64),
        backwards=torch.full((count,), backwards / count, dtype=torch.float64),
        seconds=torch.full((count,), (time.perf_counter() - start) / count, dtype=torch.float64),
        batch_dependent=bool(attack.batch_dependent) or drew,
    )


class _Generators:
    """The global generators, seeded; tells whether they were drawn from."""

    def __init__(self, seed: int) -> None:
        torch.manual_seed(seed)
        np.random.seed(seed)  # it is the global one that third-party code uses
        random.seed(seed)
        self._before = self._state()

    def _state(self) -> tuple[bytes, bytes, int, object]:
        _, keys, place, *_ = np.random.get_state()  # as above
        state = torch.get_rng_state().numpy().tobytes()
        return state, np.asarray(keys).tobytes(), int(place), random.getstate()

    def used(self) -> bool:
        return self._state() != self._before


@contextmanager
def _seeded(key: str) -> Iterator[_Generators]:
    """Seed the global generators for a while, and put them back."""
    numpy_state, python_state = np.random.get_state(), random.getstate()  # as above
    try:
        with torch.random.fork_rng():
            yield _Generators(int(key[:8], 16))
    finally:
        np.random.set_state(numpy_state)  # as above
        random.setstate(python_state)
