"""The action runs as a runner would run it: its scripts in bash, its inputs in the environment."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from superdef_bench.benchmark.build import build
from superdef_bench.benchmark.config import load_config
from superdef_bench.core.loader import load_plugins
from superdef_bench.run.plan import make_plan
from superdef_bench.run.runner import run
from tests.support.documents import write
from tests.support.gate_documents import NOTHING, document, right, saved

pytestmark = pytest.mark.ci

_ROOT = Path(__file__).parents[2]
_ACTION = _ROOT / ".github/actions/gate/action.yml"
_YAML = [_ACTION, *sorted((_ROOT / ".github/workflows").glob("*.yml"))]


def loaded(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text())
    return found


def steps_of(path: Path) -> list[dict[str, Any]]:
    found = loaded(path)
    jobs = [found["runs"]] if "runs" in found else found["jobs"].values()
    return [step for job in jobs for step in job["steps"]]


@pytest.mark.parametrize("path", _YAML, ids=lambda path: path.name)
def test_nothing_is_pasted_into_a_script_and_every_action_is_pinned(path: Path) -> None:
    for step in steps_of(path):
        assert "${{" not in step.get("run", "")
        uses = step.get("uses", "./")
        assert uses.startswith("./") or re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", uses)
    if "jobs" in loaded(path):
        assert loaded(path)["permissions"] == {"contents": "read"}


def test_the_workflow_gives_inputs_that_the_action_has() -> None:
    inputs = loaded(_ACTION)["inputs"]
    (given,) = (
        step["with"]
        for step in steps_of(_ROOT / ".github/workflows/gate.yml")
        if step.get("uses") == "./.github/actions/gate"
    )
    assert given.keys() <= inputs.keys()
    assert {name for name, facts in inputs.items() if facts.get("required")} <= given.keys()
    for name in ("config", "baseline"):
        assert (_ROOT / given[name]).is_file()


Job = Callable[..., tuple[int, str, dict[str, str]]]


@pytest.fixture
def job(tmp_path: Path, quiet_environment: dict[str, str]) -> Job:
    """Return a function that runs the action: exit code, summary and outputs."""
    programs = tmp_path / "bin"
    programs.mkdir()
    program = programs / "superdef-bench"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m superdef_bench "$@"\n')
    program.chmod(0o755)
    (tmp_path / "tiny.toml").write_text(NOTHING.replace("limit = 64", "limit = 2"))

    def answer(**inputs: str) -> tuple[int, str, dict[str, str]]:
        action = loaded(_ACTION)
        values = {name: facts.get("default", "") for name, facts in action["inputs"].items()}
        values |= {name.replace("_", "-"): value for name, value in inputs.items()}
        assert values.keys() == action["inputs"].keys()
        summary, outputs = tmp_path / "summary.md", tmp_path / "outputs"
        summary.write_text("")
        outputs.write_text("")
        written: dict[str, str] = {}
        for step in action["runs"]["steps"]:
            if "run" not in step or step["name"] == "Install":
                continue
            env = {name: _filled(value, values, written) for name, value in step["env"].items()}
            done = subprocess.run(
                ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
                cwd=tmp_path,
                env={
                    **quiet_environment,
                    **env,
                    "PATH": f"{programs}:{os.environ['PATH']}",
                    "PYTHONPATH": str(_ROOT),
                    "GITHUB_STEP_SUMMARY": str(summary),
                    "GITHUB_OUTPUT": str(outputs),
                },
                capture_output=True,
                text=True,
                check=False,
            )
            written |= dict(line.split("=", 1) for line in outputs.read_text().splitlines())
            if step["name"] == "Verdict":
                return done.returncode, summary.read_text(), written
            assert done.returncode == 0, done.stderr
        raise AssertionError("the action has no verdict")

    return answer


def _filled(text: str, inputs: dict[str, str], outputs: dict[str, str]) -> str:
    """Return the value of an expression as the runner would put it into the environment."""
    (kind, name) = re.findall(r"\$\{\{ (inputs|steps\.gate\.outputs)\.([\w-]+) \}\}", text)[0]
    return inputs[name] if kind == "inputs" else outputs[name]


def test_a_job_passes_fails_and_says_why(job: Job, tmp_path: Path) -> None:
    built = build(load_config(tmp_path / "tiny.toml"), load_plugins(), torch.device("cpu"))
    run(built, make_plan(built), tmp_path / "first", command="")
    out = "runs/$(touch pwned) `touch pwned`"
    code, summary, written = job(
        config="tiny.toml", baseline="first", fail_on="latency:off", out=out
    )
    assert (code, written) == (0, {"code": "0", "results": f"{out}/results.json"})
    assert summary.startswith("## PASS: ")
    assert "<testsuite" in (tmp_path / out / "gate.xml").read_text()

    made = json.loads((tmp_path / "first/results.json").read_text())
    made["defenses"]["`x` $(touch pwned)"] = made["defenses"]["none"]
    write(tmp_path / "baseline.json", made)
    code, summary, written = job(
        config="tiny.toml",
        baseline="baseline.json",
        fail_on="clean:2\naccuracy:3\nlatency:off",
        out=out,
    )
    assert (code, written["code"]) == (1, "1")
    assert summary.startswith("## FAIL: ")
    assert "the results have no such defense" in summary
    assert not list(tmp_path.rglob("pwned"))


def test_a_config_that_cannot_run_is_no_pass(job: Job, tmp_path: Path) -> None:
    saved(tmp_path, "baseline", document({("none", "", "none"): right(8, 8)}))
    code, summary, _ = job(config="gone.toml", baseline="baseline.json")
    assert code == 2
    assert summary.startswith("## Could not answer\n\n    error: config gone.toml cannot be read")
