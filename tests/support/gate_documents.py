"""Results of any size for the gate, made of verdicts that a test chooses."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from superdef_bench.gate.compare import compare
from superdef_bench.gate.findings import Check, Report, parse_limits
from superdef_bench.results.aggregate import accuracy_row
from superdef_bench.results.schema import Results
from superdef_bench.results.statistics import Bits, pack_floats
from tests.support.documents import example, write

Place = tuple[str, str, str]
EPS = 8 / 255
CLEAN: Place = ("jpeg", "", "none")
N = 512

# An attack and a defense that do nothing: what is left is the harness.
NOTHING = """
[run]
dataset = "signs"
model = "signs_resnet8"
limit = 64
masking = 0
rungs = ["gray_box"]
[threat]
eps = ["8/255"]
[attacks]
none = {}
[defenses]
none = {}
"""


def right(n: int, count: int) -> Bits:
    """Return verdicts of `n` images, the first `count` of them right."""
    return np.arange(n) < count


def document(rows: Mapping[Place, Bits], **changes: Any) -> dict[str, Any]:
    """Return results with the verdicts of rows, by defense, rung and attack; costs of each."""
    made = example()
    facts = made["defenses"]["jpeg"]
    names = list(dict.fromkeys(defense for defense, _, _ in rows))
    made["model"]["weights"] = "w" * 64
    made["defenses"] = dict.fromkeys(names, facts)
    made["threat"]["eps"] = [EPS]
    made["accuracy"] = [_row(*place, bits) for place, bits in rows.items()]
    like = made["attacks"]["pgd"]
    made["attacks"] |= {name: like for _, _, name in rows if name not in made["attacks"]}
    made["cost"] = [cost_row(name, scope) for name in names for scope in ("defense", "pipeline")]
    return made | changes


def _row(defense: str, rung: str, attack: str, bits: Bits) -> dict[str, Any]:
    return {
        **accuracy_row(bits, [str(number) for number in range(len(bits))]),
        "defense": defense,
        "rung": rung,
        "attack": attack,
        "source": "signs_resnet8",
        "eps": EPS if rung else None,
        "settings": f"{defense}/{attack}",
        "draws": 1,
        "conditional_n": 0,
        "conditional_accuracy": None,
        "norm": "linf",
        "topk": 1,
        "target": "none",
        "goal": "",
        "dataset": "signs",
        "model": "signs_resnet8",
        **({"smallest_eps": pack_floats(bits.astype(float))} if rung == "adaptive" else {}),
    }


def cost_row(defense: str, scope: str, **changes: Any) -> dict[str, Any]:
    row = {"defense": defense, "model": "signs_resnet8", "scope": scope, "batch_size": 1}
    row |= {
        "size": [32, 32],
        "dtype": "float32",
        "mode": "eager",
        "params": 1000,
        "gmac": 0.5,
        "gflop": 1.0,
    }
    return row | changes


def saved(folder: Path, name: str, made: Mapping[str, Any]) -> Path:
    return write(folder / f"{name}.json", made)


def report(before: dict[str, Any], after: dict[str, Any], *words: str, **options: Any) -> Report:
    return compare(Results.of(before), Results.of(after), parse_limits(words), **options)


def only(found: Report, *statuses: Any) -> Check:
    (check,) = found.of(*statuses)
    return check


def accuracy_of(count: int, n: int = N) -> dict[str, Any]:
    return document({CLEAN: right(n, count)})
