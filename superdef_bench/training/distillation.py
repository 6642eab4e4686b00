"""Response-based distillation of a super-resolution network, after FAKD without its features."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional

from superdef_bench.core.errors import ConfigError, DataError
from superdef_bench.core.fingerprint import fingerprint
from superdef_bench.io.files import file_size, write_atomically
from superdef_bench.io.progress import progress_bar
from superdef_bench.nn import EDSR, RCAN, SuperDef
from superdef_bench.nn.weights import MOST_BYTES
from superdef_bench.training.artefact import Restoration, network_sha256
from superdef_bench.training.photographs import Photographs
from superdef_bench.training.queries import Queries
from superdef_bench.training.super_resolution import Draw, Loss, Network


def tapped(network: nn.Module) -> list[nn.Module]:
    """Return the layers whose inputs are compared: two inside the body, and what follows it.

    Raises:
        ConfigError: The network is none that has them.
    """
    if not isinstance(network, EDSR | RCAN | SuperDef):
        raise ConfigError(f"{type(network).__name__} has no feature maps to compare")
    layers = list(network.body.children())
    last = network.tail if isinstance(network, SuperDef) else network.upsampler
    return [layers[len(layers) // 3], layers[2 * len(layers) // 3], last]


@contextmanager
def feature_maps(network: nn.Module, *, wanted: bool = True) -> Iterator[list[Tensor]]:
    """Collect what the tapped layers are given while the block runs, `(N, C, h, w)` each."""
    maps: list[Tensor] = []
    layers = tapped(network) if wanted else []

    def keep(layer: nn.Module, inputs: tuple[Tensor]) -> None:
        maps.append(inputs[0])

    handles = [layer.register_forward_pre_hook(keep) for layer in layers]
    try:
        yield maps
    finally:
        for handle in handles:
            handle.remove()


def affinity(features: Tensor) -> Tensor:
    """Return the cosine of every two places of a map `(N, C, h, w)`: `(N, h w, h w)`."""
    columns = functional.normalize(features.float().flatten(2), dim=1)  # (N, C, h w)
    return torch.einsum("ncp,ncq->npq", columns, columns)


def affinity_loss(student: list[Tensor], teacher: list[Tensor]) -> Tensor:
    """Return the mean absolute difference of affinities, summed over maps of one size.

    FAKD weighs it against pixels in 0..255; here they are in [0, 1], and the sum is divided by
    255, so that a weight means what it means there.
    """
    pairs = zip(student, teacher, strict=True)
    return torch.stack([(affinity(s) - affinity(t)).abs().mean() for s, t in pairs]).sum() / 255


_CHUNK = 64


@dataclass(frozen=True)
class Distillation:
    """The loss (1 - alpha) L1(S, HR) + alpha L1(S, T) on patches S and T see alike.

    Rows that a query changed have no true answer: there the teacher's alone counts, in full.

    Args:
        teacher: Frozen network.
        student: The network in training; read for its features only.
        alpha: Weight of the teacher's answer on clean rows.
        queries: What the inputs become.
        affinity: Weight of the feature term of FAKD; 0 leaves it out.

    Raises:
        ConfigError: A weight is out of its range.
    """

    teacher: nn.Module
    student: nn.Module
    alpha: float
    queries: Queries
    affinity: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.alpha <= 1:
            raise ConfigError(f"alpha is {self.alpha}", hint="take 0 to 1")
        if not self.affinity >= 0:
            raise ConfigError(f"affinity is {self.affinity}", hint="take 0 or more")

    def __call__(
        self,
        network: Network,
        step: int,
        small: Tensor,
        large: Tensor,
        answer: Tensor | None = None,
    ) -> Tensor:
        """Return the mean loss of a batch.

        Args:
            network: Runs the student.
            step: Number of the step, which draws the queries.
            small: Patches `(N, 3, h, w)` in [0, 1].
            large: Their originals `(N, 3, H, W)`.
            answer: What the teacher makes of `small`; None to ask it.
        """
        if answer is not None:
            return self._response(network(small), answer.float(), large, step)
        asked = self.queries.change(small, step)
        with feature_maps(self.student, wanted=bool(self.affinity)) as mine:
            out = network(asked)
        with feature_maps(self.teacher, wanted=bool(self.affinity)) as theirs, torch.no_grad():
            answer = self.teacher(asked)
        loss = self._response(out, answer, large, step)
        if self.affinity:
            loss = loss + self.affinity * affinity_loss(mine, theirs)
        return loss

    def _response(self, out: Tensor, answer: Tensor, large: Tensor, step: int) -> Tensor:
        clean = self.queries.clean(len(out), step).to(out.device)
        weight = torch.where(clean, self.alpha, 1.0).view(-1, 1, 1, 1)
        return ((1 - weight) * (out - large).abs() + weight * (out - answer).abs()).mean()


class RememberedAnswers:
    """A fixed set of patches with the teacher's answers, for teachers too slow to ask each step.

    The answers are kept in a file of `folder` under a key of teacher, photographs and set, and
    as float16, which is off by 0.06 of a grey level at most. The set takes 3 bytes per pixel of
    a small patch and 9 per pixel of a large one.

    Args:
        teacher: Frozen network.
        photographs: What the patches are drawn from.
        count: Patches.
        patch: Side of a small patch.
        batch_size: Patches per step.
        seed: Seed of the set and of the batches.
        folder: Where the file goes.
    """

    def __init__(
        self,
        teacher: nn.Module,
        photographs: Photographs,
        *,
        count: int,
        patch: int,
        batch_size: int,
        seed: int,
        folder: Path,
    ) -> None:
        photographs.check_patch(patch)
        self._batch_size, self._seed = batch_size, seed
        parts = (network_sha256(teacher), photographs.sha256, count, patch, seed)
        path = folder / f"answers-{fingerprint(*parts)[:16]}.safetensors"
        if path.exists():
            self._set = _read(path)
        else:
            self._set = _ask(teacher, photographs, count, patch, seed)
            write_atomically(path, safetensors.torch.save(self._set))

    def draw(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return small patches, large ones, and the teacher's answers, in [0, 1]."""
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + step)
        size = len(self._set["small"])
        rows = torch.randint(size, (self._batch_size,), generator=generator)
        small, large = (self._set[name][rows].float() / 255 for name in ("small", "large"))
        return small, large, self._set["answer"][rows].float()


def _read(path: Path) -> dict[str, Tensor]:
    try:
        file_size(path, most=MOST_BYTES)
        found = safetensors.torch.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise DataError(f"teacher's answers {path} are damaged", hint="delete the file") from error
    if found.keys() != {"small", "large", "answer"}:
        raise DataError(f"{path} holds no answers of a teacher", hint="delete the file")
    return found


@torch.no_grad()
def _ask(
    teacher: nn.Module, photographs: Photographs, count: int, patch: int, seed: int
) -> dict[str, Tensor]:
    device = next(teacher.parameters()).device
    parts: dict[str, list[Tensor]] = {"small": [], "large": [], "answer": []}
    with progress_bar(count) as bar:
        for number, start in enumerate(range(0, count, _CHUNK)):
            chunk = min(_CHUNK, count - start)
            small, large = photographs.patches(chunk, patch, (seed + 1) * 999_983 + number)
            parts["answer"].append(teacher(small.to(device)).half().cpu())
            parts["small"].append((small * 255).round().byte())
            parts["large"].append((large * 255).round().byte())
            bar.show("asking the teacher", f"{start + chunk}/{count} patches")
            bar.advance(chunk)
    return {name: torch.cat(chunks).contiguous() for name, chunks in parts.items()}


@dataclass(frozen=True)
class DistilledRestoration(Restoration):
    """A student to train on its teacher's answers.

    Args:
        teacher: Frozen network, on the device.
        teacher_facts: What its provenance says of it.
        alpha: See `Distillation`.
        affinity: See `Distillation`.
        remember: Size of the fixed set, see `RememberedAnswers`; 0 for fresh patches.
        queries: What the teacher is asked about.

    Raises:
        ConfigError: The answers to remember are none to clean patches.
    """

    teacher: nn.Module
    teacher_facts: Mapping[str, Any]
    alpha: float
    affinity: float
    remember: int
    queries: Queries

    def __post_init__(self) -> None:
        if self.remember < 0:
            raise ConfigError(f"remember is {self.remember}", hint="take 0 or more")
        if self.remember and (set(self.queries.kinds) != {"clean"} or self.affinity):
            raise ConfigError(
                "remembered answers are those to clean patches, without features",
                hint="leave --remember out, or --queries and --affinity",
            )

    def loss_settings(self) -> Mapping[str, Any]:
        """Return weights, queries, and the hash of the teacher."""
        return {
            "teacher": {"tensors_sha256": network_sha256(self.teacher), **self.teacher_facts},
            "alpha": self.alpha,
            "affinity": self.affinity,
            "remember": self.remember,
            **self.queries.described(),
        }

    def loss(self, network: nn.Module, photographs: Photographs) -> tuple[Loss, Draw | None]:
        """Return the loss of response-based distillation."""
        loss = Distillation(self.teacher, network, self.alpha, self.queries, self.affinity)
        if not self.remember:
            return loss, None
        answers = RememberedAnswers(
            self.teacher,
            photographs,
            count=self.remember,
            patch=self.settings.patch,
            batch_size=self.settings.batch_size,
            seed=self.settings.seed,
            folder=self.out,
        )
        return loss, answers.draw
