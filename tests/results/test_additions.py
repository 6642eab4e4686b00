"""A row for a table that stands: the same table as one run of all, or nothing at all."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from superdef_bench import evaluate
from superdef_bench.leaderboard import publish
from superdef_bench.leaderboard.index import publish_all
from superdef_bench.results.additions import refusals, with_rows
from superdef_bench.results.facts import Defense
from superdef_bench.results.load import load_results
from superdef_bench.results.ranking import rank
from superdef_bench.results.schema import Results
from superdef_bench.results.statistics import (
    pack_bits,
    pack_counts,
    pack_floats,
    unpack_bits,
    unpack_counts,
    unpack_floats,
)
from tests.support import ranked
from tests.support.commands import Answer
from tests.support.documents import untimed, write

pytestmark = pytest.mark.ci

Run = Callable[..., Answer]
Document = dict[str, Any]

CONFIG = """
[run]
dataset = "signs"
model = "signs_resnet8"
limit = 4
batch_size = 4
masking = 0
rungs = ["gray_box", "surrogate", "white_box", "bpda"]
limits = { bpda = 2 }
draws = 20
eot = 2

[transfer]
surrogates = ["defense:bit_depth"]

[threat]
eps = ["2/255", "8/255"]

[attacks]
fgsm = {}
deepfool = { eps = "8/255", limit = 1, rungs = ["gray_box", "bpda"] }

[defenses]
median = {}
random_bit_depth = {}
jpeg = { quality = 75 }
"""
STANDING, NEW = ["median", "random_bit_depth"], "jpeg"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Document]:
    """Return the results of all rows but one, of that one, and of all together."""
    folder = tmp_path_factory.mktemp("runs")
    config = folder / "tiny.toml"
    config.write_text(CONFIG)
    found = {}
    for name, defenses, out in (
        ("table", STANDING, "first"),
        ("run", [NEW], "second"),
        ("all", [], "first"),  # reads the records of the first two rows again
    ):
        evaluate(config, defenses=defenses, out=folder / out)
        found[name] = json.loads((folder / out / "results.json").read_text())
    return found


def copy(document: Document) -> Document:
    found: Document = json.loads(json.dumps(document))
    return found


@pytest.fixture(scope="module")
def boards(runs: Mapping[str, Document], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the published table and its pages."""
    folder = tmp_path_factory.mktemp("published")
    publish_all({folder / "tiny": Results.of(runs["table"])})
    return folder


@pytest.fixture
def table(boards: Path, tmp_path: Path) -> Path:
    """Return a copy of the published table, beside its pages."""
    return Path(shutil.copytree(boards, tmp_path / "boards")) / "tiny.json"


@pytest.fixture
def run_file(runs: Mapping[str, Document], tmp_path: Path) -> Path:
    """Return the results of the run with the new row."""
    return write(tmp_path / "results.json", runs["run"])


def facts_of(defense: Defense) -> Document:
    """Return what is known of a defense, but for who made it and the order of the checks."""
    found = defense.model_dump(exclude={"provenance"})
    found["masking"]["checks"].sort(key=str)
    return found


def told(answer: Answer) -> str:
    assert (answer.code, answer.out) == (2, ""), answer
    return answer.err


def test_an_added_row_gives_the_table_that_one_run_gives(
    run_cli: Run, runs: Mapping[str, Document], table: Path, run_file: Path
) -> None:
    answer = run_cli("leaderboard", run_file, "--into", table)
    assert answer.code == 0, answer.err
    assert answer.out.split()[:2] == [str(table), str(table.with_suffix(".md"))]
    joined, whole = load_results(table), Results.of(runs["all"])
    key = str
    assert sorted(untimed(joined.accuracy), key=key) == sorted(untimed(whole.accuracy), key=key)
    assert rank(joined) == rank(whole)
    for part in ("attacks", "dataset", "model", "config", "not_applicable", "failures"):
        assert joined.document[part] == whole.document[part], part
    assert joined.defenses[NEW].provenance == load_results(run_file).provenance
    counted = [(c.defense, c.scope, c.params, c.gmac, c.ops) for c in joined.cost]
    assert counted == [(c.defense, c.scope, c.params, c.gmac, c.ops) for c in whole.cost]
    assert [*map(facts_of, joined.defenses.values())] == [*map(facts_of, whole.defenses.values())]
    assert joined.changes
    assert joined.changes.added == [NEW]
    assert run_cli("leaderboard", table, "--check").code == 0


def test_the_page_is_that_of_one_run_but_for_times_and_who_made_what(
    run_cli: Run, runs: Mapping[str, Document], table: Path, run_file: Path
) -> None:
    assert run_cli("leaderboard", run_file, "--into", table).code == 0
    page, whole = table.with_suffix(".md").read_text(), publish.files(Results.of(runs["all"]))
    other = whole[".md"].decode()
    for title in ("Ranking at eps 8/255", "By eps", "Broken first by, at eps"):
        one, two = (text.split(f"## {title}")[1].split("\n## ")[0] for text in (page, other))
        assert one == two, title
    version = runs["run"]["provenance"]["versions"]["superdef-bench"]
    made = f"made by version {version}, added from: evaluate"
    assert f"- jpeg: jpeg (quality = 75, backward = smooth); {made}" in page
    assert f"- median: median (size = 3); made by version {version}\n" in page
    assert "made by version" not in other
    times = page.split("| defense | own ms |")[1].split("\n\n")[0]
    (row,) = (line for line in times.splitlines() if line.startswith("| jpeg"))
    assert row.split(" | ")[1:-1] == ["–"] * 5
    assert "not in turns: jpeg." in page
    assert "- new rows: jpeg" in page


def test_a_row_may_be_named_and_what_stands_already_is_no_new_row(
    run_cli: Run, runs: Mapping[str, Document], table: Path, tmp_path: Path
) -> None:
    whole = write(tmp_path / "all.json", runs["all"])
    assert "has no row 'jpg'" in told(
        run_cli("leaderboard", whole, "--into", table, "--row", "jpg")
    )
    before = table.read_bytes()
    assert "has every row of the run already: median" in told(
        run_cli("leaderboard", whole, "--into", table, "--row", "median")
    )
    assert table.read_bytes() == before
    # The others are there with the same verdicts: jpeg alone is added.
    assert run_cli("leaderboard", whole, "--into", table).code == 0
    assert list(load_results(table).defenses) == ["none", *STANDING, NEW]
    again = told(run_cli("leaderboard", whole, "--into", table))
    assert "has every row of the run already" in again


def test_options_that_say_another_thing_are_refused(
    run_cli: Run, table: Path, run_file: Path, tmp_path: Path
) -> None:
    for words in (["-o", tmp_path], ["--check"], ["--html", tmp_path / "site"], [run_file]):
        assert "--into adds rows of one run" in told(
            run_cli("leaderboard", run_file, "--into", table, *words)
        )
    assert "--row chooses what is added" in told(run_cli("leaderboard", run_file, "--row", "jpeg"))


def of_defense(document: Document, name: str, **columns: Any) -> list[Document]:
    return [
        row
        for row in document["accuracy"]
        if row["defense"] == name and all(row[key] == value for key, value in columns.items())
    ]


def flip(row: Document, place: int = 0) -> None:
    """Turn a verdict over, and all that follows from it in the row."""
    right = unpack_bits(row["verdicts"], row["n"])
    right[place] = not right[place]
    count = int(right.sum())
    row.update(verdicts=pack_bits(right), correct=count, accuracy=round(count / row["n"], 6))


def other_images(document: Document) -> None:
    for row in of_defense(document, NEW, rung="bpda"):
        row["ids_sha256"] = "0" * 16


def undefended(document: Document) -> None:
    flip(of_defense(document, "none", rung="gray_box", attack="fgsm")[0])


def unmet(document: Document) -> None:
    gone = of_defense(document, NEW, rung="bpda", attack="fgsm")
    document["accuracy"] = [row for row in document["accuracy"] if row not in gone]


def no_weights(document: Document) -> None:
    del document["model"]["weights"]
    document["model"]["fingerprint"] = "0" * 64


def another_attack(document: Document) -> None:
    document["attacks"]["more"] = document["attacks"]["fgsm"]


def at(*keys: Any, value: Any) -> Callable[[Document], None]:
    def change(document: Document) -> None:
        for key in keys[:-1]:
            document = document[key]
        document[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (at("dataset", "sha256", value="0" * 64), "dataset sha256: b75580fa6879 in the table, "),
        (at("dataset", "images", value=9), "dataset images: 4 in the table, 9 in the run"),
        (at("model", "weights", value="0" * 64), "sha256 of the classifier's weights: "),
        (no_weights, "weights: a0fb54f3acab in the table, not said in the run"),
        (at("threat", "norm", value="l2"), "threat norm: linf in the table, l2 in the run"),
        (at("threat", "topk", value=5), "threat topk: 1 in the table, 5 in the run"),
        (at("seed", value=1), "seed: 0 in the table, 1 in the run"),
        (at("rungs", value=["gray_box"]), "rungs: gray_box, surrogate, white_box, bpda in "),
        (at("config", "draws", value=30), "random defense is scored: 20 in the table, 30 in"),
        (at("config", "eot", value=4), "draws per gradient: 2 in the table, 4 in the run"),
        (at("config", "limits", value={}), "fewer images for a rung: {'bpda': 2} in the table"),
        (at("config", "masking", value=4), "gradients are probed: 0 in the table, 4 in the run"),
        (at("config", "sources", value=[]), "networks whose examples are replayed: "),
        (
            at("attacks", "deepfool", "arguments", "steps", value=7),
            "attack deepfool, steps: 50 in the table, 7 in the run",
        ),
        (at("attacks", "deepfool", "limit", value=3), "attack deepfool, limit: 1 in the table, 3"),
        (another_attack, "attack more: not there in the table, there in the run"),
        (undefended, "none, Gray box, fgsm, 2/255: other verdicts on 1 of 4 images"),
        (other_images, "jpeg, BPDA, fgsm, 2/255: other images"),
        (unmet, "jpeg, BPDA, fgsm, 2/255: the run has no such row, and does not say why"),
    ],
)
def test_what_is_of_another_benchmark_is_refused(
    change: Callable[[Document], None],
    line: str,
    run_cli: Run,
    runs: Mapping[str, Document],
    table: Path,
    tmp_path: Path,
) -> None:
    document = copy(runs["run"])
    change(document)
    before = {path: path.read_bytes() for path in table.parent.iterdir()}
    err = told(run_cli("leaderboard", write(tmp_path / "r.json", document), "--into", table))
    refused = [each for each in err.splitlines() if each.startswith("refused: ")]
    assert any(line in each for each in refused), err
    assert "nothing was added" in err
    assert {path: path.read_bytes() for path in table.parent.iterdir()} == before


def test_another_row_of_a_name_that_stands_is_refused(
    run_cli: Run, runs: Mapping[str, Document], table: Path, tmp_path: Path
) -> None:
    document = copy(runs["all"])
    flip(of_defense(document, "median", rung="")[0])
    run = write(tmp_path / "r.json", document)
    err = told(run_cli("leaderboard", run, "--into", table))
    assert "another row 'median', name this one otherwise: median, clean: other verdicts" in err
    assert run_cli("leaderboard", run, "--into", table, "--row", NEW).code == 0


def test_nothing_is_taken_on_faith(
    run_cli: Run, runs: Mapping[str, Document], table: Path, tmp_path: Path
) -> None:
    document = copy(runs["run"])
    for row in of_defense(document, NEW):
        row.update(accuracy=0.99, ci_low=0.9, ci_high=1.0, conditional_accuracy=0.99)
    document["defenses"][NEW]["masking"] = {"verdict": "pass", "checks": []}
    joined = with_rows(load_results(table), Results.of(document), [NEW])
    honest = with_rows(load_results(table), Results.of(runs["run"]), [NEW])
    assert joined.accuracy == honest.accuracy
    assert joined.defenses == honest.defenses
    # A worst case that its cells do not bear out.
    document = copy(runs["run"])
    flip(of_defense(document, NEW, rung="adaptive", eps=8 / 255)[0])
    before = table.read_bytes()
    err = told(run_cli("leaderboard", write(tmp_path / "r.json", document), "--into", table))
    assert "jpeg, Adaptive, worst, 8/255" in err
    assert "verdicts" in err
    assert table.read_bytes() == before
    # Radii that the verdicts do not bear out: within a rank they decide.
    document = copy(runs["run"])
    for row in of_defense(document, NEW, rung="adaptive"):
        row["smallest_eps"] = pack_floats(np.full(row["n"], np.inf))
    broken = of_defense(document, NEW, rung="adaptive", eps=8 / 255)[0]
    assert broken["correct"] < broken["n"]
    err = told(run_cli("leaderboard", write(tmp_path / "r.json", document), "--into", table))
    assert "smallest_eps says other than" in err
    assert table.read_bytes() == before


def on_twice_the_images(document: Document, *names: str) -> None:
    """Let the adaptive rows of some defenses have each of their images a second time."""
    for name in names:
        for row in of_defense(document, name, rung="adaptive"):
            right = np.tile(unpack_bits(row["verdicts"], row["n"]), 2)
            row.update(n=len(right), correct=int(right.sum()), verdicts=pack_bits(right))
            row["smallest_eps"] = pack_floats(np.tile(unpack_floats(row["smallest_eps"]), 2))
            if "shares" in row:
                row["shares"] = pack_counts(np.tile(unpack_counts(row["shares"]), 2))


def test_a_row_on_fewer_images_than_the_table_ranks_on_is_refused(
    runs: Mapping[str, Document],
) -> None:
    table, run = copy(runs["table"]), copy(runs["run"])
    on_twice_the_images(table, "none", "random_bit_depth")
    on_twice_the_images(run, "none")
    told = refusals(Results.of(table), Results.of(run), [NEW])
    assert told == []  # median is ranked on as few
    table["defenses"]["median"]["missing"] = ["white_box fgsm 8/255: it failed"]
    (line,) = refusals(Results.of(table), Results.of(run), [NEW])
    assert "its adaptive accuracy is of 2 images, the table ranks on 4" in line
    run["defenses"][NEW]["masking"]["verdict"] = "fail"  # its verdicts do not say so
    assert refusals(Results.of(table), Results.of(run), [NEW]) == [line]


def test_a_row_whose_gradient_fails_is_not_ranked_and_may_have_fewer_images() -> None:
    def made(name: str, broken: int) -> Results:
        """Return a row on 64 images of which black box breaks some that gradients leave."""
        document = ranked.Document().defense("none", 10)
        document.defense(name, 64 - broken, clean=64, gray=64, n=64)
        document.attacks["square"] = ranked.attack("square", "scores", queries=1000)
        document.row(name, "bpda", "pgd", ranked.bits(64, 64))
        document.row(name, "black_box", "square", ranked.bits(64 - broken, 64))
        return Results.of(document.results().document | {"name": "tiny"})

    table, run = copy(made("old", 40).document), made("new", 40)
    checks = {"n": 64, "p": 0.0, "adjusted": 0.0, "evidence": "", "outcome": "fail"}
    fails = {"verdict": "fail", "checks": [{**checks, "check": "black box beats gradients"}]}
    table["defenses"]["old"]["masking"] = fails
    assert refusals(Results.of(table), run, ["new"]) == []
    (line,) = refusals(Results.of(table), made("new", 0), ["new"])
    assert "its adaptive accuracy is of 64 images, the table ranks on 400" in line


@pytest.mark.parametrize("which", ["table", "run"])
def test_what_is_damaged_or_carries_no_hash_is_refused(
    which: str, run_cli: Run, runs: Mapping[str, Document], table: Path, run_file: Path
) -> None:
    file = {"table": table, "run": run_file}[which]
    document = json.loads(file.read_text())
    document["seed"] = 3
    file.write_text(json.dumps(document))
    assert "not what their hash was made of" in told(
        run_cli("leaderboard", run_file, "--into", table)
    )
    del document["sha256"]
    document["seed"] = 0
    file.write_text(json.dumps(document))
    assert "carry no hash" in told(run_cli("leaderboard", run_file, "--into", table))


def test_only_a_published_table_gains_rows(
    run_cli: Run, table: Path, run_file: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copy(table, tmp_path / "copy.json"))
    assert "is no published table: it holds 'tiny'" in told(
        run_cli("leaderboard", run_file, "--into", other)
    )
    assert "cannot be read" in told(run_cli("leaderboard", run_file, "--into", tmp_path / "tiny"))


def test_a_kill_between_the_results_and_their_pages_leaves_a_table_that_says_so(
    run_cli: Run, table: Path, run_file: Path
) -> None:
    pages = {path: path.read_bytes() for path in table.parent.iterdir() if path != table}
    assert run_cli("leaderboard", run_file, "--into", table).code == 0
    for path, content in pages.items():  # results come first: what a kill leaves behind
        path.write_bytes(content)
    answer = run_cli("leaderboard", table, "--check")
    assert answer.code == 1
    assert "stale: " in answer.err
    assert run_cli("leaderboard", table).code == 0
    assert run_cli("leaderboard", table, "--check").code == 0
    assert NEW in load_results(table).defenses


def test_a_table_from_before_attacks_said_their_settings_takes_rows(
    runs: Mapping[str, Document],
) -> None:
    old = copy(runs["table"])
    for attack in old["attacks"].values():
        del attack["settings"]
    assert refusals(Results.of(old), Results.of(runs["run"]), [NEW]) == []
    new = copy(runs["run"])
    new["attacks"]["fgsm"]["settings"]["steps"] = 7
    (line,) = refusals(Results.of(runs["table"]), Results.of(new), [NEW])
    assert line.startswith("attack fgsm, settings: ")


def test_two_rows_of_one_name_in_the_config_are_refused(runs: Mapping[str, Document]) -> None:
    other = json.loads(json.dumps(runs["run"]).replace('"jpeg"', '"median (native)"'))
    for choice in other["config"]["defenses"]:
        choice["name"] = choice["name"].removesuffix(" (native)")
    (line,) = refusals(Results.of(runs["table"]), Results.of(other), ["median (native)"])
    assert "the table's config has a row 'median'" in line


def test_the_commands_of_a_page_bring_its_added_rows_back(
    runs: Mapping[str, Document], table: Path, run_file: Path, run_cli: Run
) -> None:
    assert run_cli("leaderboard", run_file, "--into", table).code == 0
    made = runs["run"]["provenance"]
    into = f"superdef-bench leaderboard {made['folder']} --into boards/tiny.json --row jpeg"
    typed = (table.parent / "tiny.md").read_text().split("```sh\n")[1].split("```")[0]
    assert typed.splitlines()[-2] == made["command"]
    assert typed.splitlines()[-1] == into
