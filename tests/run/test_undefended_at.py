"""The undefended classifier at another size, below the ranking."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from superdef_bench import load_dataset, load_model
from superdef_bench.results.load import load_results
from tests.support.commands import Answer

CONFIG = """
[run]
dataset = {{ plugin = "{dataset}", size = 32 }}
model = "signs_resnet8"
limit = 40
batch_size = 16
masking = 0
undefended_at = {size}
[attacks]
fgsm = {{ rungs = ["gray_box"] }}
[defenses]
bicubic_x2 = {{}}
"""


def test_it_stands_below_the_ranking_and_is_no_row(
    run_cli: Callable[..., Answer], config: Callable[[str], Path]
) -> None:
    answer = run_cli("run", config(CONFIG.format(dataset="signs", size=48)))
    assert answer.code == 0, answer.err
    results = load_results(Path("runs/tiny"))
    found = results.undefended_at
    assert found is not None
    images, labels = load_dataset("signs", size=48).load(range(40))
    with torch.no_grad():
        right = int((load_model("signs_resnet8")(images).argmax(1) == labels).sum())
    assert (found.n, found.correct, found.shape) == (40, right, [3, 48, 48])
    assert set(results.defenses) == {"none", "bicubic_x2 (native)"}
    line = f"outside the ranking: undefended at 48x48 {100 * right / 40:.1f} ("
    assert line in " ".join(answer.out.split())
    assert line in Path("runs/tiny/tiny.md").read_text()
    assert "undefended_at = 48" in Path("runs/tiny/tiny.md").read_text()
    again = run_cli("leaderboard", "runs/tiny", "--html", "site")
    assert again.code == 0, again.err
    assert "undefended at 48x48" in next(Path("site").rglob("tiny.html")).read_text()


def test_without_it_results_say_nothing(
    run_cli: Callable[..., Answer], config: Callable[[str], Path]
) -> None:
    text = CONFIG.format(dataset="signs", size=48).replace("undefended_at = 48\n", "")
    assert run_cli("run", config(text), "--limit", "4").code == 0
    assert "undefended_at" not in json.loads(Path("runs/tiny/results.json").read_text())
    assert "outside the ranking" not in Path("runs/tiny/tiny.md").read_text()


PLUGIN = """
from torch import nn

from superdef_bench import hookimpl, load_dataset

class Plain:
    def __init__(self):
        inner = load_dataset("signs")
        self.name, self.split, self.ids = "plain", "test", inner.ids
        self.num_classes, self.class_names = 20, inner.class_names
        self.sha256, self.load = inner.sha256, inner.load

class Shrinking(Plain):
    def __init__(self, *, size=32):
        super().__init__()
        self.ids = self.ids[:size]

class Cut(Plain):
    def __init__(self, *, size=32, crop=0):
        super().__init__()

@hookimpl
def register_datasets():
    return {"plain": Plain, "shrinking": Shrinking, "cut": Cut}

@hookimpl
def register_models():
    return {"fixed": lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 20))}
"""


@pytest.mark.parametrize(
    ("dataset", "size", "message"),
    [
        ('{ plugin = "signs", size = 32 }', 0, "undefended_at is 0"),
        ('{ plugin = "signs", size = 32 }', '"large"', "undefended_at is 'large'"),
        ('{ plugin = "signs", size = 32 }', 32, "undefended_at is 32: the images have that size"),
        ('{ plugin = "signs", size = 32 }', 1025, "line 8: undefended_at is 1025: signs of 1025"),
        ('{ plugin = "cut", size = 40, crop = 32 }', 48, "undefended_at is 48, and crop is 32"),
        ('"plain"', 48, "line 8: undefended_at is 48, and dataset 'plain' takes no size"),
        ('{ plugin = "shrinking", size = 40 }', 48, "there are other images at that size"),
    ],
)
def test_what_cannot_be_is_one_line(
    run_cli: Callable[..., Answer],
    config: Callable[[str], Path],
    plugin_folder: Callable[..., Path],
    dataset: str,
    size: object,
    message: str,
) -> None:
    text = CONFIG.format(dataset="signs", size=size)
    text = text.replace('{ plugin = "signs", size = 32 }', dataset)
    answer = run_cli("run", config(text), "--plan", "--plugins-dir", plugin_folder(PLUGIN))
    assert answer.code == 2
    assert message in answer.err


def test_a_classifier_of_one_size_is_refused_before_anything_runs(
    run_cli: Callable[..., Answer],
    config: Callable[[str], Path],
    plugin_folder: Callable[..., Path],
) -> None:
    text = CONFIG.format(dataset="signs", size=48).replace('"signs_resnet8"', '"fixed"')
    answer = run_cli("run", config(text), "--plugins-dir", plugin_folder(PLUGIN))
    assert answer.code == 2
    assert "line 8: undefended_at is 48: model 'fixed' cannot take the images" in answer.err
    assert not Path("runs/tiny/records").exists()
