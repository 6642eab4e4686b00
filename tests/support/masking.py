"""Accuracy rows and probes of one defense, made by hand."""

from collections.abc import Sequence

import numpy as np

from superdef_bench.results.masking import Check, Report, report
from superdef_bench.results.schema import AccuracyRow
from superdef_bench.results.statistics import Bits
from tests.support.rows import attack_of, row_of

EPS = 8 / 255


N = 64


ATTACKS = {name: attack_of() for name in ("pgd", "apgd", "fgsm")}


def first(count: int, n: int = N) -> Bits:
    """Return `n` bits of which the first `count` are set."""
    return np.arange(n) < count


def split(only_weaker: int, only_stronger: int, n: int = N) -> tuple[Bits, Bits]:
    """Return verdicts under a weaker and a stronger attack that differ on so many images."""
    order = np.arange(n)
    return order >= only_weaker, (order < only_weaker) | (order >= only_weaker + only_stronger)


def row(
    rung: str, attack: str, right: Bits, eps: float | None = EPS, *, source: str = ""
) -> AccuracyRow:
    return row_of(right, rung=rung, attack=attack, eps=eps, source=source)


def probe(attack: str, bits: Bits) -> AccuracyRow:
    return row("masking", attack, bits)


def ask(rows: Sequence[AccuracyRow], *, stochastic: bool = False, classes: int = 10) -> Report:
    return report(rows, eps=EPS, attacks=ATTACKS, stochastic=stochastic, num_classes=classes)


def only(found: Report) -> Check:
    (check,) = found.checks
    return check


DUELS = {
    "black box beats gradients": (("black_box", "square"), ("white_box", "pgd")),
    "transfer beats gradients": (("gray_box", "pgd"), ("white_box", "pgd")),
    "BPDA beats exact gradients": (("bpda", "pgd"), ("white_box", "pgd")),
    "one step beats many": (("masking", "one_step"), ("masking", "many_steps")),
    "margin loss beats cross-entropy": (("masking", "margin"), ("masking", "many_steps")),
    "noise beats gradients": (("masking", "noise"), ("masking", "many_steps")),
    "more draws beat fewer": (("masking", "eot_2k"), ("masking", "eot_k")),
}


MILD = ("margin loss beats cross-entropy", "more draws beat fewer")


SHARES = {
    "a large ball leaves images standing": ("unbounded", True, 0.05),
    "cross-entropy gradient is unusable": ("ce_gradient", False, 0.05),
    "DLR gradient is unusable": ("dlr_gradient", False, 0.05),
    "autograd against finite difference": ("finite_difference", False, 0.25),
    "answers change from call to call": ("repeat", False, 0.05),
    "answers change when a gradient is asked for": ("asked", False, 0.05),
}


def honest() -> list[AccuracyRow]:
    """Return all rows of a defense whose gradient works: stronger attacks break more."""
    known = {"": 60, "gray_box": 40, "transfer": 35, "surrogate": 33, "white_box": 10, "bpda": 12}
    probes = {"noise": 58, "one_step": 30, "many_steps": 10, "margin": 11, "unbounded": 0}
    probes |= {"eot_1": 16, "eot_k": 13, "eot_2k": 12}
    probes |= {"ce_gradient": 64, "dlr_gradient": 63, "finite_difference": 60}
    probes |= {"repeat": 64, "asked": 64}
    return [
        *(row(rung, "pgd" if rung else "none", first(right)) for rung, right in known.items()),
        *(row(rung, "worst", first(8)) for rung in ("gray_box", "adaptive")),
        row("gray_box", "fgsm", first(30)),
        row("black_box", "square", first(20)),
        *(probe(name, first(good)) for name, good in probes.items()),
    ]


def planted(name: str, only_weaker: int, only_stronger: int, n: int = N) -> list[AccuracyRow]:
    """Return the two rows of a check, which differ on so many images."""
    (weaker, stronger), bits = DUELS[name], split(only_weaker, only_stronger, n)
    return [row(*weaker, bits[0]), row(*stronger, bits[1])]
