"""The index of a folder of leaderboards: what it lists, when it is written, when it is stale."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from superdef_bench.leaderboard.index import INDEX, index, published
from superdef_bench.leaderboard.publish import load
from superdef_bench.results.load import load_results
from superdef_bench.results.ranking import rank
from superdef_bench.results.rows import with_interval
from tests.support.commands import Answer
from tests.support.documents import GOLDEN, example, write

BOARDS = Path(__file__).parents[2] / "leaderboards"


def put(folder: Path, document: dict[str, Any], name: str) -> Path:
    """Write results of another name."""
    folder.mkdir(exist_ok=True)
    return write(folder / f"{name}.json", {**document, "name": name})


def test_the_index_lists_every_results_file_of_the_folder(
    run_cli: Callable[..., Answer], tmp_path: Path
) -> None:
    first = put(tmp_path / "in", example(), "first")
    second = put(tmp_path / "in", example(), "second")
    run_cli("leaderboard", first, "-o", tmp_path / "out")
    alone = (tmp_path / "out" / INDEX).read_text()
    assert "second" not in alone
    run_cli("leaderboard", second, "-o", tmp_path / "out")
    both = (tmp_path / "out" / INDEX).read_text()
    assert re.findall(r"^## (.*)$", both, re.M) == ["first", "second"]
    assert both == index(published(tmp_path / "out"))


def test_what_the_index_says_is_what_the_results_say() -> None:
    results = load_results(GOLDEN)
    page = index([results])
    best = next(s for s in rank(results) if s.rank is not None and s.defense != "none")
    row = next(line for line in page.splitlines() if line.startswith("| 1= |"))
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    assert cells[1] == best.defense
    assert cells[4] == with_interval(best.adaptive, "≤ ")
    assert best.adaptive
    assert cells[5] == str(best.adaptive.n)
    assert (
        "signs test, 20 classes, 24 images, ranked on 24; classifier signs_resnet8 (code sha256 "
        in page
    )
    assert "suite quick: not a robustness claim" in page
    assert "```sh\nsuperdef-bench run example.toml\n```" in page


def test_the_links_of_the_published_index_lead_somewhere() -> None:
    page = (BOARDS / INDEX).read_text()
    links = [unquote(link) for link in re.findall(r"\]\(<([^>]*)>\)", page)]
    assert {Path(link).suffix for link in links} == {".md", ".json", ".csv", ".svg"}
    for link in links:
        assert (BOARDS / link).exists(), link
    shown = {file.name for file in BOARDS.iterdir() if file.is_file()} - {INDEX}
    assert shown == set(links)


def test_an_index_that_is_not_that_of_its_folder_is_stale(
    run_cli: Callable[..., Answer], tmp_path: Path
) -> None:
    one = put(tmp_path, example(), "one")
    run_cli("leaderboard", one)
    assert run_cli("leaderboard", one, "--check").code == 0
    put(tmp_path, example(), "two")
    answer = run_cli("leaderboard", one, "--check")
    assert answer.code == 1
    assert answer.err.startswith(f"stale: {tmp_path / INDEX}\nhint: ")
    run_cli("leaderboard", one)
    # The page of the other one was never written, and nobody asked for it.
    assert not (tmp_path / "two.md").exists()
    assert run_cli("leaderboard", one, "--check").code == 0
    (tmp_path / INDEX).unlink()
    assert run_cli("leaderboard", one, "--check").code == 1


def test_a_readme_that_was_not_generated_is_left_alone(
    run_cli: Callable[..., Answer], tmp_path: Path
) -> None:
    (tmp_path / INDEX).write_text("# My own\n")
    one = put(tmp_path, example(), "one")
    assert run_cli("leaderboard", one).code == 0
    assert run_cli("leaderboard", one, "--check").code == 0
    assert (tmp_path / INDEX).read_text() == "# My own\n"


def test_a_run_folder_has_no_index(run_cli: Callable[..., Answer], tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    folder.mkdir()
    (folder / "results.json").write_bytes(GOLDEN.read_bytes())
    assert run_cli("leaderboard", folder).code == 0
    assert (folder / "example.md").exists()
    assert not (folder / INDEX).exists()
    assert run_cli("leaderboard", folder, "--check").code == 0


def test_other_json_beside_the_results_is_not_listed(tmp_path: Path) -> None:
    put(tmp_path, example(), "one")
    (tmp_path / "package.json").write_text('{"name": "package"}')
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "copy.json").write_bytes((tmp_path / "one.json").read_bytes())
    assert [results.name for results in published(tmp_path)] == ["one"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"schema": 2, "na', "are no JSON"),
        (100_000 * "[", "are no JSON"),
        ('{"schema": 3, "name": "other"}', "have schema 3"),
    ],
)
def test_damaged_results_beside_others_are_named(
    run_cli: Callable[..., Answer], tmp_path: Path, text: str, message: str
) -> None:
    one = put(tmp_path, example(), "one")
    (tmp_path / "other.json").write_text(text)
    answer = run_cli("leaderboard", one)
    assert answer.code == 2
    assert f"other.json {message}" in answer.err
    assert len(answer.err.splitlines()) == 2


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "-o", "two\nlines", "README"])
def test_a_name_that_no_page_can_have_is_refused(
    run_cli: Callable[..., Answer], tmp_path: Path, name: str
) -> None:
    write(tmp_path / "bad.json", {**example(), "name": name})
    answer = run_cli("leaderboard", tmp_path / "bad.json")
    assert answer.code == 2
    assert f"are named {name!r}, which their page cannot be" in answer.err
    assert [path.name for path in tmp_path.iterdir()] == ["bad.json"]


def test_a_benchmark_without_ranked_rows_or_failed_throughout_is_listed(tmp_path: Path) -> None:
    document = example()
    for facts in document["defenses"].values():
        facts["missing"] = ["pgd: it burnt"]
    page = index([load(put(tmp_path, document, "none-ranked"))])
    assert "0 of 4 rows are ranked." in page
    document["accuracy"] = []
    page = index([load(put(tmp_path, document, "empty"))])
    assert "| – | none | – | – | – | – |" in page


def test_two_benchmarks_of_one_name_are_no_site(
    run_cli: Callable[..., Answer], tmp_path: Path
) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "example.json").write_bytes(GOLDEN.read_bytes())
    places = [tmp_path / name / "example.json" for name in ("first", "second")]
    answer = run_cli("leaderboard", *places, "--html", tmp_path / "site")
    assert answer.code == 2
    assert "two of the results are named 'example'" in answer.err
    assert not (tmp_path / "site").exists()
