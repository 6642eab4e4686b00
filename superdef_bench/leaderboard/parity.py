"""The page on AutoAttack's two engines, of the files that `verify autoattack` wrote. No torch."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from superdef_bench.core.errors import DataError
from superdef_bench.core.threats import UNDEFENDED
from superdef_bench.results.parity import (
    SIGNIFICANT,
    TOLERATED,
    Effort,
    Parity,
    compare,
    difference,
    load_parity,
    ratios,
    together,
)
from superdef_bench.results.statistics import Bits, unpack_bits
from superdef_bench.results.table import Cell, Line, Table, to_markdown
from superdef_bench.results.text import escape, fenced, percent

_COUNTED = f"{100 * TOLERATED:g} %"


def cases_of(folder: Path) -> list[Parity]:
    """Return the cases that a folder holds, in the order of their files.

    Raises:
        DataError: There is none, or one is damaged.
    """
    files = sorted(folder.glob("*.json"))
    if not files:
        raise DataError(
            f"{folder} holds no case", hint="superdef-bench verify autoattack writes one"
        )
    return [load_parity(file) for file in files]


def parity_page(cases: Sequence[Parity]) -> str:
    """Return the page as Markdown.

    Args:
        cases: In the order of the page.

    Raises:
        DataError: A case lacks one of the engines.
    """
    lines = [
        "# Parity of AutoAttack's two engines",
        "",
        "`autoattack` runs four attacks in our code or, with "
        '`engine = "reference"`, the reference implementation (Croce and Hein, ICML 2020). Both '
        "ran on the same images here; every success of either was confirmed by a forward pass of "
        "its own.",
        "",
        *fenced(map(_command, cases)),
        _verdict(cases),
        "",
        "## The whole sequence",
        "",
        "Accuracy in %, and the images that only one engine breaks. The reference alone may break "
        f"as many as the column says: 1, {_COUNTED} of n, or as many as two seeds of the "
        "reference differ by, whichever is most.",
        "",
        *to_markdown(whole_table(cases)),
        "## What each part adds",
        "",
        "Images that are right without attack and that a part breaks after the parts before it: "
        "the reference / ours. What FAB and Square add is what APGD alone would miss.",
        "",
        *to_markdown(_added_table(cases)),
        "## Work",
        "",
        "Passes of single images through the classifier, and how many times ours the reference "
        "takes. Both ran at different times, so no seconds are compared here: "
        "[attacks.md](attacks.md#how-fast-they-are) does that side by side.",
        "",
        *to_markdown(_work_table(cases)),
    ]
    alone = [case for case in cases if any(True for _ in case.alone())]
    if alone:
        lines += [
            "## Each part alone",
            "",
            "The parts by themselves, each on the first n images.",
            "",
            *to_markdown(alone_table(alone)),
        ]
    lines += ["## Where it ran", "", *_machines(cases)]
    return "\n".join(lines).rstrip() + "\n"


def _command(case: Parity) -> str:
    """Return what runs a case again."""
    words = ["superdef-bench", "verify", "autoattack", case.config]
    words += ["--dataset", case.dataset_plugin] if case.dataset_plugin else []
    words += ["--model", case.model_plugin] if case.model_plugin else []
    if case.defense != UNDEFENDED:
        words += ["-d", case.defense.partition(" (")[0]]
    words += ["--norm", case.norm, "--eps", case.eps, "--limit", str(case.n)]
    if case.again():
        words += ["--seeds", "2"]
    few = max((reference.n for reference, _ in case.alone()), default=0)
    return shlex.join([*words, *(["--alone", str(few)] if few else [])])


def _verdict(cases: Sequence[Parity]) -> str:
    all_of_them = together(cases)
    each = sum(difference(case).holds for case in cases)
    word = "holds" if all_of_them.holds and each == len(cases) else "does not hold"
    share = percent(all_of_them.only_reference / all_of_them.n)
    return (
        f"**Parity {word}**: in {each} of {len(cases)} cases the reference alone breaks no more "
        f"than it may. Of all {all_of_them.n:,} images it alone breaks "
        f"{all_of_them.only_reference} ({share} %, {_COUNTED} allowed), ours alone "
        f"{all_of_them.only_own}; the exact one-sided McNemar test that ours is weaker gives "
        f"p = {all_of_them.p:.2g} (found weaker at {SIGNIFICANT} or less)."
    )


def whole_table(cases: Sequence[Parity]) -> Table:
    """Return what both engines broke, a row per case."""
    head = ["net", "ball", "n", "clean", "reference", "ours", "only reference", "only ours"]
    head += ["allowed", "two seeds differ by", "parity"]
    return Table("parity", "AutoAttack's two engines", head, list(map(_whole, cases)))


def _whole(case: Parity) -> Line:
    found = difference(case)
    reference, own = case.both()
    texts = [
        *_names(case),
        str(case.n),
        accuracy_text(unpack_bits(case.clean, case.n)),
        accuracy_text(reference.broken()),
        accuracy_text(own.broken()),
        str(len(found.only_reference)),
        str(len(found.only_own)),
        str(found.allowed),
        "–" if found.noise is None else str(found.noise),
        "holds" if found.holds else "fails",
    ]
    return Line([Cell(text) for text in texts])


def _added_table(cases: Sequence[Parity]) -> Table:
    parts = [name for name, _ in cases[0].both()[0].added()]
    lines = []
    for case in cases:
        counts = [list(run.added()) for run in case.both()]
        wrong = int(unpack_bits(case.clean, case.n).sum())
        cells = []
        for place, (reference, own) in enumerate(zip(*counts, strict=True)):
            before = 0 if place else wrong
            cells.append(f"{reference[1] - before} / {own[1] - before}")
        lines.append(Line([Cell(text) for text in (*_names(case), *cells)]))
    return Table("added", "What each part adds", ["net", "ball", *parts], lines)


def _work_table(cases: Sequence[Parity]) -> Table:
    head = ["net", "ball", "forwards", "backwards", "ours: forwards", "ours: backwards"]
    head.append("passes, ratio")
    lines = []
    for case in cases:
        reference, own = case.both()
        found = ratios(reference, own)
        texts = [
            *_names(case),
            *(f"{run.total(w):,.0f}" for run in (reference, own) for w in _PASSES),
            f"{found.passes:.2f}",
        ]
        lines.append(Line([Cell(text) for text in texts]))
    return Table("work", "Work", head, lines)


_PASSES: tuple[Effort, Effort] = ("forwards", "backwards")


def alone_table(cases: Sequence[Parity]) -> Table:
    """Return what each part breaks alone, a row per case and part."""
    head = ["net", "ball", "part", "n", "reference", "ours", "only reference", "only ours"]
    lines = []
    for case in cases:
        for reference, own in case.alone():
            found = compare(reference, own)
            texts = [
                *_names(case),
                reference.parts[0].name,
                str(found.n),
                *(accuracy_text(run.broken()) for run in (reference, own)),
                str(len(found.only_reference)),
                str(len(found.only_own)),
            ]
            lines.append(Line([Cell(text) for text in texts]))
    return Table("alone", "Each part alone", head, lines)


def _names(case: Parity) -> tuple[str, str]:
    return case.title, f"{case.norm} {case.eps}"


def accuracy_text(broken: Bits) -> str:
    """Return the accuracy that is left, in %."""
    return percent(float(1 - broken.mean()))


def _machines(cases: Sequence[Parity]) -> Iterator[str]:
    seen = dict.fromkeys(
        f"{run.machine.processor}, {run.machine.cores} cores, {run.machine.gpu}; "
        f"Python {run.versions.get('python', '?')}, torch {run.versions.get('torch', '?')}, "
        f"pyautoattack {run.versions.get('pyautoattack', '?')}"
        for case in cases
        for run in case.runs
    )
    for text in seen:
        yield f"- {escape(text)}"
