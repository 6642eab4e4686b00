"""The tables of a benchmark, built once: ranking, rungs, every row, cost, quality. No torch."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from superdef_bench.core.threats import ADAPTIVE, UNDEFENDED, AttackKind, Rung
from superdef_bench.leaderboard.notes import (
    doubts,
    judged_verdict,
    masking_verdict,
    transfer_mark,
)
from superdef_bench.results.facts import DEFENSE, PIPELINE, SCOPES
from superdef_bench.results.ranking import Standing
from superdef_bench.results.rows import Score, with_interval
from superdef_bench.results.schema import AccuracyRow, CostRow, QualityResults, Results
from superdef_bench.results.table import NOTHING, Cell, Line, Table
from superdef_bench.results.text import eps_text, percent, three_digits

UNRANKED = "unranked rows"
BELOW = "≤ "  # before what a fixed suite found: an upper bound


def name_cell(results: Results, defense: str) -> Cell:
    """Return the name of a row, in doubt where its gradient is."""
    return Cell(defense, doubt=doubts(results, defense))


def score_cell(value: Score | None, prefix: str = "", mark: str = "") -> Cell:
    """Return an accuracy with its interval, sorted by it; short without the interval."""
    if value is None:
        return Cell(f"–{mark}", short="–")
    short = prefix + percent(value.accuracy)
    return Cell(with_interval(value, prefix) + mark, value.accuracy, short)


def _share(value: float | None) -> Cell:
    return Cell(percent(value), value)


def _number(value: float | None, digits: int) -> Cell:
    return NOTHING if value is None else Cell(f"{value:,.{digits}f}", value)


def ranking_table(results: Results, standings: Sequence[Standing]) -> Table:
    """Return the ranking at the last eps, unranked rows below."""
    last = eps_text(results.last_eps)
    head = ["rank", "defense", "clean", "gray box", "adaptive", "illusion gap", "like for like"]
    head += ["median eps", "masking", "n"]
    lines = []
    for s in standings:
        fall = f"{percent(s.like_for_like[0])} ({s.like_for_like[1]})" if s.like_for_like else "–"
        n = s.adaptive.n if s.adaptive else s.clean.n if s.clean else 0
        beyond = Cell(f"> {last}", float("1e9")) if s.adaptive else NOTHING
        cells = [
            Cell(s.place, s.rank),
            name_cell(results, s.defense),
            score_cell(s.clean),
            score_cell(s.gray, mark=transfer_mark(results, s.defense)),
            score_cell(s.adaptive, BELOW),
            _share(s.illusion),
            Cell(fall, s.like_for_like[0] if s.like_for_like else None),
            beyond if s.median_eps is None else Cell(eps_text(s.median_eps), s.median_eps),
            Cell(judged_verdict(results, s.defense) or "–"),
            Cell(str(n), n, str(s.adaptive.n) if s.adaptive else "–"),
        ]
        lines.append(Line(cells, hideable=UNRANKED if s.rank is None else ""))
    caption = "Defenses by adaptive accuracy: what is left when the attacker knows them."
    return Table("order", caption, head, lines, hide=UNRANKED)


def attacks_table(results: Results, standings: Sequence[Standing]) -> Table:
    """Return every accuracy row but probes, a line each."""
    rows = [row for s in standings for row in results.rows(defense=s.defense) if not row.probe]
    unranked = {s.defense for s in standings if s.rank is None}
    sourced = any(row.made_on for row in rows)
    head = ["defense", "rung", "attack", *(["source"] if sourced else []), "eps", "accuracy"]
    head += ["of right", "n", "forwards", "backwards", "PSNR", "SSIM"]
    lines = [
        Line(
            [*_attack_cells(results, row, sourced=sourced)],
            {"rung": row.rung_title, "attack": row.attack, "eps": _eps(row)},
            hideable=UNRANKED if row.defense in unranked else "",
        )
        for row in rows
    ]
    caption = (
        "Accuracy in percent under each attack; worst: nothing of the rung broke the image. Of "
        "right: of those that the undefended classifier gets right. Forwards, backwards: "
        "mean per image. PSNR, SSIM: of what the classifier saw, against the clean image."
    )
    return Table("every", caption, head, lines, hide=UNRANKED)


def _attack_cells(results: Results, row: AccuracyRow, *, sourced: bool) -> Iterator[Cell]:
    known = row.rung == ADAPTIVE or (row.attacked is not None and not row.attacked.replays)
    mark = transfer_mark(results, row.defense) if row.rung == Rung.GRAY_BOX else ""
    low, high = 100 * row.ci_low, 100 * row.ci_high
    yield name_cell(results, row.defense)
    yield Cell(row.rung_title)
    yield Cell(row.attack)
    if sourced:
        yield Cell(row.made_on or "–")
    yield Cell(_eps(row), row.eps)
    bound = BELOW if known else ""
    yield Cell(f"{bound}{percent(row.accuracy)} ({low:.0f}–{high:.0f}){mark}", row.accuracy)
    yield _share(row.conditional_accuracy)
    yield Cell(str(row.n), row.n)
    for value, digits in ((row.forwards, 0), (row.backwards, 0), (row.psnr, 1), (row.ssim, 3)):
        yield _number(value, digits)


def _eps(row: AccuracyRow) -> str:
    return "–" if row.eps is None else eps_text(row.eps)


@dataclass(frozen=True)
class RungTables:
    """One rung: accuracy of each row under each attack, and what the attacks took.

    Attributes:
        rung: The rung.
        accuracy: A column per attack, source and eps.
        sizes: How many images its cells have.
        without_ball: Whether a column is of an attack that has no ball.
        effort: Passes per image; of examples to replay, a line for all rows.
        made: Where those examples were made, as a sentence; empty where the defense was attacked.
        unit: What the effort counts.
    """

    rung: Rung
    accuracy: Table
    sizes: str
    without_ball: bool
    effort: Table
    made: str
    unit: str


@dataclass(frozen=True)
class _Column:
    """What the rows of one column of a rung share.

    Attributes:
        source: What the examples were made on; empty where a rung has one source.
    """

    rung: Rung
    attack: str
    eps: float | None
    source: str

    def rows(self, results: Results) -> dict[str, AccuracyRow]:
        """Return the rows of the column by their defense."""
        found = results.rows(rung=self.rung, attack=self.attack, eps=self.eps)
        return {row.defense: row for row in found if row.made_on == self.source}


def rung_tables(results: Results, standings: Sequence[Standing]) -> Iterator[RungTables]:
    """Yield the tables of each rung that has rows."""
    order = list(results.attacks)
    for rung in Rung:
        rows = [row for row in results.rows(rung=rung) if not row.worst]
        found = {_Column(rung, row.attack, row.eps, row.made_on) for row in rows}
        columns = sorted(found, key=lambda c: (order.index(c.attack), c.source, c.eps or 0.0))
        if not columns:
            continue
        accuracy = _rung_table(results, standings, columns, _accuracy_cell)
        effort, made = _effort(results, standings, columns)
        timed = " / seconds" if any(row.seconds is not None for row in rows) else ""
        passes = "Queries" if rung is Rung.BLACK_BOX else "Forwards / backwards"
        yield RungTables(
            rung=rung,
            accuracy=accuracy,
            sizes=f"n = {' or '.join(map(str, sorted({row.n for row in rows})))}",
            without_ball=any(column.eps is None for column in columns),
            effort=effort,
            made=made,
            unit=f"{passes}{timed} per image:",
        )


def _accuracy_cell(row: AccuracyRow) -> str:
    return f"{percent(row.accuracy)} ({percent(row.conditional_accuracy)})"


def _effort(
    results: Results, standings: Sequence[Standing], columns: Sequence[_Column]
) -> tuple[Table, str]:
    rung = columns[0].rung
    if rung.sourced:
        made = [next(iter(column.rows(results).values())) for column in columns]
        head = ["", *(_column_title(results, column) for column in columns)]
        line = Line([Cell("examples"), *(Cell(_passes(results, row)) for row in made)])
        return Table(f"{rung}-effort", "", head, [line]), "Made once on each source."
    passes, queries = partial(_passes, results), partial(_queries, results)
    if rung is Rung.GRAY_BOX:
        bare = [standing for standing in standings if standing.defense == UNDEFENDED]
        return _rung_table(results, bare, columns, passes), "Made once on the bare classifier."
    show = queries if rung is Rung.BLACK_BOX else passes
    return _rung_table(results, standings, columns, show), ""


def _passes(results: Results, row: AccuracyRow) -> str:
    return f"{row.forwards or 0:.0f} / {row.backwards or 0:.0f}{_seconds(results, row)}"


def _queries(results: Results, row: AccuracyRow) -> str:
    return f"{row.forwards or 0:.0f}{_seconds(results, row)}"


def _seconds(results: Results, row: AccuracyRow) -> str:
    # Those of another run, on another machine perhaps, do not stand beside the table's.
    if row.seconds is None or results.is_added(row.defense):
        return ""
    return f" / {row.seconds / row.n:.2g}"


def _rung_table(
    results: Results,
    standings: Sequence[Standing],
    columns: Sequence[_Column],
    show: Callable[[AccuracyRow], str],
) -> Table:
    found = [column.rows(results) for column in columns]
    most = [max(row.n for row in rows.values()) for rows in found]
    lines = []
    for s in standings:
        cells = [name_cell(results, s.defense)]
        for column, rows, largest in zip(columns, found, most, strict=True):
            row = rows.get(s.defense)
            mark = transfer_mark(results, s.defense) if column.rung is Rung.GRAY_BOX else ""
            few = f" (n = {row.n})" if row and row.n < largest else ""
            cells.append(Cell(show(row) + mark + few, row.accuracy) if row else NOTHING)
        lines.append(Line(cells))
    titles = [_column_title(results, column, n) for column, n in zip(columns, most, strict=True)]
    return Table(str(columns[0].rung), "", ["defense", *titles], lines)


def _column_title(results: Results, column: _Column, n: int | None = None) -> str:
    """Return attack, ball, source and, where they are fewer than all, the number of images."""
    attack = results.attacks[column.attack]
    n = max(row.n for row in column.rows(results).values()) if n is None else n
    limited = "" if n == results.dataset.images else f", n = {n}"
    norm = "" if attack.norm == results.threat.norm else f"{attack.norm} "
    ball = "as made" if attack.kind == AttackKind.CORRUPTION else f"{norm}{eps_text(column.eps)}"
    source = f" from {column.source}" if column.source else ""
    return f"{column.attack} {ball}{source}{limited}"


Costs = Mapping[tuple[str, str], CostRow]


def costs_of(results: Results) -> Costs:
    """Return the cost rows by defense and scope."""
    return {(row.defense, row.scope): row for row in results.cost}


def work_table(results: Results, standings: Sequence[Standing]) -> Table:
    """Return what one image takes, counted: of each defense alone, and of its whole pipeline."""
    costs = costs_of(results)
    counted = any(row.ops is not None for row in costs.values())
    titles = ["parameters", "GMAC", *(["operations", "MB"] if counted else [])]
    head = ["defense", *(f"{scope} {title}" for scope in ("own", PIPELINE) for title in titles)]
    lines = []
    for s in standings:
        cells = [name_cell(results, s.defense)]
        for scope in SCOPES:
            cost = costs.get((s.defense, scope))
            cells += [*_work_cells(cost)][: len(titles)] if cost else [NOTHING] * len(titles)
        lines.append(Line(cells))
    return Table("work", "What one image takes, counted.", head, lines)


def _work_cells(cost: CostRow) -> Iterator[Cell]:
    yield _number(cost.params, 0)
    yield _number(cost.gmac, 4)
    yield _number(cost.ops, 0)
    yield NOTHING if cost.bytes is None else Cell(f"{cost.bytes / 1e6:.2f}", cost.bytes)


def times_table(results: Results, standings: Sequence[Standing]) -> Table | None:
    """Return how long one image took; None where nothing was timed."""
    costs = costs_of(results)
    if not any(row.latency_ms for row in costs.values()):
        return None
    bare = costs.get((UNDEFENDED, PIPELINE))
    # Other work on the machine lengthens many passes, the best tenth hardly.
    least = bare.latency_ms.p10 if bare and bare.latency_ms else None
    head = ["defense", "own ms", "pipeline ms", "p90", "p99", "ratio to none", "MB alive"]
    lines = []
    for s in standings:
        own, whole = (costs.get((s.defense, scope)) for scope in (DEFENSE, PIPELINE))
        times = whole.latency_ms if whole else None
        cells = [NOTHING] * (len(head) - 1)
        if own and own.latency_ms and whole and times:
            shown = [own.latency_ms.p50, times.p50, times.p90, times.p99]
            ratio = times.p10 / least if least else None
            alive = None if whole.memory is None else whole.memory / 1e6
            taken = [
                *(Cell(three_digits(value), value) for value in shown),
                NOTHING if ratio is None else Cell(f"{ratio:.2f}", ratio),
            ]
            if results.is_added(s.defense):  # not in turns with the others
                taken = [NOTHING] * len(taken)
            cells = [*taken, NOTHING if alive is None else Cell(f"{alive:.1f}", alive)]
        lines.append(Line([name_cell(results, s.defense), *cells]))
    return Table("times", "How long one image took.", head, lines)


def quality_table(results: QualityResults) -> Table:
    """Return PSNR and SSIM of each network on each set, a line each."""
    lines = []
    for row in results.quality:
        network = results.networks[row.network]
        cells = [
            Cell(row.network),
            Cell(row.dataset),
            Cell(f"{row.psnr:.2f}", row.psnr),
            Cell(f"{row.ssim:.4f}", row.ssim),
            Cell(str(row.n), row.n),
            _number(network.params, 0),
            _number(network.gmac, 1),
        ]
        lines.append(Line(cells, {"set": row.dataset}))
    caption = (
        "PSNR in dB and SSIM, on luma of images rounded to 8 bits, borders left out; GMAC for an "
        "output of 1280x720 pixels."
    )
    head = ["network", "set", "PSNR", "SSIM", "photographs", "parameters", "GMAC"]
    return Table("networks", caption, head, lines)


def masking_table(results: Results, standings: Sequence[Standing]) -> Table | None:
    """Return each question to each gradient; None where none was asked."""
    lines = [
        Line(
            [
                Cell(s.defense),
                Cell(check.check),
                Cell(check.outcome),
                Cell(f"{check.adjusted:.2g}", check.adjusted),
                Cell(str(check.n), check.n),
                Cell(check.evidence),
            ],
            {"outcome": check.outcome},
        )
        for s in standings
        if masking_verdict(results, s.defense)
        for check in results.defenses[s.defense].masking.checks
    ]
    caption = "Checks of each row's gradient; p after Holm's correction over those of a row."
    head = ["defense", "check", "outcome", "p", "n", "evidence"]
    return Table("checks", caption, head, lines) if lines else None
