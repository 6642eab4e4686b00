"""The gray-box examples that a run kept, as one file to replay."""

from pathlib import Path

import torch
from torch import Tensor

from superdef_bench.analysis.run_folder import RunFolder, open_run
from superdef_bench.core.errors import ConfigError, DataError, did_you_mean
from superdef_bench.core.fingerprint import tensors
from superdef_bench.core.plugins import Registry
from superdef_bench.core.threats import UNDEFENDED, AttackKind, Rung, parse_eps
from superdef_bench.core.types import distance
from superdef_bench.run.bank.example_file import ExampleFile
from superdef_bench.run.cells import Cell, Group
from superdef_bench.run.images import eight_bits


def kept_examples(
    folder: Path, attack: str, eps: str, registry: Registry, device: torch.device
) -> ExampleFile:
    """Return the examples of an attack on the bare classifier, rounded to 8 bits.

    Each level is rounded towards the clean image, so that all stay in their ball.

    Args:
        folder: Run folder.
        attack: Name of an attack of its config.
        eps: Radius, as the config writes it; the last where empty.
        registry: Plugins.
        device: Where the classifier is built.

    Raises:
        ConfigError: The run has no such attack in gray box, or it has no ball of that radius.
        DataError: The folder has no results, or keeps no examples that this code would make.
    """
    run = open_run(folder, registry, device)
    group = _group(run, attack)
    cell = _cell(group, eps)
    ids, labels, images = [], [], []
    for shard in run.shards():
        count = shard.attacked(group)
        if not count:
            break
        clean = shard.images.x[:count]
        rounded = eight_bits(run.kept_examples(group, cell, shard).images, clean)
        _check_ball(rounded, clean, cell)
        ids.append(shard.images.ids[:count])
        labels.append(shard.images.y[:count])
        images.append((rounded * 255).round().byte())
    return ExampleFile(
        ids=torch.cat(ids),
        labels=torch.cat(labels),
        images=torch.cat(images),
        metadata={
            "dataset": run.benchmark.task.dataset,
            "attack": attack,
            "norm": cell.threat.norm,
            "eps": cell.eps,
            "weights": tensors(run.benchmark.bare.classifier.state_dict()),
        },
    )


def _group(run: RunFolder, attack: str) -> Group:
    """Return the cells of an attack on the undefended classifier."""
    replaying = {
        group.attack.name: group
        for group in run.plan.groups
        if group.attack is not None and group.attack.attack.kind == AttackKind.BUDGET
        if group.defense.name == UNDEFENDED and group.rung is Rung.GRAY_BOX
    }
    if attack not in replaying:
        raise ConfigError(
            f"{run.benchmark.config.name} has no attack {attack!r} with a ball in gray box",
            hint=did_you_mean(attack, replaying),
        )
    return replaying[attack]


def _cell(group: Group, eps: str) -> Cell:
    if not eps:
        return group.cells[-1]
    for cell in group.cells:
        if cell.threat.eps == parse_eps(eps):
            return cell
    known = " or ".join(cell.eps for cell in group.cells)
    raise ConfigError(f"the attack was not run at eps {eps!r}", hint=f"take {known}")


def _check_ball(rounded: Tensor, clean: Tensor, cell: Cell) -> None:
    """Raise DataError where rounding leaves the ball: images between two levels, a tiny ball."""
    far = float(distance(clean, rounded, cell.threat.norm).max())
    if far > cell.threat.limit:
        raise DataError(
            f"rounded to 8 bits an example is {far:.4g} from its image, eps is {cell.eps}",
            hint="take a larger eps",
        )
