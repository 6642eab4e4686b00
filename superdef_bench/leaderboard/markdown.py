"""A leaderboard as Markdown. No torch."""

from collections.abc import Iterator, Sequence

from superdef_bench.core.threats import ADAPTIVE, NO_TARGET, Rung
from superdef_bench.leaderboard.again import commands, config_section
from superdef_bench.leaderboard.changes import changes_section
from superdef_bench.leaderboard.classifier import classifier_section, classifier_title
from superdef_bench.leaderboard.curves import CURVES, has_curves
from superdef_bench.leaderboard.notes import (
    below_ranking,
    failures_section,
    masking_section,
    masking_verdict,
    notes_section,
    row_name,
    rows_section,
    transfer_mark,
)
from superdef_bench.leaderboard.sections import (
    broken_first,
    by_attack,
    cost_section,
    stochastic,
    top_five,
)
from superdef_bench.leaderboard.settings import settings_section
from superdef_bench.leaderboard.tables import BELOW, ranking_table
from superdef_bench.results.facts import ThreatFacts
from superdef_bench.results.ranking import (
    WITHIN_A_RANK,
    Standing,
    conditional,
    images_text,
    ranked_images,
)
from superdef_bench.results.rows import is_drawn, score, with_interval
from superdef_bench.results.schema import Results
from superdef_bench.results.suite import FULL, suite_of_table
from superdef_bench.results.table import to_markdown
from superdef_bench.results.text import eps_text, escape, fenced, grid, link, percent


def leaderboard(results: Results, standings: Sequence[Standing]) -> str:
    """Return the leaderboard as Markdown."""
    parts = [
        *_header(results, standings),
        *_ranking(results, standings),
        *_by_eps(results, standings),
        *_conditional(results, standings),
        *top_five(results, standings),
        *stochastic(results, standings),
        *broken_first(results, standings),
        *_curves(results, standings),
        *masking_section(results, standings),
        *classifier_section(results),
        *settings_section(results),
        *by_attack(results, standings),
        *cost_section(results, standings),
        *changes_section(results),
        *rows_section(results),
        *failures_section(results),
        *notes_section(results, standings),
    ]
    return "\n".join(parts).rstrip() + "\n"


def _header(results: Results, standings: Sequence[Standing]) -> Iterator[str]:
    provenance, data, threat = results.provenance, results.dataset, results.threat
    machine = provenance.machine
    eps = ", ".join(eps_text(value) for value in threat.eps)
    versions = ", ".join(f"{name} {value}" for name, value in provenance.versions.items())
    ranked = ranked_images(standings)
    yield f"# {escape(results.name)}"
    yield ""
    yield "<!-- generated, do not edit; regenerate with the commands below -->"
    yield ""
    suite = suite_of_table(results, standings)
    yield f"Suite: **{suite}**" + (f", on {ranked:,} images." if suite == FULL else ".")
    yield "Every robust accuracy is an upper bound that a fixed suite found (≤)."
    yield ""
    shape = "x".join(map(str, data.shape))
    yield (
        f"- dataset {escape(data.name)} {escape(data.split)}, {data.classes} classes, {shape}, "
        f"sha256 `{escape(data.sha256[:16])}`"
    )
    yield f"- {images_text(results, standings)}{_limited(results, ranked)}"
    yield f"- classifier {escape(classifier_title(results))}"
    yield f"- threat {escape(threat.norm)}, eps {eps}{_goal(threat)}; seed {results.seed}"
    yield f"- {escape(versions)}"
    yield (
        f"- {escape(machine.processor)}, {machine.cores} cores, "
        f"{machine.memory_gib} GiB, {escape(machine.gpu)}"
    )
    yield ""
    yield from fenced(commands(results))
    yield from config_section(results)
    yield f"!{link('Clean, gray-box and adaptive accuracy', f'{results.name}.svg')}"
    yield ""


def _goal(threat: ThreatFacts) -> str:
    """Return what differs from an untargeted top-1 benchmark scored as the attack left it."""
    parts = [
        f"top-{threat.topk}" if threat.topk > 1 else "",
        f"target: {escape(threat.target.replace('_', ' '))}" if threat.target != NO_TARGET else "",
        "scored after rounding to 8 bits" if threat.eightbit else "",
    ]
    return "".join(f"; {part}" for part in parts if part)


def _ranking(results: Results, standings: Sequence[Standing]) -> Iterator[str]:
    yield f"## Ranking at eps {eps_text(results.last_eps)}"
    yield ""
    judged = any(masking_verdict(results, s.defense) for s in standings)
    shown = ["rank", "defense", "clean", "gray box", "adaptive", "illusion gap", "like for like"]
    shown += ["median eps", *(["masking"] if judged else []), "n"]
    yield from to_markdown(ranking_table(results, standings).pick(*shown, rank="#"))
    drawn = any(is_drawn(row) for row in results.accuracy)
    yield (
        "Accuracy in percent with its 95 % Wilson interval"
        + (
            " (of stochastic defenses, mean over draws and bootstrap over images; "
            "ranks, median eps and curves by the majority of draws)"
            if drawn
            else ""
        )
        + ". Gray box and adaptive are worst cases per image. Illusion gap: gray box minus "
        "adaptive. Like for like: the largest fall of one attack when it knows the defense. Median "
        f"eps: smallest that breaks half of all images. {WITHIN_A_RANK}"
        + (" Masking: what the checks of its gradient say of a row, see below." if judged else "")
    )
    yield ""
    suites = below_ranking(results, standings)
    yield from (f"- {escape(line)}" for line in suites)
    yield from [""] if suites else []


def _by_eps(results: Results, standings: Sequence[Standing]) -> Iterator[str]:
    radii = results.threat.eps
    yield "## By eps"
    yield ""
    head = ["defense"]
    for eps in radii:
        head += [f"gray box {eps_text(eps)}", f"adaptive {eps_text(eps)}"]
    rows = []
    for s in standings:
        row, counts = [row_name(results, s.defense)], []
        for eps in radii:
            for rung, sign in ((Rung.GRAY_BOX, ""), (ADAPTIVE, BELOW)):
                found = results.worst(s.defense, rung, eps)
                mark = transfer_mark(results, s.defense) if rung == Rung.GRAY_BOX else ""
                row.append(with_interval(score(found), sign) + mark)
                counts.append(str(found.n) if found else "–")
        pairs = (f"{gray} / {known}" for gray, known in zip(counts[::2], counts[1::2], strict=True))
        rows.append([*row, ", ".join(dict.fromkeys(pairs))])
    yield from grid([*head, "n: gray box / adaptive"], rows)
    yield "Each column on all images that its cells have: n says how many."
    yield ""


def _conditional(results: Results, standings: Sequence[Standing]) -> Iterator[str]:
    radii = results.threat.eps
    yield "## Of the images that the undefended classifier gets right"
    yield ""
    head = ["defense", "clean"]
    for eps in radii:
        head += [f"gray box {eps_text(eps)}", f"adaptive {eps_text(eps)}"]
    rows = []
    for s in standings:
        found = [results.clean(s.defense)]
        for eps in radii:
            found += [results.worst(s.defense, rung, eps) for rung in (Rung.GRAY_BOX, ADAPTIVE)]
        n = s.adaptive.n if s.adaptive else None
        numbers = [percent(conditional(results, row, n)) if row else "–" for row in found]
        signs = ["", *(["", BELOW] * len(radii))]
        marks = ["", *([transfer_mark(results, s.defense), ""] * len(radii))]
        cells = [
            n if n == "–" else sign + n + mark
            for sign, n, mark in zip(signs, numbers, marks, strict=True)
        ]
        rows.append([row_name(results, s.defense), *cells])
    yield from grid(head, rows)
    yield (
        "Conditional accuracy in percent, as papers on purification print it (destruction rate; "
        "Mustafa et al., IEEE TIP 2020), among the images of the row's adaptive accuracy "
        f"({_ns(standings)}). "
        "It hides what a defense costs on clean images; ranks use the accuracy above."
    )
    yield ""


def _limited(results: Results, n: int) -> str:
    """Return which limits leave the ranking `n` images, fewer than the benchmark has."""
    if not n or n >= results.dataset.images:
        return ""
    rows = [name for name, facts in results.defenses.items() if facts.limit == n]
    rungs = [rung for rung, limit in results.config.get("limits", {}).items() if limit == n]
    named = [*(f"row {escape(name)}" for name in rows), *(f"rung {rung}" for rung in rungs)]
    return f", the limit of {', '.join(named)}" if named else ""


def _ns(standings: Sequence[Standing]) -> str:
    """Return on how many images the adaptive accuracies are: of ranked rows, and of the rest."""
    found = sorted({s.adaptive.n for s in standings if s.adaptive})
    return f"n = {' or '.join(map(str, found))}" if found else "there are none"


def _curves(results: Results, standings: Sequence[Standing]) -> Iterator[str]:
    if not has_curves(results, standings):
        return
    yield "## Curves"
    yield ""
    yield f"!{link('Accuracy against what the attacker spends', f'{results.name}{CURVES}')}"
    yield ""
    yield (
        "Adaptive worst case: share of images that nothing within eps broke. Steps, queries: share "
        "still right after so many of the longest counted attack at its smallest eps. Draws per "
        "gradient, of stochastic defenses: accuracy under an attack that averages over so many."
    )
    yield ""
