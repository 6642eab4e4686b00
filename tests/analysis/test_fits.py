"""`superdef-bench fits`: one fit under every rule and an oracle."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from superdef_bench.analysis import fits as fits_module
from superdef_bench.analysis.fits import (
    BEST,
    ORACLE,
    Fit,
    Kind,
    Stopped,
    Watch,
    _Batch,
    key_of,
    misfits,
    outcomes,
)
from superdef_bench.core.errors import ConfigError
from superdef_bench.prior import PUBLISHED, SMALL
from tests.support.commands import Answer

Run = Callable[..., Answer]

CONFIG = """
[run]
dataset = "signs"
model = "signs_resnet8"
limit = 3
batch_size = 4
masking = 0
rungs = ["gray_box"]

[threat]
eps = ["1/255", "8/255"]

[attacks]
pgd = { steps = 4 }
same = { plugin = "none" }

[defenses]
bicubic_x2 = {}
"""


def seen(first: str, among: str, rid: str, *, stop: int, right: bool, label: int = 0) -> Fit:
    """Return a fit seen at steps 10, 20, ..."""
    stopped = Stopped(step=stop, first=right, among=right)
    return Fit(
        image="a",
        draw=0,
        label=label,
        seen_as=1,
        first=[c == "1" for c in first],
        among=[c == "1" for c in among],
        rid=[c == "1" for c in rid],
        psnr_clean=[],
        psnr_fitted=[],
        stops=dict.fromkeys(("static", "eswmv", "subsample", "plateau"), stopped),
    )


def kind(*fits: Fit) -> Kind:
    return Kind(name="pgd", looks=[10, 20, 30, 40], num_classes=9, fits=list(fits))


def test_an_oracle_waits_for_the_label_and_for_the_attack_to_go() -> None:
    some = kind(
        seen("0010", "0110", "0011", stop=30, right=True),
        seen("0000", "0110", "1000", stop=30, right=False),  # never both at once
        seen("1000", "1000", "1111", stop=30, right=False),
        # A clean image: there is no attack to go.
        seen("0001", "0111", "0000", stop=30, right=False, label=1),
    )
    found = outcomes(some)
    assert found[ORACLE].among == 0.75
    assert found[ORACLE].first == 0.5  # the first look at which it can stop counts
    assert found[ORACLE].median == 20
    assert (found[BEST].first, found[BEST].among) == (0.75, 1.0)
    assert (found["plateau"].first, found["plateau"].median) == (0.25, 30)


def test_a_fit_that_was_right_before_is_overfitted_and_one_that_never_was_underfitted() -> None:
    fits = (
        seen("0100", "", "", stop=30, right=False),
        seen("0000", "", "", stop=30, right=False),
        seen("0001", "", "", stop=30, right=False),  # right after the stop: too late to count
        seen("0000", "", "", stop=30, right=True),
    )
    assert misfits(kind(*fits)) == (0.25, 0.5)
    assert misfits(kind()) == (0.0, 0.0)


def test_a_run_is_watched_and_found_again(
    run_cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, run, out = tmp_path / "small.toml", tmp_path / "run", tmp_path / "out"
    config.write_text(CONFIG)
    assert run_cli("run", str(config), "-o", str(run)).code == 0
    words = ["fits", str(run), "-o", str(out), *["--steps", "12", "--every", "4", "--static", "10"]]
    words += ["--images", "2"]
    answer = run_cli(*words)
    assert answer.code == 0, answer.err
    kept = sorted((out / "fits").iterdir())
    assert len(kept) == 5  # two draws each of clean and pgd; nothing of what fooled nobody
    numbers = {
        each["images"]: each for each in json.loads((out / "fits.json").read_text())["kinds"]
    }
    assert {name: each["fits"] for name, each in numbers.items()} == {
        "clean": 4,
        "pgd": 4,
        "same": 0,
    }
    page = (out / "fits.md").read_text()
    assert "by guessing 5.0" in page
    assert "| same | 0 | – |" in page
    for name in ("accuracy", "psnr", "stops"):
        assert (out / f"fits-{name}.svg").read_bytes().startswith(b"<?xml")

    found = [Kind.model_validate_json(file.read_text()) for file in kept]
    assert sorted(kind.looks for kind in found) == [[], *[[4, 8, 12]] * 4]
    with monkeypatch.context() as patched:
        patched.setattr(fits_module, "PriorFit", None)  # nothing is fitted again
        assert run_cli(*words).code == 0
        assert (out / "fits.md").read_text() == page
    more = run_cli(*words, "--images", "3")
    assert more.code == 0, more.err
    assert set(kept) < set((out / "fits").iterdir())
    kept[0].write_text("{}")
    answer = run_cli(*words)
    assert answer.code == 2
    assert f"{kept[0]} cannot be read" in answer.err


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"steps": -1}, "steps is -1"),
        ({"draws": 0}, "draws is 0"),
        ({"every": 900}, "every is 900, but a fit has 800 steps"),
        ({"steps": 100}, "static is 120, but a fit has 100 steps"),
    ],
)
def test_what_cannot_be_watched(settings: dict[str, int], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Watch(**settings).settled(SMALL)


def test_steps_are_those_of_the_network_where_none_are_given() -> None:
    settled = Watch().settled(PUBLISHED)
    assert (settled.steps, settled.static) == (3000, 1750)


def test_a_run_without_gray_box_has_nothing_to_fit(run_cli: Run, tmp_path: Path) -> None:
    config = tmp_path / "white.toml"
    config.write_text(CONFIG.replace('"gray_box"', '"white_box"').replace("same =", "# same ="))
    assert run_cli("run", str(config), "-o", str(tmp_path / "run")).code == 0
    answer = run_cli("fits", str(tmp_path / "run"), "-o", str(tmp_path / "out"))
    assert answer.code == 2
    assert "attacks nothing in gray box" in answer.err


def test_the_key_of_fits_sees_every_pixel() -> None:
    images, labels = torch.rand(16, 3, 32, 32), torch.zeros(16, dtype=torch.int64)
    other = images.clone()
    other[8, 1, 16, 16] += 0.01
    batches = [
        _Batch("pgd", each, images, labels, labels, ["a"] * 16, labels) for each in (images, other)
    ]
    first, second = (key_of("classifier", batch, Watch().settled(SMALL)) for batch in batches)
    assert first != second
