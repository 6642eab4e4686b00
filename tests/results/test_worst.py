"""Worst cases over cells: what a smaller ball broke, and attacks without one."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from superdef_bench.benchmark.choices import attack_of
from superdef_bench.core.errors import ConfigError
from superdef_bench.results.aggregate import CellRecords
from superdef_bench.results.statistics import unpack_bits, unpack_floats
from superdef_bench.results.worst import worst_rows

LOW, HIGH = 2 / 255, 8 / 255


def cell(
    rung: str,
    attack: str,
    broken: str,
    eps: float | None = None,
    *,
    far: Sequence[float] = (),
    ranks: Sequence[int] = (),
) -> CellRecords:
    """Return a cell of whose images some are broken, one character per image."""
    n, shared = len(broken), {"defense": "it", "goal": "", "source": "", "target": "none"}
    table = pa.table(
        {
            "image_id": [str(number) for number in range(n)],
            "bits": list(broken),
            "linf": list(far) or [0.0] * n,
            "label_rank": list(ranks) or [0] * n,
        }
    )
    kind = "budget" if rung else "clean"
    return CellRecords(
        cell={**shared, "rung": rung, "attack": attack, "eps": eps, "norm": "linf"}
        | {"draws": 1, "settings": f"{rung} {attack} {eps}"},
        kind="minimal" if far else kind,
        counted=bool(rung),
        eps=[LOW, HIGH] if rung else [],
        table=table,
        clean=np.ones(n, dtype=np.uint8),
        classes=43,
    )


def rows(*cells: CellRecords) -> dict[tuple[str, float], dict[str, Any]]:
    return {(row["rung"], row["eps"]): row for row in worst_rows(cells)}


def broken(row: dict[str, Any]) -> str:
    return "".join(str(int(not right)) for right in unpack_bits(row["verdicts"], row["n"]))


def test_what_a_smaller_ball_broke_is_broken_in_a_larger_one() -> None:
    clean = cell("", "none", "0000")
    found = rows(
        clean,
        cell("gray_box", "pgd", "0001", LOW),
        cell("gray_box", "pgd", "0000", HIGH),
        cell("white_box", "pgd", "0110", LOW),
        cell("white_box", "pgd", "0100", HIGH),
    )
    shown = {where: broken(row) for where, row in found.items()}
    gray, adaptive = (
        dict.fromkeys([(rung, LOW), (rung, HIGH)], bits)
        for rung, bits in (("gray_box", "0001"), ("adaptive", "0111"))
    )
    assert shown == gray | adaptive
    last = found["adaptive", HIGH]
    assert last["broken_by"] == {
        "clean": 0,
        "gray_box pgd": 1,
        "white_box pgd": 2,
        "standing": 1,
    }
    assert unpack_floats(last["smallest_eps"]).tolist() == [np.inf, LOW, LOW, LOW]


def test_an_attack_at_a_larger_eps_says_nothing_of_a_smaller_one() -> None:
    early, late = cell("white_box", "pgd", "0001", LOW), cell("white_box", "mim", "0110", HIGH)
    found = rows(cell("", "none", "0000"), early, late)
    assert broken(found["adaptive", LOW]) == "0001"
    assert broken(found["adaptive", HIGH]) == "0111"


def test_the_curve_of_smallest_eps_meets_the_worst_cases() -> None:
    # A distance may exceed the last eps by a rounding, and is read as being within.
    far = [0.0, LOW / 2, HIGH * (1 + 5e-6), 2 * HIGH]
    found = rows(cell("", "none", "1000"), cell("white_box", "fab", "1111", far=far))
    assert broken(found["adaptive", HIGH]).endswith("110")
    smallest = unpack_floats(found["adaptive", HIGH]["smallest_eps"])
    assert smallest.tolist() == [0.0, LOW / 2, HIGH, np.inf]


def test_minimal_attacks_have_no_top5() -> None:
    clean = cell("", "none", "0000")
    minimal = cell("white_box", "fab", "1111", far=[HIGH] * 4, ranks=[9] * 4)
    budget = cell("white_box", "pgd", "1100", HIGH, ranks=[9, 3, 0, 0])
    assert "top5_accuracy" not in rows(clean, minimal)["adaptive", HIGH]
    both = rows(clean, minimal, budget)
    assert both["adaptive", HIGH]["top5_accuracy"] == 0.75
    assert "top5_accuracy" not in both["adaptive", LOW]


def test_no_attack_is_named_as_a_worst_case_is() -> None:
    with pytest.raises(ConfigError, match="'worst' has the name of a worst case") as caught:
        attack_of("worst", {"plugin": "pgd"})
    assert "plugin" in str(caught.value.hint)
    assert attack_of("mine", {"plugin": "worst"}).plugin == "worst"
