"""The settings of each attack in one table, whatever its plugin calls them. No torch."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from superdef_bench.core.threats import AttackKind, only_text
from superdef_bench.leaderboard.notes import arguments_text
from superdef_bench.results.facts import Attack
from superdef_bench.results.schema import Results
from superdef_bench.results.table import Cell, Line, Table, to_markdown
from superdef_bench.results.text import NOT_RECORDED, eps_text

_NOTHING = "–"
# What attack libraries call each setting. The first argument of an attack that stands here counts.
_NAMES: Mapping[str, Sequence[str]] = {
    "steps": ("steps", "max_iter", "nb_iter", "n_iter", "iterations", "num_steps"),
    "step size": (
        *("step_size", "relative_step", "rel_stepsize", "abs_stepsize", "stepsize"),
        *("alpha", "eps_step", "eps_iter"),
    ),
    "restarts": ("restarts", "n_restarts", "nb_restarts", "num_restarts", "num_random_init"),
    "loss": ("loss", "loss_type", "loss_fn"),
    "queries": ("queries", "n_queries", "max_queries", "num_queries", "query_limit"),
}
_OF_EPS = ("relative_step", "rel_stepsize")  # a share of the radius
_NOTE = (
    "Step size in the norm of the attack, or as a share of eps. EOT: draws per gradient; draws: "
    "scoring draws per image; both are 1 where nothing is random. Default: as the plugin has it. "
    "Other: the remaining arguments of the plugin."
)

_OLDER = (
    " These results do not record what an attack makes of its arguments: – may be a setting that "
    "none of them names."
)


def settings_section(results: Results) -> Iterator[str]:
    """Say how each attack was set."""
    table = settings_table(results)
    if table.lines:
        yield "## Attack settings"
        yield ""
        yield from to_markdown(table)
        yield _note(results)
        yield ""


def settings_table(results: Results) -> Table:
    """Return the settings of each attack, a line each."""
    head = ["attack", "plugin", "ball", "rungs", "images", *_NAMES, "EOT", "draws", "other"]
    lines = [
        Line([Cell(text) for text in _line(results, name, attack)])
        for name, attack in results.attacks.items()
    ]
    caption = f"How each attack was set. {_note(results)}"
    return Table("settings", caption, head, lines)


def _note(results: Results) -> str:
    older = any(attack.settings is None for attack in results.attacks.values())
    return _NOTE + (_OLDER if older else "")


def _line(results: Results, name: str, attack: Attack) -> Iterator[str]:
    yield name
    yield str(attack.arguments["plugin"])
    yield "none" if attack.kind == AttackKind.CORRUPTION else _ball(attack)
    yield ", ".join(attack.rungs) or _NOTHING
    rows = [row for row in results.rows(attack=name) if row.attacked]
    of_all = f"first {attack.limit:,}" if attack.limit else "all"
    yield _several(row.n for row in rows) if rows else of_all
    named = {setting: _argument(attack, setting) for setting in _NAMES}
    for setting, argument in named.items():
        yield _own(attack, setting) or _given(attack, argument)
    yield NOT_RECORDED if any(row.eot is None for row in rows) else _several(r.eot for r in rows)
    yield _several(row.draws for row in rows)
    taken = {"plugin", *named.values()}
    other = {key: value for key, value in attack.arguments.items() if key not in taken}
    only = only_text(attack.defenses)
    yield ", ".join(filter(None, (only, arguments_text(other)))) or _NOTHING


def _ball(attack: Attack) -> str:
    return f"{attack.norm} {', '.join(map(eps_text, attack.eps))}"


def _argument(attack: Attack, setting: str) -> str | None:
    """Return the argument by which an attack takes a setting."""
    return next((name for name in _NAMES[setting] if name in attack.arguments), None)


def _own(attack: Attack, setting: str) -> str:
    """Return what an attack itself says of a setting; nothing where it does not."""
    said = getattr(attack.settings, setting.replace(" ", "_"), None)
    if said is None:
        return ""
    if setting != "step size":
        return f"{said:,}" if isinstance(said, int) else str(said)
    shares = [length / eps for length, eps in zip(said, attack.eps, strict=False) if eps]
    if shares and max(shares) - min(shares) < 1e-9:
        return _share(shares[0])
    return ", ".join(f"{length:.3g}" for length in said)


def _given(attack: Attack, argument: str | None) -> str:
    """Return the value that an argument was given."""
    if argument is None:
        return _NOTHING
    value: Any = attack.arguments[argument]
    if value is None or value == "":
        return "default"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if argument in _OF_EPS:
        return _share(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}"


def _share(value: float) -> str:
    return "eps" if value == 1 else f"{value:.3g} eps"


def _several(values: Iterable[int | None]) -> str:
    return " or ".join(f"{value:,}" for value in sorted(set(filter(None, values)))) or _NOTHING
