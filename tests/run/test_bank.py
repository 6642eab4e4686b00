"""Stored examples that are damaged: noticed before use, made again, said once."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch

from superdef_bench.results.load import load_results
from superdef_bench.run.bank.store import Bank
from tests.support.commands import Answer, records
from tests.support.counts import count

pytestmark = pytest.mark.faults

CONFIG = """
[run]
dataset = "{dataset}"
model = "signs_resnet8"
limit = 8
batch_size = 8
masking = 0
rungs = ["gray_box"]
[threat]
eps = ["{eps}"]

[attacks]
fgsm = {{}}
{attacks}

[defenses]
bit_depth = {{}}
"""


def text(eps: str = "8/255", dataset: str = "signs") -> str:
    attacks = [f'pgd{n} = {{ plugin = "pgd", steps = 1 }}' for n in range(1, len(DAMAGE))]
    return CONFIG.format(eps=eps, dataset=dataset, attacks="\n".join(attacks))


def verdicts(run: Path) -> list[tuple[object, ...]]:
    names = ("defense", "attack", "image_id", "bits", "prediction", "linf", "l2")
    return sorted(tuple(row[name] for name in names) for row in records(run))


def forget(run: Path) -> None:
    """Take the records away, so that the next run reads the examples."""
    for file in (run / "records").iterdir():
        file.unlink()


@pytest.fixture
def run(run_cli: Callable[..., Answer], config: Callable[..., Path]) -> Callable[[], Answer]:
    path = config(text())
    return lambda: run_cli("run", path)


def files() -> list[Path]:
    return sorted(Path("runs/tiny/bank").glob("*/*.safetensors"))


def test_examples_are_read_again_without_a_word(run: Callable[[], Answer]) -> None:
    run()
    before, folder = verdicts(Path("runs/tiny")), Path("runs/tiny")
    stamps = [file.stat().st_mtime_ns for file in files()]
    forget(folder)
    answer = run()
    assert (answer.code, answer.err) == (0, "")
    assert verdicts(folder) == before
    assert [file.stat().st_mtime_ns for file in files()] == stamps


def zeroed(content: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {**content, "images": torch.zeros_like(content["images"])}


def one_bit(content: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    images = content["images"].clone()
    images.view(torch.int32)[0, 0, 0, 0] ^= 1 << 8  # it stays in the ball
    return {**content, "images": images}


def surplus(content: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {**content, "more": torch.zeros(3)}


def lacking(content: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in content.items() if name != "seconds"}


def fewer(content: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {**content, "images": content["images"][:-1]}


def far(content: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {**content, "images": (content["images"] + 0.2).clamp(0, 1)}


def bright(content: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {**content, "images": content["images"] + 0.5}


DAMAGE = (zeroed, one_bit, surplus, lacking, fewer, far, bright)


@pytest.mark.parametrize("sealed", [False, True], ids=["as a disk does", "with a hash"])
def test_damaged_examples_are_made_again_and_said_once(
    run: Callable[[], Answer], sealed: bool
) -> None:
    run()
    folder = Path("runs/tiny")
    before, stored = verdicts(folder), files()
    # In the ball and with a hash, examples cannot be told from what an attack made.
    damages = DAMAGE[2:] if sealed else DAMAGE
    assert len(stored) == len(DAMAGE)
    for damage, file in zip(damages, stored, strict=False):
        content = file.read_bytes()
        held = damage(safetensors.torch.load(content))
        if sealed:
            Bank(folder / "bank").put(file.stem, held)
        else:
            length = int.from_bytes(content[:8], "little")
            told = json.loads(content[8 : 8 + length])["__metadata__"]
            file.write_bytes(safetensors.torch.save(held, metadata=told))
    forget(folder)
    damaged = [file.read_bytes() for file in stored[: len(damages)]]
    answer = run()
    assert answer.code == 0, answer.err
    assert answer.err.count("note: examples ") == 1
    assert "are damaged and made again" in answer.err
    wrong = verdicts(folder) != before
    count("damaged examples in the bank", tried=len(damages), wrong=int(wrong))
    assert not wrong
    assert all(file.read_bytes() != bad for file, bad in zip(stored, damaged, strict=False))


def test_swapped_files_are_made_again(run: Callable[[], Answer]) -> None:
    run()
    before, (first, second, *_) = verdicts(Path("runs/tiny")), files()
    contents = first.read_bytes(), second.read_bytes()
    first.write_bytes(contents[1])
    second.write_bytes(contents[0])
    forget(Path("runs/tiny"))
    assert "made again" in run().err
    assert verdicts(Path("runs/tiny")) == before


def test_random_flips_of_a_stored_file_never_come_through(tmp_path: Path) -> None:
    bank = Bank(tmp_path)
    held = {"images": torch.rand(4, 3, 8, 8), "flag": torch.tensor(True)}
    bank.put("ab" * 32, held)
    (file,) = tmp_path.glob("*/*")
    good, draw, wrong = file.read_bytes(), random.Random(0), 0
    for _ in range(400):
        damaged = bytearray(good)
        damaged[draw.randrange(len(good))] ^= 1 << draw.randrange(8)
        file.write_bytes(damaged)
        found = bank.get("ab" * 32)
        wrong += found is not None and not all(torch.equal(found[k], v) for k, v in held.items())
    count("bits of the bank", tried=400, wrong=wrong)
    assert wrong == 0


BETWEEN = """
from superdef_bench import hookimpl, load_dataset

class Between:
    def __init__(self):
        self._signs = load_dataset("signs")
        for name in ("name", "split", "sha256", "num_classes", "class_names", "ids"):
            setattr(self, name, getattr(self._signs, name))

    def load(self, index):
        x, y = self._signs.load(index)
        return (x * 254 + 0.5) / 255, y  # every pixel lies between two levels

@hookimpl
def register_datasets():
    return {"between": Between}
"""


def test_rounding_that_leaves_a_small_ball_is_counted_in_the_row(
    run_cli: Callable[..., Answer], config: Callable[..., Path], plugin_folder: Callable[..., Path]
) -> None:
    path, folder = config(text("1/2550", "between")), plugin_folder(BETWEEN)
    found = {}
    for word in ("--eightbit", "--limit=8"):
        assert run_cli("run", path, "-d", "bit_depth", word, "--plugins-dir", folder).code == 0
        rows = load_results(Path("runs/tiny")).rows(rung="gray_box", attack="fgsm")
        found[word] = {row.outside for row in rows}, Path("runs/tiny/tiny.md").read_text()
    assert found["--eightbit"][0] == {8}
    assert "Rounding to 8 bits carried up to 8 of 8 examples of fgsm out of" in (
        " ".join(found["--eightbit"][1].split())
    )
    assert found["--limit=8"][0] == {0}
    assert "out of the ball" not in found["--limit=8"][1]
