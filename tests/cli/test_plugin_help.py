"""Help of one recipe or defense, read from its signature and docstring; the page of training."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
import typer.main

from superdef_bench.cli.app import app
from superdef_bench.cli.plugin_help import described_arguments, prose
from superdef_bench.core.arguments import RESERVED, flags_of
from superdef_bench.core.loader import load_plugins
from superdef_bench.training.train import read_settings
from tests.support.commands import Answer

SHOWN = '''
from typing import Literal
from superdef_bench import hookimpl

class Shown:
    """Show what help makes of a recipe.

    Nothing is trained,
    and nothing is read.
    """

    def train(self, task, *, data, out, device, resume, weights: str, steps: int = 8,
              lr: float = 1e-3, schedule: Literal["one_cycle", "cosine"] = "one_cycle",
              precision: Literal["auto", "float32", "bfloat16"] = "auto", teacher: str = "",
              width: int | None = None, quick: bool = False, careful: bool = True):
        """Do nothing.

        Args:
            task: Hidden.
            weights: A file: an [unusual] one.
            steps: Optimiser steps,
                at least one.
            teacher: Weights; `""` for none.

        Returns:
            steps: no argument.
        """

@hookimpl
def register_recipes():
    return {"shown": Shown}
'''
Run = Callable[..., Answer]
_ROOT = Path(__file__).parents[2]


def refused(answer: Answer) -> str:
    assert (answer.code, answer.out) == (2, "")
    assert 1 <= len(answer.err.splitlines()) <= 2
    return answer.err


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_of_a_recipe_shows_what_it_is_and_its_flags(
    run_cli: Run, plugin_folder: Callable[..., Path], flag: str
) -> None:
    answer = run_cli("train", "shown", "--steps", "3", flag, "--plugins-dir", plugin_folder(SHOWN))
    assert answer.code == 0
    assert max(map(len, answer.out.splitlines())) <= 80
    usual, own = answer.out.split("Show what help makes of a recipe.")
    assert "Folder; by default runs/train-<recipe>." in usual
    text = " ".join(own.replace("│", " ").split())
    assert text.startswith("Nothing is trained, and nothing is read. Do nothing. ")
    assert "Flags of recipe 'shown'" in text
    assert "--weights TEXT required A file: an [unusual] one." in text
    assert "--steps INTEGER 8 Optimiser steps, at least one. --lr FLOAT 0.001" in text
    assert "--schedule one_cycle|cosine one_cycle" in text
    assert "--precision auto|float32| auto bfloat16" in text
    assert '--teacher TEXT "" Weights; "" for none. --width INTEGER|none none' in text
    assert "--quick false --careful =false true" in text
    assert "no argument" not in text
    assert "Hidden" not in text
    assert "--resume" not in own


def test_help_of_a_defense_shows_its_arguments(run_cli: Run) -> None:
    answer = run_cli("apply", "nearest_x2", "--help")
    own = answer.out.split("Nearest-neighbour enlargement.")[1]
    text = " ".join(own.replace("│", " ").split())
    assert "--scale INTEGER 2 Factor of each way." in text  # told by the class it is made from
    assert "--output native| native What becomes of a new size. resize_back" in text
    assert "has no flags of its own" in run_cli("apply", "none", "--help").out


def test_help_of_a_plugin_that_is_not_there_is_an_error(run_cli: Run) -> None:
    assert "did you mean 'classifier'?" in refused(run_cli("train", "clasifier", "--help"))
    assert "did you mean 'wavelet'?" in refused(run_cli("apply", "wavelett", "-h"))
    assert "folder" in refused(run_cli("train", "echo", "-h", "--plugins-dir", "nowhere"))


@pytest.mark.parametrize("recipe", ["edsr", "rcan", "superdef", "superdef_no_kd", "classifier"])
def test_every_flag_of_a_recipe_is_described(run_cli: Run, recipe: str) -> None:
    function = load_plugins().get("recipe", recipe).build().train
    answer = run_cli("train", recipe, "--help")
    assert max(map(len, answer.out.splitlines())) <= 80
    for flag in flags_of(function, reserved=RESERVED):
        assert re.search(rf"^│ {flag.word} .* [A-Z0-9a-z]", answer.out, re.MULTILINE), flag
        assert described_arguments(function)[flag.name], flag


def test_docstrings_give_prose_and_arguments() -> None:
    def function() -> None:
        """Do this.

        At length:
        over lines.

        Args:
            first: A word: with
                more: of it.
            second (int): Another.

            *rest: Others.

        Raises:
            third: No argument.
        """

    assert prose(function) == ["Do this.", "At length: over lines."]
    words = {"first": "A word: with more: of it.", "second": "Another.", "rest": "Others."}
    assert described_arguments(function) == words
    assert (prose(lambda: None), described_arguments(lambda: None)) == ([], {})


def words_of(page: Path) -> list[list[str]]:
    """Return the words of each command in the shell blocks of a page."""
    blocks = re.findall(r"^```sh\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.startswith("superdef-bench")]


def test_the_page_of_training_uses_flags_that_there_are() -> None:
    registry, verbs = load_plugins(), typer.main.get_command(app).commands  # type: ignore[attr-defined]  # it is a group
    commands = words_of(_ROOT / "docs/training.md")
    for _, verb, name, *words in commands:
        own = {option for p in verbs[verb].params for option in p.opts} | {"--help"}
        if verb == "train":
            train = registry.get("recipe", name).build().train
            own |= {flag.word for flag in flags_of(train, reserved=RESERVED)}
        else:
            own |= {flag.word for flag in flags_of(registry.get("defense", name).factory)}
        used = {word.split("=")[0] for word in words if word.startswith("-")}
        assert used <= own, words
    assert len(commands) > 8


def test_the_file_of_the_page_of_training_is_taken(tmp_path: Path) -> None:
    page = (_ROOT / "docs/training.md").read_text()
    text = next(t for t in re.findall(r"```toml\n(.*?)```", page, re.DOTALL) if "steps" in t)
    (tmp_path / "student.toml").write_text(text)
    recipe = load_plugins().get("recipe", "superdef_no_kd").build()
    choices, settings = read_settings(tmp_path / "student.toml", recipe)
    assert choices.data == "photographs"
    assert settings == {"steps": 4000, "batch_size": 8, "schedule": "cosine", "seed": 1}
