"""The black box: scores go out, and nothing else comes in or out."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from superdef_bench import InputTransform, load_model
from superdef_bench.core.rng import Random
from superdef_bench.core.transform import Protected, ScoresOnly
from superdef_bench.results.load import load_results
from tests.support.commands import CONFIG, Answer, records

Run = Callable[..., Answer]
Write = Callable[..., Path]


class Shifted(InputTransform):
    """Adds noise that belongs to an image."""

    stochastic = True

    def transform(self, x: Tensor, *, random: Random) -> Tensor:
        return (x + 0.1 * random.normal(*x.shape[1:])).clamp(0, 1)


class Darker(InputTransform):
    def __init__(self) -> None:
        super().__init__()
        self.share = nn.Parameter(torch.tensor(0.9))

    def transform(self, x: Tensor) -> Tensor:
        return x * self.share


def shown(stage: InputTransform) -> tuple[Protected, ScoresOnly]:
    protected = Protected([stage], load_model("signs_resnet8"))
    return protected, ScoresOnly(protected)


def test_autograd_gets_nothing() -> None:
    protected, box = shown(Darker())
    x = torch.rand(2, 3, 32, 32, requires_grad=True)
    logits = box(x)
    assert torch.equal(logits, protected(x.detach()).detach())
    assert not logits.requires_grad
    with pytest.raises(RuntimeError, match="does not require grad"):
        torch.autograd.grad(logits.sum(), x)


def test_a_forward_hook_sees_the_question_and_the_answer_only() -> None:
    _, box = shown(Darker())
    seen: list[str] = []
    for module in box.modules():
        module.register_forward_hook(lambda m, *_: seen.append(type(m).__name__))
    box(torch.rand(1, 3, 32, 32))
    assert seen == ["ScoresOnly"]
    assert not list(box.parameters())
    assert not list(box.buffers())


def test_a_global_hook_finds_no_tensor_with_a_graph() -> None:
    _, box = shown(Darker())
    graphs: list[bool] = []

    def look(module: nn.Module, given: Any, answer: Any) -> None:
        tensors = [t for t in (answer, *given) if isinstance(t, Tensor)]
        graphs.append(any(t.requires_grad for t in tensors))

    handle = nn.modules.module.register_module_forward_hook(look)
    try:
        box(torch.rand(1, 3, 32, 32, requires_grad=True))
    finally:
        handle.remove()
    # The hook of the box itself is given what the attacker asked; inside nothing is tracked.
    assert len(graphs) > 5
    assert not any(graphs[:-1])


def test_the_answer_and_the_question_belong_to_the_attacker() -> None:
    protected, box = shown(Darker())
    x = torch.rand(1, 3, 32, 32)
    before = x.clone()
    first = box(x)
    first.zero_()
    assert torch.equal(x, before)
    assert torch.equal(box(x), protected(x).detach())


def test_draws_belong_to_images() -> None:
    protected, box = shown(Shifted())
    x, ids = torch.rand(4, 3, 32, 32), torch.tensor([7, 8, 9, 10])
    with box.draws(ids, 3, "attack"):
        whole = box(x)
    assert whole.shape == (3, 4, 20)
    some = torch.tensor([3, 1])
    again = ScoresOnly(protected.view("exact"))
    with again.draws(ids[some], 3, "attack"):
        assert torch.allclose(again(x[some]), whole[:, some], atol=1e-4)


SPY = """
import torch
from superdef_bench import hookimpl

class Spy:
    norms = frozenset({"linf"})
    kind = "budget"
    access = "%s"
    batch_dependent = False

    def __call__(self, model, x, y, threat, context):
        logits = model(x.clone().requires_grad_())
        with open("spied.txt", "a") as file:
            inside = sum(1 for _ in model.modules()) - 1
            file.write(f"{context.goal} {logits.requires_grad} {inside} {context.eot}\\n")
        return x.clone()

@hookimpl
def register_attacks():
    return {"spy": Spy}
"""


@pytest.mark.parametrize("access", ["scores", "labels"])
def test_attacks_by_scores_or_labels_get_the_black_box(
    run_cli: Run, config: Write, plugin_folder: Callable[..., Path], access: str
) -> None:
    text = CONFIG.replace("fgsm = {}", "spy = {}").replace(
        'rungs = ["gray_box", "white_box", "bpda"]', 'rungs = ["black_box", "white_box"]'
    )
    answer = run_cli("run", config(text), "--plugins-dir", plugin_folder(SPY % access))
    assert answer.code == 0, answer.err
    told = Path("spied.txt").read_text().splitlines()
    # Two eps, on the bare classifier and behind the defense; nothing is replayed.
    assert told == ["verdict False 0 1"] * 4
    results = load_results(Path("runs/tiny"))
    why = {(row["rung"], row["why"]) for row in results.document["not_applicable"]}
    assert why == {("white_box", "no attack asks for gradients")}


@pytest.mark.slow
def test_square_stands_in_the_adaptive_worst_case(run_cli: Run, config: Write) -> None:
    text = CONFIG.replace("fgsm = {}", "fgsm = {}\nsquare = { queries = 60 }").replace(
        '"bpda"]', '"bpda", "black_box"]'
    )
    assert run_cli("run", config(text), "--limit", "16").code == 0
    results = load_results(Path("runs/tiny"))
    name, eps = "bicubic_x2 (native)", 8 / 255
    wanted = {"defense": name, "eps": eps}
    row = results.row(rung="black_box", attack="square", **wanted)
    worst = results.row(rung="adaptive", attack="worst", **wanted)
    assert row is not None
    assert worst is not None
    assert worst.correct <= row.correct
    queries = [
        r["forwards"]
        for r in records(Path("runs/tiny"))
        if (r["rung"], r["defense"]) == ("black_box", name)
    ]
    assert max(queries) <= 60
    assert all(r.backwards == 0 for r in results.rows(rung="black_box", defense=name))
    assert sum(worst.broken_by.values()) == worst.n
    assert worst.broken_by["standing"] == worst.correct
    assert json.dumps(results.document, allow_nan=False)
