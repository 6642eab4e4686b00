"""Whether two results measure the same thing, and whether their times compare. No torch."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from superdef_bench.core.threats import ADAPTIVE
from superdef_bench.results.facts import DatasetFacts, ModelFacts, Provenance, ThreatFacts
from superdef_bench.results.rows import words_of
from superdef_bench.results.schema import AccuracyRow, Results

_DATASET = ("name", "split", "sha256", "images")
_THREAT = ("norm", "eps", "topk", "target", "eightbit")
_ROW = ("settings", "goal", "topk", "target", "norm", "draws", "eot", "n", "ids_sha256")
_VERSIONS = ("python", "torch")

UNSAID = "not said"

Rows = Mapping[tuple[object, ...], AccuracyRow]


class Measured(Protocol):
    """What was measured: results, or what is to be held against some."""

    @property
    def dataset(self) -> DatasetFacts: ...
    @property
    def model(self) -> ModelFacts: ...
    @property
    def threat(self) -> ThreatFacts: ...
    @property
    def seed(self) -> int: ...


def rows_of(results: Results, defense: str) -> Rows:
    """Return the accuracy rows of a defense by what tells them apart, probes left out."""
    return {row.place: row for row in results.rows(defense=defense) if not row.probe}


@dataclass(frozen=True)
class Difference:
    """A fact that two results do not share, short enough for a line."""

    what: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.what} was {self.before}, is {self.after}"


def difference(what: str, before: object, after: object) -> Iterator[Difference]:
    """Yield a fact if it is not the same."""
    if before != after:
        yield Difference(what, _short(before), _short(after))


def _short(value: object) -> str:
    text = str(value)
    return text[:12] if len(text) == 64 else text  # a hash


def differences(before: Measured, after: Measured) -> Iterator[Difference]:
    """Yield in what two benchmarks differ: dataset, threat, attacked classifier, seed.

    Of the classifier name and weights count. What says nothing of its weights has none that differ.
    """
    for part, keys in (("dataset", _DATASET), ("threat", _THREAT)):
        old, new = getattr(before, part), getattr(after, part)
        for key in keys:
            yield from difference(f"{part} {key}", getattr(old, key), getattr(new, key))
    yield from difference("classifier", before.model.name, after.model.name)
    weights = before.model.weights, after.model.weights
    if all(weights):
        yield from difference("sha256 of the classifier's weights", *weights)
    yield from difference("seed", before.seed, after.seed)


def unknown_classifier(before: Measured, after: Measured) -> Iterator[Difference]:
    """Yield what differs of the classifiers where one does not say its weights."""
    weights = before.model.weights, after.model.weights
    if not all(weights) and before.model.fingerprint != after.model.fingerprint:
        said = (value or UNSAID for value in weights)
        yield from difference("sha256 of the classifier's weights", *said)


def row_differences(before: Results, after: Results, defense: str) -> Iterator[str]:
    """Yield which rows of a defense, among those that both have, were measured otherwise."""
    old, new = rows_of(before, defense), rows_of(after, defense)
    for place, row in old.items():
        other = new.get(place)
        if other is None or is_partial(row, old, new):
            continue
        changed = [key for key in _ROW if getattr(row, key) != getattr(other, key)]
        if changed:
            yield f"{defense}, {words_of(row)}: other {_told(changed, row, other)}"


def is_partial(row: AccuracyRow, before: Rows, after: Rows) -> bool:
    """Return whether a row is a worst case of which cells of the earlier are missing."""
    if not row.worst:
        return False
    gone = [before[place].rung for place in before.keys() - after.keys()]
    return bool(gone) if row.rung == ADAPTIVE else row.rung in gone


def _told(changed: list[str], row: AccuracyRow, other: AccuracyRow) -> str:
    if "n" in changed:
        return f"n, {row.n} and {other.n}"
    if row.worst and changed == ["settings"]:
        return "attacks or settings of attacks"
    return {"ids_sha256": "images"}.get(changed[0], changed[0])


def unlike(before: Results, after: Results) -> list[str]:
    """Return why numbers of two results do not compare; nothing where they do."""
    found = [str(each) for each in differences(before, after)]
    return found or [
        line for name in before.defenses for line in row_differences(before, after, name)
    ]


def other_machine(before: Provenance, after: Provenance) -> str:
    """Return what differs of the machines that times were measured on, or nothing."""
    old, new = _machine(before), _machine(after)
    changed = [key for key in old if old[key] != new[key]]
    return f"measured with another {changed[0]}" if changed else ""


def _machine(provenance: Provenance) -> dict[str, object]:
    return {
        "machine": provenance.machine,
        "number of threads": provenance.threads,
        **{f"version of {name}": provenance.versions.get(name) for name in _VERSIONS},
    }
