"""What a results file names beside its benchmark is run only by who trusts it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from superdef_bench.analysis.consent import named_things
from superdef_bench.analysis.run_folder import config_of
from superdef_bench.results.load import load_results
from superdef_bench.results.schema import Results
from tests.support.commands import Answer
from tests.support.documents import GOLDEN, example

pytestmark = pytest.mark.faults

Run = Callable[..., Answer]
_ROOT = Path(__file__).parents[2]
# A case of verify has no config that could name anything.
_PUBLISHED = sorted(
    file for file in (_ROOT / "leaderboards").rglob("*.json") if file.parent.name != "parity"
)


def naming(**changed: Any) -> Results:
    """Return the golden results with another choice of plugins in their config."""
    document = example()
    document["config"] = {**document["config"], **changed}
    return Results.of(document)


def model(plugin: str, **arguments: Any) -> Results:
    return naming(model={"name": "m", "plugin": plugin, "arguments": arguments})


@pytest.mark.parametrize("file", _PUBLISHED, ids=lambda f: f.name)
def test_what_is_published_names_nothing_else(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if file.name.startswith("super-resolution"):
        pytest.skip("no accuracy")
    monkeypatch.chdir(_ROOT)
    assert named_things(config_of(load_results(file))) == []
    monkeypatch.setenv("SUPERDEF_BENCH_DATA_DIR", "/somewhere/else")
    assert named_things(config_of(load_results(file))) == []


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("/etc/passwd", "a place outside the data folder"),
        ("~/.ssh/id", "a place outside the data folder"),
        ("../up.pt", "a place outside the data folder"),
        ("data/../../up.pt", "a place outside the data folder"),
        ("other/x.pt", "a place outside the data folder"),
        ("here.pt", "a place outside the data folder"),
        ("\\\\host\\share", "a place outside the data folder"),
        ("https://example.org/x.pt", "an address"),
        ("file:/etc/passwd", "an address"),
        ("python:os:system", "code"),
        ("data/x.pt", ""),
        ("./data/deep/x.pt", ""),
        ("8/255", ""),
        ("up", ""),
        ("torchvision:resnet18", ""),
    ],
)
def test_programs_addresses_and_places_are_named(
    path: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("here.pt").write_bytes(b"")
    Path("up").mkdir()
    found = named_things(config_of(model("checkpoint", deep=[{"weights": path}])))
    assert found == ([f"the classifier has deep.weights = {path!r}: {what}"] if what else [])


def test_every_choice_is_looked_at() -> None:
    evil = {"name": "e", "plugin": "torchscript", "arguments": {"path": "/x\x1b"}}
    found = naming(
        dataset=evil,
        model=evil,
        attacks=[evil],
        defenses=[{"name": "none", "plugin": "none"}, {**evil, "name": "d", "chain": [evil]}],
        sources=[{"kind": "model", "choice": evil}],
    )
    named = named_things(config_of(found))
    for role in ("the dataset", "the classifier", "source 'e'", "attack 'e'", "defense 'd'"):
        assert f"{role} is a plugin torchscript: it runs a program" in named
        assert rf"{role} has path = '/x\x1b': a place outside the data folder" in named


def test_reproduce_asks_before_it_runs_anything(run_cli: Run, tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    file.write_bytes(model("torchscript", path=str(tmp_path / "program.pt")).to_json())
    answer = run_cli("reproduce", file, "--row", 1)
    assert (answer.code, answer.out) == (2, "")
    line, hint = answer.err.splitlines()
    assert line.startswith("error: example names 2 things to look at first: the classifier is a pl")
    assert "a place outside the data folder" in line
    assert hint == "hint: look at them; --trust lists them all and goes on"
    trusted = run_cli("reproduce", file, "--row", 1, "--trust")
    assert trusted.err.startswith("trusted: the classifier is a plugin torchscript")
    assert trusted.err.count("trusted: ") == 2
    assert "program.pt does not exist" in trusted.err
    assert GOLDEN.exists()
