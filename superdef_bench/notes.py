"""What a leaderboard says beneath its tables. No torch."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from superdef_bench.formats import RUNG_TITLES, escape
from superdef_bench.ranking import Standing
from superdef_bench.results import Results


def transfer_mark(results: Results, defense: str) -> str:
    """Return what marks the gray-box cells of a row with a classifier of its own."""
    return " †" if results.document["defenses"][defense]["replaces"] else ""


def rows_section(results: Results) -> Iterator[str]:
    """Say what each row is: its plugin, or the chain of them, and every argument."""
    yield "## Rows"
    yield ""
    for name, facts in results.document["defenses"].items():
        arguments = facts["arguments"]
        stages = arguments.get("chain", [arguments])
        yield f"- {escape(name)}: {escape(', then '.join(map(_stage, stages)))}"
    yield ""


def _stage(arguments: Mapping[str, Any]) -> str:
    given = [
        f"{name} = {f'{value:g}' if isinstance(value, float) else value}"
        for name, value in arguments.items()
        if name != "plugin" and value not in ("", None)
    ]
    return f"{arguments['plugin']}" + (f" ({', '.join(given)})" if given else "")


def notes_section(results: Results, standings: Sequence[Standing]) -> Iterator[str]:
    document = results.document
    notes = [
        f"{escape(s.defense)} is not ranked: {escape(s.reasons[0])}"
        + (f", and {len(s.reasons) - 1} more." if len(s.reasons) > 1 else ".")
        for s in standings
        if s.rank is None and s.reasons
    ]
    notes += [
        f"{escape(name)} is suspect: {escape(facts['suspicion'])}."
        for name, facts in document["defenses"].items()
        if facts["suspicion"]
    ]
    notes += [
        f"†: {escape(name)} stands in the classifier's place, so its gray-box examples were made "
        "on another network (transfer)."
        for name, facts in document["defenses"].items()
        if facts["replaces"]
    ]
    notes += [
        f"{RUNG_TITLES[entry['rung']]} does not apply to {escape(entry['defense'])}: "
        f"{escape(entry['why'])}."
        for entry in document["not_applicable"]
    ]
    notes += [
        f"{escape(name)} takes no part in worst cases and ranks"
        + f": {_uncounted(facts, document['threat']['norm'])}."
        for name, facts in document["attacks"].items()
        if not facts["counted"]
    ]
    notes += [
        f"{escape(name)} asks for {facts['access']}: no rung that knows the defense takes it yet."
        for name, facts in document["attacks"].items()
        if facts["access"] in ("scores", "labels")
    ]
    if document["threat"]["eightbit"] and any(
        facts["kind"] == "minimal" for facts in document["attacks"].values()
    ):
        notes.append(
            "Minimal examples stop at the border of a class: rounding to 8 bits undoes most of "
            "them, and their columns say little here."
        )
    if document["threat"]["target"] != "none":
        notes.append(
            "Broken means that the target was reached, or the clean image was wrong: accuracies "
            "are higher than, and not comparable with, those of untargeted attacks."
        )
    dependent = {row["attack"] for row in results.accuracy if row.get("batch_dependent")}
    notes += [
        f"{escape(name)} is batch-dependent: an image's example depends on the images beside it."
        for name in document["attacks"]
        if name in dependent
    ]
    if notes:
        yield "## Notes"
        yield ""
        yield from (f"- {note}" for note in notes)


def _uncounted(facts: Mapping[str, Any], norm: str) -> str:
    """Return why an attack takes no part in worst cases."""
    if facts["kind"] == "corruption":
        return "a corruption, which has no ball"
    if facts["norm"] != norm:
        return f"norm {facts['norm']} in a benchmark of {norm}"
    return f"{facts['limit']} images"
