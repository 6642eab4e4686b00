"""`superdef-bench new`: what it writes works as it stands, and says what to do next."""

import inspect
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
import typer.main

from superdef_bench.cli.app import app
from superdef_bench.cli.scaffold import write_plugin
from superdef_bench.core import hookspecs
from superdef_bench.core.loader import load_plugins
from superdef_bench.core.plugins import KINDS
from superdef_bench.core.shipped import shipped
from tests.support.commands import Answer, records

FROM = ["--plugins-dir", "my_plugins"]
RUN = """
[run]
dataset = { plugin = "striped", images = 40 }
model = { plugin = "flat", classes = 2, path = "out/teach.safetensors" }
limit = 8
batch_size = 8

[attacks]
push = { steps = 2 }

[defenses]
fade = { strength = 0.2 }
"""


def test_a_new_plugin_of_every_kind_keeps_its_contract_and_can_be_used(
    run_cli: Callable[..., Answer], config: Callable[..., Path]
) -> None:
    names = ["push", "fade", "flat", "striped", "teach"]
    for kind, name in zip(KINDS, names, strict=True):
        answer = run_cli("new", kind, name)
        assert answer.code == 0, answer.err
        text = Path(f"my_plugins/{name}.py").read_text()
        assert f'return {{"{name}": {name.capitalize()}}}' in text
        assert "my_" not in text
        assert f"My{kind.capitalize()}" not in text
    checked = run_cli("check", *names, "--brief", *FROM)
    assert checked.code == 0, checked.out
    assert [line.split()[0] for line in checked.out.splitlines()] == ["ok"] * 5

    flags = ["--steps", 60, "--images", 120]
    trained = run_cli("train", "teach", "--data", "striped", "-o", "out", *flags, *FROM)
    assert trained.out.split() == ["out/teach.safetensors", "out/teach.json"], trained.err
    assert json.loads(Path("out/teach.json").read_text())["test"]["accuracy"] > 0.9

    ran = run_cli("run", config(RUN), "-o", "run", *FROM)
    assert ran.code == 0, ran.err
    cells = {(row["defense"], row["attack"]) for row in records(Path("run"))}
    assert {("fade", "push"), ("none", "push")} <= cells


@pytest.mark.parametrize("kind", KINDS)
def test_it_prints_the_file_and_the_commands_to_copy(
    run_cli: Callable[..., Answer], kind: str
) -> None:
    answer = run_cli("new", f"{kind}s", f"my_{kind}")
    assert (answer.code, answer.err) == (0, "")
    assert max(map(len, answer.out.splitlines())) <= 80
    path, *rest = answer.out.replace("\\\n", "").splitlines()
    assert Path(path) == Path(f"my_plugins/my_{kind}.py")
    check, use = (line for line in rest if not line.startswith("#"))
    assert run_cli(*shlex.split(check)[1:]).code == 0
    words = shlex.split(use)
    verb = typer.main.get_command(app).commands[words[1]]  # type: ignore[attr-defined]  # it is a group
    options = {name for p in verb.params for name in p.opts} | {"--epochs"}
    assert {word for word in words if word.startswith("-")} <= options


def test_the_built_in_folder_needs_no_flag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = shipped("plugins") / "defenses"
    written: list[Path] = []
    monkeypatch.setattr(
        "superdef_bench.cli.scaffold.write_atomically", lambda path, text: written.append(path)
    )
    _, commands = write_plugin("defense", "fade", folder)
    assert written == [folder / "fade.py"]
    assert commands == ["superdef-bench check fade", "superdef-bench run quickstart -d fade"]


def test_templates_are_no_plugins() -> None:
    for kind in KINDS:
        assert (shipped("plugins") / f"{kind}s" / "_template.py").is_file()
    assert not [plugin.name for plugin in load_plugins() if plugin.name.startswith("my_")]


@pytest.mark.parametrize(
    ("kind", "name", "message", "hint"),
    [
        ("defence", "a", "unknown kind 'defence'", "did you mean 'defense'?"),
        ("defense", "My-Defense", "name 'My-Defense' has more", "such as my_defense"),
        ("defense", "_a", "name '_a' has more than a to z", "such as a"),
        ("model", "3d", "name '3d' has more", "such as my_model"),
        ("defense", "../a", "name '../a' has more", "such as a"),
        ("defense", "fädé", "name 'fädé' has more", "such as f_d"),
        ("defense", "class", "name 'class' is a word of Python", "such as my_class"),
        ("model", "none", "name 'none' is a word of Python", "such as my_none"),
        ("attack", "tensor", "name 'tensor' would hide Tensor", "such as my_tensor"),
        ("defense", "jpeg", "there is a defense 'jpeg' already: built-in", "another name"),
    ],
)
def test_a_name_that_cannot_be_used_is_one_line_and_a_hint(
    run_cli: Callable[..., Answer], kind: str, name: str, message: str, hint: str
) -> None:
    answer = run_cli("new", kind, name)
    assert (answer.code, answer.out) == (2, "")
    first, second = answer.err.splitlines()
    assert message in first
    assert hint in second
    assert not Path("my_plugins").exists()


def test_a_name_that_another_kind_has_is_free(run_cli: Callable[..., Answer]) -> None:
    assert run_cli("new", "model", "jpeg").code == 0
    assert run_cli("check", "jpeg", "--brief", *FROM).code == 0


def test_a_file_that_is_there_or_a_folder_that_cannot_be_written_is_refused(
    run_cli: Callable[..., Answer],
) -> None:
    Path("my_plugins").mkdir()
    Path("my_plugins/fade.py").write_text("mine\n")
    answer = run_cli("new", "defense", "fade")
    assert answer.code == 2
    assert "my_plugins/fade.py exists already\nhint: choose another name" in answer.err
    assert Path("my_plugins/fade.py").read_text() == "mine\n"
    answer = run_cli("new", "defense", "other", "-o", "my_plugins/fade.py")
    assert (answer.code, answer.out) == (2, "")
    assert "cannot be written" in answer.err
    assert len(answer.err.splitlines()) == 2


def test_the_guide_names_every_hook_by_its_exact_signature(repository: Path) -> None:
    written = re.findall(
        r"^### `(register_.*)`$", (repository / "docs/plugins.md").read_text(), re.MULTILINE
    )
    hooks = [f for f in vars(hookspecs).values() if getattr(f, "__name__", "")[:9] == "register_"]
    signatures = [inspect.signature(hook) for hook in hooks]
    told = [
        f"{hook.__name__}{s.replace(return_annotation=s.empty)} -> {s.return_annotation}"
        for hook, s in zip(hooks, signatures, strict=True)
    ]
    assert len(told) == len(KINDS)
    assert sorted(written) == sorted(told)
