"""What a comparison of two results finds. No torch."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Status = Literal[
    "regressed",
    "missing",
    "improved",
    "unchanged",
    "within noise",
    "ungateable",
    "not comparable",
    "new",
]
FAILS: tuple[Status, ...] = ("regressed", "missing")


@dataclass(frozen=True)
class Check:
    """One number of the baseline beside that of the results.

    Attributes:
        metric: `clean`, `gray_box`, `adaptive`, `accuracy` for cells, `params`, `gmac`, `latency`.
        defense: Row of the table.
        what: Rung, attack and eps, or scope, size and mode, in words.
        status: The answer.
        before: Of the baseline; accuracies in percent.
        after: Of the results.
        change: In points of accuracy, or as a share of the baseline's cost.
        limit: In the same unit: a change for the worse beyond it fails.
        p: Of McNemar's exact test after Holm's correction.
        n: Images.
        why: The reason, as a sentence; empty where nothing changed.
    """

    metric: str
    defense: str
    what: str
    status: Status
    before: float | None = None
    after: float | None = None
    change: float | None = None
    limit: float | None = None
    p: float | None = None
    n: int | None = None
    why: str = ""

    @property
    def fails(self) -> bool:
        return self.status in FAILS

    @property
    def title(self) -> str:
        return f"{self.defense}: {self.what}"


@dataclass(frozen=True)
class Report:
    """All checks of a comparison.

    Attributes:
        names: What was compared: baseline and results.
        checks: The checks, in the order of the tables.
        family: Accuracy rows that were tested together.
        alpha: What the corrected p must be below.
        floors: Number of images: the smallest fall in points that could be seen, None for none.
        notes: What a reader should know beside.
    """

    names: tuple[str, str]
    checks: Sequence[Check]
    family: int
    alpha: float
    floors: Mapping[int, float | None]
    notes: Sequence[str] = ()

    @property
    def regressed(self) -> bool:
        return any(check.fails for check in self.checks)

    def of(self, *statuses: Status) -> Iterator[Check]:
        """Yield the checks with one of the statuses."""
        return (check for check in self.checks if check.status in statuses)


def one_line(text: object) -> str:
    """Return text without what a terminal or an XML parser would take for more than text."""
    return " ".join(
        re.sub(r"[\x00-\x1f\x7f-\x9f\ufffe\uffff\ud800-\udfff]", " ", str(text)).split()
    )
