"""docs/results.schema.json takes what is written, and nothing else."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from superdef_bench.leaderboard.changes import with_changes
from superdef_bench.results.json_schema import results_schema
from superdef_bench.results.load import load_results
from superdef_bench.results.schema import Results
from tests.support.commands import CONFIG, Answer
from tests.support.documents import GOLDEN, example

_ROOT = Path(__file__).parents[2]
_BOARDS = sorted((_ROOT / "leaderboards").glob("*.json"))
_SCHEMA = json.loads((_ROOT / "docs/results.schema.json").read_text())
_VALIDATOR: Any = jsonschema.Draft202012Validator(_SCHEMA)
_QUALITY = next(path for path in _BOARDS if path.stem == "super-resolution-x2")

Change = Callable[[dict[str, Any]], object]


def mistakes(document: dict[str, Any]) -> list[str]:
    return [
        f"{'/'.join(map(str, error.absolute_path))}: {error.message}"
        for error in _VALIDATOR.iter_errors(document)
    ]


def test_the_schema_is_made_of_the_models_that_read_files() -> None:
    assert results_schema() == _SCHEMA, "run: make schema"


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(_SCHEMA)


@pytest.mark.parametrize("path", [*_BOARDS, GOLDEN], ids=lambda path: path.stem)
def test_what_is_published_is_valid(path: Path) -> None:
    assert mistakes(json.loads(path.read_text())) == []


def test_a_fresh_run_is_valid_and_so_is_one_with_failed_and_refused_cells(
    run_cli: Callable[..., Answer], tmp_path: Path, plugin_folder: Callable[..., Path]
) -> None:
    folder = plugin_folder(
        """
from superdef_bench import InputTransform, hookimpl
class Burns(InputTransform):
    def transform(self, x):
        raise RuntimeError("it <burnt>")
@hookimpl
def register_defenses():
    return {"burns": Burns}
"""
    )
    (tmp_path / "small.toml").write_text(
        CONFIG.replace("masking = 0", "masking = 4") + "jpeg = {}\nburns = {}\n"
    )
    answer = run_cli("run", "small.toml", "-o", "out", "--plugins-dir", folder)
    assert answer.code == 1
    document = json.loads((tmp_path / "out/results.json").read_text())
    assert document["failures"]
    assert mistakes(document) == []
    document["refused"] = [{**document["failures"][0], "why": "too long"}]
    del document["refused"][0]["error"]
    assert mistakes(document) == []
    page = (tmp_path / "out/small.md").read_text()
    assert "## Cells without a number\n\n- burns, clean none: defense 'burns' failed" in page
    assert "it &lt;burnt&gt;" in page
    assert run_cli("leaderboard", tmp_path / "out", "--html", "site").code == 0
    assert "it &lt;burnt&gt;" in (tmp_path / "site/small.html").read_text()


def test_what_changed_is_valid() -> None:
    document = example()
    document["dataset"]["images"] = 12
    document["defenses"].pop("jpeg")
    document["accuracy"] = [row for row in document["accuracy"] if row["defense"] != "jpeg"]
    document["defenses"]["none"]["masking"] = {"verdict": "pass", "checks": []}
    said = with_changes(Results.of(document), load_results(GOLDEN), "0" * 64)
    assert {"settings", "removed", "moved"} <= {k for k, v in said.document["changes"].items() if v}
    assert mistakes(dict(said.document)) == []


def in_row(**changes: Any) -> Change:
    return lambda document: document["accuracy"][-1].update(changes)


def in_cost(**changes: Any) -> Change:
    return lambda document: document["cost"][0].update(changes)


@pytest.mark.parametrize(
    "change",
    [
        in_row(seconds=1.5),
        in_row(top5_accuracy=0.5, eot=4, shares="AA=="),
        in_cost(ops=12, bytes=4096, throughput=None, memory=1.5),
        in_cost(latency_ms={"p10": 1.0, "p50": 1.5, "p90": 2.0, "p99": 3.0}),
        lambda d: d["model"].update(weights="sha256"),
        lambda d: d["provenance"]["machine"].update(gpu="some", threads=4),
        lambda d: d["config"].update(newer=True),
    ],
)
def test_what_the_format_leaves_open_is_valid(change: Change) -> None:
    document = example()
    change(document)
    assert mistakes(document) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("threat"), "'threat' is a required property"),
        (lambda d: d.update(schema=3), "schema: 2 was expected"),
        (lambda d: d.update(extra=1), "'extra' was unexpected"),
        (in_row(rung="grey_box"), "rung: 'grey_box' is not one of"),
        (in_row(n="24"), "n: '24' is not of type 'integer'"),
        (in_row(accuracy=1.5), "accuracy: 1.5 is greater than the maximum"),
        (in_row(verdicts="no base64!"), "verdicts: 'no base64!' does not match"),
        (in_row(acuracy=0.5), "'acuracy' was unexpected"),
        (in_row(eps="8/255"), "eps: '8/255' is not of type"),
        (lambda d: d["accuracy"][0].pop("verdicts"), "'verdicts' is a required property"),
        (lambda d: d["rungs"].append("red_box"), "rungs/3: 'red_box' is not one of"),
        (lambda d: d["defenses"]["jpeg"].pop("missing"), "'missing' is a required property"),
        (lambda d: d["attacks"]["pgd"].update(kind="magic"), "kind: 'magic' is not one of"),
        (in_cost(scope="all"), "scope: 'all' is not one of"),
        (in_cost(speed="fast"), "speed: 'fast' is not of type"),
        (lambda d: d["dataset"].update(sha256="b75"), "sha256: 'b75' does not match"),
        (lambda d: d.update(changes={"since": "x"}), "'settings' is a required property"),
    ],
)
def test_what_is_no_results_file_is_refused(change: Change, message: str) -> None:
    document = example()
    change(document)
    found = mistakes(document)
    assert any(message in mistake for mistake in found), found


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["quality"][0].pop("psnr"), "'psnr' is a required property"),
        (lambda d: d["quality"][0].update(scale=8), "scale: 8 is not one of"),
        (lambda d: d["networks"]["edsr"].update(params=None), "params: None is not of type"),
        (lambda d: d.update(accuracy=[]), "'accuracy' was unexpected"),
    ],
)
def test_quality_is_checked_too(change: Change, message: str) -> None:
    document = json.loads(_QUALITY.read_text())
    change(document)
    found = mistakes(document)
    assert any(message in mistake for mistake in found), found
