"""Results documents built row by row, to be ranked."""

from typing import Any

import numpy as np

from superdef_bench.results.schema import Results
from superdef_bench.results.statistics import Bits, pack_counts, pack_floats
from tests.support.documents import example
from tests.support.gate_documents import cost_row
from tests.support.rows import attack_of, row_of

EPS = [2 / 255, 8 / 255]
FACTS = example()["defenses"]["jpeg"]


def bits(correct: int, n: int = 400) -> Bits:
    """Return `n` verdicts of which the first `correct` are right."""
    return np.arange(n) < correct


class Document:
    """A results document, built row by row."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.defenses: dict[str, dict[str, Any]] = {}
        self.costs: list[dict[str, Any]] = []
        self.attacks = {"pgd": attack("pgd", steps=10)}
        self.eightbit = False

    def row(self, defense: str, rung: str, attack: str, right: Bits, **columns: Any) -> None:
        place = {"defense": defense, "rung": rung, "attack": attack, "eps": EPS[-1]}
        row = row_of(right, **{**place, **columns})
        self.rows.append(row.model_dump(exclude_unset=True))

    def defense(
        self,
        name: str,
        adaptive: int,
        *,
        clean: int = 390,
        gray: int = 300,
        n: int = 400,
        gmac: float = 1.0,
        median_eps: float | None = None,
        missing: tuple[str, ...] = (),
    ) -> "Document":
        self.defenses[name] = {**FACTS, "missing": list(missing)}
        self.row(name, "", "none", bits(clean, n), eps=None)
        self.row(name, "gray_box", "worst", bits(gray, n))
        smallest = np.full(n, np.inf if median_eps is None else median_eps)
        packed = pack_floats(smallest)
        self.row(name, "adaptive", "worst", bits(adaptive, n), smallest_eps=packed)
        self.costs.append(cost_row(name, "pipeline", gmac=gmac))
        return self

    def results(self) -> Results:
        return Results.of(
            {
                **example(),
                "threat": {**example()["threat"], "eps": EPS, "eightbit": self.eightbit},
                "accuracy": self.rows,
                "defenses": self.defenses,
                "cost": self.costs,
                "attacks": self.attacks,
            }
        )


def attack(plugin: str, access: str = "gradient", **arguments: Any) -> dict[str, Any]:
    found = attack_of(arguments={"plugin": plugin, **arguments}, access=access)
    return found.model_dump()


def drawn(counts: Any, draws: int) -> dict[str, Any]:
    """Return the columns of a row whose images were right in so many of their draws."""
    return {"draws": draws, "shares": pack_counts(np.asarray(counts, dtype=np.uint8))}


def judged(verdict: str, *failed: str) -> dict[str, Any]:
    """Return the verdict on a gradient, and the checks that it failed beside one that it passed."""
    usual = {"n": 64, "p": 0.5, "adjusted": 0.5, "evidence": "of 64 images"}
    checks = [{"check": name, "outcome": "fail", **usual} for name in failed]
    passed = {"check": "noise beats gradients", "outcome": "pass", **usual}
    return {"verdict": verdict, "checks": [*checks, passed]}
