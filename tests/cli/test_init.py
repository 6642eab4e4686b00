"""A shipped config is copied to start from, and means the same wherever it stands."""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from superdef_bench.benchmark.config import load_config, shipped_configs
from tests.support.commands import Answer, records

Run = Callable[..., Answer]


def test_without_a_name_all_are_listed_with_what_they_say_of_themselves(run_cli: Run) -> None:
    answer = run_cli("init")
    assert answer.code == 0
    for name in shipped_configs():
        assert f"│ {name} " in answer.out
    words = " ".join(answer.out.replace("│", " ").split())
    assert "ladder Every level of attacker knowledge on a few traffic signs " in words
    assert "The attacks of Mustafa et al. (IEEE TIP 2020) on traffic signs, with their" in words
    assert "superdef-bench init NAME" in words


def test_a_copy_runs_as_it_stands(run_cli: Run, tmp_path: Path) -> None:
    answer = run_cli("init", "quickstart", "-o", "own/mine.toml")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == "own/mine.toml\nsuperdef-bench run own/mine.toml --plan\n"
    done = run_cli("run", "own/mine.toml", "--limit", 2, "-d", "jpeg", "-a", "fgsm")
    assert done.code == 0, done.err
    assert len({row["image_id"] for row in records(tmp_path / "runs" / "mine")}) == 2


@pytest.mark.parametrize("name", shipped_configs())
def test_every_copy_means_what_the_shipped_one_means(
    run_cli: Run, tmp_path: Path, name: str
) -> None:
    assert run_cli("init", name).code == 0
    copy = load_config(tmp_path / f"{name}.toml")
    assert copy == load_config(shipped_configs()[name])


def test_examples_beside_the_shipped_configs_are_found_from_a_copy(run_cli: Run) -> None:
    run_cli("init", "gate", "-o", "mine.toml")
    plan = run_cli("run", "mine.toml", "--plan", "-d", "jpeg", "-a", "replay", "--limit", 2)
    assert plan.code == 0, plan.err
    assert "replay" in plan.out


def test_what_is_there_is_replaced_by_force_alone(run_cli: Run, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("mine")
    answer = run_cli("init", "ladder", "-o", path)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == (
        f"error: {path} exists already\nhint: choose another file, or add --force\n"
    )
    assert path.read_text() == "mine"
    assert run_cli("init", "ladder", "-o", path, "--force").code == 0
    assert path.read_bytes() == shipped_configs()["ladder"].read_bytes()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["laddr"], "unknown config 'laddr'\nhint: did you mean 'ladder'?"),
        (["ladder", "-o", "results.toml"], "a benchmark cannot be called 'results'"),
    ],
)
def test_what_cannot_be_copied_is_one_line(run_cli: Run, words: list[str], message: str) -> None:
    answer = run_cli("init", *words)
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err


def shell(*words: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "superdef_bench", *words],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_completion_is_installed_into_the_home_of_the_shell(tmp_path: Path) -> None:
    # Which shell it is for, is seen by the process that started it.
    command = f"{shlex.quote(sys.executable)} -m superdef_bench --install-completion; exit $?"
    done = subprocess.run(
        ["bash", "-c", command],
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "bash completion installed" in done.stdout
    scripts = [file for file in tmp_path.rglob("*") if file.name == "superdef-bench.sh"]
    assert "_SUPERDEF_BENCH_COMPLETE=complete_bash" in scripts[0].read_text()
    assert str(scripts[0]) in (tmp_path / ".bashrc").read_text()


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("superdef-bench in", ["init"]),
        ("superdef-bench run signs-l", ["signs-ladder", "signs-linf"]),
        ("superdef-bench init qui", ["quickstart"]),
        ("superdef-bench run ladder --rung w", ["white_box"]),
        ("superdef-bench run ladder --norm l", ["linf", "l2"]),
    ],
)
def test_what_the_shell_offers(typed: str, offered: list[str]) -> None:
    last = str(len(typed.split()) - 1)
    asked = {"_SUPERDEF_BENCH_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": last}
    assert shell(**asked).split() == offered
