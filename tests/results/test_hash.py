"""Results carry the hash of what they say; whoever reads them checks it."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from superdef_bench.core.errors import DataError
from superdef_bench.io.seal import digest, seal
from superdef_bench.results.load import load_published, load_results
from superdef_bench.results.schema import Results
from tests.support.commands import Answer
from tests.support.documents import GOLDEN, example

pytestmark = pytest.mark.faults
Run = Callable[..., Answer]
_PUBLISHED = sorted((GOLDEN.parents[2] / "leaderboards").glob("**/*.json"))
_NOTE = "carries no hash: an earlier version wrote it, and whether it was changed since cannot be"


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    """Return results of which one number is another one, so that nothing contradicts it."""
    path = tmp_path / "example.json"
    text = GOLDEN.read_text()
    assert '"seed": 0' in text
    path.write_text(text.replace('"seed": 0', '"seed": 1', 1))
    return path


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Return results as an earlier version wrote them."""
    document = example()
    del document["sha256"]
    path = tmp_path / "old.json"
    path.write_text(json.dumps(document, indent=1))
    return path


@pytest.mark.parametrize("path", _PUBLISHED, ids=lambda path: path.stem)
def test_what_is_published_carries_its_hash(path: Path) -> None:
    document = json.loads(path.read_text())
    assert document["sha256"] == digest(document)


@pytest.mark.parametrize(
    "words",
    [
        ("compare", "FILE", GOLDEN),
        ("compare", GOLDEN, "FILE"),
        ("leaderboard", "FILE"),
        ("leaderboard", "FILE", "--check"),
        ("leaderboard", GOLDEN, "-o", "FOLDER"),
        ("reproduce", "FILE", "--row", "1"),
        ("history", "FILE"),
        ("versus", "FILE", "jpeg", "none"),
    ],
)
def test_a_changed_number_is_refused_by_every_reader(
    run_cli: Run, changed: Path, words: tuple[object, ...]
) -> None:
    places = {"FILE": changed, "FOLDER": changed.parent}
    answer = run_cli(*[places.get(str(word), word) for word in words])
    assert (answer.code, answer.out) == (2, "")
    error, hint = answer.err.splitlines()
    what = "they are not what their hash was made of"
    assert error.startswith(f"error: results {changed} are damaged: {what}")
    assert hint.startswith(
        "hint: remove" if "FOLDER" in words else "hint: publish it again from its run folder"
    )


def test_a_run_folder_with_a_changed_number_is_refused(run_cli: Run, changed: Path) -> None:
    changed.rename(changed.with_name("results.json"))
    for words in (("examples", changed.parent, "pgd", "-o", "x"), ("show", changed.parent, "1")):
        answer = run_cli(*words)
        assert (answer.code, answer.out) == (2, "")
        assert answer.err.splitlines()[1] == "hint: run the config again"


def test_another_layout_and_order_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(dict(reversed(example().items())), sort_keys=False))
    assert load_results(path).document == example()
    path.write_text(json.dumps(example(), ensure_ascii=False, indent=4))
    load_results(path)


def test_without_a_hash_there_is_one_note_for_each_file(run_cli: Run, old: Path) -> None:
    answer = run_cli("compare", old, old)
    assert answer.code == 0
    assert answer.err.count("\n") == 1
    assert answer.err.startswith(f"note: {old} {_NOTE}")
    assert run_cli("leaderboard", old, "-o", "out").code == 0
    assert run_cli("compare", old, "out/example.json").err == ""  # published, it carries one


def test_commits_of_before_there_were_hashes_have_no_note(run_cli: Run, old: Path) -> None:
    def git(*words: str) -> None:
        name = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *name, *words], cwd=old.parent, check=True, capture_output=True)

    git("init", "--quiet")
    git("add", old.name)
    git("commit", "--quiet", "-m", "old")
    old.write_bytes(GOLDEN.read_bytes())
    answer = run_cli("history", old, "--commits", 3)
    assert (answer.code, answer.err) == (0, "")
    assert "2 versions" in answer.out


def test_a_hash_without_its_name_is_no_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(GOLDEN.read_text().replace('"sha256"', '"sha257"', 1))
    with pytest.raises(DataError, match="are damaged: a hash stands under 'sha257'"):
        load_published(path)


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ('"seed": 0', '"seed": 0, "seed": 0', "no JSON: 'seed' stands twice"),
        ('"seed": 0', '"seed": NaN', "no JSON: NaN is no number"),
        ('"seed": 0', '"seed": 1e999', "damaged: Out of range float"),
        ('"sha256"', '"odd": 1e999, "was"', "damaged: Out of range float"),
        ('"seed": 0', '"seed": 0.0', "not what their hash was made of"),
        ('"schema": 2', '"schema": 2.0', "no results file: it has no schema"),
        ('"schema": 2', '"schema": true', "no results file: it has no schema"),
    ],
)
def test_what_two_readers_may_take_otherwise_is_refused(
    tmp_path: Path, before: str, after: str, why: str
) -> None:
    path = tmp_path / "a.json"
    assert before in GOLDEN.read_text()
    path.write_text(GOLDEN.read_text().replace(before, after, 1))
    with pytest.raises(DataError, match=why):
        load_published(path)


def test_a_hash_is_made_anew_wherever_results_are_made_or_written(tmp_path: Path) -> None:
    made = Results.of({**example(), "seed": 7})
    made.save(tmp_path / "a.json")
    found = load_results(tmp_path / "a.json")
    assert found.seed == 7
    assert found.sha256 == digest(found.document) != example()["sha256"]
    assert list(found.document)[:3] == ["schema", "sha256", "name"]
    assert seal(found.document) == found.document
