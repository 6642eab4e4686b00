"""The masking report on real runs: planted defenses are caught, honest ones are left alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from superdef_bench.cli import main
from superdef_bench.results.load import load_results
from superdef_bench.results.schema import Results
from tests.support.commands import Answer
from tests.support.planted import KINDS, PLANTED

pytestmark = pytest.mark.ci

Run = Callable[..., Answer]

CONFIG = """
[run]
dataset = "signs"
model = "signs_resnet8"
limit = {images}
batch_size = 48
masking = {images}
seed = {seed}
eot = 4
rungs = ["gray_box", "black_box", "white_box", "bpda"]

[threat]
eps = ["8/255"]

[attacks]
pgd = {{ steps = 10 }}
square = {{ queries = {queries}, rungs = ["black_box"] }}

[defenses]
{defenses}
"""

# A row per kind of honest defense; the others of each kind are asked nightly.
KINDS_OF_HONEST = """
bicubic_back = { plugin = "bicubic_x2", output = "resize_back" }
median = {}
jpeg_50 = { plugin = "jpeg", quality = 50 }
bits_3 = { plugin = "bit_depth", bits = 3 }
wavelet = {}
random_resize_pad = {}
adversarial_training = {}
blurred_jpeg = { chain = ["gaussian_blur", "jpeg"] }
"""
HONEST = (
    KINDS_OF_HONEST
    + """
bilinear_x2 = {}
blur_15 = { plugin = "gaussian_blur", sigma = 1.5 }
nearest_x2 = {}
bicubic_x2 = {}
bicubic_x3 = { plugin = "bicubic_x2", scale = 3 }
nearest_back = { plugin = "nearest_x2", output = "resize_back" }
bilinear_back = { plugin = "bilinear_x2", output = "resize_back" }
blur_5 = { plugin = "gaussian_blur", sigma = 0.5 }
blur_10 = { plugin = "gaussian_blur", sigma = 1.0 }
jpeg_90 = { plugin = "jpeg", quality = 90 }
jpeg_75 = { plugin = "jpeg", quality = 75 }
bits_5 = { plugin = "bit_depth", bits = 5 }
blurred_x2 = { chain = ["gaussian_blur", "bicubic_x2"] }
"""
)


def verdicts(results: Results) -> dict[str, str]:
    return {n: f["masking"]["verdict"] for n, f in results.document["defenses"].items()}


def checks(results: Results, name: str) -> dict[str, Any]:
    masking = results.document["defenses"][name]["masking"]
    return {c["check"]: c for c in masking["checks"] if c["outcome"] != "pass"}


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Run the planted defenses once."""
    folder = tmp_path_factory.mktemp("planted")
    (folder / "plugins").mkdir()
    (folder / "plugins" / "planted.py").write_text(PLANTED)
    rows = "\n".join(f"{kind} = {{}}" for kind in KINDS)
    (folder / "planted.toml").write_text(
        CONFIG.format(images=32, seed=0, queries=100, defenses=rows)
    )
    words = ["run", folder / "planted.toml", "--plugins-dir", folder / "plugins"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["superdef-bench", *map(str, words), "-o", str(folder / "run")])
        with pytest.raises(SystemExit) as stop:
            main()
    assert not stop.value.code
    return load_results(folder / "run")


@pytest.mark.parametrize(
    ("kind", "caught_by"),
    [
        ("rounding", "cross-entropy gradient is unusable"),
        ("k_winners", "autograd against finite difference"),
        ("thermometer", "cross-entropy gradient is unusable"),
        ("overconfident", "cross-entropy gradient is unusable"),
        ("hidden_noise", "answers change from call to call"),
        ("vanishing", "BPDA beats exact gradients"),
        ("switch", "answers change when a gradient is asked for"),
    ],
)
def test_every_kind_of_masking_is_caught(planted: Results, kind: str, caught_by: str) -> None:
    assert verdicts(planted)[kind] in ("suspect", "fail")
    assert caught_by in checks(planted, kind)


def test_the_classifier_itself_is_not_blamed(planted: Results) -> None:
    assert verdicts(planted)["none"] == "pass"


def test_the_page_says_what_was_found(planted: Results) -> None:
    from superdef_bench.leaderboard.publish import files

    text = files(planted)[".md"].decode()
    assert "| switch **(fail)** |" in text
    assert "- switch, **fail**, answers change when a gradient is asked for: " in text
    assert "| none | pass |" in text


@pytest.mark.parametrize(
    ("defenses", "images", "seed"),
    [
        (KINDS_OF_HONEST, 24, 0),
        pytest.param(HONEST, 24, 0, marks=pytest.mark.slow),
        pytest.param(HONEST, 64, 1, marks=pytest.mark.slow),
    ],
    ids=["a row per kind", "all", "all, on other images"],
)
def test_honest_defenses_are_left_alone(
    run_cli: Run, tmp_path: Path, defenses: str, images: int, seed: int
) -> None:
    path = tmp_path / "honest.toml"
    text = CONFIG.replace("steps = 10", "steps = 5")
    path.write_text(text.format(images=images, seed=seed, queries=40, defenses=defenses))
    answer = run_cli("run", path)
    assert answer.code == 0, answer.err
    found = verdicts(load_results(Path("runs/honest")))
    assert len(found) == 1 + len([row for row in defenses.splitlines() if row])
    assert "fail" not in found.values()
    assert list(found.values()).count("suspect") <= 1
