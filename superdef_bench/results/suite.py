"""Whether the attacks that a row faced, and a table, make a full suite. No torch."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from superdef_bench.core.threats import GRADIENT_RUNGS, Access, AttackKind, Rung
from superdef_bench.results.facts import Attack, Defense
from superdef_bench.results.ranking import Standing, ranked_images
from superdef_bench.results.rows import is_drawn
from superdef_bench.results.schema import AccuracyRow, Results

FULL, QUICK = "full", "quick"
FULL_IMAGES = 256

# What each suite takes at least.
_STEPS, _RESTARTS, _QUERIES = 50, 5, 5000  # of a row that answers the same each time
_EOT_STEPS, _EOT, _EOT_QUERIES = 100, 16, 1000  # of one that draws
_CROSS_ENTROPY, _MARGINS = ("ce",), ("margin", "dlr")

_AUTOATTACK = "autoattack"
_STANDARD = ("standard", "plus")  # versions with the standard four in them


@dataclass(frozen=True)
class Suite:
    """How hard the attacks on a row tried.

    Attributes:
        attacks: The full suite whose attacks it faced, in a word; empty where it faced none.
        n: On how many images.
    """

    attacks: str
    n: int

    @property
    def is_full(self) -> bool:
        """Whether it supports a claim about robustness."""
        return bool(self.attacks) and self.n >= FULL_IMAGES

    def __str__(self) -> str:
        if not self.attacks:
            return QUICK
        return f"{FULL}: {self.attacks}" if self.is_full else _on_few(self.n)


def _on_few(n: int) -> str:
    return f"every attack of a full suite, on {n} image{'s' if n > 1 else ''}"


def suite_of_table(results: Results, standings: Sequence[Standing]) -> str:
    """Return how hard the attacks on all ranked rows tried, as headings say it."""
    found = [suite_of(results, s) for s in standings if s.rank is not None]
    if found and all(suite.is_full for suite in found):
        return FULL
    if found and all(suite.attacks for suite in found):
        return _on_few(ranked_images(standings))
    return f"{QUICK}: not a robustness claim"


def suites_of_rows(results: Results, standings: Sequence[Standing]) -> list[str]:
    """Return a line for each suite with the rows that faced it; none where the heading says it."""
    found = {standing.defense: suite_of(results, standing) for standing in standings}
    rows: dict[str, list[str]] = {}
    for name, suite in found.items():
        rows.setdefault(str(suite), []).append(name)
    if len(rows) > 1:
        return [f"suite ({words}): {', '.join(names)}" for words, names in rows.items()]
    full = any(suite.is_full for suite in found.values())
    return [f"suite ({words}): every row" for words in rows if full]


def suite_of(results: Results, standing: Standing) -> Suite:
    """Return how hard the attacks on a row tried, at the last eps and on all its images.

    It faced gray box, and of counted attacks in a ball one of these:

    - AutoAttack: the standard four on a rung that knows the defense.
    - PGD + Square: gradients by cross-entropy and by a margin, each in `_STEPS` steps with
      `_RESTARTS` restarts, on such a rung, and `_QUERIES` queries for scores.
    - EOT: gradients in `_EOT_STEPS` steps over `_EOT` draws each, scored on fresh draws, on such a
      rung, and `_EOT_QUERIES` queries. A row that draws needs this one, any other one of the above.

    Where attacks saw an attack view in a defense's place it faced none.
    """
    gray, adaptive = standing.gray, standing.adaptive
    if gray is None or adaptive is None:
        return Suite("", 0)
    faced = list(_faced(results, standing.defense, adaptive.n))
    replayed = any(
        row.rung == Rung.GRAY_BOX and attack.access != Access.NONE for row, attack in faced
    )
    if not replayed or gray.n < adaptive.n:
        return Suite("", adaptive.n)
    facts = results.defenses[standing.defense]
    if facts.attack_view:
        return Suite("", adaptive.n)
    known = [(row, attack) for row, attack in faced if row.rung in _knowing(facts)]
    asked = [attack for row, attack in faced if row.rung == Rung.BLACK_BOX]
    eightbit = results.threat.eightbit
    word = _random(known, asked) if facts.stochastic else _fixed(known, asked, eightbit)
    return Suite(word, adaptive.n)


def _faced(results: Results, defense: str, n: int) -> Iterator[tuple[AccuracyRow, Attack]]:
    """Yield the cells of counted attacks in the last ball that have so many images."""
    for row in results.rows(defense=defense, eps=results.last_eps):
        # Worst cases have none, nor clean images; a probe may be called like one.
        attack = None if row.probe else results.attacks.get(row.attack)
        if attack and attack.counted and attack.kind == AttackKind.BUDGET and row.n >= n:
            yield row, attack


def _knowing(facts: Defense) -> Sequence[Rung]:
    """Return the rungs whose gradients through a defense are to be trusted."""
    exact = facts.differentiable and not facts.suspicion
    return GRADIENT_RUNGS if exact else (Rung.BPDA,)


def _fixed(
    known: Sequence[tuple[AccuracyRow, Attack]], asked: Iterable[Attack], eightbit: bool
) -> str:
    """Return which suite a row met that answers the same each time; empty for none."""
    # Its Square asks the defense itself, on any rung.
    if any(_is_standard(attack, row.goal, eightbit) for row, attack in known):
        return "AutoAttack"
    climbed = all(
        any(_climbs(attack, losses, _STEPS, _RESTARTS) for _, attack in known)
        for losses in (_CROSS_ENTROPY, _MARGINS)
    )
    queried = any(a.access == Access.SCORES and a.spends("queries") >= _QUERIES for a in asked)
    return "PGD + Square" if climbed and queried else ""


def _random(known: Iterable[tuple[AccuracyRow, Attack]], asked: Iterable[Attack]) -> str:
    """Return which suite a row met that draws; empty for none."""
    climbed = any(
        _climbs(attack, (*_CROSS_ENTROPY, *_MARGINS), _EOT_STEPS, 1)
        and is_drawn(row)
        and (row.eot or 1) >= _EOT
        for row, attack in known
    )
    queried = any(attack.spends("queries") >= _EOT_QUERIES for attack in asked)
    return "EOT" if climbed and queried else ""


def _is_standard(attack: Attack, goal: str, eightbit: bool) -> bool:
    """Return whether it ran the standard four: for strength our engine leaves two of them out.

    Of what is rounded to 8 bits every example is made for strength.
    """
    version = attack.arguments.get("version", _STANDARD[0])
    less = attack.less_in_strength
    if less is None:  # older than this fact, not than the engine
        less = attack.arguments.get("engine") == "own"
    whole = not less or (goal != "strength" and not eightbit)
    return attack.arguments["plugin"] == _AUTOATTACK and version in _STANDARD and whole


def _climbs(attack: Attack, losses: Sequence[str], steps: int, restarts: int) -> bool:
    """Return whether it climbs one of these losses for so long, each time from another start."""
    if attack.arguments["plugin"] == _AUTOATTACK or attack.loss not in losses:
        return False
    # From the image itself each restart is the same; what says nothing of restarts has one run.
    starts = attack.spends("restarts") if attack.arguments.get("random_starts", True) else 1
    return attack.spends("steps") >= steps and max(starts, 1) >= restarts
