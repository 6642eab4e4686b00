"""What published results changed since the version before them. No torch."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from superdef_bench.core.threats import only_text
from superdef_bench.leaderboard.notes import given, masking_verdict
from superdef_bench.results.facts import Attack, Changes
from superdef_bench.results.ranking import Standing, rank
from superdef_bench.results.rows import Score
from superdef_bench.results.schema import Document, Published, QualityResults, Results
from superdef_bench.results.table import Table, plain_lines, to_markdown
from superdef_bench.results.text import eps_text, escape, percent

_MISSING = "–"
_SHOWN: dict[str, Callable[[Any], str]] = {
    "clean": percent,
    "gray_box": percent,
    "adaptive": percent,
    "rank": str,
    "masking": str,
    "psnr": "{:.2f}".format,
    "ssim": "{:.4f}".format,
    "n": str,
}
_SIGNED: dict[str, Callable[[float], str]] = {
    **dict.fromkeys(("clean", "gray_box", "adaptive"), lambda by: f"{100 * by:+.1f}"),
    "psnr": "{:+.2f}".format,
    "ssim": "{:+.4f}".format,
}


def with_changes(after: Published, before: Published, version: str) -> Published:
    """Return results that say what they change in those published before.

    Where nothing differs that a table shows, what changed last stays what changed last.

    Args:
        after: To be published.
        before: Published now.
        version: sha256 of the file that holds `before`.
    """
    found = changes(before, after)
    old, new = before.document, after.document
    kept = old.get("changes", new.get("changes"))
    said = {"since": version, **found} if any(found.values()) else kept
    document = {key: value for key, value in new.items() if key != "changes"}
    return after.of(document if said is None else {**document, "changes": said})


def changes(before: Published, after: Published) -> dict[str, list[Any]]:
    """Return what differs between two versions of results.

    Accuracies are compared only where dataset, classifier and threat are the same.

    Returns:
        `settings` (`what`, `before`, `after`, null where there is none), names of rows `added` and
        `removed`, and `moved` rows, each with the pairs of numbers that differ and the pair of `n`.
    """
    settings = [*_differing(_settings(before), _settings(after)), *_attacks(before, after)]
    old, new = _rows(before), _rows(after)
    same = not {"results", "dataset", "classifier", "threat", "scale"} & {
        entry["what"] for entry in settings
    }
    moves = (_move(name, old[name], new[name]) for name in new if name in old and same)
    return {
        "settings": settings,
        "added": [name for name in new if name not in old],
        "removed": [name for name in old if name not in new],
        "moved": [move for move in moves if move],
    }


def _settings(results: Published) -> dict[str, str]:
    if isinstance(results, QualityResults):
        sets = {f"set {name}": sha256[:16] for name, sha256 in results.sets.items()}
        return {"results": "quality", "scale": str(results.scale), **sets}
    data, model, threat = results.dataset, results.model, results.threat
    ball = f"{threat.norm}, eps {', '.join(map(eps_text, threat.eps))}"
    return {
        "results": "accuracy",
        "dataset": f"{data.name} {data.split}, sha256 {data.sha256[:16]}",
        "images": str(data.images),
        "classifier": str(model.name),
        "fingerprint of the classifier": model.fingerprint[:16],
        "threat": f"{ball}, top-{threat.topk}, target {threat.target}"
        + (", 8 bits" if threat.eightbit else ""),
        "rungs": ", ".join(results.rungs),
        "seed": str(results.seed),
    }


def _differing(
    before: Mapping[str, str], after: Mapping[str, str]
) -> Iterator[dict[str, str | None]]:
    for what in {**before, **after}:
        if before.get(what) != after.get(what):
            yield {"what": what, "before": before.get(what), "after": after.get(what)}


def _attacks(before: Published, after: Published) -> Iterator[dict[str, str | None]]:
    """Yield attacks that are new or gone, and what differs in the others."""
    old, new = (one.attacks if isinstance(one, Results) else {} for one in (before, after))
    both = [name for name in new if name in old]
    gone, fresh = (
        {f"attack {n}": given(a[n].arguments) for n in a if n not in both} for a in (old, new)
    )
    yield from _differing(gone, fresh)
    for name in both:
        yield from _differing(_attack(name, old[name]), _attack(name, new[name]))


def _attack(name: str, facts: Attack) -> dict[str, str]:
    ball = f"{facts.norm} {', '.join(map(eps_text, facts.eps))}"
    return {
        f"attack {name}": given(facts.arguments),
        f"attack {name}, ball": ball,
        f"attack {name}, rungs": ", ".join(facts.rungs),
        f"attack {name}, images": str(facts.limit or "all"),
        f"attack {name}, defenses": only_text(facts.defenses) or "all",
    }


def _rows(results: Published) -> dict[str, dict[str, Any]]:
    """Return the numbers of each row by its name."""
    if isinstance(results, QualityResults):
        return {
            f"{row.network}, {row.dataset}": {"psnr": row.psnr, "ssim": row.ssim, "n": row.n}
            for row in results.quality
        }
    return {standing.defense: _numbers(results, standing) for standing in rank(results)}


def _numbers(results: Results, standing: Standing) -> dict[str, Any]:
    scores = (standing.clean, standing.gray, standing.adaptive)
    known: list[Score] = [score for score in scores if score]
    values = [None if score is None else round(score.accuracy, 6) for score in scores]
    return {
        **dict(zip(("clean", "gray_box", "adaptive"), values, strict=True)),
        "rank": standing.rank,
        "masking": masking_verdict(results, standing.defense) or None,
        "n": known[-1].n if known else 0,
    }


def _move(name: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Return the numbers of a row whose text in a table differs, or nothing."""
    found = {
        what: [before[what], after[what]]
        for what in after
        if _text(what, before[what]) != _text(what, after[what])
    }
    return {"row": name, **found, "n": [before["n"], after["n"]]} if found else {}


def _text(what: str, value: Any) -> str:
    return _MISSING if value is None else _SHOWN[what](value)


def changes_section(results: Document) -> Iterator[str]:
    """Say what changed since the version before, where there was one."""
    if results.changes is None:
        return
    lines, moves = settings_lines(results.changes), moves_table(results.changes)
    yield "## Since the version before"
    yield ""
    yield f"That version has the sha256 `{escape(results.changes.since)}`."
    yield ""
    if lines:
        yield from (f"- {escape(line)}" for line in lines)
        yield ""
    if moves:
        yield from to_markdown(moves)


def settings_lines(said: Changes) -> list[str]:
    """Return which settings and rows are others, a line each."""
    lines = [f"{s.what}: {s.before or 'none'} → {s.after or 'none'}" for s in said.settings]
    for what, names in (("new rows", said.added), ("gone", said.removed)):
        lines += [f"{what}: {'; '.join(names)}"] if names else []
    return lines


def moves_table(said: Changes) -> Table | None:
    """Return the rows whose numbers moved; None where none did."""
    shown = [what for what in _SHOWN if any(getattr(move, what) for move in said.moved)]
    rows = [
        [move.row, *(_moved(what, getattr(move, what)) for what in shown)] for move in said.moved
    ]
    head = ["row", *(what.replace("_", " ") for what in shown)]
    caption = "Numbers that moved, before → after."
    return Table("moved", caption, head, plain_lines(rows)) if rows else None


def _moved(what: str, pair: Sequence[Any] | None) -> str:
    if pair is None:
        return "same"
    before, after = pair
    if before == after:
        return _text(what, after)
    by = _SIGNED[what](after - before) if what in _SIGNED and None not in pair else ""
    return f"{_text(what, before)} → {_text(what, after)}" + (f" ({by})" if by else "")
