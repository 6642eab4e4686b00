"""Whether two results measure the same thing. No torch."""

from collections.abc import Iterator, Mapping
from typing import Any

from superdef_bench.errors import DataError
from superdef_bench.results import Results, Row
from superdef_bench.versus import place_of, words_of

_SHOWN = 3
_DATASET = ("name", "split", "sha256", "images")
_THREAT = ("norm", "eps", "topk", "target", "eightbit")
_ROW = ("settings", "goal", "topk", "target", "norm", "draws", "eot", "n", "ids_sha256")

Rows = Mapping[tuple[object, ...], Row]


def check_comparable(baseline: Results, results: Results) -> None:
    """Raise DataError unless dataset, classifier, threat and all settings are the same.

    A benchmark that was changed is not compared: it gets a new baseline.
    """
    reasons = [*_differences(baseline.document, results.document)]
    if not reasons:
        reasons = [*_row_differences(baseline, results)]
    if reasons:
        more = f"; and {len(reasons) - _SHOWN} more" if len(reasons) > _SHOWN else ""
        raise DataError(
            f"not comparable: {'; '.join(reasons[:_SHOWN])}{more}",
            hint="run the baseline's config with the same options, or make a new baseline of these "
            "results",
        )


def rows_of(results: Results, defense: str) -> Rows:
    """Return the accuracy rows of a defense by what tells them apart, probes left out."""
    rows = results.rows(defense=defense)
    return {place_of(row): row for row in rows if row["rung"] != "masking"}


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    for part, keys in (("dataset", _DATASET), ("threat", _THREAT)):
        for key in keys:
            yield from _difference(f"{part} {key}", before[part].get(key), after[part].get(key))
    yield from _difference("classifier", before["model"]["name"], after["model"]["name"])
    weights = before["model"].get("weights"), after["model"].get("weights")
    if all(weights) and weights[0] != weights[1]:
        yield "the attacked classifier has other weights"
    yield from _difference("seed", before["seed"], after["seed"])


def _difference(what: str, before: object, after: object) -> Iterator[str]:
    if before != after:
        yield f"{what} was {_short(before)}, is {_short(after)}"


def _short(value: object) -> str:
    text = str(value)
    return text[:12] if len(text) == 64 else text  # a hash


def _row_differences(baseline: Results, results: Results) -> Iterator[str]:
    for defense in baseline.document["defenses"]:
        before, after = rows_of(baseline, defense), rows_of(results, defense)
        for place, row in before.items():
            other = after.get(place)
            if other is None or is_partial(row, before, after):
                continue
            changed = [key for key in _ROW if row.get(key) != other.get(key)]
            if changed:
                yield f"{defense}, {words_of(row)}: other {_told(changed, row, other)}"


def is_partial(row: Row, before: Rows, after: Rows) -> bool:
    """Return whether a row is a worst case of which cells of the baseline are missing."""
    if row["attack"] != "worst":
        return False
    gone = [before[place]["rung"] for place in before.keys() - after.keys()]
    return bool(gone) if row["rung"] == "adaptive" else row["rung"] in gone


def _told(changed: list[str], row: Row, other: Row) -> str:
    if "n" in changed:
        return f"n, {row['n']} and {other['n']}"
    if row["attack"] == "worst" and changed == ["settings"]:
        return "attacks or settings of attacks"
    return {"ids_sha256": "images"}.get(changed[0], changed[0])
