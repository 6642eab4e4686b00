"""What pipelines cost, as tables that fit 80 columns. No torch."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from superdef_bench.cli.output import say
from superdef_bench.cli.tables import print_table
from superdef_bench.core.threats import UNDEFENDED
from superdef_bench.results.facts import DEFENSE, PIPELINE
from superdef_bench.results.table import Table, plain_lines
from superdef_bench.results.text import three_digits

Row = Mapping[str, Any]
Noted = tuple[Table, str]  # and the note beneath it

_BEHIND = "  + classifier"
_UNSEEN = (
    "Of one image. GMAC: convolutions and matrix products; the counter does not see element-wise "
    "work, resizing, sorting, and whatever runs outside torch, such as JPEG: a defense of 0 is "
    "not free. Ops: what torch dispatches, views apart. MB: each op reads its tensors and writes "
    "its results once; fused: what convolutions and matrix products have to move. Alive: most "
    "MB at once, with weights."
)
_TURNS = (
    "Passes in turns, warmed up; n: how many. Below n = 100 p99 is near the slowest. Ratio: time "
    "over that of the first row of its kind, median over rounds. First: the first call."
)
_SHORT = "ms: the median. Ratio: time over that of the first row of its kind."
_THROUGHPUT = (
    "Too large: a pass would take more than half of the free memory, or more than 30 s, by what "
    "fewer images took."
)


def cost_tables(rows: Sequence[Row], ceilings: Mapping[str, Any]) -> Iterator[Noted]:
    """Yield a table per question, for each size and mode; see docs/cost.md."""
    modes = list(dict.fromkeys(row["mode"] for row in rows))
    for side in dict.fromkeys(row["size"][0] for row in rows):
        here = [row for row in rows if row["size"][0] == side]
        yield from _work([r for r in here if r["batch_size"] == 1 and r["mode"] == modes[0]], side)
        for mode in modes:
            own = [row for row in here if row["mode"] == mode]
            yield from _latency([row for row in own if row["batch_size"] == 1], side, mode)
            yield from _throughput(own, side, mode)
            yield from _roofline(own, side, mode, ceilings)
        if len(modes) > 1:
            yield from _modes([row for row in here if row["batch_size"] == 1], side, modes)


def short_tables(rows: Sequence[Row]) -> Iterator[Noted]:
    """Yield time, work and ratio of one image, a table for each size and mode."""
    one = [row for row in rows if row["batch_size"] == 1]
    head = ["network", "ms", "GMAC", "ratio"]
    for side, mode in dict.fromkeys((row["size"][0], row["mode"]) for row in one):
        cells = []
        for row in one:
            if (row["size"][0], row["mode"]) != (side, mode):
                continue
            times, ratio = row.get("latency_ms"), row.get("ratio")
            cells.append(
                [
                    _name(row),
                    three_digits(times["p50"]) if times else "too large",
                    f"{row['gmac']:,.3f}",
                    "–" if ratio is None else f"{ratio:.2f}",
                ]
            )
        yield Table("cost", f"One image, {side}x{side}, {mode}", head, plain_lines(cells)), _SHORT


def print_costs(document: Mapping[str, Any], *, short: bool = False) -> None:
    """Print all of them, or time, work and ratio alone, and what was measured where."""
    rows = document["cost"]
    for table, note in short_tables(rows) if short else cost_tables(rows, document["ceilings"]):
        print_table(table, note)
    for note in document["notes"]:
        say(note)
    machine = document["machine"]
    say(
        f"{machine.get('gpu', machine['processor'])}, {document['threads']} thread(s), "
        f"scale {document['scale']}, classifier {document['model']}."
    )


def _name(row: Row) -> str:
    if row["defense"] == UNDEFENDED:
        return "classifier alone"
    return str(row["defense"]) if row["scope"] == DEFENSE else _BEHIND


def _megabytes(value: float | None) -> str:
    return "–" if value is None else three_digits(value / 1e6)


def _work(rows: Sequence[Row], side: int) -> Iterator[Noted]:
    head = ["network", "parameters", "GMAC", "ops", "MB", "fused", "alive"]
    cells = [
        [
            _name(row),
            f"{row['params']:,}",
            f"{row['gmac']:,.3f}",
            f"{row['ops']:,}",
            *map(_megabytes, (row["bytes"], row["bytes_fused"])),
            _megabytes(row["memory"]),
        ]
        for row in rows
    ]
    yield Table("cost", f"Work, {side}x{side}", head, plain_lines(cells)), _UNSEEN


def _latency(rows: Sequence[Row], side: int, mode: str) -> Iterator[Noted]:
    head = ["network", "p10", "p50", "p90", "p99", "n", "ratio", "first"]
    cells = []
    for row in rows:
        times = row.get("latency_ms")
        if times is None:
            cells.append([_name(row), *["too large"], *["–"] * 6])
            continue
        ratio = row["ratio"]
        cells.append(
            [
                _name(row),
                *(three_digits(value) for value in times.values()),
                str(row["passes"]),
                "–" if ratio is None else f"{ratio:.2f}",
                three_digits(row["first_ms"]),
            ]
        )
    yield (
        Table(
            "cost", f"Latency of one image in ms, {side}x{side}, {mode}", head, plain_lines(cells)
        ),
        _TURNS,
    )


def _throughput(rows: Sequence[Row], side: int, mode: str) -> Iterator[Noted]:
    batches = sorted({row["batch_size"] for row in rows} - {1})
    if not batches:
        return
    head = ["network", *(str(batch) for batch in batches), "MB at most"]
    cells = []
    for name in _names(rows):
        found = {row["batch_size"]: row for row in rows if _key(row) == name}
        memory = [row["memory"] for row in found.values() if row.get("latency_ms")]
        cells.append(
            [
                _name(next(iter(found.values()))),
                *(_rate(found.get(batch)) for batch in batches),
                _megabytes(max((m for m in memory if m), default=None)),
            ]
        )
    yield (
        Table(
            "cost", f"Images per second in batches, {side}x{side}, {mode}", head, plain_lines(cells)
        ),
        _THROUGHPUT,
    )


def _rate(row: Row | None) -> str:
    if row is None:
        return "–"
    return three_digits(row["throughput"]) if row.get("latency_ms") else "too large"


def _key(row: Row) -> tuple[str, str]:
    return str(row["defense"]), str(row["scope"])


def _names(rows: Sequence[Row]) -> list[tuple[str, str]]:
    return list(dict.fromkeys(map(_key, rows)))


def _roofline(
    rows: Sequence[Row], side: int, mode: str, ceilings: Mapping[str, Any]
) -> Iterator[Noted]:
    head = ["network", "batch", "GFLOP/s", "FLOP/byte", "share", "bound by"]
    cells = []
    for name in _names(rows):
        found = [row for row in rows if _key(row) == name and "roofline" in row]
        if name[1] == PIPELINE and name[0] != UNDEFENDED:
            continue
        for row in found[:1] + found[1:][-1:]:
            judged = row["roofline"]
            cells.append(
                [
                    _name(row),
                    str(row["batch_size"]),
                    f"{judged['gflops']:.1f}",
                    f"{judged['intensity']:.1f}",
                    f"{100 * judged['share']:.0f} %",
                    judged["bound"],
                ]
            )
    dtypes = dict.fromkeys(row["dtype"] for row in rows)
    peaks = ", ".join(f"{ceilings['gflops'][d]:.0f} GFLOP/s in {d}" for d in dtypes)
    copies = ", ".join(
        f"{value:.0f} GB/s for {int(size) // 2**20} MiB"
        for size, value in ceilings["gigabytes"].items()
    )
    title = f"Roofline, {side}x{side}, {mode}"
    yield (
        Table("cost", title, head, plain_lines(cells)),
        f"Ceilings measured here: {peaks}; copies {copies}; {ceilings['overhead']:.1f} us to "
        "start an operation. Share: least time under them over the time taken. Launch: starting "
        "operations takes more than half of it.",
    )


def _modes(rows: Sequence[Row], side: int, modes: Sequence[str]) -> Iterator[Noted]:
    def shown(name: tuple[str, str], mode: str) -> str:
        found = [row for row in rows if _key(row) == name and row["mode"] == mode]
        times = found[0].get("latency_ms") if found else None
        return three_digits(times["p50"]) if times else "–"

    cells = [
        [_name({"defense": key[0], "scope": key[1]}), *(shown(key, mode) for mode in modes)]
        for key in _names(rows)
    ]
    head = ["network", *(mode.replace("+", " + ") for mode in modes)]
    yield (
        Table("cost", f"p50 of one image in ms by mode, {side}x{side}", head, plain_lines(cells)),
        "",
    )
