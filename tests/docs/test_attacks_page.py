"""The table of attacks says what the code does."""

import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from superdef_bench.benchmark.config import find_config, load_config
from superdef_bench.core.loader import load_attack, load_plugins
from superdef_bench.core.plugins import Plugin

_PAGE = (Path(__file__).parents[2] / "docs/attacks.md").read_text()
_TABLE = _PAGE.split("| name |")[1].split("\n\n")[0]
_ROWS = {
    cells[0].strip("`"): cells[1:]
    for line in _TABLE.splitlines()[2:]
    if (cells := [cell.strip() for cell in line.strip("|").split("|")])
}
_ALL = {plugin.name: plugin for plugin in load_plugins() if plugin.kind == "attack"}
_ATTACKS = {name: plugin for name, plugin in _ALL.items() if not plugin.is_family}
_TRIED = re.findall(r"^\| `(\w+:\w+)` \| (.+) \| (\w+) \| (\w+) \|$", _PAGE, re.M)
_CONFIG = load_config(find_config("gate"))
_NEEDED = {"replay": _CONFIG.attacks[0].arguments}


def test_the_table_names_every_attack_and_no_other() -> None:
    assert sorted(_ROWS) == sorted(_ATTACKS)


def value(text: str) -> Any:
    if text in ("none", "true", "false"):
        return {"none": None, "true": True, "false": False}[text]
    return text if text.isalpha() else float(Fraction(text))


@pytest.mark.parametrize("plugin", _ATTACKS.values(), ids=_ATTACKS.keys())
def test_a_row_says_what_the_attack_says(plugin: Plugin) -> None:
    paper, norms, kind, access, target, topk, arguments, what = _ROWS[plugin.name]
    attack = plugin.build(**_NEEDED.get(plugin.name, {}))
    assert set(norms.split(", ")) == attack.norms
    assert (kind, access) == (attack.kind, attack.access)
    assert (target == "yes") == getattr(attack, "targeted", False)
    assert (topk == "yes") == getattr(attack, "top_k", False)
    shown = dict(part.split(" = ") for part in arguments.split(", ") if part)
    assert {name: value(text) for name, text in shown.items()} == plugin.defaults
    assert what
    # The paper is that of the summary.
    for word in re.findall(r"\w+", paper):
        assert word in (plugin.factory.__doc__ or ""), word


@pytest.mark.parametrize(("name", "norms", "kind", "access"), _TRIED)
def test_a_foreign_row_says_what_the_attack_says(
    name: str, norms: str, kind: str, access: str
) -> None:
    if name.startswith("torchattacks:"):
        pytest.importorskip("torchattacks")
    attack = load_attack(name)
    assert set(norms.split(", ")) == attack.norms
    assert (kind, access) == (attack.kind, attack.access)


def test_the_page_names_every_library_and_every_attack_that_was_tried() -> None:
    source = (Path(__file__).parents[1] / "plugins/attacks/test_foreign.py").read_text()
    tried = {name for name, *_ in _TRIED}
    assert {name.partition(":")[0] + ":" for name in tried} == _ALL.keys() - _ATTACKS.keys()
    for name in tried:
        assert re.search(rf"""["'.:]{name.partition(":")[2]}\b""", source), name


def test_severities_are_those_of_the_code() -> None:
    table = _PAGE.split("## Severities")[1].split("\n\n")[1]
    for line in table.splitlines()[2:]:
        name, *cells = [cell.strip() for cell in line.strip("|").split("|")]
        built = [
            _ATTACKS[name.split("`")[1]].build(severity=severity).strength
            for severity in range(1, 6)
        ]
        assert [float(cell) for cell in cells] == built
