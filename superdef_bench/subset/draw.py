"""Draw so many images of each class for every part of a subset, and never split a group."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from superdef_bench.core.errors import DataError

_TRIES = 100  # orders of the groups: which fit together is found by drawing them again
_TOLD = 8  # classes that a hint names


@dataclass(frozen=True)
class Pool:
    """The images that parts of a subset are drawn from.

    Attributes:
        title: What they are, for messages.
        ids: Name of each image.
        labels: Class of each image, as the source counts them.
        groups: What each image belongs to; images of one group stay together.
        class_names: Of all classes of the source.
    """

    title: str
    ids: Sequence[str]
    labels: Sequence[int]
    groups: Sequence[str]
    class_names: Sequence[str]


def draw(
    pool: Pool,
    classes: Sequence[int],
    wanted: Mapping[str, int],
    seed: int,
    *,
    taken: Set[str] = frozenset(),
) -> Mapping[str, Sequence[int]]:
    """Return the places of the drawn images of each part, classes in turn.

    Each part gets groups of its own. A group is taken only where enough of its classes is left
    for the parts that come after; what remains in the end is the last part's.

    Args:
        pool: What to draw from.
        classes: Numbers of the classes to draw of.
        wanted: Images of each class by part.
        seed: Of the order in which groups and images are drawn.
        taken: Groups that are used elsewhere.

    Raises:
        DataError: A class has too few images, or its groups cannot be shared out.
    """
    members: dict[int, list[int]] = {label: [] for label in classes}
    for place, (label, group) in enumerate(zip(pool.labels, pool.groups, strict=True)):
        if label in members and group not in taken:
            members[label].append(place)
    _check_enough(pool, members, wanted)
    sizes: dict[str, Counter[int]] = {}
    for label, places in members.items():
        for place in places:
            sizes.setdefault(pool.groups[place], Counter())[label] += 1
    lacks: list[_Lack] = []
    for attempt in range(_TRIES):
        owners = _share_out(sizes, wanted, f"{seed}/{attempt}")
        if isinstance(owners, _Lack):
            lacks.append(owners)
            continue
        return {
            part: _in_turn(pool, members, owners, part, count, seed)
            for part, count in wanted.items()
        }
    label, part, found = lacks[0].label, lacks[0].part, lacks[0].found
    raise DataError(
        f"class {pool.class_names[label]!r} of {pool.title}: {found} images for {part} where "
        f"groups are kept together, wanted {wanted[part]}",
        hint="take fewer images of each class: those of a group go into one part",
    )


@dataclass(frozen=True)
class _Lack:
    """A class of which a part got too few images."""

    label: int
    part: str
    found: int


def _check_enough(
    pool: Pool, members: Mapping[int, Sequence[int]], wanted: Mapping[str, int]
) -> None:
    needed = sum(wanted.values())
    for label, places in members.items():
        if len(places) >= needed:
            continue
        sum_of = " + ".join(f"{count} {part}" for part, count in wanted.items() if count)
        counts = Counter(pool.labels)
        enough = [name for n, name in enumerate(pool.class_names) if counts[n] >= needed]
        named = ", ".join(map(repr, enough[:_TOLD]))
        more = f", and {len(enough) - _TOLD} more" if len(enough) > _TOLD else ""
        raise DataError(
            f"class {pool.class_names[label]!r} of {pool.title} has {len(places)} images, "
            f"wanted {needed} ({sum_of})",
            hint=f"take fewer, or name classes with --class: {named}{more} have enough there"
            if enough
            else "take fewer: no class has so many there",
        )


def _share_out(
    sizes: Mapping[str, Counter[int]], wanted: Mapping[str, int], seed: str
) -> Mapping[str, str] | _Lack:
    """Return the part that each group goes to, or what is lacking in this order of the groups.

    Args:
        sizes: Images of each class in each group.
        wanted: Images of each class by part.
        seed: Of the order.
    """
    order = sorted(sizes, key=lambda group: _drawn(seed, group))
    left: Counter[int] = Counter()
    of_class: dict[int, list[str]] = {}
    for group in order:
        left.update(sizes[group])
        for label in sizes[group]:
            of_class.setdefault(label, []).append(group)
    *first, last = wanted
    owners: dict[str, str] = {}
    later = sum(wanted.values())
    for part in first:
        later -= wanted[part]
        has: Counter[int] = Counter()
        for label in sorted(of_class):
            for group in of_class[label]:
                if has[label] >= wanted[part]:
                    break
                spares = all(left[k] - count >= later for k, count in sizes[group].items())
                if group not in owners and spares:
                    owners[group] = part
                    has.update(sizes[group])
                    left.subtract(sizes[group])
            if has[label] < wanted[part]:
                return _Lack(label, part, has[label])
    return {group: owners.get(group, last) for group in order}


def _in_turn(
    pool: Pool,
    members: Mapping[int, Sequence[int]],
    owners: Mapping[str, str],
    part: str,
    count: int,
    seed: int,
) -> Sequence[int]:
    """Return the places of `count` drawn images of each class, all from the groups of a part."""
    chosen = []
    for places in members.values():
        own = [place for place in places if owners[pool.groups[place]] == part]
        chosen.append(sorted(own, key=lambda place: _drawn(str(seed), pool.ids[place]))[:count])
    return [place for row in zip(*chosen, strict=True) for place in row]


def _drawn(seed: str, name: str) -> bytes:
    """Return what names are ordered by: the same on every machine, another order for each seed."""
    return hashlib.sha256(f"{seed}/{name}".encode()).digest()
