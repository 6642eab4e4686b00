"""Which images of a run to look at: right until an attacker knows the defense. No torch."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from superdef_bench.core.threats import UNDEFENDED, Rung

_KNOWS = (Rung.BLACK_BOX, *(rung for rung in Rung if rung.climbs))  # the defense is in the attack


@dataclass(frozen=True)
class Fall:
    """What broke an image behind a defense that held in gray box.

    Attributes:
        defense: Row of the run.
        eps: The smallest that broke it.
    """

    defense: str
    rung: str
    attack: str
    eps: float


def falls(rows: Iterable[Mapping[str, Any]]) -> dict[str, Fall]:
    """Return the images to look at first, each with the fall at the smallest eps.

    An image is one of them if a defense has it right when clean and at every eps in gray box, and
    an attacker who knows the defense breaks it. What has no ball is left out.

    Args:
        rows: Records, with `image_id`, `defense`, `rung`, `attack`, `eps` and `success`.
    """
    held: dict[tuple[str, str], set[str]] = {}
    lost: set[tuple[str, str]] = set()
    found: dict[tuple[str, str], Fall] = {}
    for row in rows:
        key, rung = (row["image_id"], row["defense"]), row["rung"]
        if row["defense"] == UNDEFENDED or (rung and row["eps"] is None):
            continue
        if rung in ("", Rung.GRAY_BOX):
            held.setdefault(key, set()).add(rung)
            if row["success"]:
                lost.add(key)
        elif rung in _KNOWS and row["success"]:
            before = found.get(key)
            if before is None or row["eps"] < before.eps:
                found[key] = Fall(row["defense"], rung, row["attack"], row["eps"])
    chosen: dict[str, Fall] = {}
    for key, fall in sorted(found.items(), key=lambda item: item[1].eps):
        if key not in lost and held.get(key) == {"", Rung.GRAY_BOX}:
            chosen.setdefault(key[0], fall)
    return chosen
