"""Adversarial examples of a contributor: held against the images that they claim, and scored.

Nothing is attacked, and a file is not believed: what it says of itself has to be what the
benchmark says, and each example has to lie in the ball around the image in its place.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from superdef_bench.analysis.submitted_file import SubmittedFile, check_facts
from superdef_bench.benchmark.build import build
from superdef_bench.benchmark.built import Benchmark, BuiltDefense
from superdef_bench.benchmark.config import find_config, load_config
from superdef_bench.core.errors import CellError, DataError
from superdef_bench.core.plugins import Registry
from superdef_bench.core.threats import Threat, parse_eps
from superdef_bench.core.types import distance
from superdef_bench.io.machine import fix_numerics
from superdef_bench.io.progress import progress_bar
from superdef_bench.results.rows import Score, score_of
from superdef_bench.run.cells import SHARD, draws_of
from superdef_bench.run.images import Images, eight_bits
from superdef_bench.run.plan import images_of
from superdef_bench.run.prepare import Selection
from superdef_bench.run.score import Scores, score
from superdef_bench.run.shard import Shard

Shares = NDArray[np.float64]

_OTHER_IMAGE = 4  # times eps: so far no attack steps out of its ball


@dataclass(frozen=True)
class Submission:
    """Examples that lie where they have to.

    Attributes:
        file: What they were read from, in the order of the dataset.
        said: What the file says of itself, all of it right, and what it does not say.
        distance: The largest from an image.
    """

    file: SubmittedFile
    said: dict[str, bool]
    distance: float


@dataclass(frozen=True)
class SubmittedRow:
    """What a defense makes of a submission.

    Attributes:
        defense: Name of the row.
        arguments: Of the defense.
        draws: Fresh draws that scored each image.
        clean: Share of them that are right without attack, `(n,)`.
        right: Share of them that are right without attack and on the example: the lower, `(n,)`.
        errors: Images on which the defense failed: they count as broken.
    """

    defense: str
    arguments: dict[str, Any]
    draws: int
    clean: Shares
    right: Shares
    errors: int

    @property
    def accuracy(self) -> Score:
        """Without attack."""
        return score_of(self.clean, drawn=self.draws > 1)

    @property
    def robust(self) -> Score:
        """Under the submission."""
        return score_of(self.right, drawn=self.draws > 1)


def benchmark_of(
    config: str, registry: Registry, device: torch.device, **selection: Unpack[Selection]
) -> Benchmark:
    """Return the benchmark of a config without its attacks: a submission needs none.

    Args:
        config: TOML file, or the name of a shipped config.
        registry: Plugins.
        device: Where to compute.
        selection: What to keep of the config, or to change.

    Raises:
        ConfigError: The file cannot be read, or a name, argument or size does not fit.
        PluginError: A plugin cannot be built.
        DataError: Data or weights are missing or damaged.
    """
    chosen = load_config(find_config(config)).select(**selection)
    return build(chosen.model_copy(update={"attacks": (), "sources": ()}), registry, device)


def ball_of(benchmark: Benchmark) -> Threat:
    """Return the ball that a submission has to lie in: that of the last eps, which ranks."""
    return Threat(benchmark.config.norm, parse_eps(benchmark.config.eps[-1]))


def check_submission(file: SubmittedFile, benchmark: Benchmark) -> Submission:
    """Return a submission that belongs to the images of a benchmark.

    Raises:
        DataError: There are other images in it, or as many others, one leaves the ball, or the
            file says of itself what is not so here.
    """
    ids = list(benchmark.dataset.ids[: benchmark.limit])
    _check_count(file, benchmark)
    said = check_facts(file, benchmark)
    file = file.ordered(ids)
    threat, far = ball_of(benchmark), []
    for shard, images in _with_examples(file.images, benchmark):
        file.check_labels(shard.start, shard.images.y)
        far.append(distance(shard.images.x, images, threat.norm).cpu())
    apart = torch.cat(far)
    if float(apart.max()) > threat.limit:
        raise _outside(file, apart, threat, benchmark.config.eps[-1], ids)
    return Submission(file, said, float(apart.max()))


def _check_count(file: SubmittedFile, benchmark: Benchmark) -> None:
    found, wanted = len(file.images), benchmark.limit
    shape, shaped = tuple(file.images.shape[1:]), tuple(benchmark.task.input_shape)
    if shape != shaped:
        raise DataError(
            f"{file.name} has examples of shape {shape}, {benchmark.task.dataset} images of "
            f"{shaped}",
            hint="name the config that they were made for; resizing belongs to the dataset",
        )
    if found != wanted:
        known = len(benchmark.dataset.ids)
        raise DataError(
            f"{file.name} has {found:,} examples, the config {wanted:,} images",
            hint=f"--limit {found} takes the first {found:,} images"
            if found <= known
            else f"{benchmark.task.dataset} has {known:,} images",
        )


def _with_examples(examples: Tensor, benchmark: Benchmark) -> Iterator[tuple[Shard, Tensor]]:
    """Yield the images of a benchmark, shard by shard, with the examples in their places."""
    for number in range(-(-benchmark.limit // SHARD)):
        shard = Shard.load(benchmark, number)
        found = examples[shard.start : shard.start + len(shard.images)]
        yield shard, found.float().to(benchmark.device)


def _outside(
    file: SubmittedFile, apart: Tensor, threat: Threat, eps: str, ids: list[str]
) -> DataError:
    """Return what to say of examples that leave the ball."""
    assert threat.eps is not None
    place, count = int(apart.argmax()), int((apart > threat.limit).sum())
    # A swap of images is far out; what was not projected, or rounded, is a little.
    far, swapped = float(apart[place]), float(apart[place]) > _OTHER_IMAGE * threat.eps
    order = (
        "examples stand in the order of the dataset, load_dataset(...).load(range(N)), or say ids"
    )
    return DataError(
        f"{file.name}: {count} of {len(ids)} examples leave the {threat.norm} ball of {eps}; "
        f"image {place} ({ids[place]}) is {far:.6g} away, {far - threat.eps:.2g} too far",
        hint=order if swapped else "project onto the ball around the clean image, in float32",
    )


def score_submission(submission: Submission, benchmark: Benchmark) -> list[SubmittedRow]:
    """Return what each defense of a benchmark makes of a submission, as a run would score it.

    An image is right if it is right without attack and on its example; of a random defense the
    mean over its fresh draws counts, and of the two the lower.

    Raises:
        CellError: A defense returned what its contract forbids, or failed on every image.
    """
    fix_numerics()
    parts: dict[str, list[tuple[Shares, Shares, list[bool]]]] = {}
    work = sum(images_of(benchmark, defense.limit) for defense in benchmark.defenses)
    with progress_bar(work) as bar:
        for shard, examples in _with_examples(submission.file.images, benchmark):
            for defense in benchmark.defenses:
                count = shard.count(images_of(benchmark, defense.limit))
                if count:
                    bar.show(f"scoring: {defense.name}", shard.span(benchmark.limit, shard))
                    images = shard.images.take(torch.arange(count, device=benchmark.device))
                    found = _scored(defense, images, examples[:count], benchmark)
                    parts.setdefault(defense.name, []).append(found)
                    bar.advance(count)
    return [_row(defense, parts[defense.name], benchmark) for defense in benchmark.defenses]


def _scored(
    defense: BuiltDefense, images: Images, examples: Tensor, benchmark: Benchmark
) -> tuple[Shares, Shares, list[bool]]:
    """Return shares of right draws without attack and under it, and where the defense failed."""
    config, threat = benchmark.config, ball_of(benchmark)
    if config.eightbit:
        examples = eight_bits(examples, images.x)
        # Rounding may carry an image between two levels out of a small ball: it counts as clean.
        inside = distance(images.x, examples, threat.norm) <= threat.limit
        examples = torch.where(inside[:, None, None, None], examples, images.x)
    clean = Images(images.x, images.y, images.ids)
    with benchmark.watch.to(f"defense {defense.name!r}"):
        before, after = (
            score(
                defense,
                attacked,
                batch,
                benchmark.task.num_classes,
                topk=config.topk,
                batch_size=config.batch_size,
                draws=draws_of(benchmark, defense),
            )
            for attacked, batch in ((images.x, clean), (examples, images))
        )
    errors = [any(pair) for pair in zip(before.errors, after.errors, strict=True)]
    right, under = (_shares(found) for found in (before, after))
    return right, np.minimum(right, under), errors


def _shares(scores: Scores) -> Shares:
    return (~scores.wrong).sum(dim=0).numpy() / len(scores.wrong)


def _row(
    defense: BuiltDefense, parts: list[tuple[Shares, Shares, list[bool]]], benchmark: Benchmark
) -> SubmittedRow:
    clean, right = (np.concatenate([part[place] for part in parts]) for place in (0, 1))
    errors = sum(sum(part[2]) for part in parts)
    if errors == len(clean):
        raise CellError(f"defense {defense.name!r} failed on every image")
    return SubmittedRow(
        defense=defense.name,
        arguments=dict(defense.arguments),
        draws=draws_of(benchmark, defense),
        clean=clean,
        right=right,
        errors=errors,
    )
