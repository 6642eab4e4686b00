"""What a test of faults counted, as a line that a page can add up.

Each line of the file named by `SUPERDEF_BENCH_FAULTS` is a JSON object: `what` was tried, how
often (`tried`), and in how many of these something was `lost` (finished work gone), `wrong`
(a result that is not true), `hung` (no end in time) or ended in a `traceback`.
"""

import json
import os
from collections import defaultdict
from pathlib import Path

COLUMNS = ("tried", "lost", "wrong", "hung", "traceback")
START, END = "<!-- counts -->", "<!-- end of counts -->"
FAULTS_VARIABLE = "SUPERDEF_BENCH_FAULTS"


def count(
    what: str, *, tried: int, lost: int = 0, wrong: int = 0, hung: int = 0, traceback: int = 0
) -> None:
    """Append a line to the file that `SUPERDEF_BENCH_FAULTS` names; do nothing where it is unset.

    Args:
        what: The kind of fault, in the words of the page: `"mutated inputs: config"`.
        tried: Faults that were put in.
        lost: How many of them lost finished work.
        wrong: How many gave a result that is not true.
        hung: How many did not end in time.
        traceback: How many ended in anything but a message.
    """
    name = os.environ.get(FAULTS_VARIABLE)
    if not name:
        return
    line = {
        "what": what,
        "tried": tried,
        "lost": lost,
        "wrong": wrong,
        "hung": hung,
        "traceback": traceback,
    }
    # One write of one line in append mode: workers of one suite may share the file.
    with Path(name).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def write_table(counts: Path, page: Path) -> None:
    """Put the sums of all counts into the table of a page, between its two comments."""
    sums: dict[str, list[int]] = defaultdict(lambda: [0] * len(COLUMNS))
    for line in counts.read_text(encoding="utf-8").splitlines():
        told = json.loads(line)
        sums[told["what"]] = [
            before + told[column]
            for before, column in zip(sums[told["what"]], COLUMNS, strict=True)
        ]
    rows = [["what", *COLUMNS], [":--", *["--:"] * len(COLUMNS)]]
    rows += [[what, *map(str, sums[what])] for what in sorted(sums)]
    rows += [["all", *(str(sum(column)) for column in zip(*sums.values(), strict=True))]]
    table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    text = page.read_text(encoding="utf-8")
    before, rest = text.split(START)
    _, after = rest.split(END)
    page.write_text(f"{before}{START}\n\n{table}\n\n{END}{after}", encoding="utf-8")
