"""Every row has numbers of its own: equal plugins, renamed rows, equal images, grown limits."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from superdef_bench.results.load import load_results
from superdef_bench.results.schema import Results
from tests.support.commands import CONFIG, Answer, records
from tests.support.documents import untimed

Run = Callable[..., Answer]
Write = Callable[..., Path]

TWO = """
from torch import nn
import torch
from superdef_bench import hookimpl

def two():
    torch.manual_seed(0)
    return nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, 5))

@hookimpl
def register_models():
    return {"two": two}
"""

NEIGHBOURS = """
from superdef_bench import hookimpl

class Neighbours:
    norms = frozenset({"linf"})
    kind = "budget"
    access = "gradient"
    batch_dependent = True

    def __call__(self, model, x, y, threat, context):
        return (x + threat.eps * (2 * x.mean() - 1)).clamp(0, 1)

@hookimpl
def register_attacks():
    return {"neighbours": Neighbours}
"""


def counts(results: Results, **wanted: Any) -> set[int]:
    return {row.n for row in results.rows(**wanted)}


def plain_images(root: Path, each: int) -> str:
    """Write five classes of equal images and return a config that runs a small model on them."""
    for number in range(5):
        folder = root / "data" / f"class_{number}"
        folder.mkdir(parents=True)
        for place in range(each):
            Image.new("RGB", (32, 32), (50 * number, 0, 90)).save(folder / f"{place}.png")
    data = '{ plugin = "imagefolder", path = "data" }'
    return CONFIG.replace('"signs"', data).replace("signs_resnet8", "two")


def csv(folder: str) -> str:
    (file,) = Path(folder).glob("*.csv")
    return file.read_text()


def test_equal_plugins_under_two_names_are_two_rows(run_cli: Run, config: Write) -> None:
    text = CONFIG.replace(
        "fgsm = {}", 'fgsm = {}\nagain = { plugin = "fgsm" }\nfew = { plugin = "fgsm", limit = 3 }'
    ).replace(
        "bicubic_x2 = {}",
        'jpeg = {}\nshort = { plugin = "jpeg", limit = 4 }\nbare = { plugin = "none" }\n'
        'link = { chain = ["jpeg"] }',
    )
    answer = run_cli("run", config(text), "-a", "fgsm", "-a", "fgsm", "-a", "again", "-a", "few")
    assert answer.code == 0, answer.err
    results = load_results(Path("runs/tiny"))
    for name, n in (("none", 8), ("bare", 8), ("jpeg", 8), ("link", 8), ("short", 4)):
        assert counts(results, defense=name, attack="none") == {n}
        assert counts(results, defense=name, attack="fgsm") == {n}
        assert counts(results, defense=name, attack="again") == {n}
        assert counts(results, defense=name, attack="few") == {3}


@pytest.mark.slow
def test_a_renamed_attack_draws_its_own_numbers_and_reuses_no_others(
    run_cli: Run, config: Write
) -> None:
    one = CONFIG.replace("fgsm = {}", "pgd = { steps = 1 }")
    other = CONFIG.replace("fgsm = {}", 'other = { plugin = "pgd", steps = 1 }')
    run_cli("run", config(one), "-o", "shared")
    renamed = config(other, "other")
    assert "16 of them reused" in run_cli("run", renamed, "-o", "shared").out
    run_cli("run", renamed, "-o", "fresh")
    shared, fresh = (untimed(load_results(Path(folder)).accuracy) for folder in ("shared", "fresh"))
    assert shared == fresh


def test_equal_images_keep_their_own_records(
    run_cli: Run, config: Write, plugin_folder: Callable[..., Path], tmp_path: Path
) -> None:
    path = config(plain_images(tmp_path, 4).replace("fgsm = {}", "pgd = { steps = 1 }"))
    words = ("run", path, "--limit", 20, "--plugins-dir", plugin_folder(TWO))
    run_cli(*words)
    before = csv("runs/tiny")
    assert "reused" in run_cli(*words).out
    assert csv("runs/tiny") == before
    assert len({row["image_id"] for row in records(Path("runs/tiny"))}) == 20


def test_a_grown_limit_keeps_the_records_that_are_there(run_cli: Run, config: Write) -> None:
    text = CONFIG.replace("fgsm = {}", "mi_fgsm = { steps = 3 }")
    run_cli("run", config(text), "--limit", 6)
    words = ("run", config(text), "--limit", 14)
    run_cli(*words)
    before = csv("runs/tiny")
    assert "reused" in run_cli(*words).out
    assert csv("runs/tiny") == before


def test_replayed_examples_belong_to_the_batch_they_were_made_in(
    run_cli: Run, config: Write, plugin_folder: Callable[..., Path]
) -> None:
    text = CONFIG.replace("fgsm = {}", "neighbours = {}").replace("bicubic_x2", "median")
    extra = ("--plugins-dir", plugin_folder(NEIGHBOURS), "--rung", "gray_box")
    few = text.replace("median = {}", "median = { limit = 5 }")
    run_cli("run", config(few), "-o", "shared", *extra)
    run_cli("run", config(text), "-o", "shared", "--limit", 5, *extra)
    run_cli("run", config(text), "-o", "fresh", "--limit", 5, *extra)
    assert csv("shared") == csv("fresh")


@pytest.mark.slow
def test_the_undefended_row_has_no_gap_with_minimal_attacks_either(
    run_cli: Run, config: Write
) -> None:
    text = CONFIG.replace("fgsm = {}", 'fgsm = {}\ndeepfool = { eps = "8/255" }')
    run_cli("run", config(text), "--limit", 24)
    results = load_results(Path("runs/tiny"))
    for eps in (2 / 255, 8 / 255):
        gray, adaptive = (
            results.row(defense="none", attack="worst", rung=rung, eps=eps)
            for rung in ("gray_box", "adaptive")
        )
        assert gray is not None
        assert adaptive is not None
        assert gray.verdicts == adaptive.verdicts
    # An attack with an eps of its own counts at exactly that one.
    fgsm, worst = (
        results.row(defense="none", attack=name, rung=rung, eps=2 / 255)
        for name, rung in (("fgsm", "white_box"), ("worst", "adaptive"))
    )
    assert fgsm is not None
    assert worst is not None
    assert fgsm.verdicts == worst.verdicts


def test_a_radius_of_its_own_has_a_worst_case_of_its_own(run_cli: Run, config: Write) -> None:
    text = CONFIG.replace("fgsm = {}", 'fgsm = {}\npgd = { steps = 2, eps = "16/255" }')
    run_cli("run", config(text))
    worst = load_results(Path("runs/tiny")).rows(attack="worst", rung="adaptive", defense="none")
    assert [round(255 * (row.eps or 0)) for row in worst] == [2, 8, 16]


@pytest.mark.parametrize(
    ("attacks", "reason"),
    [
        ('pgd = { rungs = ["white_box"] }', "jpeg is not ranked: pgd: no gradient rung"),
        ('fgsm = { rungs = ["gray_box"] }', "none is not ranked: no counted attack that knows"),
        ("none = {}", "jpeg is not ranked: no counted attack that knows"),
    ],
)
def test_a_row_that_nothing_knowing_attacked_is_not_ranked(
    run_cli: Run, config: Write, attacks: str, reason: str
) -> None:
    text = CONFIG.replace("fgsm = {}", attacks).replace("bicubic_x2", "jpeg")
    assert run_cli("run", config(text), "--limit", 4).code == 0
    assert reason in Path("runs/tiny/tiny.md").read_text()


def test_few_classes_show_in_the_name_of_autoattack(
    run_cli: Run, config: Write, plugin_folder: Callable[..., Path], tmp_path: Path
) -> None:
    path = config(plain_images(tmp_path, 1).replace("fgsm", "autoattack"))
    answer = run_cli("run", path, "--plan", "--plugins-dir", plugin_folder(TWO))
    assert "autoattack (own engine, 4" in answer.out, answer.err
