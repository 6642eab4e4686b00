"""Call an attack on the images of a shard and check what it returns."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from superdef_bench.benchmark.built import BuiltAttack
from superdef_bench.core.calls import calling
from superdef_bench.core.checks import check_examples
from superdef_bench.core.errors import CellError, ContractError, InterruptError, SuperdefError
from superdef_bench.core.fingerprint import fingerprint
from superdef_bench.core.rng import Random
from superdef_bench.core.settings import Generators
from superdef_bench.core.threats import Goal, Threat
from superdef_bench.core.transform import Protected, ScoresOnly
from superdef_bench.core.types import AttackContext
from superdef_bench.run.images import Images

_PER_IMAGE = {
    "first_step": torch.int64,
    "forwards": torch.float64,
    "backwards": torch.float64,
    "seconds": torch.float64,
}


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

    def split(self, counts: Sequence[int]) -> "list[Examples]":
        """Return the first `counts[0]` images, the `counts[1]` after them, and so on."""
        sizes, names = list(counts), ("images", *_PER_IMAGE)
        split = {name: getattr(self, name).split(sizes) for name in names}
        return [
            replace(self, **{name: parts[place] for name, parts in split.items()})
            for place in range(len(sizes))
        ]

    def pack(self) -> dict[str, Tensor]:
        """Return named tensors for the bank."""
        return {**vars(self), "batch_dependent": torch.tensor(self.batch_dependent)}

    @classmethod
    def unpack(cls, stored: Mapping[str, Tensor], clean: Tensor, threat: Threat) -> "Examples":
        """Return kept examples of the images `clean`, on their device.

        Args:
            stored: What `pack` gave.
            clean: The images `(N, C, H, W)`.
            threat: Ball that they lie in.

        Raises:
            ContractError: A tensor is missing or surplus, of another shape or type, or the
                images are out of [0, 1] or of the ball.
        """
        wanted: set[tuple[str, torch.dtype, tuple[int, ...]]] = {
            ("images", torch.float32, tuple(clean.shape)),
            ("batch_dependent", torch.bool, ()),
            *((name, dtype, (len(clean),)) for name, dtype in _PER_IMAGE.items()),
        }
        found = {(name, tensor.dtype, tuple(tensor.shape)) for name, tensor in stored.items()}
        if found != wanted:
            other = ", ".join(sorted({name for name, *_ in found ^ wanted}))
            raise ContractError(f"{other}: not what examples have")
        checked = check_examples(
            "the bank", clean, clean, stored["images"].to(clean.device), threat
        )
        rest = {name: stored[name] for name in _PER_IMAGE}
        return cls(checked, **rest, batch_dependent=bool(stored["batch_dependent"]))


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
            with calling(owner, CellError):
                returned = attack.attack(shown, x, images.y, threat, context)
                adversarial = check_examples(owner, x, before, returned, threat)
        except InterruptError:
            raise
        except SuperdefError as error:
            raise CellError(error.message, hint=error.hint) from error
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


@contextmanager
def _seeded(key: str) -> Iterator[Generators]:
    """Seed the global generators for a while, and put them back; tell whether they were used."""
    before = Generators()
    try:
        before.seed(int(key[:8], 16))
        yield Generators()
    finally:
        before.restore()
