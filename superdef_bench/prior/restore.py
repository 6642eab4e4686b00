"""Restore images by what their networks drew when a rule said stop."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from superdef_bench.core.errors import DataError
from superdef_bench.core.rng import Random
from superdef_bench.io.machine import out_of_memory
from superdef_bench.nn.skip import SkipShape
from superdef_bench.prior.fit import PriorFit, no_memory
from superdef_bench.prior.stopping import StopRule, at_least_one

AT_ONCE = 16  # rows; more of them are no faster on a CPU


def restore(
    images: Tensor,
    random: Random,
    rule: Callable[[], StopRule],
    *,
    most: int,
    shape: SkipShape | None = None,
) -> Tensor:
    """Return what the network of each image drew where its rule said stop.

    Args:
        images: `(N, 3, H, W)` in [0, 1].
        random: Random numbers of the images.
        rule: Makes the rule; the same trajectory may be looked at by several, see `follow`.
        most: Steps after which every fit ends; a rule then gives the best draw so far, or the last.
        shape: Size of the networks; by default that of `shape_for`.

    Returns:
        Images `(N, 3, H, W)` in [0, 1]. Where memory is short they are fitted in smaller batches,
        to the same images.

    Raises:
        DataError: The images are too small, a fit ended in no number, or memory is too short for
            one row.
    """
    left = list(torch.arange(len(images), device=images.device).split(AT_ONCE))[: len(images)]
    parts = []
    while left:
        rows = left.pop(0)
        try:
            fit = PriorFit(images[rows], random.take(rows), shape=shape)
            parts.append(follow(fit, images[rows], {"": rule()}, most=most)[""][0])
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            if len(rows) == 1:
                raise no_memory(images) from error
            left[:0] = rows.split((len(rows) + 1) // 2)
    return torch.cat(parts) if parts else images


def follow(
    fit: PriorFit,
    images: Tensor,
    rules: Mapping[str, StopRule],
    *,
    most: int,
    watch: Callable[[int, Tensor, Tensor], None] | None = None,
) -> dict[str, tuple[Tensor, Tensor]]:
    """Run one trajectory per row for several rules.

    A row leaves where all rules have stopped, unless somebody watches.

    Args:
        fit: Fresh networks of the rows.
        images: What they are fitted to, `(R, 3, H, W)`.
        rules: By name.
        most: Steps after which every row ends.
        watch: Sees every step: its number, the draws `(R, 3, H, W)` and the errors `(R,)`.

    Returns:
        What each rule gives for each row `(R, 3, H, W)`, and the step that drew it, int64 `(R,)`.

    Raises:
        DataError: A draw is no number.
        ConfigError: `most` is below 1.
    """
    at_least_one(most, "the number of steps")
    found = {
        name: (torch.zeros_like(images), images.new_zeros(len(images), dtype=torch.int64))
        for name in rules
    }
    for rule in rules.values():
        rule.begin(images)
    rows = torch.arange(len(images), device=images.device)
    for step in range(1, most + 1):
        drawn, errors = fit.step()
        if step % _LOOK == 0 and not bool(errors.isfinite().all()):
            raise _no_number()
        if watch is not None:
            watch(step, drawn, errors)
        for rule in rules.values():
            rule.see(step, drawn, errors)
        done = torch.stack([rule.stopped for rule in rules.values()]).all(dim=0)
        if watch is not None or not (step % _LOOK == 0 and bool(done.any())):
            continue
        _write(found, rules, rows, done)
        left = (~done).nonzero().flatten()
        rows = rows[left]
        if not len(rows):
            break
        fit.keep(left)
        for rule in rules.values():
            rule.keep(left)
    if len(rows):
        for rule in rules.values():
            rule.settle(step, drawn)
        _write(found, rules, rows, torch.ones_like(rows, dtype=torch.bool))
    for images_of_rule, _ in found.values():
        if not bool(images_of_rule.isfinite().all()):
            raise _no_number()
    return found


def _no_number() -> DataError:
    return DataError(
        "a fit of Deep Image Prior ended in no number",
        hint="is the image itself one, and in [0, 1]?",
    )


_LOOK = 10  # steps between looks at who has stopped


def _write(
    found: Mapping[str, tuple[Tensor, Tensor]],
    rules: Mapping[str, StopRule],
    rows: Tensor,
    which: Tensor,
) -> None:
    for name, rule in rules.items():
        found[name][0][rows[which]] = rule.best[which]
        found[name][1][rows[which]] = rule.at[which]
