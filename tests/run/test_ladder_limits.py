"""What a ladder leaves out: rungs that do not apply, sources that are none, cells too slow."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from superdef_bench import load_defense, load_model
from superdef_bench.benchmark.build import build
from superdef_bench.benchmark.config import load_config
from superdef_bench.core.loader import load_plugins
from superdef_bench.core.threats import Rung
from superdef_bench.results.load import load_results
from superdef_bench.results.ranking import rank
from superdef_bench.results.schema import Results
from tests.support.commands import CONFIG, Answer
from tests.support.documents import untimed

Run = Callable[..., Answer]
Write = Callable[..., Path]

ALL = 'rungs = ["gray_box", "white_box", "bpda"]\n'
BICUBIC = "bicubic_x2 (native)"

PLUGINS = """
import copy
import torch
from torch import nn
import superdef_bench.benchmark.build
from superdef_bench import InputTransform, hookimpl, load_model

class Endpoint(nn.Module):
    differentiable = False

    def __init__(self):
        super().__init__()
        self.network = load_model("signs_resnet8")

    @torch.no_grad()
    def forward(self, x):
        return self.network(x)

class Sleepy(InputTransform):
    def transform(self, x):
        superdef_bench.benchmark.build.time.seconds += 10 * len(x)
        return x

class Wall:
    differentiable = False
    stochastic = False

    def protect(self, model, task):
        return copy.deepcopy(model)

@hookimpl
def register_models():
    return {"endpoint": Endpoint}

@hookimpl
def register_defenses():
    return {"sleepy": Sleepy, "wall": Wall}
"""


class Clock:
    """Only sleepy takes time, whatever else the machine does."""

    seconds = 0.0

    def perf_counter(self) -> float:
        return self.seconds


@pytest.fixture
def ladder(
    run_cli: Run, config: Write, plugin_folder: Write, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Answer]:
    """Return a function that runs a config with the plugins above."""
    folder = plugin_folder(PLUGINS)
    monkeypatch.setattr("superdef_bench.benchmark.build.time", Clock())
    return lambda text, *words: run_cli("run", config(text), "--plugins-dir", folder, *words)


def why_not(results: Results, defense: str) -> dict[str, str]:
    entries = results.document["not_applicable"]
    return {entry["rung"]: entry["why"] for entry in entries if entry["defense"] == defense}


def test_without_rungs_the_config_asks_for_all_six(run_cli: Run, config: Write) -> None:
    assert run_cli("run", config(CONFIG.replace(ALL, ""))).code == 0
    results = load_results(Path("runs/tiny"))
    assert results.document["rungs"] == [str(rung) for rung in Rung]
    assert why_not(results, BICUBIC) == {
        "transfer": "[transfer] names no other classifier",
        "surrogate": "[transfer] names no other defense",
        "black_box": "no attack asks for scores or labels",
    }


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ("surogates = []", "unknown key 'surogates' in [transfer]", "'surrogates'"),
        (
            'surrogates = "model:signs_resnet8"',
            "surrogates is 'model:signs_resnet8'",
            "surrogates = [",
        ),
        ('surrogates = ["rcan"]', "surrogate 'rcan' is no model: or defense:", "surrogates = ["),
        ('surrogates = ["model:"]', "surrogate 'model:' is no model: or", "surrogates = ["),
        ("surrogates = [3]", "surrogate 3 is no model: or defense:", "surrogates = ["),
        (
            'surrogates = ["model:signs_resnet8", "model:signs_resnet8"]',
            "'model:signs_resnet8' is named twice",
            "once",
        ),
        ('surrogates = ["defense:none"]', "is the undefended classifier", "gray_box"),
        ('surrogates = ["model:endpoind"]', "unknown model 'endpoind'", "did you mean 'endpoint'"),
        ('surrogates = ["defense:jpg"]', "unknown defense 'jpg'", "did you mean 'jpeg'"),
        ('surrogates = ["defense:wall"]', "'defense:wall' has no gradient", "input transform"),
        ('surrogates = ["model:endpoint"]', "'model:endpoint' gives no gradient", "that does"),
        ('surrogates = ["model:autoattack_example"]', "has 10 classes", "for this dataset"),
    ],
)
def test_errors_of_transfer_are_one_line(
    ladder: Callable[..., Answer], line: str, message: str, hint: str
) -> None:
    answer = ladder(CONFIG + f"\n[transfer]\n{line}\n")
    assert (answer.code, answer.out) == (2, "")
    said, remedy = answer.err.splitlines()
    assert said.startswith("error: ")
    assert message in said
    assert remedy.startswith("hint: ")
    assert hint in remedy


def test_cells_that_take_too_long_are_refused(ladder: Callable[..., Answer]) -> None:
    text = CONFIG.replace("limit = 8", "limit = 4").replace("bicubic_x2", "sleepy = {}\nbicubic_x2")
    text = text.replace("masking = 0", "masking = 0\ncell_seconds = 1")
    answer = ladder(text)
    assert answer.code == 0, answer.err
    results = load_results(Path("runs/tiny"))
    refused = {(e["defense"], e["rung"], e["eps"]) for e in results.document["refused"]}
    known = ("white_box", "bpda")
    assert refused == {("sleepy", rung, eps) for rung in known for eps in (2 / 255, 8 / 255)}
    # Four images, two forwards and a backward that counts as two, ten seconds each.
    whys = {entry["why"] for entry in results.document["refused"]}
    assert whys == {"refused: up to 3 min, cell_seconds is 1"}
    assert results.document["failures"] == []
    assert {r.rung for r in results.rows(defense="sleepy")} == {"", "gray_box"}
    ranks = {s.defense: (s.rank, len(s.reasons)) for s in rank(results)}
    assert ranks["sleepy"] == (None, 4)
    assert {ranks[name][1] for name in ("none", BICUBIC)} == {0}
    assert "not ranked (white_box fgsm 2/255: refused" in " ".join(answer.out.split())
    assert ladder(CONFIG, "--limit", 4, "-o", "runs/free").code == 0
    for name in ("none", BICUBIC):
        free = load_results(Path("runs/free")).rows(defense=name)
        assert untimed(results.rows(defense=name)) == untimed(free)


def test_a_source_that_takes_too_long_is_refused_for_every_row(
    ladder: Callable[..., Answer],
) -> None:
    text = CONFIG.replace("limit = 8", "limit = 4").replace(
        "[attacks]", '[threat]\neps = "8/255"\n\n[attacks]'
    )
    text = text.replace("masking = 0", "masking = 0\ncell_seconds = 1")
    text += '\n[transfer]\nsurrogates = ["defense:sleepy"]\n'
    rungs = [word for rung in ("gray_box", "surrogate", "bpda") for word in ("--rung", rung)]
    answer = ladder(text, *rungs)
    assert answer.code == 0, answer.err
    results = load_results(Path("runs/tiny"))
    refused = {(e["defense"], e["rung"], e["source"]) for e in results.document["refused"]}
    assert refused == {(name, "surrogate", "sleepy") for name in ("none", BICUBIC)}
    assert {r.rung for r in results.rows(defense=BICUBIC, attack="fgsm")} == {"gray_box", "bpda"}
    # To be ranked without it would be a gain; none has nothing to lose.
    assert {s.defense for s in rank(results) if s.rank is None} == {BICUBIC}


def test_the_black_box_alone_ranks_nothing(run_cli: Run, config: Write) -> None:
    text = CONFIG.replace("fgsm = {}", "fgsm = {}\nsquare = { queries = 20 }").replace(ALL, "")
    assert run_cli("run", config(text), "--rung", "black_box").code == 0
    results = load_results(Path("runs/tiny"))
    for name in ("none", BICUBIC):
        rows = {(r.rung, r.attack) for r in results.rows(defense=name)}
        assert rows == {("", "none"), ("black_box", "square"), ("adaptive", "worst")}
    assert {s.rank for s in rank(results)} == {None}


def test_an_endpoint_is_open_to_transfer_and_black_box(ladder: Callable[..., Answer]) -> None:
    text = CONFIG.replace("fgsm = {}", "fgsm = {}\nsquare = { queries = 20 }").replace(ALL, "")
    text = text.replace('"signs_resnet8"', '"endpoint"').replace("masking = 0", "masking = 4")
    answer = ladder(text + '\n[transfer]\nsurrogates = ["model:signs_resnet8"]\n')
    assert answer.code == 0, answer.err
    results = load_results(Path("runs/tiny"))
    for name in ("none", BICUBIC):
        rows = {(r.rung, r.source) for r in results.rows(defense=name, attack="square")}
        assert rows == {("transfer", "signs_resnet8"), ("black_box", name)}
        assert {r.rung for r in results.rows(defense=name, attack="fgsm")} == {"transfer"}
    closed = {str(rung) for rung in Rung} - {"transfer", "black_box"}
    assert why_not(results, BICUBIC) == dict.fromkeys(closed, "the classifier gives no gradient")
    assert {s.rank for s in rank(results)} == {None}
    assert "not ranked (the classifier gives no gradient): " in answer.out


def test_a_chain_has_an_exact_gradient_iff_every_link_has(run_cli: Run, config: Write) -> None:
    chains = (
        'sharp = { chain = ["wavelet", "superdef"] }\nround = { chain = ["jpeg", "bicubic_x2"] }'
    )
    path = config(CONFIG.replace("bicubic_x2 = {}", chains).replace("limit = 8", "limit = 4"))
    assert run_cli("run", path).code == 0
    results, rungs = load_results(Path("runs/tiny")), {}
    for name in ("sharp (reconstruction, native)", "round (native)"):
        rungs[name] = {row.rung for row in results.rows(defense=name, attack="fgsm")}
    assert rungs["sharp (reconstruction, native)"] == {"gray_box", "white_box", "bpda"}
    assert rungs["round (native)"] == {"gray_box", "bpda"}
    assert why_not(results, "sharp (reconstruction, native)") == {}
    assert why_not(results, "round (native)") == {"white_box": "no exact gradient"}

    benchmark = build(load_config(path), load_plugins([]), torch.device("cpu"))
    x = benchmark.dataset.load(range(2))[0]
    links: list[Any] = [load_defense("wavelet"), load_defense("superdef")]

    def slope(network: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        leaf = x.clone().requires_grad_()
        return torch.autograd.grad(network(leaf)[:, 3].sum(), leaf)[0]

    model: nn.Module = load_model("signs_resnet8")
    by_hand = slope(lambda images: model(links[1].transform(links[0].transform(images))))
    protected = benchmark.defenses[1].protected
    scale = float(by_hand.abs().max())
    assert torch.allclose(slope(protected.view("exact")), by_hand, atol=1e-4 * scale)
    assert not torch.allclose(slope(protected.view("bpda")), by_hand, atol=0.1 * scale)
