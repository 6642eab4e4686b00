"""What a leaderboard says beneath its tables. No torch."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from superdef_bench.core.threats import CLEAN, NO_TARGET, Access, AttackKind, Rung, only_text
from superdef_bench.core.visible import shortened
from superdef_bench.results.facts import Attack, NotApplicable
from superdef_bench.results.masking import FAIL, FEW, POINTS, SUSPECT
from superdef_bench.results.ranking import Standing
from superdef_bench.results.schema import Columns, Results
from superdef_bench.results.statistics import binomial_tail
from superdef_bench.results.suite import suites_of_rows
from superdef_bench.results.text import eps_text, escape, grid, percent

_FEWEST = 8  # clean images that can be told from guesses
_NEAR = 0.05  # of the way from chance to all right
_BY_CHANCE = 0.01  # what guesses reach with less than this probability is no guess


def transfer_mark(results: Results, defense: str) -> str:
    """Return what marks the gray-box cells of a row with a classifier of its own."""
    return " †" if results.defenses[defense].replaces else ""


def masking_verdict(results: Results, defense: str) -> str:
    """Return how the gradient of a row was judged: pass, suspect, fail, or empty if it was not."""
    return results.defenses[defense].masking.verdict


def judged_verdict(results: Results, defense: str) -> str:
    """Return the same with the number of images where it rests on few."""
    most = max((check.n for check in results.defenses[defense].masking.checks), default=FEW)
    return masking_verdict(results, defense) + (f" (n = {most})" if most < FEW else "")


def row_name(results: Results, defense: str) -> str:
    """Return the name of a row, marked where its gradient is not to be trusted."""
    doubt = doubts(results, defense)
    return escape(defense) + (f" **({doubt})**" if doubt else "")


def doubts(results: Results, defense: str) -> str:
    """Return `suspect` or `fail` where the gradient of a row is not to be trusted, or nothing."""
    suspicion = results.defenses[defense].suspicion
    verdict = masking_verdict(results, defense) or ("suspect" if suspicion else "")
    return verdict if verdict in ("suspect", "fail") else ""


def below_ranking(results: Results, standings: Sequence[Standing]) -> list[str]:
    """Return what belongs right below the ranking: who faced what, and the other size."""
    return [*suites_of_rows(results, standings), *_resized(results)]


def _resized(results: Results) -> Iterator[str]:
    found = results.undefended_at
    if found is not None:
        (height, width), (_, tall, wide) = results.dataset.shape[1:], found.shape
        interval = f"{100 * found.ci_low:.0f}–{100 * found.ci_high:.0f}"
        yield (
            f"outside the ranking: undefended at {wide}x{tall} {percent(found.accuracy)} "
            f"({interval}) of the same {found.n:,} clean images are right; a part of what a row "
            f"gains by enlarging {width}x{height} is resolution"
        )


def masking_section(results: Results, standings: Sequence[Standing]) -> Iterator[str]:
    """Say which checks of each row's gradient it did not pass, and which it did."""
    judged = [s.defense for s in standings if masking_verdict(results, s.defense)]
    if not judged:
        return
    yield "## Gradient masking"
    yield ""
    rows, weak = [], False
    for name in judged:
        masking = results.defenses[name].masking
        passed = sum(check.outcome == "pass" for check in masking.checks)
        images = sorted({check.n for check in masking.checks})
        shown = "–".join(map(str, dict.fromkeys([images[0], images[-1]]))) if images else "–"
        judged_so = judged_verdict(results, name)
        checks = f"{passed} of {len(masking.checks)}"
        rows.append([escape(name), escape(judged_so), checks, shown])
        weak |= judged_so != masking.verdict
    yield from grid(["defense", "verdict", "checks passed", "images"], rows)
    if weak:
        yield (
            f"A verdict on fewer than {FEW} images says n: so few rarely tell a masked gradient "
            "from a working one, and a pass is no evidence. `[run] masking` sets how many."
        )
        yield ""
    lines = [line for name in judged for line in _judgement(results, name)]
    if lines:
        yield from lines
        yield ""
    names = dict.fromkeys(
        check.check for name in judged for check in results.defenses[name].masking.checks
    )
    yield f"Checks, where they apply: {escape(', '.join(names))}."
    yield ""
    yield (
        "Each check is a one-sided exact McNemar or binomial test on the same images, p by Holm's "
        f"correction over the checks of a row: suspect at p ≤ {SUSPECT}, fail at p ≤ {FAIL}; "
        f"comparisons of two attacks also need {POINTS} points of accuracy."
    )
    yield ""


def _judgement(results: Results, name: str) -> Iterator[str]:
    for check in results.defenses[name].masking.checks:
        if check.outcome != "pass":
            evidence = f"{escape(check.evidence)} (p = {check.adjusted:.2g})"
            yield (f"- {escape(name)}, **{check.outcome}**, {escape(check.check)}: {evidence}")


def rows_section(results: Results) -> Iterator[str]:
    """Say what each row is: its plugin, or the chain of them, and every argument."""
    yield "## Rows"
    yield ""
    for name, what in stages(results).items():
        yield f"- {escape(name)}: {escape(what)}"
    yield ""


def stages(results: Results) -> dict[str, str]:
    """Return what each row is: its plugin, or the chain of them, and every argument.

    Where rows were added to a table each says which version made it, an added one by which command.
    """
    every = {name: facts.arguments for name, facts in results.defenses.items()}
    return {
        name: ", then ".join(
            map(given, [arguments] if "plugin" in arguments else arguments["chain"])
        )
        + _made_by(results, name)
        for name, arguments in every.items()
    }


def _made_by(results: Results, name: str) -> str:
    if not any(map(results.is_added, results.defenses)):
        return ""
    made = results.provenance_of(name)
    version = f"; made by version {made.versions.get('superdef-bench', 'unknown')}"
    return version + (f", added from: {made.command}" if results.is_added(name) else "")


def given(arguments: Mapping[str, Any]) -> str:
    """Return a plugin and the arguments that it was given."""
    shown = arguments_text(arguments)
    return f"{arguments['plugin']}" + (f" ({shown})" if shown else "")


def arguments_text(arguments: Mapping[str, Any]) -> str:
    """Return the arguments of a plugin, without those that say nothing."""
    return ", ".join(
        f"{name} = {f'{value:g}' if isinstance(value, float) else value}"
        for name, value in arguments.items()
        if name != "plugin" and value not in ("", None)
    )


def failures_section(results: Results) -> Iterator[str]:
    """Name the cells that gave no number, and why."""
    found = list(failures(results))
    if found:
        yield "## Cells without a number"
        yield ""
        yield from (f"- {escape(line)}" for line in found)
        yield ""


def failures(results: Results) -> Iterator[str]:
    """Yield the cells that failed or were refused, those of one reason together."""
    together: dict[str, list[str]] = {}
    stopped: list[tuple[Columns, str]] = [(cell, cell.error) for cell in results.failures]
    stopped += [(cell, cell.why) for cell in results.refused]
    for cell, why in stopped:
        rung = cell.rung_title if cell.rung else CLEAN
        eps = "" if cell.eps is None else f" {eps_text(cell.eps)}"
        together.setdefault(why, []).append(f"{cell.defense}, {rung} {cell.attack}{eps}")
    for why, cells in together.items():
        more = f", and {len(cells) - 1} more" if len(cells) > 1 else ""
        yield f"{cells[0]}{more}: {shortened(why)}"


def notes_section(results: Results, standings: Sequence[Standing]) -> Iterator[str]:
    found = notes(results, standings)
    if found:
        yield "## Notes"
        yield ""
        yield from (f"- {escape(note)}" for note in found)


def notes(results: Results, standings: Sequence[Standing]) -> list[str]:
    """Return what has to be said beside the tables."""
    found = [*not_ranked(standings)]
    found += [
        f"{_suspect(results, name)}: {facts.suspicion}."
        for name, facts in results.defenses.items()
        if facts.suspicion
    ]
    found += [
        f"†: {name} stands in the classifier's place, so its gray-box examples were made "
        "on another network (transfer)."
        for name, facts in results.defenses.items()
        if facts.replaces
    ]
    found += [
        f"{name}: attacks that go around it (BPDA) saw a cheaper attack view in its place; what "
        "they found was scored with the defense itself."
        for name, facts in results.defenses.items()
        if facts.attack_view
    ]
    found += _left_out(results.not_applicable)
    found += [f"{line}." for line in [*idle(results), *near_chance(results)]]
    found += [
        f"{source.name} has the code and weights of the attacked classifier: transfer from "
        "it is gray box under another name."
        for source in results.sources
        if source.rung == Rung.TRANSFER and source.same
    ]
    found += [
        f"{name} takes no part in worst cases and ranks"
        + f": {_uncounted(facts, results.threat.norm)}."
        for name, facts in results.attacks.items()
        if not facts.counted
    ]
    found += [
        f"{name} asks for {facts.access}: only black box takes it where the defense is "
        "known, and no rung of this benchmark is."
        for name, facts in results.attacks.items()
        if facts.access in (Access.SCORES, Access.LABELS) and Rung.BLACK_BOX not in results.rungs
    ]
    if results.threat.eightbit and any(
        facts.kind == AttackKind.MINIMAL for facts in results.attacks.values()
    ):
        found.append(
            "Minimal examples stop at the border of a class: rounding to 8 bits undoes most of "
            "them, and their columns say little here."
        )
    found += _out_of_the_ball(results)
    if results.threat.target != NO_TARGET:
        found.append(
            "Broken means that the target was reached, or the clean image was wrong: accuracies "
            "are higher than, and not comparable with, those of untargeted attacks."
        )
    dependent = {row.attack for row in results.accuracy if row.batch_dependent}
    found += [
        f"{name} is batch-dependent: an image's example depends on the images beside it."
        for name in results.attacks
        if name in dependent
    ]
    return found


def not_ranked(standings: Iterable[Standing]) -> Iterator[str]:
    """Say why rows are not ranked."""
    for s in standings:
        if s.rank is None and s.reasons:
            more = f", and {len(s.reasons) - 1} more" if len(s.reasons) > 1 else ""
            yield f"{s.defense} is not ranked: {s.reasons[0]}{more}."


def idle(results: Results) -> Iterator[str]:
    """Say which attacks have no cell under any rung of the benchmark."""
    ran: list[Columns] = [*results.accuracy, *results.failures, *results.refused]
    met = {row.attack for row in ran if row.rung}
    for name, facts in results.attacks.items():
        if name not in met and facts.defenses and not _has(results, facts):
            yield f"attack {name} did not run: it runs against {only_text(facts.defenses)}"
        elif name not in met:
            yield (
                f"attack {name} did not run: it asks for {facts.access}, and no rung that is "
                f"asked for and applies ({', '.join(facts.rungs) or 'it names none of them'}) "
                "takes that"
            )


def near_chance(results: Results) -> Iterator[str]:
    """Say so where the classifier gets clean images right no more often than by guessing."""
    row, chance = results.clean(), results.threat.topk / results.dataset.classes
    if row is None or row.n < _FEWEST or chance >= 1:
        return
    guessed = binomial_tail(row.correct, row.n, chance) > _BY_CHANCE
    if guessed and row.correct <= row.n * (chance + _NEAR * (1 - chance)):
        yield (
            f"{results.model.name} gets {row.correct} of {row.n} clean images of "
            f"{results.dataset.name} right, near chance: are its classes in the order of the "
            "dataset's, do labels count from the same number (label_base), is this the size it "
            "takes"
        )


def _has(results: Results, attack: Attack) -> bool:
    """Return whether there is a defense that an attack runs against."""
    rows = results.defenses.items()
    return any(attack.runs_against(row, stochastic=d.stochastic) for row, d in rows)


def _out_of_the_ball(results: Results) -> Iterator[str]:
    """Say where rounding left examples outside, the most of any row of an attack and eps."""
    most: dict[tuple[str, float | None], tuple[int, int]] = {}
    for row in results.accuracy:
        if row.outside:
            place = row.attack, row.eps
            most[place] = max(most.get(place, (0, 0)), (row.outside, row.n))
    for (attack, eps), (outside, n) in most.items():
        yield (
            f"Rounding to 8 bits carried up to {outside} of {n} examples of {attack} out of the "
            f"ball of {eps_text(eps)}: they count as the clean image."
        )


def _suspect(results: Results, defense: str) -> str:
    if masking_verdict(results, defense):
        return f"Exact gradients alone do not rank {defense}"
    return f"{defense} is suspect"


def _left_out(entries: Sequence[NotApplicable]) -> Iterator[str]:
    """Say which rungs do not apply, the rows of one reason together."""
    together: dict[tuple[str, str], list[str]] = {}
    for entry in entries:
        together.setdefault((entry.rung, entry.why), []).append(entry.defense)
    for (rung, why), names in together.items():
        yield f"{Rung(rung).title} does not apply to {', '.join(names)}: {why}."


def _uncounted(facts: Attack, norm: str) -> str:
    """Return why an attack takes no part in worst cases."""
    if facts.kind == AttackKind.CORRUPTION:
        return "a corruption, which has no ball"
    if facts.norm != norm:
        return f"norm {facts.norm} in a benchmark of {norm}"
    return f"{facts.limit} images"
