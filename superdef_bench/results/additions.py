"""Rows of a run that a published table lacks: whether they belong there, and the two as one.

Nothing of the run is taken on faith: what follows from its verdicts is made of them again.
No torch.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from superdef_bench.core.errors import DataError
from superdef_bench.core.threats import ADAPTIVE, UNDEFENDED, AttackKind, Rung, is_called
from superdef_bench.results.comparable import (
    UNSAID,
    Difference,
    difference,
    differences,
    row_differences,
    rows_of,
    unknown_classifier,
)
from superdef_bench.results.contradictions import contradictions
from superdef_bench.results.facts import Attack
from superdef_bench.results.masking import report
from superdef_bench.results.ranking import conditional, rank, ranked_images
from superdef_bench.results.rows import find_row, score, shares, verdicts, words_of
from superdef_bench.results.schema import AccuracyRow, Results
from superdef_bench.results.text import eps_text

# Settings of a config that no other part of a results file holds.
_CONFIG = {
    "limits": "fewer images for a rung",
    "draws": "draws by which a random defense is scored",
    "eot": "draws per gradient",
    "masking": "images on which gradients are probed",
    "sources": "networks whose examples are replayed",
}


def chosen(run: Results, words: Sequence[str] = ()) -> list[str]:
    """Return the rows of a run that words name, all without words.

    Raises:
        ConfigError: The run has no such row.
    """
    return list(dict.fromkeys(find_row(run, word) for word in words or run.defenses))


def refusals(table: Results, run: Results, names: Sequence[str]) -> list[str]:
    """Return why rows of a run do not belong into a table, a fact a line; nothing if they do.

    Args:
        table: What is published.
        run: Where the rows come from.
        names: The rows. One that the table has is no new one: its verdicts have to be the same.
    """
    facts = [*differences(table, run), *unknown_classifier(table, run), *_settings(table, run)]
    if facts:
        return [
            f"{each.what}: {each.before} in the table, {each.after} in the run" for each in facts
        ]
    bare = [*row_differences(table, run, UNDEFENDED), *_other_verdicts(table, run, UNDEFENDED)]
    return bare or [line for name in names for line in _row_refusals(table, run, name)]


def _row_refusals(table: Results, run: Results, name: str) -> Iterator[str]:
    if name not in table.defenses:
        yield from _new_refusals(table, run, name)
    elif other := next(_other_verdicts(table, run, name), ""):
        yield f"the table has another row {name!r}, name this one otherwise: {other}"


def _settings(table: Results, run: Results) -> Iterator[Difference]:
    yield from difference("rungs", ", ".join(table.rungs), ", ".join(run.rungs))
    for key, what in _CONFIG.items():
        yield from difference(what, *(r.config.get(key, UNSAID) for r in (table, run)))
    batches = table.provenance.batch_size, run.provenance.batch_size
    if any(row.batch_dependent for each in (table, run) for row in each.accuracy):
        yield from difference("batch size, on which examples depend", *batches)
    for name in dict.fromkeys([*table.attacks, *run.attacks]):
        yield from _attack(name, table.attacks.get(name), run.attacks.get(name))


def _attack(name: str, old: Attack | None, new: Attack | None) -> Iterator[Difference]:
    if old is None or new is None:
        yield from difference(
            f"attack {name}", *("there" if x else "not there" for x in (old, new))
        )
        return
    was, now = old.arguments, new.arguments
    for key in dict.fromkeys([*was, *now]):
        yield from difference(f"attack {name}, {key}", was.get(key, UNSAID), now.get(key, UNSAID))
    for key in Attack.model_fields:
        # A table from before attacks said what they make of their arguments holds none of it.
        unsaid = key == "settings" and None in (old.settings, new.settings)
        if key != "arguments" and not unsaid:
            yield from difference(f"attack {name}, {key}", getattr(old, key), getattr(new, key))


def _other_verdicts(table: Results, run: Results, name: str) -> Iterator[str]:
    """Yield which rows of a defense that both have are not the same, image by image."""
    old, new = rows_of(table, name), rows_of(run, name)
    if not new:
        yield f"{name}: the run has no such row to hold against that of the table"
    for place, row in old.items():
        other = new.get(place)
        if other is None:
            yield f"{name}, {words_of(row)}: the run has no such row"
        elif other.n != row.n:
            yield f"{name}, {words_of(row)}: n, {row.n} and {other.n}"
        else:
            differ = int((shares(row) != shares(other)).sum())
            if differ:
                yield f"{name}, {words_of(row)}: other verdicts on {differ} of {row.n} images"


def _new_refusals(table: Results, run: Results, name: str) -> Iterator[str]:
    """Yield why a row does not belong into a table of the same benchmark."""
    known: dict[tuple[object, ...], set[tuple[int, str]]] = {}
    for row in table.accuracy:
        known.setdefault(row.place, set()).add((row.n, row.ids_sha256))
    for row in run.rows(defense=name):
        images = known.get(row.place)
        if images and not row.probe and (row.n, row.ids_sha256) not in images:
            counts = sorted({n for n, _ in images})
            other = f"{row.n} images, the table's rows {' or '.join(map(str, counts))}"
            why = "other images" if row.n in counts else other
            yield f"{name}, {words_of(row)}: {why}"
    choice, taken = _choice(run, name), [_choice(table, other) for other in table.defenses]
    if choice and choice["name"] in [other["name"] for other in taken if other]:
        called = choice["name"]
        yield f"{name}: the table's config has a row {called!r}, name this one otherwise"
    facts = run.defenses[name]
    if facts.missing:
        return
    yield from _unmet(table, run, name)
    worst, ranked = run.worst(name, ADAPTIVE), ranked_images(rank(table))
    # The verdict that the row will have, not the one that the run says: it has no rank if it fails.
    fails = _masking(run, name)["verdict"] == "fail"
    if worst and worst.n < ranked and not fails:
        yield (
            f"{name}: its adaptive accuracy is of {worst.n} images, the table ranks on {ranked}, "
            "and all its rows would be ranked on fewer"
        )


def _choice(results: Results, name: str) -> dict[str, Any] | None:
    """Return what the config of results says of a row; nothing where it does not."""
    choices = results.config.get("defenses", ())
    called = [each for each in choices if is_called(name, each["name"])]
    # Of two such names the longer one is that of the row.
    return max(called, key=lambda each: len(each["name"]), default=None)


def _unmet(table: Results, run: Results, name: str) -> Iterator[str]:
    """Yield the counted cells that a row without gaps, which would be ranked, did not face."""
    met = {row.place for row in run.rows(defense=name)}
    left_out = {each.rung for each in run.not_applicable if each.defense == name}
    stochastic = run.defenses[name].stochastic
    for row in table.rows(defense=UNDEFENDED):
        rung = row.attacked
        if rung is None or row.worst or rung in left_out or row.place in met:
            continue
        attack = table.attacks[row.attack]
        own = rung is Rung.SURROGATE and is_called(name, row.source)
        idle = (
            rung not in attack.rungs
            or (rung.replays and attack.kind == AttackKind.MINIMAL)
            or not attack.runs_against(name, stochastic=stochastic)
        )
        if attack.counted and not own and not idle:
            yield f"{name}, {words_of(row)}: the run has no such row, and does not say why"
    for attack_name, attack in table.attacks.items():
        # Others are among the rows of the undefended classifier.
        apart = attack.counted and not attack.runs_against(UNDEFENDED, stochastic=False)
        if not apart or not attack.runs_against(name, stochastic=stochastic):
            continue
        for rung in map(Rung, attack.rungs):
            wanted = not rung.replays and rung.takes(attack.access) and rung not in left_out
            for eps in attack.eps if wanted and attack.kind == AttackKind.BUDGET else ():
                if run.row(defense=name, rung=rung, attack=attack_name, eps=eps) is None:
                    yield (
                        f"{name}, {rung} {attack_name} {eps_text(eps)}: the run has no such row, "
                        "and does not say why"
                    )


def with_rows(table: Results, run: Results, names: Sequence[str]) -> Results:
    """Return a table with the rows of a run that it lacks; `refusals` has nothing against them.

    Each new row says how it was made. Accuracies, intervals and verdicts on gradients are made
    anew of the stored bits; ranks always are.

    Raises:
        DataError: The table lacks none, or numbers contradict the verdicts that they come from.
    """
    new = [name for name in names if name not in table.defenses]
    if not new:
        raise DataError(
            f"{table.name} has every row of the run already: {', '.join(names)}",
            hint="nothing is left to do; superdef-bench leaderboard FILE writes its pages again",
        )
    document = table.document
    theirs = run.document
    made = theirs["provenance"]
    for name in new:
        facts = {"provenance": made, **theirs["defenses"][name]}
        document["defenses"][name] = facts | {"masking": _masking(run, name)}
        choice = _choice(run, name)
        if choice:
            document["config"].setdefault("defenses", []).append(choice)
    for part in ("accuracy", "cost", "failures", "refused", "not_applicable"):
        rows = [row for row in theirs.get(part, ()) if row["defense"] in new]
        if part == "accuracy":
            found = [row for row in run.accuracy if row.defense in new]
            rows = [old | _again(table, row) for old, row in zip(rows, found, strict=True)]
        if rows:
            document.setdefault(part, []).extend(rows)
    joined = Results.of(document)
    wrong = next(contradictions(joined), None)
    if wrong:
        number, why = wrong
        row = joined.accuracy[number - 1]
        raise DataError(
            f"{row.defense}, {words_of(row)}: {why}",
            hint="run the config again" if row.defense in new else "publish the table again",
        )
    return joined


def _masking(run: Results, name: str) -> dict[str, Any]:
    facts = run.defenses[name]
    return report(
        list(run.rows(defense=name)),
        eps=run.last_eps,
        attacks=run.attacks,
        stochastic=facts.stochastic,
        num_classes=run.dataset.classes,
    ).to_json()


def _again(table: Results, row: AccuracyRow) -> dict[str, Any]:
    """Return the numbers of a row that follow from its verdicts and those of the table."""
    found = score(row)
    assert found is not None
    bare = table.clean()
    base = None if bare is None else verdicts(bare)[: row.n]
    share = conditional(table, row, None)
    return {
        "accuracy": round(found.accuracy, 6),
        "ci_low": round(found.low, 6),
        "ci_high": round(found.high, 6),
        "conditional_n": None if base is None else int(np.count_nonzero(base)),
        "conditional_accuracy": None if share is None else round(share, 6),
    }
