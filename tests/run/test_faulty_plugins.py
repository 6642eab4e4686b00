"""Plugins that misbehave: one clear line, exit code 1, and the other cells go on."""

from collections.abc import Callable
from pathlib import Path

import pytest

from superdef_bench.results.load import load_results
from superdef_bench.results.ranking import rank
from tests.support.commands import CONFIG, Answer

pytestmark = pytest.mark.ci

DEFENSE = """
import torch
from torch import nn
from superdef_bench import InputTransform, hookimpl

class Faulty(InputTransform):
    def transform(self, x):
        {body}

@hookimpl
def register_defenses():
    return {{"faulty": Faulty}}
"""

ATTACK = """
import torch
from superdef_bench import hookimpl

class Faulty:
    norms = frozenset({{"linf"}})
    kind = "budget"
    access = "gradient"

    def __call__(self, model, x, y, threat, context):
        {body}

@hookimpl
def register_attacks():
    return {{"faulty": Faulty}}
"""


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise RuntimeError('out of order')", "failed on every image: RuntimeError: out of order"),
        ("return x * float('nan')", "failed on every image: logits are NaN or infinite"),
        ("return x[:, :1]", "images (8, 1, 32, 32), the contract is (8, 3, H, W)"),
        ("return x + 0.25", "returned images in [0.25, 1.25], the limit is [0, 1]"),
        ("return x.clamp_(0.1, 0.9)", "defense 'faulty' changed its input images"),
    ],
)
def test_a_faulty_defense_fails_its_cells_and_no_others(
    run_cli: Callable[..., Answer],
    config: Callable[..., Path],
    plugin_folder: Callable[..., Path],
    body: str,
    message: str,
) -> None:
    folder = plugin_folder(DEFENSE.format(body=body))
    answer = run_cli("run", config(), "-d", "faulty", "-d", "jpeg", "--plugins-dir", folder)
    assert answer.code == 1
    reported = answer.err.replace("0.250", "0.25").replace("1.250", "1.25")
    assert message in " ".join(reported.split())
    results = load_results(Path("runs/tiny"))
    assert results.row(defense="jpeg", rung="adaptive", attack="worst") is not None
    assert not list(results.rows(defense="faulty", rung="adaptive"))
    text = Path("runs/tiny/tiny.md").read_text()
    assert "| – | faulty |" in text
    assert "faulty is not ranked: clean" in text


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise ValueError('no good')", "attack 'faulty' raised ValueError: no good"),
        ("return x * float('nan')", "attack 'faulty' returned NaN or infinite pixels"),
        ("return x[:1]", "attack 'faulty' returned shape (1, 3, 32, 32) for (8, 3, 32, 32)"),
        ("return x.double()", "attack 'faulty' returned torch.float64 for torch.float32"),
        ("return x - 0.5", "attack 'faulty' returned pixels in [-0.5, 0."),
        ("return x.add_(0.001).clamp_(0, 1)", "attack 'faulty' changed its input images"),
        (
            "return (x + 0.05).clamp(0, 1)",
            "attack 'faulty' left the linf ball: distance 0.05",
        ),
        ("return None", "attack 'faulty' returned a NoneType, not a tensor"),
    ],
)
def test_a_faulty_attack_fails_its_cells_and_no_others(
    run_cli: Callable[..., Answer],
    config: Callable[..., Path],
    plugin_folder: Callable[..., Path],
    body: str,
    message: str,
) -> None:
    folder = plugin_folder(ATTACK.format(body=body))
    text = CONFIG.replace("bicubic_x2", "jpeg").replace("fgsm = {}", "fgsm = {}\nfaulty = {}")
    answer = run_cli("run", config(text), "--plugins-dir", folder, "--batch-size", 8)
    assert answer.code == 1
    assert message in " ".join(answer.err.split())
    results = load_results(Path("runs/tiny"))
    assert not list(results.rows(attack="faulty"))
    assert len(list(results.rows(attack="fgsm", defense="jpeg"))) == 4
    # Nobody faced the whole suite, so nobody is ranked.
    assert {standing.rank for standing in rank(results)} == {None}
    assert "jpeg is not ranked: gray_box faulty 2/255" in Path("runs/tiny/tiny.md").read_text()


def test_images_that_fail_alone_count_as_broken_in_clean_accuracy_too(
    run_cli: Callable[..., Answer], config: Callable[..., Path], plugin_folder: Callable[..., Path]
) -> None:
    body = "\n        ".join(
        [
            "dark = x.flatten(1).mean(1) < 0.35",
            "if bool(dark.any()):",
            "    raise RuntimeError('too dark')",
            "return x",
        ]
    )
    folder = plugin_folder(DEFENSE.format(body=body))
    answer = run_cli("run", config(), "-d", "faulty", "--plugins-dir", folder, "--limit", 24)
    assert answer.code == 0
    results = load_results(Path("runs/tiny"))
    clean, bare = (results.row(defense=d, rung="", attack="none") for d in ("faulty", "none"))
    assert clean is not None
    assert bare is not None
    assert 0 < clean.errors < 24
    assert clean.correct <= bare.correct - clean.errors + 2
    assert results.row(defense="faulty", rung="adaptive", attack="worst") is not None


@pytest.mark.parametrize(
    "body",
    [
        "return x.detach() * 0.98",
        "with torch.no_grad(): return x * 0.98",
        "return (0.3 * x + 0.7 * x.detach()) * 0.98",
        "return (x * 15).round() / 15",
    ],
)
def test_a_hidden_gradient_stop_makes_the_row_fail(
    run_cli: Callable[..., Answer],
    config: Callable[..., Path],
    plugin_folder: Callable[..., Path],
    body: str,
) -> None:
    folder = plugin_folder(DEFENSE.format(body=body))
    path = config(CONFIG.replace("masking = 0", "masking = 8"))
    answer = run_cli("run", path, "-d", "faulty", "-d", "median", "--plugins-dir", folder)
    assert answer.code == 0
    assert "faulty (fail)" in " ".join(answer.out.split())
    text = Path("runs/tiny/tiny.md").read_text()
    assert "faulty **(fail)**" in text
    why = "autograd disagrees with a finite difference on 8 of 8 images"
    assert f"Exact gradients alone do not rank faulty: {why}" in text
    assert "median **(" not in text
    # White box alone is then no gradient rung that counts.
    run_cli("run", path, "-d", "faulty", "--rung", "white_box", "--plugins-dir", folder)
    assert "faulty is not ranked: masking: fail - " in Path("runs/tiny/tiny.md").read_text()
    missing = load_results(Path("runs/tiny")).defenses["faulty"].missing
    assert "fgsm: no gradient rung that applies and can be trusted" in missing


def test_a_plugin_that_draws_globally_is_seeded_and_marked(
    run_cli: Callable[..., Answer], config: Callable[..., Path], plugin_folder: Callable[..., Path]
) -> None:
    body = "return (x + threat.eps * torch.rand_like(x).sign()).clamp(0, 1)"
    folder = plugin_folder(ATTACK.format(body=body))
    text = CONFIG.replace("fgsm = {}", "fgsm = {}\nfaulty = {}").replace("bicubic_x2", "jpeg")
    for name in ("one", "two"):
        assert run_cli("run", config(text), "--plugins-dir", folder, "-o", name).code == 0
    first, second = (Path(name, "tiny.csv").read_text() for name in ("one", "two"))
    assert first == second
    rows = load_results(Path("one")).accuracy
    replayed = [row for row in rows if row.rung == "gray_box" and not row.worst]
    dependent = {row.attack: row.batch_dependent for row in replayed}
    assert dependent == {"fgsm": False, "faulty": True}
    assert "faulty is batch-dependent" in Path("one/tiny.md").read_text()
