"""Sections of a leaderboard that only newer results have, on results made by hand."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from superdef_bench.analysis.versus import compare_rows
from superdef_bench.leaderboard.publish import files
from superdef_bench.results.ranking import rank
from superdef_bench.results.schema import Results
from superdef_bench.results.statistics import pack_bits, pack_counts
from tests.support.documents import example, find

LOW, HIGH = 2 / 255, 8 / 255
SHARED = ["none", "jpeg", "bicubic_x2 (native)", "random_resize_pad (native)"]
RANDOM = SHARED[3]


def test_the_example_has_the_rows_that_are_spoken_of() -> None:
    assert list(example()["defenses"]) == SHARED


def verdicts(right: int, n: int = 24) -> dict[str, Any]:
    """Return the columns of a row of which the first images are right."""
    packed = pack_bits(np.arange(n) < right)
    return {"n": n, "correct": right, "accuracy": right / n, "verdicts": packed}


def page(document: Mapping[str, Any]) -> str:
    return files(Results.of(document))[".md"].decode()


def section(text: str, title: str) -> str:
    (found,) = (part for part in text.split("\n## ") if part.startswith(title))
    return found


def table(text: str, place: int = 0) -> list[dict[str, str]]:
    """Return the rows of a table by its heads."""
    tables = [part for part in text.split("\n\n") if part.startswith("| ")]
    head, _, *rows = (
        [cell.strip() for cell in line.split("|")[1:-1]] for line in tables[place].splitlines()
    )
    return [dict(zip(head, row, strict=True)) for row in rows]


def with_rungs() -> dict[str, Any]:
    """Return a document with examples from two sources, and queries."""
    document = example()
    document["rungs"] = ["transfer", "gray_box", "surrogate", "black_box", "white_box", "bpda"]
    square = {"arguments": {"plugin": "square"}, "access": "scores"}
    document["attacks"]["square"] = {**document["attacks"]["pgd"], **square}
    like = find(document, "jpeg", "bpda", "pgd", HIGH)
    add = document["accuracy"].append
    for rung, source, right, passes in (
        ("surrogate", "rcan", 6, 7),
        ("surrogate", "edsr", 12, 9),
        ("transfer", "other|net", 18, 11),
    ):
        effort = {"forwards": passes + 1.0, "backwards": float(passes)}
        add({**like, **verdicts(right), **effort, "rung": rung, "source": source})
    queries = {"forwards": 321.4, "backwards": 0.0}
    add({**like, **verdicts(3), **queries, "rung": "black_box", "attack": "square"})
    return document


def test_each_rung_says_what_the_attacker_has_and_sources_have_columns() -> None:
    text = page(with_rungs())
    titles = [line[3:].split(",")[0] for line in text.splitlines() if line.endswith("by attack")]
    assert titles == ["Transfer", "Gray box", "Surrogate", "Black box", "White box", "BPDA"]
    for title in titles:
        assert section(text, f"{title}, by attack").splitlines()[2].startswith("The attacker ")
    surrogate = section(text, "Surrogate, by attack")
    (row,) = (row for row in table(surrogate) if row["defense"] == "jpeg")
    assert row["pgd 8/255 from edsr"].startswith("50.0 (")
    assert row["pgd 8/255 from rcan"].startswith("25.0 (")
    assert {row["pgd 8/255 from rcan"] for row in table(surrogate) if row["defense"] != "jpeg"} == {
        "–"
    }
    (effort,) = table(surrogate, 1)
    assert [*effort.values()] == ["examples", "10 / 9", "8 / 7"]
    assert r"pgd 8/255 from other\|net" in section(text, "Transfer, by attack")


def test_the_effort_of_black_box_is_queries() -> None:
    black = section(page(with_rungs()), "Black box, by attack")
    assert "Queries per image:" in black
    assert "Forwards / backwards" not in black
    shown = {row["defense"]: row["square 8/255"] for row in table(black, 1)}
    assert shown == {"jpeg": "321"} | {name: "–" for name in SHARED if name != "jpeg"}


def test_other_sources_and_probes_change_no_rank_and_no_other_section() -> None:
    document = with_rungs()
    like = find(document, "jpeg", "bpda", "pgd", HIGH)
    for probe in ("eot_1", "pgd"):
        columns = {**verdicts(0), "rung": "masking", "attack": probe, "eot": 1}
        document["accuracy"].append({**like, **columns})
    results = Results.of(document)
    assert rank(results) == rank(Results.of(example()))
    before, after = page(example()), page(document)
    for title in ("Ranking", "By eps", "White box, by attack", "BPDA, by attack"):
        assert section(before, title) == section(after, title)
    assert "eot_1" not in after
    assert "masking,jpeg,eot_1" in files(results)[".csv"].decode()


def test_two_rows_are_compared_source_by_source_and_not_on_probes() -> None:
    document = with_rungs()
    extra = [row for row in document["accuracy"] if row["rung"] in ("surrogate", "transfer")]
    extra += [{**extra[0], "rung": "masking", "attack": "noise"}]
    for row in extra:
        document["accuracy"].append({**row, **verdicts(row["correct"] // 2), "defense": "none"})
    found = list(compare_rows(Results.of(document), "jpeg", "none", attacks=True))
    shown = {row.what: (24 * row.first, 24 * row.second) for row in found}
    assert shown["Surrogate, pgd, 8/255 from rcan"] == pytest.approx((6, 3))
    assert shown["Surrogate, pgd, 8/255 from edsr"] == pytest.approx((12, 6))
    assert shown["Transfer, pgd, 8/255 from other|net"] == pytest.approx((18, 9))
    assert len([words for words in shown if "from" in words]) == 3
    assert not any("noise" in words for words in shown)


def test_what_broke_images_first_is_counted_by_rung_with_its_attacks() -> None:
    document = example()
    assert "Broken first by" not in page(document)
    counts = {"clean": 1, "gray_box pgd": 4, "gray_box fgsm": 9, "bpda pgd": 3, "standing": 7}
    find(document, "jpeg", "adaptive", "worst", HIGH)["broken_by"] = counts
    alone = {"clean": 2, "gray_box pgd": 0, "gray_box fgsm": 5, "white_box pgd": 17, "standing": 0}
    find(document, "none", "adaptive", "worst", HIGH)["broken_by"] = alone
    jpeg, none = table(section(page(document), "Broken first by"))
    assert jpeg == {
        "defense": "jpeg",
        "clean": "1",
        "gray box": "13 (fgsm 9, pgd 4)",
        "white box": "–",
        "BPDA": "3",
        "standing": "7",
        "n": "24",
    }
    shown = ["none", "2", "5", "17", "–", "0", "24"]
    assert list(none.values()) == shown


def test_a_stochastic_defense_shows_mean_majority_and_worst_draw() -> None:
    document = example()
    assert "Stochastic defenses" not in page(document)
    clean = np.array([4] * 12 + [3] * 6 + [1] * 6, dtype=np.uint8)
    adaptive = np.array([4] * 2 + [2] * 4 + [0] * 18, dtype=np.uint8)
    for rung, name, eps, counts in (
        ("", "none", None, clean),
        ("adaptive", "worst", HIGH, adaptive),
    ):
        right = int((counts >= 2).sum())
        columns = {**verdicts(right), "draws": 4, "shares": pack_counts(counts)}
        find(document, RANDOM, rung, name, eps).update(columns)
    text = page(document)
    first, second = table(section(text, "Stochastic defenses"))
    assert [first["images"], second["images"]] == ["clean", "adaptive"]
    assert first["mean over draws"].startswith("75.0 (6")
    assert (first["majority vote"], first["right in all draws"]) == ("75.0", "50.0")
    assert second["mean over draws"].startswith("≤ 16.7 (")
    assert (second["majority vote"], second["right in all draws"]) == ("≤ 25.0", "≤ 8.3")
    assert [first["draws"], first["n"]] == ["4", "24"]
    (ranked,) = (r for r in table(section(text, "Ranking")) if r["defense"] == RANDOM)
    assert ranked["adaptive"] == second["mean over draws"]
    assert "mean over draws and bootstrap over images" in text


def test_top_five_stands_where_rows_have_it() -> None:
    document = example()
    assert "Top-5" not in page(document)
    find(document, "jpeg", "", "none", None)["top5_accuracy"] = 0.998
    find(document, "jpeg", "adaptive", "worst", HIGH)["top5_accuracy"] = 0.5
    rows = {row["defense"]: row for row in table(section(page(document), "Top-5"))}
    assert list(rows["jpeg"].values()) == ["jpeg", "99.8", "–", "≤ 50.0", "24 / – / 24"]
    assert list(rows["none"].values()) == ["none", "–", "–", "–", "– / – / –"]


def check(name: str, outcome: str, adjusted: float, evidence: str) -> dict[str, Any]:
    facts = {"check": name, "outcome": outcome, "n": 64, "p": adjusted / 2}
    return {**facts, "adjusted": adjusted, "evidence": evidence}


def judge(document: dict[str, Any], name: str, verdict: str, checks: Sequence[Any]) -> None:
    document["defenses"][name]["masking"] = {"verdict": verdict, "checks": list(checks)}


def test_checks_that_a_gradient_failed_stand_with_their_evidence() -> None:
    document = example()
    assert "Gradient masking" not in page(document)
    passed = [check("noise beats gradients", "pass", 1.0, "x"), check("repeat", "pass", 0.4, "y")]
    passed[1]["n"] = 16
    failed = check("one step beats many", "fail", 0.00012, "of 64 images, one_step breaks *9*")
    doubted = check("one step beats many", "suspect", 0.02, "of 64 images, another one")
    judge(document, "jpeg", "fail", [passed[0], failed, passed[1], doubted])
    judge(document, "none", "pass", passed)
    judge(document, RANDOM, "", [])
    text = section(page(document), "Gradient masking")
    by_name = {row.pop("defense"): [*row.values()] for row in table(text)}
    assert by_name == {"jpeg": ["fail", "2 of 4", "16–64"], "none": ["pass", "2 of 2", "16–64"]}
    # The same question may be asked of several sources: every answer has its line.
    begin = "- jpeg, **{}**, one step beats many: of 64 images, {} (p = {})"
    assert [line for line in text.splitlines() if line.startswith("- ")] == [
        begin.format("fail", r"one_step breaks \*9\*", "0.00012"),
        begin.format("suspect", "another one", "0.02"),
    ]
    # Of a row that is not ranked the checks are named after those of the ranked ones.
    assert "Checks, where they apply: noise beats gradients, repeat, one step beats many." in text
    assert "suspect at p ≤ 0.05, fail at p ≤ 0.001" in text
    assert "need 5 points of accuracy" in text


def test_rows_to_which_a_rung_does_not_apply_share_a_note() -> None:
    document = example()
    document["not_applicable"] = [
        {"defense": "jpeg", "rung": "white_box", "why": "no exact gradient"},
        {"defense": "none", "rung": "bpda", "why": "no stages to go around"},
        {"defense": RANDOM, "rung": "white_box", "why": "no exact gradient"},
        {"defense": RANDOM, "rung": "surrogate", "why": "no exact gradient"},
    ]
    notes = [line for line in page(document).splitlines() if "does not apply" in line]
    assert notes == [
        f"- White box does not apply to jpeg, {RANDOM}: no exact gradient.",
        "- BPDA does not apply to none: no stages to go around.",
        f"- Surrogate does not apply to {RANDOM}: no exact gradient.",
    ]


def test_an_attack_by_queries_has_a_note_only_where_there_is_no_black_box() -> None:
    document = with_rungs()
    assert "asks for scores" not in page(document)
    document["rungs"].remove("black_box")
    assert "- square asks for scores: only black box takes it" in page(document)
