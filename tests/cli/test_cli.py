"""The command line: help, speed, exit codes, and what it imports."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from superdef_bench import __version__
from tests.support.commands import Answer
from tests.support.pace import takes

VERBS = [
    *("", "run", "init", "show", "list", "check", "leaderboard", "train", "new", "apply"),
    *(
        "residual",
        "detections",
        "fits",
        "versus",
        "summary",
        "quality",
        "agreement",
        "cost",
        "verify",
        "reproduce",
        "compare",
        "examples",
    ),
    *("history", "verify autoattack", "verify submission"),
    *("bank", "bank ls", "bank verify", "bank export", "bank import"),
    *("data", "data prepare"),
]
GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.mark.parametrize("verb", VERBS)
def test_help_is_what_it_was(run_cli: Callable[..., Answer], verb: str) -> None:
    answer = run_cli(*verb.split(), "--help")
    shown = "\n".join(line.rstrip() for line in answer.out.strip().splitlines()) + "\n"
    file = GOLDEN / f"help_{verb.replace(' ', '_') or 'root'}.txt"
    assert answer.code == 0
    assert shown == file.read_text(), f"if that is meant, write it to {file}"


def child(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("verb", VERBS)
def test_help_starts_in_half_a_second_and_without_torch(verb: str) -> None:
    words = ["superdef-bench", *verb.split(), "--help"]
    code = f"""
import sys
sys.argv = {words!r}
from superdef_bench.cli import main
try:
    main()
finally:
    print(*(m for m in ("torch", "numpy", "pandas") if m in sys.modules), file=sys.stderr)
"""

    def started() -> None:
        assert child(code).stderr.strip() == ""

    assert takes(started, at_most=0.5)


@pytest.mark.parametrize(
    "words",
    [
        ("leaderboard", "-o", "."),
        ("leaderboard", "--html", "site"),
        ("versus", "none", "none"),
        ("summary", "--markdown"),
        ("compare", str(GOLDEN / "example.json")),
        ("history", "--svg", "history.svg"),
    ],
)
def test_what_reads_results_needs_no_torch_and_no_two_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    typed = ["superdef-bench", words[0], str(GOLDEN / "example.json"), *words[1:]]
    code = f"""
import sys
sys.argv = {typed!r}
from superdef_bench.cli import main
try:
    main()
finally:
    print("torch" in sys.modules, file=sys.stderr)
"""

    def read() -> None:
        assert child(code).stderr.strip() == "False"

    assert takes(read, at_most=2)


def test_importing_the_package_imports_nothing_heavy() -> None:
    heavy = "('torch', 'numpy', 'pluggy')"
    done = child(f"import superdef_bench, sys; print([m for m in {heavy} if m in sys.modules])")
    assert done.stdout == "[]\n"


def test_the_version_is_printed(run_cli: Callable[..., Answer]) -> None:
    assert run_cli("--version").out == f"superdef-bench {__version__}\n"


def test_usage_mistakes_exit_with_2(run_cli: Callable[..., Answer]) -> None:
    for words in (["run"], ["walk"], ["run", "x.toml", "--limit", "many"], ["leaderboard"]):
        answer = run_cli(*words)
        assert (answer.code, answer.out) == (2, "")
        assert "Usage:" in answer.err


def test_check_tells_good_from_broken(
    run_cli: Callable[..., Answer], plugin_folder: Callable[..., Path]
) -> None:
    good = run_cli("check", "jpeg", "attack:none", "dataset:signs", "--brief")
    assert good.code == 0
    assert [line.split()[:2] for line in good.out.splitlines()] == [
        ["ok", "defense:jpeg"],
        ["ok", "attack:none"],
        ["ok", "dataset:signs"],
    ]
    folder = plugin_folder(
        """
from superdef_bench import InputTransform, hookimpl
class Bad(InputTransform):
    def transform(self, x):
        return x.detach() + 1
@hookimpl
def register_defenses():
    return {"bad": Bad}
"""
    )
    bad = run_cli("check", "bad", "--plugins-dir", folder)
    assert bad.code == 1
    assert "broken   defense:bad" in bad.out
    assert "the limit is [0, 1]" in " ".join(bad.out.split())
    assert "autograd disagrees" in " ".join(bad.out.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["check"], "nothing to check"),
        (["check", "jpg"], "unknown plugin 'jpg'\nhint: did you mean 'jpeg'?"),
        (["check", "defence:jpeg"], "unknown kind 'defence'"),
        (["leaderboard", "nowhere"], "results nowhere cannot be read"),
        (["train", "clasifier"], "unknown recipe 'clasifier'\nhint: did you mean 'classifier'?"),
        (["train", "classifier", "--epoch", "3"], "has no flag '--epoch'"),
        (["train", "classifier", "--epochs"], "flag --epochs of recipe 'classifier' needs a value"),
        (["train", "classifier", "--epochs", "many"], "flag --epochs is 'many'"),
        (
            ["train", "classifier", "--data", "sings"],
            "no folder 'sings'\nhint: did you mean 'signs'?",
        ),
    ],
)
def test_mistakes_are_one_line_and_a_hint(
    run_cli: Callable[..., Answer], words: list[str], message: str
) -> None:
    answer = run_cli(*words)
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err
    assert len(answer.err.splitlines()) <= 2


def test_json_carries_no_colour(run_cli: Callable[..., Answer]) -> None:
    answer = run_cli("list", "--json")
    assert "\x1b" not in answer.out
    assert json.loads(answer.out)["broken"] == {}
