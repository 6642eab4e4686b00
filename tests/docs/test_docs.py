"""The documents say what the code does."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import typer.main

from superdef_bench.benchmark.config import load_config
from superdef_bench.cli.app import app
from superdef_bench.core.arguments import flags_of
from superdef_bench.core.fingerprint import tensors
from superdef_bench.core.loader import load_plugins
from superdef_bench.core.plugins import Kind
from superdef_bench.measure.networks import networks_of
from superdef_bench.run.record_file import SCHEMA
from tests.support.commands import Answer
from tests.support.fake_torchattacks import write_fake

_ROOT = Path(__file__).parents[2]
_PAGES = [_ROOT / "README.md", _ROOT / "SECURITY.md", *sorted((_ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def test_the_readme_shows_rows_of_the_published_ranking() -> None:
    readme = (_ROOT / "README.md").read_text()
    board = (_ROOT / "leaderboards/signs-ladder.md").read_text()
    head, line, *published = board.split("## Ranking")[1].split("\n\n")[1].splitlines()
    shown = readme.split("<!-- rows of leaderboards/signs-ladder.md -->\n")[1]
    above, below, *rows = shown.split("<!-- end -->")[0].strip().splitlines()
    assert (above, below) == (head, line)
    assert rows == [row for row in published if row in rows]
    assert len(rows) == 6
    assert f"Six of the {({11: 'eleven'})[len(published)]} rows" in readme


@pytest.mark.ci
def test_the_classifier_of_the_readme_runs(tmp_path: Path) -> None:
    (code,) = (each for each in blocks(_ROOT / "README.md", "python") if "evaluate_model" in each)
    (tmp_path / "mine.py").write_text(code.replace("limit=32", "limit=4"))
    done = subprocess.run(
        [sys.executable, "mine.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "| median |" in done.stdout
    assert (tmp_path / "my_leaderboard/evaluation.md").exists()


def test_the_published_results_are_those_of_their_configs() -> None:
    for path in sorted((_ROOT / "leaderboards").glob("*.json")):
        document = json.loads(path.read_text())
        if "quality" in document:
            continue
        config = load_config(_ROOT / "configs" / f"{path.stem}.toml")
        assert document["dataset"]["images"] == config.limit
        attacked = [name.split(" (")[0] for name in document["attacks"]]
        assert attacked == [attack.name for attack in config.attacks]
        shown = [name.split(" (")[0] for name in document["defenses"]]
        assert shown == [defense.name for defense in config.defenses]


def test_the_published_quality_is_that_of_the_shipped_weights() -> None:
    document = json.loads((_ROOT / "leaderboards/super-resolution-x2.json").read_text())
    words = [name.split(" (")[0] for name in document["networks"]]
    networks = networks_of(words, document["scale"], torch.device("cpu"))
    assert len(words) == 5
    for (name, facts), transform in zip(
        document["networks"].items(), networks.values(), strict=True
    ):
        assert facts["weights_sha256"] == tensors(transform.state_dict()), name


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_lead_somewhere() -> None:
    for page in _PAGES:
        for target, anchor in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", page.read_text()):
            if target.startswith("http"):
                continue
            file = page.parent / target if target else page
            assert file.exists(), f"{page.name}: {target}"
            if anchor:
                assert anchor in anchors(file), f"{page.name}: {target}#{anchor}"


def test_commands_have_the_verbs_and_options_that_the_documents_use() -> None:
    verbs = typer.main.get_command(app).commands  # type: ignore[attr-defined]  # it is a group
    registry, seen = load_plugins(), 0
    for page in _PAGES:
        for line in "\n".join(blocks(page, "sh")).splitlines():
            words = line.split("#")[0].split()
            if not words or words[0] != "superdef-bench" or words[1] == "--install-completion":
                continue
            verb = verbs[words[1]]
            if hasattr(verb, "commands"):  # a group, such as verify
                verb = verb.commands[words[2]]
            options = {name for p in verb.params for name in p.opts} | {"--help"}
            kind: Kind = "recipe" if words[1] == "train" else "defense"
            if words[1] in ("train", "apply") and words[2] in registry.plugins[kind]:
                built = registry.get(kind, words[2])
                takes = built.factory if kind == "defense" else built.build().train
                options |= {flag.word for flag in flags_of(takes)}
            used = {word.split("=")[0] for word in words if word.startswith("-")}
            assert used <= options, f"{page.name}: {line}"
            seen += 1
    assert seen > 8


@pytest.mark.parametrize("page", ["README.md", "docs/plugins.md"])
def test_the_plugins_of_the_documents_keep_their_contract(
    page: str, run_cli: Callable[..., Answer], tmp_path: Path
) -> None:
    (tmp_path / "my_plugins").mkdir()
    written = [code for code in blocks(_ROOT / page, "python") if code.startswith("# my_plugins/")]
    assert written
    for code in written:
        (tmp_path / code.split("\n")[0].removeprefix("# ")).write_text(code)
    names = re.findall(r'return \{"(\w+:?)": \w+\}', "".join(written))
    assert len(names) == len(written)
    # Of a family one member.
    names = [f"{name}sharpen" if name.endswith(":") else name for name in names]
    answer = run_cli("check", *names, "--brief", "--plugins-dir", "my_plugins")
    assert answer.code == 0, answer.out


def test_the_example_config_is_valid(tmp_path: Path) -> None:
    (text,) = blocks(_ROOT / "docs/config.md", "toml")
    (tmp_path / "example.toml").write_text(text)
    config = load_config(tmp_path / "example.toml")
    assert len(config.attacks) == 4
    assert config.defenses[-1].chain


def test_the_schema_page_names_every_column() -> None:
    page = (_ROOT / "docs/results-format.md").read_text()
    document = json.loads((_ROOT / "tests/golden/example.json").read_text())
    rows = {key for row in document["accuracy"] for key in row} - {"cell"}
    facts = {key for defense in document["defenses"].values() for key in defense}
    for name in {*SCHEMA.names, *document, *rows, *facts, *document["cost"][0]}:
        assert re.search(rf"`{name}`", page), name


def test_the_results_page_shows_what_its_commands_print(run_cli: Callable[..., Answer]) -> None:
    page = (_ROOT / "docs/results.md").read_text()
    found = re.findall(r"<!-- ((?:summary|versus) .*?) -->\n(.*?)<!-- end -->", page, re.S)
    assert {command.split()[0] for command, _ in found} == {"summary", "versus"}
    for command, shown in found:
        words = [str(_ROOT / w) if w.startswith("leaderboards/") else w for w in command.split()]
        assert run_cli(*words, "--markdown").out == shown, f"superdef-bench {command} --markdown"


# What the page's blocks for other libraries need, of which no network is asked.
_BEFORE = """
import numpy, pytest, torch
from pathlib import Path
from superdef_bench import load_defense, load_model
from tests.support.cifar10 import write_cifar10

pixels = numpy.random.default_rng(0).integers(64, 192, (4, 32, 32, 3), dtype=numpy.uint8)
blurred = load_defense("gaussian_blur").transform(torch.tensor(pixels).permute(0, 3, 1, 2) / 255)
labels = load_model("cifar10_jpeg_resnet20")(blurred).argmax(dim=1).tolist()
write_cifar10(Path("data"), pixels, labels, pytest.MonkeyPatch())
"""


def run_page(folder: Path, environment: dict[str, str], site: Path) -> str:
    """Run all blocks of the page in a folder, with the packages of another one, in a process."""
    page = blocks(_ROOT / "docs/python.md", "python(?: torchattacks| robustbench)?")
    (folder / "page.py").write_text("\n".join([_BEFORE, *page]))
    done = subprocess.run(
        [sys.executable, "page.py"],
        cwd=folder,
        env={**environment, "PYTHONPATH": f"{_ROOT}{os.pathsep}{site}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for words in ("white box", "adaptive", "median", "gray_box", "foolbox, exact fooled 0.00"):
        assert words in done.stdout
    assert re.search(r"^torchattacks, fooled 0\.[1-9]", done.stdout, re.M)
    assert re.search(r"^RobustBench, clean 1.00, robust 0\.[0-5]", done.stdout, re.M)
    return done.stdout


@pytest.mark.ci
def test_the_python_page_runs_from_top_to_bottom(
    tmp_path: Path, quiet_environment: dict[str, str]
) -> None:
    run_page(tmp_path, quiet_environment, write_fake(tmp_path / "site"))


@pytest.mark.slow
def test_the_python_page_runs_with_torchattacks_itself(
    tmp_path: Path, quiet_environment: dict[str, str], real_library: Path
) -> None:
    run_page(tmp_path, quiet_environment, real_library)
