"""Several tables in one: does a row help, against whom, and what does it cost? No torch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from superdef_bench.analysis.versus import why_not
from superdef_bench.core.errors import ConfigError
from superdef_bench.core.threats import ADAPTIVE, UNDEFENDED, Rung, is_called
from superdef_bench.results.facts import PIPELINE
from superdef_bench.results.rows import Score, find_row, score, verdicts
from superdef_bench.results.schema import Results
from superdef_bench.results.statistics import SIGNIFICANT, holm, mcnemar
from superdef_bench.results.table import NOTHING, Cell, Line, Table
from superdef_bench.results.text import eps_text, percent

HELPS, ALIKE, HURTS = "helps", "not shown", "hurts"
EXPLAINED = (
    "Against the undefended classifier on the same images, whose accuracy is the second number, at "
    "the last eps of each table: better (helps) or worse (hurts) by McNemar's exact test, p at "
    f"most {SIGNIFICANT} after Holm's correction over all tests of this table; otherwise it is not "
    "shown by so many images and tests. Accuracies in percent on n images, of several draws their "
    "mean, while their majority is tested. Adaptive is the worst case where the attacker knows the "
    "defense, and of a row that is not ranked has no verdict. GMAC: of the pipeline, one image. †: "
    "the row is a classifier of its own, and its gray box transfer."
)


@dataclass(frozen=True)
class Effect:
    """What a row is worth under one rung beside the undefended classifier.

    Attributes:
        n: Images that both have.
        first: Accuracy of the row.
        bare: That of the undefended classifier.
        p: Of McNemar's exact test, corrected where it was corrected.
    """

    n: int
    first: float
    bare: float
    p: float

    @property
    def verdict(self) -> str:
        """`helps`, `hurts`, or `not shown`: the images do not tell them apart."""
        if self.p > SIGNIFICANT:
            return ALIKE
        return HELPS if self.first > self.bare else HURTS


@dataclass(frozen=True)
class Summary:
    """A row of one table, at its last eps.

    Attributes:
        defense: The row.
        table: Name of the results.
        clean: Accuracy without an attack.
        gray_box: Accuracy under the worst of gray box.
        adaptive: Accuracy under the worst of what knows the defense.
        unaware: Its effect in gray box; None where it was not attacked.
        aware: Its effect where the attacker knows it; None too where it or the undefended row is
            not ranked.
        replaces: Whether it is a classifier of its own.
        gmac: Giga multiply-accumulates of the pipeline for one image.
    """

    defense: str
    table: str
    eps: float
    clean: Score | None
    gray_box: Score | None
    adaptive: Score | None
    unaware: Effect | None
    aware: Effect | None
    replaces: bool
    gmac: float | None


def summarise(tables: Sequence[Results], words: Sequence[str]) -> list[Summary]:
    """Return each row of each table, rows in the order of the words.

    Args:
        tables: Results.
        words: Rows, as `find_row` takes them; a table that lacks one goes without it.

    Raises:
        ConfigError: No table has such a row, a word means several of one table, or a table comes
            twice.
    """
    names = [table.name for table in tables]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(
            f"results {twice[0]!r} are given twice", hint="each would count as tests of its own"
        )
    found = list(_summaries(tables, list(dict.fromkeys(words))))
    effects = [each for row in found for each in (row.unaware, row.aware) if each]
    adjusted = iter(holm([each.p for each in effects]))

    def corrected(effect: Effect | None) -> Effect | None:
        return effect and replace(effect, p=next(adjusted))

    return [
        replace(row, unaware=corrected(row.unaware), aware=corrected(row.aware)) for row in found
    ]


def _summaries(tables: Sequence[Results], words: Sequence[str]) -> Iterator[Summary]:
    for word in words:
        has = [any(is_called(name, word) for name in table.defenses) for table in tables]
        if not any(has):
            find_row(tables[0], word)  # says which there are
        for table, there in zip(tables, has, strict=True):
            if there:
                yield _summary(table, find_row(table, word))


def _summary(table: Results, name: str) -> Summary:
    costs = (c.gmac for c in table.cost if c.defense == name and c.scope == PIPELINE)
    return Summary(
        defense=name,
        table=table.name,
        eps=table.last_eps,
        clean=score(table.clean(name)),
        gray_box=score(table.worst(name, Rung.GRAY_BOX)),
        adaptive=score(table.worst(name, ADAPTIVE)),
        unaware=_effect(table, name, Rung.GRAY_BOX),
        aware=None if why_not(table, name, UNDEFENDED) else _effect(table, name, ADAPTIVE),
        replaces=table.defenses[name].replaces,
        gmac=next(costs, None),
    )


def _effect(results: Results, name: str, rung: str) -> Effect | None:
    row, bare = results.worst(name, rung), results.worst(UNDEFENDED, rung)
    if row is None or bare is None or name == UNDEFENDED:
        return None
    n = min(row.n, bare.n)
    a, b = verdicts(row)[:n], verdicts(bare)[:n]
    return Effect(n, float(a.mean()), float(b.mean()), mcnemar(a, b))


def summary_table(found: Sequence[Summary]) -> Table:
    """Return summaries as a table."""
    head = ["defense", "table", "clean", "gray box", "adaptive", "GMAC"]
    return Table("summary", "What each row is worth", head, [_line(each) for each in found])


def _line(row: Summary) -> Line:
    gmac = "–" if row.gmac is None else f"{row.gmac:.3g}"
    return Line(
        [
            Cell(row.defense),
            Cell(f"{row.table}, {eps_text(row.eps)}"),
            _accuracy(row.clean),
            _accuracy(row.gray_box, row.unaware, "†" if row.replaces else ""),
            _accuracy(row.adaptive, row.aware),
            Cell(gmac, row.gmac),
        ]
    )


def _accuracy(found: Score | None, effect: Effect | None = None, mark: str = "") -> Cell:
    if found is None:
        return NOTHING
    words = [f"{percent(found.accuracy)}{mark} (n {found.n})"]
    if effect:
        words.append(f"{effect.verdict} against {percent(effect.bare)}")
    return Cell(", ".join(words), found.accuracy)
