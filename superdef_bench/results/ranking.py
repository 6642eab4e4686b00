"""Who ranks where, by paired tests on the same images. No torch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from superdef_bench.core.threats import ADAPTIVE, GRADIENT_RUNGS, AttackKind, Rung
from superdef_bench.results.facts import PIPELINE, Defense
from superdef_bench.results.rows import Score, score, shares, smallest_eps, verdicts
from superdef_bench.results.schema import AccuracyRow, Results
from superdef_bench.results.statistics import SIGNIFICANT, mcnemar, median_with_infinity

RANKED_BY = f"ranks: by adaptive accuracy; = shares one (McNemar's exact test, p > {SIGNIFICANT})"
WITHIN_A_RANK = (
    "Rows share a rank, marked =, unless McNemar's exact test on the same images tells them from "
    f"the first of it (p ≤ {SIGNIFICANT}); within a rank they go by adaptive accuracy, median "
    "eps, clean accuracy and cost."
)


@dataclass(frozen=True)
class Standing:
    """One line of the ranking, at the last eps.

    Attributes:
        rank: None for a row that is not ranked.
        shared: Whether other rows have the same rank.
        adaptive: None where nothing that knows the defense attacked it.
        like_for_like: Largest fall of one attack from gray box to a rung that knows the defense,
            with its name.
        median_eps: Smallest eps by which at least half of the images are broken; None for beyond
            the last.
        reasons: Why the row is not ranked.
    """

    defense: str
    rank: int | None
    shared: bool
    clean: Score | None
    gray: Score | None
    adaptive: Score | None
    like_for_like: tuple[float, str] | None
    median_eps: float | None
    gmac: float | None
    reasons: Sequence[str]

    @property
    def place(self) -> str:
        """The rank as tables write it: `3`, `3=` where others share it, a dash without one."""
        return "–" if self.rank is None else f"{self.rank}{'=' if self.shared else ''}"

    @property
    def illusion(self) -> float | None:
        """Gray-box accuracy minus adaptive accuracy."""
        if self.gray is None or self.adaptive is None:
            return None
        return self.gray.accuracy - self.adaptive.accuracy


def conditional(results: Results, row: AccuracyRow, n: int | None) -> float | None:
    """Return the accuracy of a row on those of its first `n` images that `none` gets right."""
    bare = results.clean()
    if bare is None:
        return None
    right = shares(row)[:n]
    base = verdicts(bare)[: len(right)]
    return float(right[: len(base)][base].mean()) if base.any() else None


def unranked_because(facts: Defense) -> list[str]:
    """Return why a row is not ranked, the verdict on its gradient first; nothing of one that is."""
    masking = facts.masking
    # A question may be asked of several sources.
    failed = dict.fromkeys(check.check for check in masking.checks if check.outcome == "fail")
    masked = " - ".join(["masking: fail", *filter(None, [", ".join(failed)])])
    return [*([masked] if masking.verdict == "fail" else []), *facts.missing]


def rank(results: Results) -> list[Standing]:
    """Return the ranking at the last eps, unranked rows below it.

    A row is not ranked that lacks a cell or whose gradient fails its checks: n is that of the rest.
    Rows are sorted by adaptive accuracy on the images that all ranked rows have. Going down, a
    row shares the rank of its group's first row unless McNemar's exact test tells the two apart;
    within a group adaptive accuracy, then the median smallest eps, clean accuracy and cost decide
    the order.
    """
    worst = {name: row for name in results.defenses if (row := results.worst(name, ADAPTIVE))}
    ranked = [
        name
        for name, facts in results.defenses.items()
        if name in worst and not unranked_because(facts)
    ]
    n = min((worst[name].n for name in ranked), default=None)
    bits = {name: verdicts(worst[name])[:n] for name in ranked}
    order = sorted(ranked, key=lambda name: -int(bits[name].sum()))
    standings: list[Standing] = []
    while order:
        group = [name for name in order if mcnemar(bits[order[0]], bits[name]) > SIGNIFICANT]
        # A group is a run from the top: it ends at the first row that differs.
        size = next((i for i, name in enumerate(order) if name not in group), len(order))
        place = len(standings) + 1
        rows = [_standing(results, name, place, n, worst, shared=size > 1) for name in order[:size]]
        standings += sorted(rows, key=_within_group)
        order = order[size:]
    rest = [name for name in results.defenses if name not in ranked]
    # Gray box may have more images than the rungs that know the defense.
    own = {name: worst[name].n if name in worst else None for name in rest}
    return standings + [_standing(results, name, None, own[name], worst) for name in rest]


def _within_group(standing: Standing) -> tuple[float, float, float, float, str]:
    # Of a random defense accuracy is the mean over draws, as tables show it; groups go by majority.
    adaptive = standing.adaptive.accuracy if standing.adaptive else 0.0
    median = float("inf") if standing.median_eps is None else standing.median_eps
    clean = standing.clean.accuracy if standing.clean else 0.0
    return -adaptive, -median, -clean, standing.gmac or 0.0, standing.defense


def _standing(
    results: Results,
    name: str,
    place: int | None,
    n: int | None,
    worst: dict[str, AccuracyRow],
    *,
    shared: bool = False,
) -> Standing:
    last = results.last_eps
    cost = [c for c in results.cost if c.defense == name]
    adaptive = worst.get(name)
    return Standing(
        defense=name,
        rank=place,
        shared=shared,
        clean=score(results.clean(name), n),
        gray=score(results.worst(name, Rung.GRAY_BOX), n),
        adaptive=score(adaptive, n),
        like_for_like=like_for_like(results, name, last, n),
        median_eps=median_with_infinity(smallest_eps(adaptive)[:n]) if adaptive else None,
        gmac=next((c.gmac for c in cost if c.scope == PIPELINE), None),
        reasons=unranked_because(results.defenses[name]),
    )


def ranked_images(standings: Sequence[Standing]) -> int:
    """Return on how many images rows are ranked; 0 where none is."""
    ranked = (s.adaptive.n for s in standings if s.rank is not None and s.adaptive)
    return min(ranked, default=0)


def images_text(results: Results, standings: Sequence[Standing]) -> str:
    """Return how many images a benchmark has, and on how many of them its rows are ranked."""
    ranked = ranked_images(standings)
    rest = f"ranked on {ranked:,}" if ranked else "no row ranked"
    return f"{results.dataset.images:,} images, {rest}"


def like_for_like(
    results: Results, defense: str, eps: float, n: int | None = None
) -> tuple[float, str] | None:
    """Return the largest fall of one counted attack from gray box to a gradient rung.

    Args:
        results: Results.
        defense: Name of a row.
        eps: Radius.
        n: First images to take; all where None.
    """
    falls = []
    for name, attack in results.attacks.items():
        gray = results.row(defense=defense, rung=Rung.GRAY_BOX, attack=name, eps=eps)
        known = [
            row
            for rung in GRADIENT_RUNGS
            if (row := results.row(defense=defense, rung=rung, attack=name, eps=eps))
        ]
        alike = attack.counted and attack.kind == AttackKind.BUDGET and not attack.less_in_strength
        if gray and known and alike:
            against = [shares(row)[:n] for row in known]
            least = min(map(len, [shares(gray), *against]))
            right = np.minimum.reduce([values[:least] for values in against])
            fall = float(shares(gray)[:least].mean() - right.mean())
            falls.append((fall, name))
    return max(falls, default=None)
