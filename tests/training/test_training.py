"""The classifier recipe on a small real task."""

import inspect
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from superdef_bench import DataError, SuperdefError, load_dataset
from superdef_bench.core.loader import load_plugins
from superdef_bench.nn import ResNet
from superdef_bench.nn.weights import (
    SHIPPED,
    find_weights,
    load_weights,
    read_provenance,
    save_weights,
)
from superdef_bench.training import (
    classifier,
    loop,
    one_cycle,
    save_checkpoint,
    splits_of,
)
from tests.support.commands import Answer
from tests.support.small import SMALL
from tests.support.training import SETTINGS, fresh, train


def test_a_training_resumed_within_an_epoch_is_bit_equal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fresh()
    train(whole, tmp_path / "whole.safetensors")

    real = save_checkpoint

    def save_and_stop(*arguments: object) -> None:
        real(*arguments)  # type: ignore[arg-type]  # passed on as they are
        raise KeyboardInterrupt

    path = tmp_path / "cut.safetensors"
    with monkeypatch.context() as patch:
        patch.setattr(loop, "_CHECK", 3)
        patch.setattr(loop, "_SECONDS", -1.0)
        patch.setattr(loop, "save_checkpoint", save_and_stop)
        with pytest.raises(SuperdefError, match=r"stopped at step 3 of 10"):
            train(fresh(), path)
    resumed = ResNet(blocks=1, num_classes=20, width=8)
    train(resumed, path, resume=True)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_a_step_draws_by_its_epoch_and_seed() -> None:
    generator = torch.Generator().manual_seed(3 * 100_003 + 2)
    order = torch.randperm(10, generator=generator)
    modes = [classifier.MODES[int(torch.randint(3, (), generator=generator))] for _ in range(2)]
    draws = classifier._Draws(10, replace(SETTINGS, batch_size=4, seed=3))
    draws(0)
    batch, mode = draws(5)
    assert torch.equal(batch, order[4:8])
    assert mode == modes[1]


def test_a_checkpoint_of_other_settings_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    train(fresh(), path)
    with pytest.raises(DataError, match="written with other settings"):
        train(fresh(), path, replace(SETTINGS, lr=0.2), resume=True)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="cannot be read"):
        train(fresh(), path, resume=True)


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    with pytest.raises(DataError, match=r"the loss is (nan|inf)"):
        train(fresh(), path, replace(SETTINGS, lr=1e30))
    with pytest.raises(DataError, match="fewer than a batch of 999"):
        train(fresh(), path, replace(SETTINGS, batch_size=999))


def test_the_command_trains_and_writes_weights_with_provenance(
    run_cli: Callable[..., Answer], plugin_folder: Callable[..., Path]
) -> None:
    folder = plugin_folder(SMALL)
    flags = ["--epochs", "2", "--batch-size=32", "--width", "8", "--seed", "3"]
    answer = run_cli(
        *("train", "classifier", "--data", "small", "-o", "out", "--plugins-dir", folder), *flags
    )
    assert answer.code == 0, answer.err
    assert answer.out.split() == ["out/small_resnet8.safetensors", "out/small_resnet8.json"]
    record = json.loads(Path("out/small_resnet8.json").read_text())
    assert record["settings"]["seed"] == 3
    assert record["task"]["dataset"] == "small"
    assert record["steps"] == 10
    assert set(record["test"]) >= {"accuracy", "accuracy_x2_nearest", "accuracy_x2_bicubic"}
    assert len(load_weights(Path("out/small_resnet8.safetensors"))) > 20


def test_the_plain_command_trains_the_weights_that_ship(repository: Path) -> None:
    record = read_provenance(SHIPPED / "signs_resnet8.safetensors")
    recipe = load_plugins().get("recipe", "classifier").build()
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(recipe.train).parameters.items()
        if parameter.default is not parameter.empty
    }
    later: dict[str, object] = {
        "adversarial": "none",
        "precision": "float32",
    }  # as it was before they were flags
    later |= {"augment": "none", "enlarged": 0.5, "frozen": 0.0, "init": ""}
    used = {**record["settings"], **record["architecture"], **later}
    del defaults["eps"], defaults["attack_steps"]  # of no attack
    assert defaults == {name: used[name] for name in defaults}
    test = record["test"]
    shown = [test["accuracy"], *(test[f"accuracy_x2_{mode}"] for mode in classifier.MODES)]
    row = "".join(f" {100 * accuracy:.1f} % |" for accuracy in shown)
    assert f"| `signs_resnet8` |{row}" in (repository / "docs/signs.md").read_text()


GREY = """
from superdef_bench import hookimpl, load_dataset

class Grey:
    \"\"\"Grey images of 40 pixels, with two splits.\"\"\"
    def __init__(self, *, split="test"):
        if split not in ("train", "test"):
            raise ValueError(split)
        self.inner = load_dataset("signs", split=split, grey=True, size=40)
        self.ids = self.inner.ids[:80]
        self.name, self.split = "grey", split
        self.num_classes, self.class_names = 20, self.inner.class_names
        self.sha256, self.load = self.inner.sha256, self.inner.load

@hookimpl
def register_datasets():
    return {"grey": Grey}
"""


def test_grey_images_of_another_size_train_without_a_validation_split(
    run_cli: Callable[..., Answer], plugin_folder: Callable[..., Path]
) -> None:
    words = ("--epochs", "1", "--batch-size", "36", "--width", "8", "-o", "out")
    folder = plugin_folder(GREY)
    answer = run_cli("train", "classifier", "--data", "grey", "--plugins-dir", folder, *words)
    assert answer.code == 0, answer.err
    record = json.loads(Path("out/grey_resnet8.json").read_text())
    assert record["task"]["input_shape"] == [1, 40, 40]
    assert record["images"] == 72, "a tenth is held out"
    weights = load_weights(Path("out/grey_resnet8.safetensors"))
    assert ResNet.of(weights)(torch.zeros(2, 1, 40, 40)).shape == (2, 20)
    train, validation, test = splits_of("grey")
    whole = load_dataset("grey", split="train")
    assert [*train.ids, *validation.ids] == whole.ids
    assert set(test.ids).isdisjoint(whole.ids)
    assert len({train.sha256, validation.sha256, whole.sha256}) == 3
    for part, shift in ((train, 0), (validation, 72)):
        (x, y), (same, label) = part.load([1, 3]), whole.load([1 + shift, 3 + shift])
        assert torch.equal(x, same)
        assert torch.equal(y, label)


def write_images(folder: Path, count: int, classes: Sequence[str] = ("a", "b")) -> None:
    for label, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (48, 48), (60 * label, number, 9)).save(
                folder / name / f"{number}.png"
            )


def test_a_folder_of_folders_trains_under_its_own_name(run_cli: Callable[..., Answer]) -> None:
    write_images(Path("pictures/train"), 10)
    write_images(Path("pictures/test"), 2)
    words = ("--epochs", "1", "--batch-size", "6", "--width", "8", "-o", "out")
    answer = run_cli("train", "classifier", "--data", "./pictures", *words)
    assert answer.code == 0, answer.err
    record = json.loads(Path("out/pictures_resnet8.json").read_text())
    assert record["task"]["dataset"] == "pictures"
    assert record["task"]["class_names"] == ["a", "b"]
    assert record["images"] == 18
    write_images(Path("pictures/validation"), 1)
    assert [len(part.ids) for part in splits_of("pictures")] == [20, 2, 4]


def test_missing_splits_and_unequal_classes_are_one_line(run_cli: Callable[..., Answer]) -> None:
    def refused(data: str) -> str:
        answer = run_cli("train", "classifier", "--data", data)
        assert answer.code == 2
        return answer.err

    assert "no dataset plugin and no folder 'sings'" in refused("sings")
    assert "did you mean 'signs'" in refused("sings")
    assert "dataset 'imagenet' gives no split 'train'" in refused("imagenet")
    write_images(Path("half/train"), 10)
    assert "folder half has no folder test" in refused("half")
    write_images(Path("half/test"), 1, ("a", "c"))
    assert "splits train and test of half differ in their classes: b, c" in refused("half")
    write_images(Path("few/train"), 2)
    write_images(Path("few/test"), 2)
    assert "4 training images of few are too few" in refused("few")


def test_weights_that_differ_from_their_provenance_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(path, {"a": torch.ones(3)}, {"kind": "toy"})
    assert torch.equal(load_weights(path)["a"], torch.ones(3))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="their provenance says"):
        load_weights(path)
    path.with_suffix(".json").unlink()
    with pytest.raises(DataError, match="have no provenance"):
        load_weights(path)
    with pytest.raises(DataError, match="cannot be read"):
        load_weights(tmp_path / "nothing.safetensors")


def test_an_artefact_is_found_for_its_own_task_only(tmp_path: Path) -> None:
    from superdef_bench.testing import toy_task

    task = replace(toy_task(), loader=find_weights)
    fits = {"dataset": "toy", "class_names": list(task.class_names), "input_shape": [3, 32, 32]}
    for name, trained in (("ours", fits), ("other", {**fits, "dataset": "else"})):
        save_weights(
            tmp_path / f"{name}.safetensors",
            {"a": torch.zeros(1)},
            {"kind": "denoiser", "task": trained},
        )
    assert find_weights(task, "denoiser", directories=[tmp_path])
    assert task.load("denoiser", tmp_path / "ours.safetensors")
    with pytest.raises(DataError, match="was not trained for this task"):
        task.load("denoiser", tmp_path / "other.safetensors")
    with pytest.raises(DataError, match="no denoiser for toy with toy: none was trained"):
        task.load("denoiser")


def test_the_schedule_rises_falls_and_has_no_memory() -> None:
    rates = [one_cycle(step, 100, 1.0) for step in range(100)]
    assert max(rates) == pytest.approx(1.0, abs=1e-3)
    assert rates[0] == pytest.approx(0.04)
    assert rates[-1] < 0.01
    peak = rates.index(max(rates))
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
