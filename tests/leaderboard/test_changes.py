"""What a published version says of the one before it."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from superdef_bench.leaderboard.changes import changes, with_changes
from superdef_bench.leaderboard.publish import files, load, publish, since_published
from superdef_bench.leaderboard.quality import quality_files
from superdef_bench.results.load import load_results
from superdef_bench.results.ranking import rank
from superdef_bench.results.schema import QualityResults, Results
from superdef_bench.results.statistics import pack_bits, unpack_bits
from tests.support.commands import Answer
from tests.support.documents import GOLDEN, example, find, write

LAST = 8 / 255
QUALITY = Path(__file__).parents[2] / "leaderboards/super-resolution-x2.json"


def broken(images: int) -> dict[str, Any]:
    """Return the golden document with the first images of jpeg wrong when clean."""
    document = example()
    row = find(document, "jpeg", "", "none", None)
    right = unpack_bits(row["verdicts"], row["n"])
    right[:images] = False
    count = int(right.sum())
    row.update(verdicts=pack_bits(right), correct=count, accuracy=round(count / row["n"], 6))
    return document


def test_the_same_results_change_nothing() -> None:
    found = changes(Results.of(example()), Results.of(example()))
    assert not any(found.values())


def test_where_it_ran_is_no_change() -> None:
    document = example()
    document["provenance"].update(seconds=99.0, command="superdef-bench run other.toml")
    document["provenance"]["machine"]["cores"] = 64
    assert not any(changes(Results.of(example()), Results.of(document)).values())


def test_an_accuracy_that_moved_is_told_with_both_numbers() -> None:
    before, after = Results.of(example()), Results.of(broken(6))
    (move,) = changes(before, after)["moved"]
    clean = {s.defense: s.clean for results in (before,) for s in rank(results)}["jpeg"]
    new = {s.defense: s.clean for s in rank(after)}["jpeg"]
    assert clean
    assert new
    assert new.accuracy < clean.accuracy
    assert move["row"] == "jpeg"
    assert move["clean"] == [round(clean.accuracy, 6), round(new.accuracy, 6)]
    assert "adaptive" not in move
    said = with_changes(after, before, "0" * 64)
    page = files(said)[".md"].decode()
    by = 100 * (new.accuracy - clean.accuracy)
    assert f"| {100 * clean.accuracy:.1f} → {100 * new.accuracy:.1f} ({by:+.1f}) |" in page
    assert f"`{'0' * 64}`" in page


def test_rows_and_settings_that_come_and_go_are_named() -> None:
    document = example()
    document["defenses"]["new <b>"] = document["defenses"].pop("jpeg")
    document["accuracy"] = [
        {**row, "defense": "new <b>"} if row["defense"] == "jpeg" else row
        for row in document["accuracy"]
    ]
    document["dataset"]["images"] = 12
    document["attacks"]["pgd"]["arguments"]["steps"] = 50
    said = with_changes(Results.of(document), Results.of(example()), "0" * 64)
    found = said.document["changes"]
    assert (found["added"], found["removed"]) == (["new <b>"], ["jpeg"])
    assert {entry["what"] for entry in found["settings"]} == {"images", "attack pgd"}
    page = files(said)[".md"].decode()
    assert "- images: 24 → 12\n" in page
    assert "- new rows: new &lt;b&gt;\n- gone: jpeg\n" in page
    (pgd,) = (line for line in page.splitlines() if line.startswith("- attack pgd: "))
    before, after = pgd.split(" → ")
    assert "steps = 5," in before
    assert "steps = 50," in after


def test_attacks_that_come_and_go_are_a_line_each_and_others_tell_what_differs() -> None:
    document = example()
    document["attacks"]["new"] = document["attacks"].pop("deepfool")
    for row in document["accuracy"]:
        row["attack"] = row["attack"].replace("deepfool", "new")
    document["attacks"]["pgd"].update(rungs=["bpda"], limit=8)
    found = changes(Results.of(example()), Results.of(document))["settings"]
    assert [entry["what"] for entry in found] == [
        *("attack deepfool", "attack new", "attack pgd, rungs", "attack pgd, images")
    ]
    assert (found[0]["after"], found[1]["before"]) == (None, None)
    assert (found[3]["before"], found[3]["after"]) == ("all", "8")


@pytest.mark.parametrize("key", ["model", "dataset"])
def test_accuracies_of_two_classifiers_or_datasets_are_not_compared(key: str) -> None:
    document = broken(6)
    document[key]["name"] = "another"
    found = changes(Results.of(example()), Results.of(document))
    assert found["settings"]
    assert not found["moved"]


def test_a_verdict_that_fell_is_told() -> None:
    before, after = example(), example()
    for document, verdict in ((before, "pass"), (after, "fail")):
        document["defenses"]["jpeg"]["masking"] = {"verdict": verdict, "checks": []}
    (move,) = changes(Results.of(before), Results.of(after))["moved"]
    fell = {"masking": ["pass", "fail"], "rank": [1, None]}
    assert move == {"row": "jpeg", "n": move["n"], **fell}


def test_quality_that_moved_is_told() -> None:
    document = json.loads(QUALITY.read_text())
    document["quality"][0]["psnr"] += 0.5
    before = QualityResults.of(json.loads(QUALITY.read_text()))
    said = with_changes(QualityResults.of(document), before, "0" * 64)
    assert isinstance(said, QualityResults)
    page = quality_files(said)[".md"].decode()
    assert "| bicubic_x2, Set5 | 33.68 → 34.18 (+0.50) | 5 |" in page


def test_publishing_again_says_what_changed_and_twice_says_the_same(
    run_cli: Callable[..., Answer], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run_cli("leaderboard", write(tmp_path / "a.json", example()), "-o", out)
    first = (out / "example.json").read_bytes()
    assert "changes" not in json.loads(first)
    assert "## Since the version before" not in (out / "example.md").read_text()
    newer = write(tmp_path / "b.json", broken(6))
    run_cli("leaderboard", newer, "-o", out)
    second = (out / "example.json").read_bytes()
    assert json.loads(second)["changes"]["since"] == hashlib.sha256(first).hexdigest()
    assert "## Since the version before" in (out / "example.md").read_text()
    for again in (newer, out / "example.json"):
        run_cli("leaderboard", again, "-o", out)
        assert (out / "example.json").read_bytes() == second
    assert run_cli("leaderboard", out / "example.json", "--check").code == 0
    run_cli("leaderboard", write(tmp_path / "c.json", example()), "-o", out)
    third = json.loads((out / "example.json").read_text())
    assert third["changes"]["since"] == hashlib.sha256(second).hexdigest()
    clean = third["changes"]["moved"][0]["clean"]
    assert clean[0] < clean[1]


def test_what_was_published_before_and_cannot_be_read_is_not_overwritten(
    run_cli: Callable[..., Answer], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "example.json").write_text('{"schema": 99}')
    answer = run_cli("leaderboard", GOLDEN, "-o", out)
    assert answer.code == 2
    assert "have schema 99, this version reads 2; they would be replaced" in answer.err
    assert (out / "example.json").read_text() == '{"schema": 99}'


def test_damaged_changes_are_refused(run_cli: Callable[..., Answer], tmp_path: Path) -> None:
    path = write(tmp_path / "example.json", {**example(), "changes": {"since": "x", "settings": 5}})
    answer = run_cli("leaderboard", path)
    assert answer.code == 2
    assert answer.err == (
        f"error: results {path} are damaged: changes/since String should match pattern "
        "'^[0-9a-f]{64}$', not 'x'\n"
        "hint: publish it again from its run folder\n"
    )


def test_the_first_publication_says_nothing_of_changes(tmp_path: Path) -> None:
    publish(since_published(load_results(GOLDEN), tmp_path), tmp_path)
    assert "changes" not in load(tmp_path / "example.json").document
