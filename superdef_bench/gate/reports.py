"""A comparison as text, Markdown, JSON or JUnit XML. No torch."""

import json
import math
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from xml.etree import ElementTree

from superdef_bench.core.visible import one_line
from superdef_bench.gate.findings import Check, Report, Status
from superdef_bench.results.text import escape, grid

_WIDTH = 80
_TITLES: Mapping[Status, str] = {
    "regressed": "Got worse",
    "missing": "Missing",
    "improved": "Got better",
    "within noise": "Fell beyond the limit, too little to tell from noise",
    "not comparable": "Not comparable, not judged",
    "new": "New, not judged",
    "ungateable": "Ungateable: too few right in the baseline for a fall to be seen",
}


def verdict(report: Report) -> str:
    """Return the answer in one sentence."""
    counts = Counter(check.status for check in report.checks)
    failed = counts["regressed"] + counts["missing"]
    summary = (
        f"{counts['regressed']} worse, {counts['missing']} missing, {counts['improved']} better"
    )
    answer = "FAIL" if failed else "PASS"
    return f"{answer}: {len(report.checks)} checks: {summary}"


def noise_floor(report: Report) -> Iterator[str]:
    """Yield how small a fall could be seen, for each number of images."""
    for n, points in report.floors.items():
        least = "no fall can be seen" if points is None else f"a fall of {points:.1f} points"
        yield f"n = {n}: {least}" + (" can be seen" if points is not None else "")


def _basis(report: Report) -> str:
    return (
        f"Paired on images: McNemar's exact test, Holm's correction over {report.family} rows, "
        f"p below {report.alpha:g}."
    )


def images_of(report: Report) -> Iterator[str]:
    """Yield how many images were compared and ranked, once where both say the same."""
    both = dict(zip(report.names, report.images, strict=True))
    if len(set(report.images)) == 1:
        yield report.images[0]
    else:
        yield from (f"{name}: {images}" for name, images in both.items())


def to_text(report: Report) -> str:
    """Return the report as lines of at most 80 columns, without colour."""
    lines = _wrapped(f"{report.names[1]} against {report.names[0]}")
    lines += [line for images in images_of(report) for line in _wrapped(images)]
    lines.append(verdict(report))
    for status, title in _TITLES.items():
        checks = list(report.of(status))
        lines += ["", f"{title} ({len(checks)})"] if checks else []
        if status == "ungateable":
            lines += _by_defense(checks)
            continue
        for check in checks:
            lines += _wrapped(f"{check.metric} {check.title}", "  ")
            lines += _wrapped(check.why, "      ")
    unchanged = sum(1 for _ in report.of("unchanged"))
    lines += ["", f"Neither worse nor better: {unchanged}"]
    lines += ["", *_wrapped(_basis(report))]
    lines += ["Noise floor, where no image rises:"]
    lines += [f"  {line}" for line in noise_floor(report)] or ["  no accuracy was compared"]
    for note in report.notes:
        lines += _wrapped(f"Note: {note}.")
    return "\n".join(lines) + "\n"


def _by_defense(checks: list[Check]) -> Iterator[str]:
    for defense in dict.fromkeys(check.defense for check in checks):
        rows = [f"{c.what} ({c.why})" for c in checks if c.defense == defense]
        yield from _wrapped(f"{defense}: {'; '.join(rows)}", "  ")


def _wrapped(text: str, indent: str = "") -> list[str]:
    further = indent + "  " if indent else ""
    return textwrap.wrap(one_line(text), _WIDTH, initial_indent=indent, subsequent_indent=further)


def to_markdown(report: Report) -> str:
    """Return the report as Markdown, for the summary of a job."""
    lines = [f"## {escape(verdict(report))}", ""]
    images = "; ".join(map(escape, images_of(report)))
    lines += [f"{escape(report.names[1])} against {escape(report.names[0])}; {images}.", ""]
    for status, title in _TITLES.items():
        checks = list(report.of(status))
        if checks:
            rows = [[c.defense, c.what, c.metric, c.why] for c in checks]
            table = grid(
                ["defense", "row", "metric", "why"],
                [[escape(one_line(cell)) for cell in row] for row in rows],
            )
            lines += [f"### {title} ({len(checks)})", "", *table]
    lines += [f"{_basis(report)} Noise floor, where no image rises:", ""]
    lines += [f"- {line}" for line in noise_floor(report)] or ["- no accuracy was compared"]
    lines += [f"- {escape(note)}" for note in report.notes]
    return "\n".join(lines) + "\n"


def to_json(report: Report) -> str:
    """Return the report as JSON, with all digits; `regressed` is the answer."""
    document = asdict(report)
    document["floors"] = [{"n": n, "points": points} for n, points in report.floors.items()]
    for check in document["checks"]:
        if check["before"] is not None and not math.isfinite(check["before"]):
            check["before"] = None
    return json.dumps({"regressed": report.regressed, **document}, indent=1, allow_nan=False) + "\n"


def to_junit(report: Report) -> str:
    """Return the report as JUnit XML: a test per check, skipped where it was not judged."""
    tests = list(report.checks)
    skipped = list(report.of("ungateable", "not comparable", "new"))
    suite = ElementTree.Element(
        "testsuite",
        name="superdef-bench compare",
        tests=str(len(tests)),
        failures=str(sum(check.fails for check in tests)),
        errors="0",
        skipped=str(len(skipped)),
    )
    for check in tests:
        name = one_line(f"{check.metric} {check.what}")
        case = ElementTree.SubElement(
            suite, "testcase", classname=one_line(check.defense), name=name
        )
        _result(case, check)
    out = ElementTree.SubElement(suite, "system-out")
    out.text = one_line("; ".join([_basis(report), *noise_floor(report), *report.notes]))
    ElementTree.indent(suite)
    head = '<?xml version="1.0" encoding="UTF-8"?>\n'
    return head + ElementTree.tostring(suite, encoding="unicode") + "\n"


def _result(case: ElementTree.Element, check: Check) -> None:
    message = one_line(check.why)
    if check.fails:
        failed = ElementTree.SubElement(case, "failure", type=check.status, message=message)
        failed.text = f"{one_line(check.title)}: {message}"
    elif check.status in ("ungateable", "not comparable", "new"):
        ElementTree.SubElement(case, "skipped", message=f"{check.status}: {message}")


FORMATS: Mapping[str, Callable[[Report], str]] = {
    "text": to_text,
    "markdown": to_markdown,
    "json": to_json,
    "junit": to_junit,
}
