"""The command on a page makes that page again, and its config runs as the same benchmark."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from superdef_bench.leaderboard.again import commands
from superdef_bench.leaderboard.markdown import leaderboard
from superdef_bench.leaderboard.publish import load
from superdef_bench.results.ranking import rank
from superdef_bench.results.schema import Results
from tests.support.commands import CONFIG, Answer
from tests.support.documents import GOLDEN, example

_SOFTEN = """
from superdef_bench import InputTransform, hookimpl

class Soften(InputTransform):
    def transform(self, x):
        return x * 0.99

@hookimpl
def register_defenses():
    return {"soften": Soften}
"""


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)\n```", page, re.MULTILINE | re.DOTALL)


def test_the_command_and_the_config_on_a_page_make_it_again(
    run_cli: Callable[..., Answer],
    tmp_path: Path,
    plugin_folder: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    typed, named = plugin_folder(_SOFTEN), plugin_folder(_SOFTEN.replace("soften", "dim"), "other")
    monkeypatch.setenv("SUPERDEF_BENCH_PLUGINS_DIR", str(named))
    (tmp_path / "tiny.toml").write_text(CONFIG)
    words = ["-d", "soften", "-a", "fgsm", "--limit", "2", "--rung", "gray_box"]
    done = run_cli("run", "tiny.toml", *words, "--plugins-dir", typed, "-o", tmp_path / "my runs/a")
    assert done.code == 0, done.err
    file = tmp_path / "my runs/a/tiny.md"
    page = file.read_text()
    (command,) = blocks(page, "sh")
    assert command == (
        "superdef-bench run --plugins-dir plugins_other tiny.toml -d soften -a fgsm --limit 2 "
        "--rung gray_box --plugins-dir plugins_mine -o 'my runs/a'"
    )
    assert str(tmp_path) not in page
    monkeypatch.delenv("SUPERDEF_BENCH_PLUGINS_DIR")
    file.unlink()
    assert run_cli(*shlex.split(command)[1:]).code == 0
    assert file.read_text() == page
    (resolved,) = blocks(page, "toml")
    assert "<details>\n<summary>Resolved config, tiny.toml</summary>" in page
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy/tiny.toml").write_text(resolved)
    again = run_cli("run", "copy/tiny.toml", "-o", "my runs/a", "--plugins-dir", "plugins_mine")
    assert re.search(r"(\d+) records, \1 of them reused", again.out), again.out


def test_a_published_page_says_how_it_got_where_it_stands(
    run_cli: Callable[..., Answer], tmp_path: Path
) -> None:
    (tmp_path / "runs/example").mkdir(parents=True)
    (tmp_path / "runs/example/results.json").write_bytes(GOLDEN.read_bytes())
    assert run_cli("leaderboard", "runs/example", "-o", "my boards").code == 0
    page = (tmp_path / "my boards/example.md").read_text()
    (shown,) = blocks(page, "sh")
    last = "superdef-bench leaderboard runs/example -o 'my boards'"
    assert shown.splitlines() == ["superdef-bench run example.toml", last]
    (tmp_path / "my boards/example.md").unlink()
    assert run_cli(*shlex.split(last)[1:]).code == 0
    assert (tmp_path / "my boards/example.md").read_text() == page
    assert last in (tmp_path / "my boards/README.md").read_text()
    for words in (["runs/example", "-o", "my boards"], ["my boards/example.json"]):
        assert run_cli("leaderboard", *words, "--check").code == 0
    assert run_cli("leaderboard", "my boards/example.json").code == 0
    assert (tmp_path / "my boards/example.md").read_text() == page
    answer = run_cli("leaderboard", "my boards/example.json", "-o", "elsewhere")
    assert answer.code == 0
    assert (
        "leaderboard runs/example -o elsewhere" in (tmp_path / "elsewhere/example.md").read_text()
    )


def test_where_the_run_itself_writes_the_page_nothing_else_is_typed() -> None:
    results = Results.of(example())
    assert commands(results) == ["superdef-bench run example.toml"]
    assert commands(results.published("runs/example")) == ["superdef-bench run example.toml"]
    assert len(commands(results.published("runs"))) == 2
    quality = load(GOLDEN.parents[2] / "leaderboards/super-resolution-x2.json")
    assert commands(quality.published("leaderboards")) == [quality.provenance.command]
    assert commands(quality.published("b"))[1] == (
        "superdef-bench leaderboard leaderboards/super-resolution-x2.json -o b"
    )


def test_the_site_says_what_writes_it_and_folds_the_config(
    run_cli: Callable[..., Answer], tmp_path: Path
) -> None:
    (tmp_path / "example.json").write_bytes(GOLDEN.read_bytes())
    assert run_cli("leaderboard", "example.json", "--html", tmp_path / "site").code == 0
    again = (tmp_path / "site/example.html").read_text().split('<section id="again"')[1]
    assert (
        "<pre><code>superdef-bench run example.toml\n"
        "superdef-bench leaderboard runs/example -o .\n"
        "superdef-bench leaderboard example.json --html site\n</code></pre>"
    ) in again
    assert "<details>\n<summary>Resolved config, example.toml</summary>\n<pre><code>[run]" in again


def test_a_config_that_ends_the_block_stays_in_it() -> None:
    document = example()
    document["config"]["attacks"][0]["name"] = "```\n</details><script>"
    results = Results.of(document)
    page = leaderboard(results, rank(results))
    fold = page.split("<details>")[1].split("\n</details>")[0]
    assert fold.count("````") == 2
    assert '"```\\U0000000a</details><script>" = { plugin = "fgsm" }' in fold
