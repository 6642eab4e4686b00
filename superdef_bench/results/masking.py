"""Signs of a masked gradient in the accuracy rows of a defense, and the verdict. No torch."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from superdef_bench.core.threats import GRADIENT_RUNGS, AttackKind, Rung
from superdef_bench.results.facts import OUTCOMES, Attack, Outcome, Verdict
from superdef_bench.results.rows import verdicts
from superdef_bench.results.schema import AccuracyRow
from superdef_bench.results.statistics import Bits, beats, binomial_tail, holm, worst_case


@dataclass(frozen=True)
class Duel:
    """A weaker rung against the first of the stronger ones that has rows.

    Attributes:
        suffix: What the weaker one's attacks are called beside their names.
        alike: Whether only attacks that both have are compared.
        each: Whether every rung and source of the weaker is a comparison of its own: of several
            replays together one is lucky.
    """

    name: str
    weaker: tuple[str, ...]
    suffix: str
    stronger: tuple[str, ...] = GRADIENT_RUNGS
    alike: bool = True
    each: bool = False


@dataclass(frozen=True)
class Pair:
    """A weaker probe against a stronger one, each with the words for it.

    Attributes:
        ceiling: `suspect` where the suite, not the gradient, would be what is weak.
        draws: Only asked of stochastic defenses.
    """

    name: str
    weaker: tuple[str, str]
    stronger: tuple[str, str]
    ceiling: Outcome = "fail"
    draws: bool = False


@dataclass(frozen=True)
class Share:
    """A probe of which few images may be bad.

    Attributes:
        bad: The bit of a bad image.
        evidence: What is so on a bad image.
        tolerated: Share of bad images that proves nothing.
        chance: Whether random answers are bad images too: tolerated of stochastic defenses.
        right: Whether only images count that are right without attack.
    """

    name: str
    probe: str
    evidence: str
    bad: bool = False
    tolerated: float = 0.05
    chance: bool = False
    right: bool = False


KNOWING = {
    str(Rung.WHITE_BOX): " with exact gradients",
    str(Rung.BPDA): " with BPDA gradients",
}
_TRANSFERRED = tuple(rung for rung in Rung if rung.replays)
DUELS = (
    Duel("black box beats gradients", (Rung.BLACK_BOX,), "", alike=False),
    Duel("transfer beats gradients", _TRANSFERRED, " made elsewhere", each=True),
    Duel("BPDA beats exact gradients", (Rung.BPDA,), KNOWING[Rung.BPDA], (Rung.WHITE_BOX,)),
)
_MANY = ("many_steps", "PGD with many steps")
_CROSS = ("many_steps", "cross-entropy")
PAIRS = (
    Pair("one step beats many", ("one_step", "one step"), _MANY),
    Pair("margin loss beats cross-entropy", ("margin", "the margin loss"), _CROSS, "suspect"),
    Pair("noise beats gradients", ("noise", "random noise"), _MANY),
    Pair(
        "more draws beat fewer",
        ("eot_2k", "twice the draws per gradient"),
        ("eot_k", "the usual number of draws"),
        ceiling="suspect",
        draws=True,
    ),
)
_UNUSABLE = "the gradient of {} is zero or not finite"
SHARES = (
    Share(
        "a large ball leaves images standing",
        "unbounded",
        "an attack free to change every pixel fails",
        bad=True,
        chance=True,
    ),
    Share("cross-entropy gradient is unusable", "ce_gradient", _UNUSABLE.format("cross-entropy")),
    # Where the label ranks third the loss is 1 by its definition, and its gradient rightly 0.
    Share("DLR gradient is unusable", "dlr_gradient", _UNUSABLE.format("the DLR loss"), right=True),
    Share(
        "autograd against finite difference",
        "finite_difference",
        "autograd disagrees with a finite difference",
        tolerated=0.25,
    ),
    Share(
        "answers change from call to call",
        "repeat",
        "the answer to the same question changes",
    ),
    Share(
        "answers change when a gradient is asked for",
        "asked",
        "the answer changes when a gradient is asked for",
    ),
)
FAIL = 0.001
SUSPECT = 0.05
FEW = 32  # images, below which a verdict says little
POINTS = 5  # of accuracy, that a weaker attack must be ahead

_NAMED = 3


@dataclass(frozen=True)
class Check:
    """One question to the rows, answered.

    Attributes:
        n: Images.
        bad: Images that speak against the gradient.
        p: One-sided and exact; of a working gradient rows like these are this likely or less.
        adjusted: The same after Holm's correction for all checks of the defense.
        evidence: A sentence with the counts.
    """

    name: str
    outcome: Outcome
    n: int
    bad: int
    p: float
    adjusted: float
    evidence: str

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON, p values to six significant digits."""
        p, adjusted = float(f"{self.p:.6g}"), float(f"{self.adjusted:.6g}")
        facts = {"check": self.name, "outcome": self.outcome, "n": self.n}
        return {**facts, "p": p, "adjusted": adjusted, "evidence": self.evidence}


@dataclass(frozen=True)
class Report:
    """All checks of one defense that its rows allow.

    Attributes:
        verdict: The worst outcome; empty without a check.
    """

    verdict: Verdict
    checks: tuple[Check, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {"verdict": self.verdict, "checks": [check.to_json() for check in self.checks]}


@dataclass(frozen=True)
class _Finding:
    """A check before the correction.

    Attributes:
        large: Whether the effect is large enough to matter.
        ceiling: The worst outcome it can have.
    """

    name: str
    n: int
    bad: int
    p: float
    evidence: str
    large: bool = True
    ceiling: Outcome = "fail"

    def judged(self, adjusted: float) -> Check:
        outcome: Outcome = "pass"
        if self.large and adjusted <= SUSPECT:
            outcome = "fail" if adjusted <= FAIL else "suspect"
        outcome = min(outcome, self.ceiling, key=OUTCOMES.index)
        return Check(self.name, outcome, self.n, self.bad, self.p, adjusted, self.evidence)


def report(
    rows: Sequence[AccuracyRow],
    *,
    eps: float,
    attacks: Mapping[str, Attack],
    stochastic: bool,
    num_classes: int,
) -> Report:
    """Return which rows of a defense contradict a working gradient.

    A check whose rows are absent is left out.

    Args:
        rows: Accuracy rows of one defense; all cover a prefix of the same images.
        eps: Radius of the attacks that are compared.
        attacks: What each attack is, as in a results document.
        stochastic: Whether the defense draws at random, and says so.
        num_classes: Answers of the classifier.
    """
    counted = [r for r in rows if r.eps == eps and _compares(attacks.get(r.attack))]
    probes = {row.attack: verdicts(row) for row in rows if row.probe}
    clean = next((verdicts(row) for row in rows if not row.rung), None)
    chance = 1 / num_classes if stochastic else 0.0
    found = [
        *(finding for duel in DUELS for finding in _duel(duel, counted, probes)),
        *(f for pair in PAIRS if stochastic or not pair.draws for f in _pair(pair, probes)),
        *(finding for share in SHARES for finding in _share(share, probes, chance, clean)),
    ]
    adjusted = holm([finding.p for finding in found])
    checks = tuple(finding.judged(p) for finding, p in zip(found, adjusted, strict=True))
    return Report(max((c.outcome for c in checks), key=OUTCOMES.index, default=""), checks)


def _compares(attack: Attack | None) -> bool:
    """Return whether an attack is one method: AutoAttack has a black box in it."""
    if attack is None or attack.arguments.get("plugin") == "autoattack":
        return False
    return attack.kind == AttackKind.BUDGET and attack.counted


def _duel(
    duel: Duel, rows: Sequence[AccuracyRow], probes: Mapping[str, Bits]
) -> Iterator[_Finding]:
    """Yield what comes of a duel with the first of the stronger rungs that can be compared."""
    weaker = [row for row in rows if row.rung in duel.weaker]
    sides: dict[object, list[AccuracyRow]] = {}
    for row in weaker:
        sides.setdefault((row.rung, row.source) if duel.each else None, []).append(row)
    for side in sides.values():
        for known in duel.stronger:
            stronger = [row for row in rows if row.rung == known]
            shared = {row.attack for row in side} & {row.attack for row in stronger}
            fit = side
            if duel.alike:
                fit = [row for row in side if row.attack in shared]
                stronger = [row for row in stronger if row.attack in shared]
            if fit and stronger:
                low, high = _side(fit, duel.suffix), _side(stronger, KNOWING[known])
                yield _compared(duel.name, low, high, _ceiling(duel, low[1], probes))
                break


def _ceiling(duel: Duel, weaker: Bits, probes: Mapping[str, Bits]) -> Outcome:
    """Return `suspect` where many steps do what the benchmark's own attacks do not."""
    many = probes.get("many_steps")
    if duel.alike or many is None:
        return "fail"
    n = min(len(many), len(weaker))
    lead = int((many[:n] & ~weaker[:n]).sum()) - int((~many[:n] & weaker[:n]).sum())
    return "fail" if 100 * lead >= POINTS * n else "suspect"


def _side(rows: Sequence[AccuracyRow], suffix: str) -> tuple[str, Bits]:
    names = sorted({str(row.attack) for row in rows})
    listed = " and ".join(names) if len(names) <= _NAMED else f"{len(names)} attacks"
    worst = "the worst of " if len(names) > 1 else ""
    return f"{worst}{listed}{suffix}", worst_case([verdicts(row) for row in rows])


def _pair(pair: Pair, probes: Mapping[str, Bits]) -> Iterator[_Finding]:
    if pair.weaker[0] in probes and pair.stronger[0] in probes:
        low, high = ((words, probes[name]) for name, words in (pair.weaker, pair.stronger))
        yield _compared(pair.name, low, high, pair.ceiling)


def _compared(
    name: str, weaker: tuple[str, Bits], stronger: tuple[str, Bits], ceiling: Outcome = "fail"
) -> _Finding:
    n = min(len(weaker[1]), len(stronger[1]))
    low, high = weaker[1][:n], stronger[1][:n]
    only_weaker, only_stronger = int((high & ~low).sum()), int((low & ~high).sum())
    evidence = (
        f"of {n} images, {weaker[0]} breaks {only_weaker} that {stronger[0]} leaves standing, "
        f"the reverse holds for {only_stronger}"
    )
    large = 100 * (only_weaker - only_stronger) >= POINTS * n
    return _Finding(name, n, only_weaker, beats(low, high), evidence, large, ceiling)


def _share(
    share: Share, probes: Mapping[str, Bits], chance: float, clean: Bits | None
) -> Iterator[_Finding]:
    bits = probes.get(share.probe)
    if bits is not None and share.right and clean is not None:
        bits = bits[clean[: len(bits)]]
    if bits is not None and len(bits):
        n, bad = len(bits), int((bits == share.bad).sum())
        p = binomial_tail(bad, n, max(share.tolerated, chance * share.chance))
        yield _Finding(share.name, n, bad, p, f"{share.evidence} on {bad} of {n} images")
